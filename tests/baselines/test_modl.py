"""MoDL against its own equations, solved densely."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.modl import RECIPROCAL, MoDL, MoDLCheckpointed, MoDLConfig
from baselines.zero_filled import ZeroFilled
from bench.measure.evaluations import count_evaluations
from bench.measure.live_bytes import count_peak
from bench.operators import MultiCoilMRI
from bench.operators.sense import sense_image
from bench.reconstructor import ReconstructorConfig

SMALL = {"width": 6, "depth": 3, "cg_iterations": 300, "cg_tol": 1e-13}
VARIANTS: dict[str, dict[str, Any]] = {
    "original": {"lam": 0.3},
    "reciprocal": {**RECIPROCAL, "lam": 5.0},
}


@pytest.fixture(params=list(VARIANTS))
def setting(request: pytest.FixtureRequest) -> tuple[MoDL, MultiCoilMRI, Tensor]:
    """A method with exact solves in float64, an operator, and measurements of two samples."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = MoDL(MoDLConfig(**{**VARIANTS[request.param], **SMALL}, iterations=4)).double()
        for module in method.modules():
            if isinstance(module, nn.BatchNorm2d):  # as if trained
                nn.init.uniform_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2)
        mask = (torch.rand(2, 1, 8, 9) < 0.4).double()
        maps = torch.randn(2, 3, 8, 9, dtype=torch.complex128)
        maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
        physics = MultiCoilMRI(mask, maps)
        x = torch.randn(2, 2, 8, 9, dtype=torch.float64)
        y = physics.A(x) + 0.1 * torch.randn(2, 2, 3, 8, 9, dtype=torch.float64)
    return method.eval(), physics, y


def normal_residual(method: MoDL, x: Tensor, previous: Tensor, physics: Any, y: Tensor) -> float:
    """How far x is from solving the iteration's normal equations, relative to their right side."""
    lam, network = method.lam, method.network
    if method.config.formulation == "original":
        rhs = physics.A_adjoint(y) + lam * (previous + network(previous))
        left = physics.A_adjoint(physics.A(x)) + lam * x
    else:
        rhs = previous - network(previous) + lam * physics.A_adjoint(y)
        left = lam * physics.A_adjoint(physics.A(x)) + 1.001 * x
    return float((left - rhs).norm() / rhs.norm())


@torch.no_grad()
def test_every_iteration_is_consistent_with_the_data(
    setting: tuple[MoDL, MultiCoilMRI, Tensor],
) -> None:
    """To the tolerance of its solve; an iteration without the solve would not be."""
    method, physics, y = setting
    reconstruction = method.reconstruct(y, physics)
    original = method.config.formulation == "original"
    start = physics.A_adjoint(y) if original else sense_image(y, physics)
    images = [start, *reconstruction.intermediates, reconstruction.image]
    assert len(images) == 5
    for previous, x in pairwise(images):
        assert normal_residual(method, x, previous, physics, y) <= 1e-12
        sign = 1 if original else -1
        denoised = previous + sign * method.network(previous)
        assert normal_residual(method, denoised, previous, physics, y) > 0.1
    (trace,) = reconstruction.traces
    assert trace.evaluations.tolist() == [4, 4]


def test_gradients_are_those_of_the_dense_unrolling(
    setting: tuple[MoDL, MultiCoilMRI, Tensor],
) -> None:
    method, physics, y = setting
    basis = torch.eye(144, dtype=torch.float64).view(144, 1, 2, 8, 9)
    a = torch.stack([physics.A(e.expand(2, -1, -1, -1)).flatten(1) for e in basis], 2)
    adjoint = (a.mT @ y.flatten(1).unsqueeze(2)).view(2, 2, 8, 9)
    x = physics.A_adjoint(y)
    lam, identity = method.lam, torch.eye(144, dtype=torch.float64)
    for _ in range(4):
        if method.config.formulation == "original":
            rhs, matrix = adjoint + lam * (x + method.network(x)), a.mT @ a + lam * identity
        else:
            rhs = x - method.network(x) + lam * adjoint
            matrix = lam * (a.mT @ a) + 1.001 * identity
        x = torch.linalg.solve(matrix, rhs.flatten(1).unsqueeze(2)).view_as(x)
    ours = method.reconstruct(y, physics, x0=physics.A_adjoint(y)).image
    assert (ours - x).norm() <= 1e-11 * x.norm()
    parameters = dict(method.named_parameters())
    found = torch.autograd.grad(ours.square().sum(), list(parameters.values()))
    truth = torch.autograd.grad(x.square().sum(), list(parameters.values()))
    for name, one, two in zip(parameters, found, truth, strict=True):
        assert (one - two).norm() <= 1e-9 * two.norm(), name


def test_parameter_counts() -> None:
    """As the authors': 113,412 or 113,154 in the network, and λ."""
    for config, count in ((MoDLConfig(), 113_413), (MoDLConfig(**RECIPROCAL), 113_155)):
        assert sum(p.numel() for p in MoDL(config).parameters()) == count


def test_trains_one_iteration_first(setting: tuple[MoDL, MultiCoilMRI, Tensor]) -> None:
    method, physics, y = setting
    stages = [stage.name for stage in method.recipe().stages]
    counts = [len(method.during(s, 0.0).reconstruct(y, physics).intermediates) for s in stages]
    assert counts == [0, 3]


def test_zero_filled_is_the_adjoint(setting: tuple[MoDL, MultiCoilMRI, Tensor]) -> None:
    _, physics, y = setting
    assert torch.equal(ZeroFilled(ReconstructorConfig())(y, physics), physics.A_adjoint(y))


@pytest.mark.parametrize("training", [False, True])
def test_checkpointing_changes_nothing(
    setting: tuple[MoDL, MultiCoilMRI, Tensor], training: bool
) -> None:
    """Image, gradients, also of measurements, and batch norm's statistics: bit for bit."""
    method, physics, y = setting
    method.train(training)
    other = MoDLCheckpointed(method.config).double().train(training)
    other.load_state_dict(method.state_dict())
    found = []
    for one in (method, other):
        data = y.clone().requires_grad_()
        with count_evaluations(one) as count:
            result = one.reconstruct(data, physics)
            assert count.network == int(result.traces[0].evaluations.sum()) == 8
        loss = result.image.square().sum() + 0.1 * result.intermediates[1].sum()
        gradients = torch.autograd.grad(loss, [data, *one.parameters()])
        found.append([result.image, *gradients, *one.buffers()])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def training_step(method: MoDL, y: Tensor, physics: MultiCoilMRI) -> None:
    method.reconstruct(y, physics).image.square().mean().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("variant", VARIANTS)
def test_checkpointing_saves_memory(variant: str) -> None:
    """At K = 10, width 16, 48x48: 0.14 of MoDL's peak (original) and 0.18 (reciprocal)."""
    physics = MultiCoilMRI(torch.ones(1, 48), torch.ones(1, 48, 48, dtype=torch.complex64))
    y = torch.zeros(1, 2, 1, 48, 48)
    config = MoDLConfig(**{**VARIANTS[variant], "width": 16, "cg_iterations": 1})
    peaks = [
        count_peak(
            training_step, kind(config).with_solver(fixed_iterations=1), y, physics, fake=True
        )
        for kind in (MoDL, MoDLCheckpointed)
    ]
    assert peaks[1] <= 0.25 * peaks[0]


def test_a_fixed_cost_keeps_all_iterations(setting: tuple[MoDL, MultiCoilMRI, Tensor]) -> None:
    """What is fixed is the solves: nothing looks at a value, and the image is the same."""
    method, physics, y = setting
    assert method.with_solver(tol=1e-3, max_iter=7) is method
    assert method.to_convergence(1e-3, 7) is None
    start = physics.A_adjoint(y)
    result = method.with_solver(fixed_iterations=2).reconstruct(y, physics, start)
    assert len(result.intermediates) == 3
    image = method.reconstruct(y, physics, start).image
    assert (result.image - image).norm() <= 1e-10 * image.norm()
    short = method.view(config=replace(method.config, cg_iterations=3))
    view = short.with_solver(fixed_iterations=2)
    fake = count_peak(training_step, view, y, physics, fake=True)
    assert fake == count_peak(training_step, view, y, physics)
