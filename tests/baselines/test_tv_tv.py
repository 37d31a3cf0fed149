"""TV-TV against linear programs, and against weak duality where the data is a penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from baselines.tv_tv import (
    SEARCH_VALUES,
    TVTV,
    differences,
    differences_adjoint,
    shrink_to_two,
)
from bench import create_method, create_task
from bench.operators import BicubicDownsampling, MultiCoilMRI
from bench.problems import random_problem
from bench.reconstructor import Reconstruction


def dense(f: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix of a linear map on images of this shape (C, H, W)."""
    basis = torch.eye(int(np.prod(shape)), dtype=torch.float64).view(-1, 1, *shape)
    return np.stack([f(e).flatten().numpy() for e in basis], axis=1)


def objective(d: np.ndarray, x: np.ndarray, w: np.ndarray, beta: float) -> float:
    return float(np.abs(d @ x).sum() + beta * np.abs(d @ (x - w)).sum())


def minimum(a: np.ndarray, y: np.ndarray, d: np.ndarray, w: np.ndarray, beta: float) -> float:
    """Of the linear program ``min sum s + β sum t, |D x| <= s, |D (x - w)| <= t, A x = y``."""
    n, m = a.shape[1], d.shape[0]
    one, zero, edges = np.eye(m), np.zeros((m, m)), d @ w
    bounds = np.block([[d, -one, zero], [-d, -one, zero], [d, zero, -one], [-d, zero, -one]])
    solution = scipy.optimize.linprog(
        np.r_[np.zeros(n), np.ones(m), np.full(m, beta)],
        A_ub=bounds,
        b_ub=np.r_[np.zeros(2 * m), edges, -edges],
        A_eq=np.c_[a, np.zeros((len(a), 2 * m))],
        b_eq=y,
        bounds=[(None, None)] * (n + 2 * m),
    )
    assert solution.status == 0
    return float(solution.fun)


def method_on(channels: int, backbone: str, **config: Any) -> TVTV:
    """In float64, with another method's image for w."""
    values = {"method": backbone, "config": {"channels": channels}}
    method = create_method("tv-tv", channels=channels, backbone=values, **config)
    assert isinstance(method, TVTV)
    return method.double().eval()


@pytest.mark.parametrize("beta", [0.25, 1.0, 4.0])
def test_is_the_minimum_of_the_linear_program(beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 1, 8, 8, generator=generator, dtype=torch.float64).cumsum(-1) / 4
    physics = BicubicDownsampling(2, (8, 8)).double()
    y = physics.A(x)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # an untrained backbone: w has nothing to do with x
        method = method_on(1, "srcnn", beta=beta, tol=2e-4, max_iter=2000)
    result = method.reconstruct(y, physics)
    assert bool(result.traces[-1].converged.all())
    assert float((physics.A(result.image) - y).abs().max()) <= 1e-12
    a, d = dense(physics.A, (1, 8, 8)), dense(differences, (1, 8, 8))
    (guess,) = result.intermediates
    for i in range(2):
        image, w = result.image[i].flatten().numpy(), guess[i].flatten().numpy()
        lowest = minimum(a, y[i].flatten().numpy(), d, w, beta)
        assert lowest * (1 - 1e-9) <= objective(d, image, w, beta) <= lowest * (1 + 1e-3)


def small_mri(sampled: int) -> tuple[MultiCoilMRI, Tensor]:
    """One coil that is 1, ``sampled`` columns of 6, and measurements."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, 1, 1, 6, dtype=torch.float64)
    mask[..., 3 - sampled // 2 : 3 - sampled // 2 + sampled] = 1
    physics = MultiCoilMRI(mask, torch.ones(1, 1, 6, 6, dtype=torch.complex128))
    x = torch.rand(1, 2, 6, 6, generator=generator, dtype=torch.float64)
    return physics, physics.A(x)


def test_real_and_imaginary_part_count_by_themselves() -> None:
    """A complex image, and projections by conjugate gradients."""
    physics, y = small_mri(sampled=3)
    method = method_on(2, "sense", beta=0.5, tol=5e-4, max_iter=2000, cg_tol=1e-2)
    result = method.reconstruct(y, physics)
    image, w = (v.flatten().numpy() for v in (result.image, result.intermediates[0]))
    assert float((physics.A(result.image) - y).norm() / y.norm()) <= 1e-5
    a = dense(physics.A, (2, 6, 6))
    kept = np.abs(a).sum(1) > 1e-9  # a program has no use for rows of zeros
    d = dense(differences, (2, 6, 6))
    lowest = minimum(a[kept], y.flatten().numpy()[kept], d, w, 0.5)
    assert lowest * (1 - 1e-3) <= objective(d, image, w, 0.5) <= lowest * (1 + 1e-3)


@pytest.mark.parametrize("exact", [True, False])
def test_penalised_data_leaves_no_duality_gap(exact: bool) -> None:
    """Any dual point bounds the minimum from below; a good one comes from a box-constrained QP."""
    beta, mu = 0.5, 8.0
    physics, y = small_mri(sampled=6)  # A is a rotation here, so that the dual is short
    if exact:
        physics.solve_normal = lambda rhs, weight, shift: rhs / (weight + shift.view(-1, 1, 1, 1))
    method = method_on(2, "zero-filled", beta=beta, fidelity=mu, tol=1e-5, max_iter=2000)
    guess = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    method.backbone.reconstruct = lambda *_: Reconstruction(guess)
    result = method.reconstruct(y, physics)
    d = dense(differences, (2, 6, 6))
    adjoint, w = physics.A_adjoint(y).flatten().numpy(), guess.flatten().numpy()
    edges, m = d @ w, len(d)

    def dual(st: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus ``min_x``, and its gradient, at (s, t) with ``|s|, |t| <= 1``."""
        pull = d.T @ (st[:m] + beta * st[m:])
        x = adjoint - pull / mu
        value = mu / 2 * (x - adjoint) @ (x - adjoint) + pull @ x - beta * st[m:] @ edges
        return -value, -np.r_[d @ x, beta * (d @ x - edges)]

    found = scipy.optimize.minimize(
        dual, np.zeros(2 * m), jac=True, method="L-BFGS-B", bounds=[(-1, 1)] * (2 * m)
    )
    image = result.image.flatten().numpy()
    primal = objective(d, image, w, beta) + mu / 2 * np.square(image - adjoint).sum()
    assert -found.fun <= primal <= -found.fun * (1 + 1e-3)


def test_shrinks_to_the_two_points() -> None:
    """Against a search over all breakpoints and a fine grid."""
    generator = torch.Generator().manual_seed(0)
    v, centre = (torch.randn(60, generator=generator, dtype=torch.float64) for _ in range(2))
    centre[:5] = 0
    for beta in (0.0, 0.4, 1.0, 3.0):
        step = torch.tensor(0.3, dtype=torch.float64)
        grid = torch.linspace(-5, 5, 20001, dtype=torch.float64).unsqueeze(1)
        grid = torch.cat((grid.expand(-1, 60), centre.unsqueeze(0)))
        cost = grid.abs() + beta * (grid - centre).abs() + (grid - v).square() / (2 * step)
        best = grid.gather(0, cost.argmin(0, keepdim=True)).squeeze(0)
        found = shrink_to_two(v, centre, beta, step)
        assert float((found - best).abs().max()) <= 3e-4


def test_differences_are_periodic_and_adjoint() -> None:
    x, d = torch.randn(2, 3, 5, 4).double(), torch.randn(2, 2, 3, 5, 4).double()
    slopes = differences(x)
    assert torch.equal(slopes[:, 0, :, -1], x[:, :, 0] - x[:, :, -1])
    inner = (slopes * d).sum() - (x * differences_adjoint(d)).sum()
    assert abs(float(inner)) <= 1e-12


def test_samples_stop_by_themselves() -> None:
    """One that is done already leaves, whatever the others do."""
    problem = random_problem("superres", batch=2)
    problem.y[0] = 0.5  # a constant image is flat, and its backbone's image nearly so
    method = create_method("tv-tv", create_task("superres"), backbone={"method": "bicubic"})
    trace = method.reconstruct(problem.y, problem.physics).traces[-1]
    first, second = trace.iterations.tolist()
    assert first < second
    assert bool(trace.history[first:, 0].isnan().all())
    assert not bool(trace.history[:second, 1].isnan().any())


def test_beta_is_searched_and_nothing_trained() -> None:
    method = create_method("tv-tv")
    assert not [p for p in method.parameters() if p.requires_grad]
    recipe = method.recipe()
    assert recipe.stages == ()
    assert recipe.search is not None
    assert recipe.search.parameter == "beta"
    assert len(SEARCH_VALUES) == 13
    assert 1.0 in SEARCH_VALUES
    assert float(method.get_buffer("beta")) == 1.0
    assert list(method.requires()) == ["backbone"]


def test_tasks_choose_the_backbone_and_whether_data_is_held() -> None:
    superres = create_method("tv-tv", create_task("superres"))
    assert superres.backbone.name == "srcnn"
    assert superres.config.fidelity is None
    mri = create_method("tv-tv", create_task("mri-multicoil"))
    assert mri.backbone.name == "unet"
    assert mri.config.fidelity is not None


def test_noisy_data_of_many_coils_needs_the_penalty() -> None:
    """Held exactly, the image leaves its backbone's far behind."""
    problem = random_problem("mri-multicoil", batch=1, size=(16, 16))
    errors = []
    for fidelity in (None, 100.0):
        method = method_on(2, "sense", fidelity=fidelity, cg_iterations=50, cg_tol=1e-6).float()
        image = method.with_solver(max_iter=30)(problem.y, problem.physics)
        errors.append(float((image - problem.x).norm()))
    assert errors[0] > 2 * errors[1], errors
