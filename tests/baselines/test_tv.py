"""Total variation against a dense solution that fulfils the optimality conditions."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from baselines.tv import (
    SEARCH_VALUES,
    TotalVariation,
    TVConfig,
    gradient,
    gradient_adjoint,
    lengths,
)
from bench.deepinv_import import deepinv
from bench.measure.live_bytes import count_peak
from bench.operators import MultiCoilMRI

WEIGHT = 0.0625  # exact in float32, in which the method keeps it
SIZE = (7, 8)


class Problem(NamedTuple):
    """Operator, measurements, and its minimiser ``(B, 2, H, W)`` with the minimum ``(B,)``."""

    physics: MultiCoilMRI
    y: Tensor
    minimiser: Tensor
    minimum: Tensor


def objective(x: Tensor, y: Tensor, physics: Any, weight: float = WEIGHT) -> Tensor:
    """P, written out: the last differences of every axis are zero."""
    down = torch.diff(x, dim=2, append=x[:, :, -1:]).square().sum(1)
    right = torch.diff(x, dim=3, append=x[..., -1:]).square().sum(1)
    misfit = (physics.A(x) - y).flatten(1).square().sum(1)
    return 0.5 * misfit + weight * (down + right).sqrt().flatten(1).sum(1)


def dense_minimiser(a: Tensor, d: Tensor, y: Tensor, pixels: int) -> Tensor:
    """By ADMM with an exact solve; ``a (M, N)``, ``d (4 pixels, N)``, ``y (M,)``."""
    rho = 5 * WEIGHT
    inverse = torch.linalg.inv(a.T @ a + rho * d.T @ d)
    split = dual = torch.zeros(len(d), dtype=a.dtype)
    adjoint = a.T @ y
    for _ in range(4000):
        x = inverse @ (adjoint + rho * d.T @ (split - dual))
        moved = (d @ x + dual).view(4, pixels)
        size = moved.norm(dim=0).clamp_min(1e-300)
        split = (moved * (1 - WEIGHT / rho / size).clamp_min(0)).flatten()
        dual = moved.flatten() - split
    # optimality: p is a subgradient of the norm at D x, and A^T (A x - y) + D^T p = 0
    p = rho * dual.view(4, pixels)
    slopes = (d @ x).view(4, pixels)
    assert (a.T @ (a @ x - y) + d.T @ p.flatten()).norm() <= 1e-9
    assert p.norm(dim=0).max() <= WEIGHT * (1 + 1e-12)
    assert (WEIGHT * slopes.norm(dim=0) - (p * slopes).sum(0)).abs().max() <= 1e-10
    return x


@pytest.fixture(scope="module", params=[1, 3], ids=["1 coil", "3 coils"])
def problem(request: pytest.FixtureRequest) -> Problem:
    """Three samples in float64; with one coil, more than half of the directions are unmeasured."""
    g = torch.Generator().manual_seed(0)
    batch, pixels = 3, SIZE[0] * SIZE[1]
    mask = (torch.rand(batch, 1, 1, SIZE[1], generator=g) < 0.3).double()
    mask[..., 4] = 1
    maps = torch.randn(batch, request.param, *SIZE, dtype=torch.complex128, generator=g)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    physics = MultiCoilMRI(mask, maps)
    x = torch.zeros(batch, 2, *SIZE, dtype=torch.float64)
    x[:, :, 2:5, 1:6] = torch.randn(batch, 2, 1, 1, dtype=torch.float64, generator=g)
    noise = 0.1 * torch.randn(batch, 2, request.param, *SIZE, dtype=torch.float64, generator=g)
    y = physics.A(x) + noise * mask.unsqueeze(1)
    basis = torch.eye(2 * pixels, dtype=torch.float64).view(-1, 1, 2, *SIZE)
    columns = torch.stack([physics.A(e.expand(batch, -1, -1, -1)).flatten(1) for e in basis], 2)
    d = torch.stack([gradient(e).flatten() for e in basis], 1)
    found = [dense_minimiser(a, d, b.flatten(), pixels) for a, b in zip(columns, y, strict=True)]
    minimiser = torch.stack(found).view(batch, 2, *SIZE)
    return Problem(physics, y, minimiser, objective(minimiser, y, physics))


def method(**config: Any) -> TotalVariation:
    return TotalVariation(TVConfig(**{"weight": WEIGHT, **config})).double()


def test_gradient() -> None:
    """Its adjoint, and its lengths, by their definitions."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 4, generator=g, dtype=torch.float64)
    p = torch.randn(2, 2, 3, 5, 4, generator=g, dtype=torch.float64)
    forward, backward = (gradient(x) * p).sum(), (x * gradient_adjoint(p)).sum()
    assert abs(forward - backward) <= 1e-12 * abs(forward)
    zero = torch.zeros(1, 1, 1, 1)
    one = torch.zeros(1, 2, 3, 3)
    one[0, :, 1, 1] = torch.tensor([3.0, 4.0])  # a complex pixel of magnitude 5
    expected = torch.tensor([[0, 5, 0], [5, 50**0.5, 0], [0, 0, 0]])
    assert torch.equal(gradient(zero), torch.zeros(1, 2, 1, 1, 1))
    assert torch.allclose(lengths(gradient(one))[0, 0, 0], expected)


def test_finds_the_minimum(problem: Problem) -> None:
    result = method(tol=1e-7, max_iter=3000).reconstruct(problem.y, problem.physics)
    (trace,) = result.traces
    assert trace.converged.all()
    assert trace.evaluations.tolist() == [0, 0, 0]
    excess = objective(result.image, problem.y, problem.physics) / problem.minimum - 1
    assert excess.abs().max() <= 1e-7
    if problem.physics.coil_maps.shape[1] > 1:  # with one coil the minimiser may not be unique
        assert (result.image - problem.minimiser).norm() <= 1e-3 * problem.minimiser.norm()


@pytest.mark.parametrize("iterations", [1, 3, 10, 30, 100])
def test_the_gap_is_a_bound(problem: Problem, iterations: int) -> None:
    """At every stage, and one that means something: it is below the tolerance in the end."""
    view = method().with_solver(max_iter=iterations, tol=1e-12)
    result = view.reconstruct(problem.y, problem.physics)
    (trace,) = result.traces
    value = objective(result.image, problem.y, problem.physics)
    assert ((value - problem.minimum) <= trace.residual * value + 1e-12).all()
    assert (trace.residual >= 0).all()
    assert (trace.residual <= 1).all()
    assert not trace.converged.any()
    if iterations == 100:
        assert (trace.residual <= 1e-3).all()


def test_a_sample_does_not_depend_on_the_others(problem: Problem) -> None:
    """Each stops by itself, whether the operator can be restricted to the rest or not."""

    class Whole:
        """The same operator, which cannot."""

        A, A_adjoint = problem.physics.A, problem.physics.A_adjoint
        A_adjoint_A = problem.physics.A_adjoint_A

    every = method(check_every=1)
    result = every.reconstruct(problem.y, problem.physics)
    whole = every.reconstruct(problem.y, Whole())
    (trace,), (of_whole,) = result.traces, whole.traces
    assert trace.iterations.unique().numel() > 1
    assert (trace.residual <= 1e-3).all()
    assert torch.equal(trace.iterations, of_whole.iterations)
    assert (result.image - whole.image).norm() <= 1e-10 * whole.image.norm()
    for i in range(3):
        physics = problem.physics.select(torch.tensor([i]))
        alone = every.reconstruct(problem.y[i : i + 1], physics)
        assert (result.image[i] - alone.image[0]).norm() <= 1e-10 * alone.image.norm()
        assert int(alone.traces[0].iterations[0]) == int(trace.iterations[i])


class Identity:
    """Denoising."""

    def A(self, x: Tensor) -> Tensor:  # noqa: N802
        return x

    A_adjoint = A_adjoint_A = A


def test_denoises_as_deepinv_does() -> None:
    """One real channel, on which deepinv's total variation is the same problem."""
    g = torch.Generator().manual_seed(0)
    y = torch.zeros(2, 1, 12, 9, dtype=torch.float64)
    y[:, :, 3:8, 2:6] = 1
    y = y + 0.2 * torch.randn(y.shape, generator=g, dtype=torch.float64)
    ours = method(weight=0.25, tol=1e-9, max_iter=5000)(y, Identity())
    denoiser = deepinv.models.TVDenoiser(n_it_max=20000, crit=1e-9)
    theirs = denoiser(y, 0.25)
    assert (ours - theirs).norm() <= 1e-4 * theirs.norm()
    physics = Identity()
    difference = objective(ours, y, physics, 0.25) - objective(theirs, y, physics, 0.25)
    assert (difference <= 1e-8).all()


def test_no_signal_is_no_image() -> None:
    physics = MultiCoilMRI(torch.ones(1, 8), torch.ones(1, 6, 8, dtype=torch.complex64))
    result = TotalVariation(TVConfig()).reconstruct(torch.zeros(1, 2, 1, 6, 8), physics)
    assert torch.equal(result.image, torch.zeros(1, 2, 6, 8))
    assert result.traces[0].converged.all()


def test_is_searched_and_not_trained(problem: Problem) -> None:
    untuned = method(tol=1e-6)
    recipe = untuned.recipe()
    assert recipe.stages == ()
    assert recipe.search is not None
    assert recipe.search.values == SEARCH_VALUES
    assert len(SEARCH_VALUES) == 13
    # what the search writes is what is used, and what a checkpoint keeps
    dict(untuned.named_buffers())[recipe.search.parameter].fill_(0.5)
    other = method(weight=0.125, tol=1e-6)
    other.load_state_dict(untuned.state_dict())
    image = method(weight=0.5, tol=1e-6)(problem.y, problem.physics)
    assert torch.equal(other(problem.y, problem.physics), image)


def test_a_fixed_cost_looks_at_no_value(problem: Problem) -> None:
    """Memory is counted on fake tensors."""
    view = method().with_solver(fixed_iterations=2)
    assert view.reconstruct(problem.y, problem.physics).traces[0].iterations.tolist() == [2, 2, 2]

    def step(view: TotalVariation, y: Tensor, physics: MultiCoilMRI) -> Tensor:
        return view(y, physics)

    arguments = (view, problem.y, problem.physics)
    assert count_peak(step, *arguments, fake=True) == count_peak(step, *arguments)
