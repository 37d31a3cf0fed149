"""ADMM-Net as ADMM: with a known regulariser it finds that problem's solution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from baselines.admm_net import ADMMNet, ADMMNetConfig
from bench.measure.evaluations import count_evaluations
from bench.measure.live_bytes import count_peak
from bench.operators import MultiCoilMRI
from bench.operators.sense import sense_image

EXACT = {"cg_iterations": 300, "cg_tol": 1e-13}


def problem() -> tuple[MultiCoilMRI, Tensor, Tensor]:
    """Operator, measurements, and A's matrix for two samples in float64."""
    g = torch.Generator().manual_seed(0)
    mask = (torch.rand(2, 1, 7, 8, generator=g) < 0.4).double()
    maps = torch.randn(2, 3, 7, 8, dtype=torch.complex128, generator=g)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    physics = MultiCoilMRI(mask, maps)
    y = physics.A(torch.randn(2, 2, 7, 8, dtype=torch.float64, generator=g))
    y = y + 0.1 * torch.randn(y.shape, dtype=torch.float64, generator=g)
    basis = torch.eye(112, dtype=torch.float64).view(112, 1, 2, 7, 8)
    columns = torch.stack([physics.A(e.expand(2, -1, -1, -1)).flatten(1) for e in basis], 2)
    return physics, y, columns


def create(**config: Any) -> ADMMNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = {"width": 6, "depth": 3, "lam": 5.0, **EXACT, **config}
        return ADMMNet(ADMMNetConfig(**values)).double()


class Quadratic(nn.Module):
    """``v - prox(v)`` for ``g(z) = w/2 ||z - c||²``, whose proximal map is known."""

    def __init__(self, w: float, c: Tensor) -> None:
        super().__init__()
        self.w, self.c = w, c

    def forward(self, v: Tensor) -> Tensor:
        return self.w / (1 + self.w) * (v - self.c)


@torch.no_grad()
def test_converges_to_the_regularised_solution() -> None:
    """``argmin λ/2 ||A x - y||² + w/2 ||x - c||²``, solved densely by stacked least squares."""
    physics, y, a = problem()
    c = torch.randn(2, 2, 7, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for w in (0.3, 2.0):
        root = w**0.5 * torch.eye(112, dtype=torch.float64).expand(2, -1, -1)
        stacked = torch.cat([5**0.5 * a, root], 1)
        data = torch.cat([5**0.5 * y.flatten(1), w**0.5 * c.flatten(1)], 1).unsqueeze(2)
        truth = torch.linalg.lstsq(stacked, data).solution.view_as(c)
        method = create(shift=0.0, iterations=60, cg_tol=1e-8)
        method.network = Quadratic(w, c)
        result = method.reconstruct(y, physics)
        assert (result.image - truth).norm() <= 1e-6 * truth.norm()
        # and not at once: the dual variable is what gets it there
        assert (result.intermediates[0] - truth).norm() > 1e-2 * truth.norm()


def test_gradients_are_those_of_the_dense_unrolling() -> None:
    physics, y, a = problem()
    method = create(iterations=3)
    x = sense_image(y, physics)
    u = torch.zeros_like(x)
    matrix = method.lam * (a.mT @ a) + 1.001 * torch.eye(112, dtype=torch.float64)
    adjoint = (a.mT @ y.flatten(1).unsqueeze(2)).view_as(x)
    images = []
    for _ in range(3):
        z = (x - u) - method.network(x - u)
        right = (z + u + method.lam * adjoint).flatten(1).unsqueeze(2)
        x = torch.linalg.solve(matrix, right).view_as(x)
        u = u + z - x
        images.append(x)
    with count_evaluations(method) as count:
        result = method.reconstruct(y, physics)
    assert count.network == int(result.traces[0].evaluations.sum()) == 6
    for ours, dense in zip((*result.intermediates, result.image), images, strict=True):
        assert (ours - dense).norm() <= 1e-9 * dense.norm()
    parameters = dict(method.named_parameters())
    assert "lam" in parameters
    values = list(parameters.values())
    found = torch.autograd.grad(result.image.square().sum(), values)
    truth = torch.autograd.grad(x.square().sum(), values)
    for name, one, two in zip(parameters, found, truth, strict=True):
        assert (one - two).norm() <= 1e-7 * two.norm(), name


def test_parameter_count() -> None:
    """The network of MoDL's reciprocal form, and λ."""
    assert sum(p.numel() for p in ADMMNet(ADMMNetConfig()).parameters()) == 113_155


def test_a_fixed_cost_looks_at_no_value() -> None:
    physics, y, _ = problem()
    method = create(iterations=2, cg_iterations=3)
    assert method.with_solver(tol=1e-3, max_iter=7) is method
    view = method.with_solver(fixed_iterations=1)
    assert len(view.reconstruct(y, physics).intermediates) == 1

    def step(view: ADMMNet, y: Tensor, physics: MultiCoilMRI) -> None:
        view(y, physics).square().mean().backward()

    assert count_peak(step, view, y, physics, fake=True) == count_peak(step, view, y, physics)
