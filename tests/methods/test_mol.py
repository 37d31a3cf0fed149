"""MOL against its equations: contraction, robustness, the fixed point, the barrier, the counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.operators import MultiCoilMRI
from bench.reconstructor import TrainingState
from bench.task import Batch
from methods.equilibrium import EquilibriumConfig, SolverConfig, solve
from methods.mol import MOLLR, MOLConfig, log_barrier

TIGHT = SolverConfig(tol=1e-12, max_iter=400)
# the papers' H has no skip connection, and their guarantees know no shift
SMALL = {
    "size": 5,
    "coils": 2,
    "shift": 0.0,
    "skip": 0.0,
    "cg_tol": 1e-13,
    "equilibrium": EquilibriumConfig(TIGHT),
}


class Bounded(nn.Module):
    """``x -> c Q φ(P x)``, c-Lipschitz: P, Q orthogonal, φ the identity or of slope at most one."""

    def __init__(self, size: int, constant: float, kind: str) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        square = torch.randn(2, size, size, dtype=torch.float64, generator=generator)
        p, q = torch.linalg.qr(square)[0]
        if kind == "linear symmetric":
            eigenvalues = torch.linspace(-constant, constant, size, dtype=torch.float64)
            q, p, constant, self.phi = p.T @ torch.diag(eigenvalues), p, 1.0, nn.Identity()
        elif kind == "linear rotation":
            self.phi = nn.Identity()
        else:
            self.phi = nn.LeakyReLU(-0.7) if kind == "leaky" else nn.Tanh()
        self.p, self.q, self.constant = p, q, constant

    def forward(self, x: Tensor) -> Tensor:
        rows = self.phi(x.flatten(1) @ self.p.T) @ self.q.T
        return (self.constant * rows).view_as(x)


KINDS = ["linear symmetric", "linear rotation", "leaky", "tanh"]


def jacobian(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    full = torch.autograd.functional.jacobian(f, x)
    return full.reshape(-1, x.numel())


def error(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).norm().detach() / truth.norm().detach())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.1, 1.0, 1.04])
def test_the_update_contracts(mol_problem: Any, kind: str, alpha: float) -> None:
    """By ``1 - αm`` up to α = 1, by ``|1 - α| + α(1 - m)`` up to ``2 / (2 - m)``, for any H."""
    m = 0.1
    problem = mol_problem(**SMALL, alpha=alpha, m=m)
    x = problem.target
    problem.method.network = Bounded(x.numel(), 1 - m, kind)
    update = problem.method.iteration(problem.y, problem.physics)
    bound = abs(1 - alpha) + alpha * (1 - m)
    assert bound < 1
    assert alpha > 1 or bound == pytest.approx(1 - alpha * m)
    for point in (x, 0.1 * x):
        # float64 and CG to 1e-13
        assert torch.linalg.matrix_norm(jacobian(update, point), 2) <= bound + 1e-10
    other = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for scale in (1e-3, 1.0, 10.0):
            moved = (update(x + scale * other) - update(x)).norm()
            assert moved <= (bound + 1e-10) * scale * other.norm()


def test_the_contraction_factor_is_attained(mol_problem: Any) -> None:
    """By H = (1 - m) I on what A does not see, so ``1 - αm`` cannot be improved."""
    m, alpha = 0.1, 0.7
    problem = mol_problem(**{**SMALL, "coils": 1}, alpha=alpha, m=m)
    problem.method.network = Scale(1 - m)
    update = problem.method.iteration(problem.y, problem.physics)
    norm = torch.linalg.matrix_norm(jacobian(update, problem.target), 2)
    assert float(norm) == pytest.approx(1 - alpha * m, abs=1e-10)


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def gain_matrix(problem: Any) -> Tensor:
    """``dx*/dy`` by the implicit function theorem, from the update's own derivatives."""
    method, physics = problem.method, problem.physics

    def step(x: Tensor, y: Tensor) -> Tensor:
        return method.iteration(y, physics)(x)

    with torch.no_grad():
        x = method.reconstruct(problem.y, physics).image
    by_x = jacobian(lambda v: step(v, problem.y), x)
    by_y = jacobian(lambda v: step(x, v), problem.y)
    return torch.linalg.solve(torch.eye(len(by_x), dtype=by_x.dtype) - by_x, by_y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_robustness_gain(mol_problem: Any, kind: str, alpha: float) -> None:
    """``||Δx|| <= ½ √(λ/m) ||Δy||`` at the fixed points, whatever the perturbation and the step."""
    m, lam = 0.1, 8.0
    problem = mol_problem(**SMALL, alpha=alpha, m=m, lam=lam)
    method, physics, y = problem.method, problem.physics, problem.y
    method.network = Bounded(problem.target.numel(), 1 - m, kind)
    bound = 0.5 * math.sqrt(lam / m)
    # locally, in the worst direction; solves to 1e-12, condition below 1e3
    gain = gain_matrix(problem)
    assert torch.linalg.matrix_norm(gain, 2) <= bound + 1e-8
    # and far away
    worst = torch.linalg.svd(gain)[2][0].view_as(y)
    noise = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        clean = method.reconstruct(y, physics).image
        for direction in (worst, noise):
            for size in (1e-2, 10.0):
                delta = size * direction / direction.norm()
                moved = method.reconstruct(y + delta, physics).image - clean
                assert moved.norm() <= (bound + 1e-8) * size


def test_the_robustness_gain_is_attained(mol_problem: Any) -> None:
    """Where a singular value of A is √(m/λ) and H = (1 - m) I."""
    m = 0.1
    problem = mol_problem(**SMALL, alpha=1.0, m=m)
    singular = torch.linalg.svdvals(jacobian(problem.physics.A, problem.target))
    s = float(singular[(singular > 0.2) & (singular < 0.9)].median())
    lam = m / s**2
    problem.method.lam.data.fill_(lam)
    problem.method.network = Scale(1 - m)
    norm = float(torch.linalg.matrix_norm(gain_matrix(problem), 2))
    assert norm == pytest.approx(0.5 * math.sqrt(lam / m), rel=1e-8)


# ---------------------------------------------------------------------- the method


@pytest.mark.parametrize("alpha", [0.1, 1.0])
@pytest.mark.parametrize("shift", [0.0, 0.02])
@pytest.mark.parametrize("skip", [0.0, 0.5])
@pytest.mark.parametrize("exponential", [False, True])
def test_the_fixed_point_solves_the_update_equation(
    mol_problem: Any, alpha: float, shift: float, skip: float, exponential: bool
) -> None:
    """``λ A^H (A x - y) + (1 + shift/α) x - H(x) = 0``, and the residual at step size 1 says so."""
    problem = mol_problem(
        batch=2,
        alpha=alpha,
        shift=shift,
        skip=skip,
        lam_exponential=exponential,
        equilibrium=EquilibriumConfig(TIGHT),
    )
    method, physics, y = problem.method, problem.physics, problem.y
    with torch.no_grad():
        x = method.reconstruct(y, physics).image
        h = skip * x + method.network(x)
        data = 3.0 * physics.A_adjoint(physics.A(x) - y)
        equation = data + (1 + shift / alpha) * x - h
        assert equation.norm() <= 1e-6 * x.norm()  # λ = exp θ is rounded to float32
        assert data.norm() > 1e-2 * x.norm()
        # CG stops at 1e-6 in the residual, by definition
        assert method.residual(x, y, physics).max() <= 2e-6
        moved = method.residual(x + 0.1 * torch.roll(x, 1, dims=-1), y, physics)
        assert moved.min() > 1e-2


def test_the_residual_does_not_depend_on_the_step_size(mol_problem: Any) -> None:
    """Methods that differ in α, and in shift so that ``shift/α`` is the same, agree on it."""
    found = []
    for alpha in (0.01, 0.1, 1.0):
        problem = mol_problem(batch=2, alpha=alpha, shift=0.1 * alpha)
        with torch.no_grad():
            found.append(problem.method.residual(problem.target, problem.y, problem.physics))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-5, atol=0)
    assert found[0].min() > 0.1


def test_batched_reconstructions_are_those_of_the_samples(mol_problem: Any) -> None:
    problem = mol_problem(batch=3, dtype=torch.float32, initial="sense", cg_tol=1e-6)
    with torch.no_grad():
        together = problem.method.reconstruct(problem.y, problem.physics)
        for i in range(3):
            physics = problem.physics.select(torch.tensor([i]))
            alone = problem.method.reconstruct(problem.y[i : i + 1], physics)
            # float32: convolutions of another batch size may round differently
            assert error(together.image[i], alone.image[0]) <= 1e-5
            assert together.traces[0].iterations[i] == alone.traces[0].iterations[0]


def test_parameter_count() -> None:
    """The papers' network has 113,154 parameters, and λ."""
    assert sum(p.numel() for p in MOLLR(MOLConfig()).parameters()) == 113_155


@pytest.mark.parametrize("margin", [1e-3, 0.1])
def test_log_barrier(margin: float) -> None:
    """``-log(T - L)`` below ``T - e``, else ``-log e + (L - T + e) / e``: joined smoothly."""
    threshold = 0.98
    joint = threshold - margin
    values = [0.0, 0.5, joint - margin / 2, joint, joint + margin / 2, threshold, 1.5, 100.0]
    estimate = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    barrier = log_barrier(estimate, threshold, margin)
    truth = [
        -math.log(threshold - v)
        if v < joint
        else -math.log(margin) + (v - threshold + margin) / margin
        for v in values
    ]
    torch.testing.assert_close(barrier, torch.tensor(truth, dtype=torch.float64))
    barrier.sum().backward()
    slope = [1 / (threshold - v) if v < joint else 1 / margin for v in values]
    torch.testing.assert_close(estimate.grad, torch.tensor(slope, dtype=torch.float64))
    # value and slope from either side
    sides = torch.tensor([joint - 1e-9, joint + 1e-9], dtype=torch.float64, requires_grad=True)
    both = log_barrier(sides, threshold, margin)
    (slopes,) = torch.autograd.grad(both.sum(), sides)
    both = both.detach()
    assert float(both[1] - both[0]) == pytest.approx(2e-9 / margin, rel=1e-4)
    assert float(slopes[0]) == pytest.approx(float(slopes[1]), rel=1e-4)


@pytest.mark.parametrize(
    ("penalty", "estimator"),
    [("log-barrier", "sphere"), ("squared", "sphere"), ("hinge", "ball")],
)
def test_penalty_reaches_the_network_alone(mol_problem: Any, penalty: str, estimator: str) -> None:
    settings = {"penalty": penalty, "estimator": estimator, "estimate_steps": 2, "m": 0.9}
    problem = mol_problem(batch=2, **settings)
    method = problem.method
    reconstruction = method.reconstruct(problem.y, problem.physics)
    batch = Batch(problem.target, problem.y, problem.physics, (), torch.ones(2), torch.ones(2))
    value, logged = method.penalty(reconstruction, batch, TrainingState(0, 1, 0))
    assert value.ndim == 0
    assert 0.3 < float(logged["lipschitz"]) < 1  # skip = 0.5 and a small network
    value.backward()
    assert method.lam.grad is None
    assert all(p.grad is not None for n, p in method.network.named_parameters() if "weight" in n)


def test_the_solver_of_a_view_is_its_own(mol_problem: Any) -> None:
    problem = mol_problem(batch=2)
    with torch.no_grad():
        view = problem.method.with_solver(fixed_iterations=3)
        (trace,) = view.reconstruct(problem.y, problem.physics).traces
        assert trace.evaluations.tolist() == [3, 3]
        tight = problem.method.with_solver(tol=1e-9, max_iter=100)
        (trace,) = tight.reconstruct(problem.y, problem.physics).traces
        assert (trace.residual <= 1e-9).all()
        (trace,) = problem.method.reconstruct(problem.y, problem.physics).traces
        assert (trace.residual > 1e-9).all()
    assert view.network is problem.method.network


def test_the_published_step_size_needs_the_published_cap(mol_problem: Any) -> None:
    """Steps scale with α: the same tolerance stops a small one further from the fixed point."""
    distances = []
    for alpha in (0.02, 1.0):
        problem = mol_problem(alpha=alpha, shift=0.0)
        with torch.no_grad():
            physics: MultiCoilMRI = problem.physics
            adjoint = physics.A_adjoint(problem.y)
            update = problem.method.iteration(problem.y, physics)
            x = solve(update, adjoint, SolverConfig("picard", 1e-3, 500, keep="last")).value
            truth = solve(update, adjoint, TIGHT).value
        distances.append(error(x, truth))
    assert distances[0] > 10 * distances[1]


@pytest.mark.parametrize("distance", [1e-2, 1e-5, 1e-8])
def test_residual_is_honest_near_the_fixed_point(mol_problem: Any, distance: float) -> None:
    """A coarse inner solve must not make the map look converged where it is not."""
    problem = mol_problem(cg_tol=3e-2, alpha=1.0, equilibrium=EquilibriumConfig(TIGHT))
    exact = problem.dense_update()
    x = problem.target
    with torch.no_grad():
        for _ in range(300):
            x = exact(x, problem.y)
        x = x + distance * torch.randn_like(x)
        true = (exact(x, problem.y) - x).norm() / x.norm()
        reported = problem.method.residual(x, problem.y, problem.physics)
        update = problem.method.iteration(problem.y, problem.physics)
        step = (update(x) - x).norm() / x.norm()
    # the measure solves to 1e-4; the iteration's own map to its tolerance, 3e-2
    assert float(reported) == pytest.approx(float(true), rel=1e-3)
    assert float(step) == pytest.approx(float(true), rel=0.1)


def test_a_coarse_inner_tolerance_changes_cost_and_not_the_iteration(mol_problem: Any) -> None:
    """What docs/decisions/0006 says, in counts."""
    solver = SolverConfig(tol=1e-6, max_iter=100)
    counts = {}
    for tolerance in (1e-1, 1e-4):
        problem = mol_problem(
            cg_tol=tolerance, lam=20.0, alpha=1.0, equilibrium=EquilibriumConfig(solver)
        )
        with torch.no_grad():
            trace = problem.method.reconstruct(problem.y, problem.physics).traces[0]
        assert bool(trace.converged)
        counts[tolerance] = (int(trace.iterations), problem.physics.count.forward)
    assert abs(counts[1e-1][0] - counts[1e-4][0]) <= 3, counts
    assert counts[1e-1][1] < 0.6 * counts[1e-4][1], counts
