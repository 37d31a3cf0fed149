"""Conjugate gradients and the data-consistency solve against dense algebra."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bench.operators import MultiCoilMRI, conjugate_gradient, solve_normal_equations
from bench.operators.sense import sense_image

Build = Callable[..., MultiCoilMRI]
Dense = Callable[[Callable[[Tensor], Tensor], tuple[int, ...]], Tensor]
Linear = Callable[[Tensor], Tensor]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spd(
    conditions: tuple[float, ...], size: int = 12, dtype: torch.dtype = torch.float64
) -> Tensor:
    """One symmetric positive definite matrix for each condition number, ``(B, size, size)``."""
    basis = torch.randn(len(conditions), size, size, dtype=torch.float64, generator=generator(0))
    q, _ = torch.linalg.qr(basis)
    eigenvalues = torch.stack(
        [torch.logspace(0, -torch.tensor(c).log10(), size) for c in conditions]
    )
    return ((q * eigenvalues.double().unsqueeze(1)) @ q.mT).to(dtype)


def applying(matrices: Tensor) -> Linear:
    return lambda v: torch.einsum("bij,bj->bi", matrices, v)


def rhs_for(matrices: Tensor, seed: int = 1) -> Tensor:
    return torch.randn(matrices.shape[:2], dtype=torch.float64, generator=generator(seed)).to(
        matrices.dtype
    )


def error(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).norm() / truth.norm())


CONDITIONS = (1.0, 10.0, 1e3)


def test_agrees_with_a_dense_solve() -> None:
    matrices = spd(CONDITIONS)
    rhs = rhs_for(matrices)
    # relative residual 1e-15 and condition 1e3 leave 1e-12
    solution = conjugate_gradient(applying(matrices), rhs, tol=1e-15, max_iter=200)
    truth = torch.linalg.solve(matrices, rhs)
    for x, y in zip(solution.x, truth, strict=True):
        assert error(x, y) <= 1e-12


def test_every_sample_stops_by_itself_and_as_if_it_were_alone() -> None:
    matrices = spd(CONDITIONS)
    rhs = rhs_for(matrices)
    together = conjugate_gradient(applying(matrices), rhs, tol=1e-8, max_iter=200)
    for i in range(3):
        alone = conjugate_gradient(
            applying(matrices[i : i + 1]), rhs[i : i + 1], tol=1e-8, max_iter=200
        )
        assert torch.equal(together.iterations[i : i + 1], alone.iterations)
        assert error(together.x[i], alone.x[0]) <= 1e-13
        assert error(together.residual[i], alone.residual[0]) <= 1e-6
    assert together.iterations[0] == 1  # a multiple of the identity
    assert together.iterations[0] < together.iterations[1] < together.iterations[2]


def test_stops_at_the_first_iteration_that_meets_the_tolerance_and_reports_the_residual() -> None:
    matrices = spd(CONDITIONS)
    rhs = rhs_for(matrices)
    apply = applying(matrices)

    def true_residual(x: Tensor) -> Tensor:
        return (rhs - apply(x)).norm(dim=1) / rhs.norm(dim=1)

    solution = conjugate_gradient(apply, rhs, tol=1e-6, max_iter=200)
    assert (true_residual(solution.x) <= 1.001e-6).all()
    # reported by recursion: equal to the true one up to rounding, also where the cap came first
    for max_iter in (3, 200):
        solution = conjugate_gradient(apply, rhs, tol=1e-6, max_iter=max_iter)
        assert (solution.residual - true_residual(solution.x)).abs().max() <= 1e-13
    for i, iterations in enumerate(solution.iterations.tolist()):
        earlier = conjugate_gradient(apply, rhs, tol=1e-6, max_iter=iterations - 1)
        assert true_residual(earlier.x)[i] > 1e-6
    assert conjugate_gradient(apply, rhs, tol=1e-6, max_iter=3).iterations.tolist() == [1, 3, 3]


@pytest.mark.parametrize("exponent", [-100, -50, -20, 20, 50, 100])
def test_the_scale_of_the_problem_does_not_matter(exponent: int) -> None:
    """From 1e-30 to 1e30 in float32, whose squares are out of range. Powers of two: to the bit."""
    matrices = spd((10.0, 100.0), dtype=torch.float32)
    rhs = rhs_for(matrices)
    apply = applying(matrices)
    plain = conjugate_gradient(apply, rhs, tol=1e-5, max_iter=100)
    scaled = conjugate_gradient(apply, rhs * 2.0**exponent, tol=1e-5, max_iter=100)
    assert torch.equal(scaled.x * 2.0**-exponent, plain.x)
    assert torch.equal(scaled.iterations, plain.iterations)
    assert torch.equal(scaled.residual, plain.residual)
    # two samples of very different scale in one batch
    factor = torch.tensor([[2.0**exponent], [1.0]])
    mixed = conjugate_gradient(apply, rhs * factor, tol=1e-5, max_iter=100)
    assert torch.equal(mixed.x / factor, plain.x)


def test_scaled_measurements_give_the_scaled_sense_image(random_mri: Build) -> None:
    physics = random_mri(16, 15, 4, columns=True)
    y = physics.A(torch.randn(1, 2, 16, 15, generator=generator(0)))
    assert error(sense_image(y * 1e-6, physics) * 1e6, sense_image(y, physics)) <= 1e-6


def test_a_warm_start_at_the_solution_takes_no_iteration() -> None:
    matrices = spd((10.0, 100.0))
    rhs = rhs_for(matrices)
    x = torch.linalg.solve(matrices, rhs)
    start = torch.stack((x[0], torch.zeros_like(x[1])))
    solution = conjugate_gradient(applying(matrices), rhs, start, tol=1e-10, max_iter=100)
    assert solution.iterations[0] == 0
    assert solution.iterations[1] > 0
    # it is returned as it was, but for being scaled and scaled back
    torch.testing.assert_close(solution.x[0], x[0], rtol=1e-15, atol=0)
    near = x + 1e-6 * torch.randn(x.shape, dtype=x.dtype, generator=generator(2))
    warm = conjugate_gradient(applying(matrices), rhs, near, tol=1e-10, max_iter=100)
    cold = conjugate_gradient(applying(matrices), rhs, tol=1e-10, max_iter=100)
    assert (warm.iterations < cold.iterations).all()
    assert error(warm.x, x) <= 1e-8


def test_a_zero_right_hand_side_gives_zero() -> None:
    matrices = spd((10.0, 100.0))
    rhs = rhs_for(matrices)
    rhs[0] = 0
    for tol in (1e-10, 0.0):
        solution = conjugate_gradient(applying(matrices), rhs, tol=tol, max_iter=30)
        assert solution.x[0].eq(0).all()
        assert solution.iterations[0] == 0
        assert solution.residual[0] == 0
        assert error(solution.x[1], torch.linalg.solve(matrices, rhs)[1]) <= 1e-7
    started = conjugate_gradient(
        applying(matrices), rhs, torch.ones_like(rhs), tol=1e-10, max_iter=60
    )
    assert started.x[0].abs().max() <= 1e-8


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_sample_that_is_not_finite_stays_so_and_touches_no_other(bad: float) -> None:
    matrices = spd((10.0, 100.0))
    rhs = rhs_for(matrices)
    truth = conjugate_gradient(applying(matrices), rhs, tol=1e-10, max_iter=100)
    rhs[0, 3] = bad
    solution = conjugate_gradient(applying(matrices), rhs, tol=1e-10, max_iter=100)
    assert error(solution.x[1], truth.x[1]) <= 1e-13
    assert solution.iterations[1] == truth.iterations[1]
    # never a finite image from measurements that are not, in company or alone
    alone = conjugate_gradient(applying(matrices[:1]), rhs[:1], tol=1e-10, max_iter=100)
    for result in (solution, alone):
        assert not result.x[0].isfinite().any()
        assert not result.residual[0].isfinite()


def test_zero_tolerance_runs_all_iterations() -> None:
    matrices = spd((10.0, 1e3))
    rhs = rhs_for(matrices)
    calls: list[int] = []

    def counted(v: Tensor) -> Tensor:
        calls.append(1)
        return applying(matrices)(v)

    solution = conjugate_gradient(counted, rhs, tol=0, max_iter=7)
    assert len(calls) == 7
    assert solution.iterations.tolist() == [7, 7]


@pytest.mark.parametrize("smallest", [0.05, 1e-3])
def test_a_fixed_count_far_beyond_convergence_does_not_break_down(smallest: float) -> None:
    """Squared residuals leave float32's range then. The original MoDL's shift is such a 0.05."""
    diagonal = torch.tensor([[smallest, 1.0, 0.7, 0.3]])
    rhs = torch.randn(16, 4, generator=generator(3))
    solution = conjugate_gradient(lambda v: diagonal * v, rhs, tol=0, max_iter=60)
    assert error(solution.x, rhs / diagonal) <= 1e-5


# ---------------------------------------------------------------------- its gradient


@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_gradients_are_those_of_the_dense_solve(
    random_mri: Build, matrix_of: Dense, columns: bool, warm: bool
) -> None:
    physics = random_mri(5, 6, 2, columns=columns, dtype=torch.complex128)
    shape = (2, 5, 6)
    normal = matrix_of(physics.A_adjoint_A, shape)
    rhs = torch.randn(2, *shape, dtype=torch.float64, generator=generator(0))
    start = torch.randn(2, *shape, dtype=torch.float64, generator=generator(1))
    target = torch.randn(2, *shape, dtype=torch.float64, generator=generator(2))
    results = []
    for dense in (False, True):
        b = rhs.clone().requires_grad_()
        weight, shift = (
            torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (7.0, 0.3)
        )
        if dense:
            matrix = weight * normal + shift * torch.eye(len(normal), dtype=torch.float64)
            x = torch.linalg.solve(matrix, b.flatten(1).T).T.view_as(b)
        else:
            x0 = start.clone().requires_grad_() if warm else None
            x = solve_normal_equations(physics, b, weight, shift, x0, tol=1e-13, max_iter=300)
        (x - target).square().sum().backward()
        results.append((x.detach(), b.grad, weight.grad, shift.grad))
        if not dense and x0 is not None:
            assert x0.grad is None  # a start is no cause
    for ours, truth in zip(*results, strict=True):
        assert error(ours, truth) <= 1e-8


def test_scalars_may_be_numbers_or_of_another_precision(random_mri: Build) -> None:
    physics = random_mri(5, 6, 2, dtype=torch.complex128)
    rhs = torch.randn(1, 2, 5, 6, dtype=torch.float64, generator=generator(0))
    weight = torch.tensor(2.0, requires_grad=True)  # a float32 parameter on float64 data
    x = solve_normal_equations(physics, rhs, weight, 1, tol=1e-12, max_iter=200)
    assert error(x.detach() + 2 * physics.A_adjoint_A(x.detach()), rhs) <= 1e-11
    x.sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_backward_has_its_own_cap(random_mri: Build) -> None:
    """After an exact forward, one iteration for the cotangent is a steepest descent step."""
    physics = random_mri(5, 6, 2, dtype=torch.complex128)
    rhs, g = torch.randn(2, 1, 2, 5, 6, dtype=torch.float64, generator=generator(0))
    rhs.requires_grad_()
    x = solve_normal_equations(physics, rhs, 3.0, 0.5, tol=1e-12, max_iter=200, backward_max_iter=1)
    (gradient,) = torch.autograd.grad(x, rhs, g)
    mapped = 3 * physics.A_adjoint_A(g) + 0.5 * g
    assert error(gradient, g * g.square().sum() / (g * mapped).sum()) <= 1e-12
