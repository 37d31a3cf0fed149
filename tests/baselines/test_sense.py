"""SENSE against a dense solve."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from baselines.sense import SEARCH_VALUES, Sense, SenseConfig
from bench.operators import MultiCoilMRI
from bench.operators.sense import sense_image


def problem(batch: int = 2) -> tuple[MultiCoilMRI, Tensor, Tensor]:
    """Operator, measurements, and A's matrix for every sample."""
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(batch, 1, 1, 8, generator=generator) < 0.5).double()
    mask[..., 4] = 1
    maps = torch.randn(batch, 3, 7, 8, dtype=torch.complex128, generator=generator)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    physics = MultiCoilMRI(mask, maps)
    y = physics.A(torch.randn(batch, 2, 7, 8, dtype=torch.float64, generator=generator))
    y = y + 0.1 * torch.randn(y.shape, dtype=torch.float64, generator=generator)
    basis = torch.eye(112, dtype=torch.float64).view(112, 1, 2, 7, 8)
    columns = torch.stack([physics.A(e.expand(batch, -1, -1, -1)).flatten(1) for e in basis], 2)
    return physics, y, columns


def regularised(columns: Tensor, y: Tensor, mu: float) -> Tensor:
    """``argmin ||A x - y||² + mu ||x||²`` by stacked least squares: no normal equations."""
    batch, _, size = columns.shape
    identity = mu**0.5 * torch.eye(size, dtype=columns.dtype).expand(batch, -1, -1)
    data = torch.cat([y.flatten(1), torch.zeros(batch, size, dtype=y.dtype)], 1)
    stacked = torch.cat([columns, identity], 1)
    return torch.linalg.lstsq(stacked, data.unsqueeze(2)).solution.view(batch, 2, 7, 8)


def error(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).norm() / truth.norm())


def test_agrees_with_dense_least_squares() -> None:
    physics, y, columns = problem()
    for weight in (0.003, 0.5):
        method = Sense(SenseConfig(weight=weight, tol=1e-12, max_iter=500)).double()
        # the weight is a float32 buffer
        truth = regularised(columns, y, float(torch.tensor(weight)))
        assert error(method(y, physics), truth) <= 1e-9


def test_the_initial_guess_of_mol_is_the_same_problem() -> None:
    physics, y, columns = problem()
    image = sense_image(y, physics, tol=1e-12, max_iter=500)
    assert error(image, regularised(columns, y, 1.001 / 100)) <= 1e-9


def test_is_searched_and_not_trained() -> None:
    method = Sense(SenseConfig())
    assert sum(p.numel() for p in method.parameters()) == 0
    recipe = method.recipe()
    assert recipe.stages == ()
    assert recipe.search is not None
    assert recipe.search.values == SEARCH_VALUES
    # what the search writes is what is used, and what a checkpoint keeps
    physics, y, columns = problem()
    buffer = dict(method.named_buffers())[recipe.search.parameter]
    buffer.fill_(0.25)
    other = Sense(SenseConfig(tol=1e-12, max_iter=500)).double()
    other.load_state_dict(method.state_dict())
    assert error(other(y, physics), regularised(columns, y, 0.25)) <= 1e-9


def test_the_gradient_in_the_measurements_is_that_of_the_exact_solve() -> None:
    """Attacks go through it: against differences, along a random direction."""
    physics, measurements, _ = problem()
    method = Sense(SenseConfig(tol=1e-12, max_iter=200)).double()
    y = measurements.clone().requires_grad_()
    image = method.reconstruct(y, physics).image
    g = torch.Generator().manual_seed(0)
    weights = torch.randn(image.shape, generator=g, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((image * weights).sum(), y)
    step = torch.randn(y.shape, generator=g, dtype=torch.float64)
    with torch.no_grad():
        moved = method.reconstruct(measurements + step, physics).image - image
    slope = float((gradient * step).sum())
    assert float((moved * weights).sum()) == pytest.approx(slope, rel=1e-9)
