"""Fixed points and their gradients, against dense algebra and plain loops."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.measure.live_bytes import LiveBytes
from methods.equilibrium import EquilibriumConfig, SolverConfig, implicit, solve
from methods.mol import MOLLR

Method = Literal["picard", "anderson"]
METHODS: tuple[Method, ...] = ("picard", "anderson")
# as far as float64 goes: with a contraction of about 0.7, gradients are then right to about 1e-12
TIGHT = {method: SolverConfig(method=method, tol=1e-14, max_iter=300) for method in METHODS}


def error(value: Tensor, truth: Tensor) -> float:
    return float((value.detach() - truth.detach()).norm() / truth.detach().norm())


class Affine:
    """``x -> M x + b``, an own symmetric M for every sample; counts samples evaluated."""

    def __init__(self, matrices: Tensor, offsets: Tensor, seen: list[int] | None = None) -> None:
        self.matrices, self.offsets = matrices, offsets
        self.seen = [] if seen is None else seen

    def __call__(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return torch.einsum("bij,bj->bi", self.matrices, x) + self.offsets

    def solution(self) -> Tensor:
        identity = torch.eye(self.offsets.shape[1], dtype=self.offsets.dtype)
        return torch.linalg.solve(identity - self.matrices, self.offsets)

    def scaled(self, factor: float) -> Affine:
        return Affine(self.matrices, self.offsets * factor)


class SelectableAffine(Affine):
    def select(self, indices: Tensor) -> SelectableAffine:
        return SelectableAffine(self.matrices[indices], self.offsets[indices], self.seen)


@pytest.fixture
def affine() -> Callable[..., Affine]:
    """``affine(radii, size=, cls=, dtype=)``: eigenvalues spread over [-radius, radius]."""

    def build(
        radii: tuple[float, ...],
        size: int = 20,
        cls: type[Affine] = Affine,
        dtype: torch.dtype = torch.float64,
    ) -> Affine:
        generator = torch.Generator().manual_seed(0)
        shape = (len(radii), size, size)
        q, _ = torch.linalg.qr(torch.randn(shape, dtype=torch.float64, generator=generator))
        spread = torch.linspace(-1, 1, size, dtype=torch.float64)
        eigenvalues = torch.tensor(radii, dtype=torch.float64)[:, None] * spread
        offsets = torch.randn(shape[:2], dtype=torch.float64, generator=generator)
        return cls(((q * eigenvalues.unsqueeze(1)) @ q.mT).to(dtype), offsets.to(dtype))

    return build


# ---------------------------------------------------------------------- gradients


def gradients_of(problem: Any, image: Tensor, y: Tensor) -> dict[str, Tensor]:
    loss = (image - problem.target).square().sum()
    named = dict(problem.method.named_parameters())
    found = torch.autograd.grad(loss, [*named.values(), y])
    return dict(zip([*named, "y"], found, strict=True))


@pytest.mark.parametrize("forward", METHODS)
@pytest.mark.parametrize("backward", METHODS)
def test_implicit_gradient(mol_problem: Any, forward: Method, backward: Method) -> None:
    """For every parameter, λ and the measurements, against two truths with dense solves."""
    config = EquilibriumConfig(TIGHT[forward], TIGHT[backward])
    problem = mol_problem(batch=2, equilibrium=config)
    update = problem.dense_update()
    y = problem.y.clone().requires_grad_()
    reconstruction = problem.method.reconstruct(y, problem.physics)
    ours = gradients_of(problem, reconstruction.image, y)
    assert len(ours) == 8  # three layers with bias, λ, y

    # a plain loop that autograd goes through
    x = torch.zeros_like(problem.target)
    for _ in range(300):
        x = update(x, y)
    assert error(reconstruction.image, x) <= 1e-12
    unrolled = gradients_of(problem, x, y)

    # the implicit function theorem: (I - J^T)^-1 times the loss's gradient, with J written out
    point = x.detach()
    size = point.numel()
    jacobian = torch.autograd.functional.jacobian(lambda v: update(v, y.detach()), point)
    jacobian = jacobian.reshape(size, size)
    cotangent = 2 * (update(point, y) - problem.target).flatten().detach()
    solved = torch.linalg.solve(torch.eye(size, dtype=torch.float64) - jacobian.T, cotangent)
    named = dict(problem.method.named_parameters())
    found = torch.autograd.grad(update(point, y), [*named.values(), y], solved.view_as(point))
    dense = dict(zip([*named, "y"], found, strict=True))

    assert torch.linalg.matrix_norm(jacobian, 2) > 0.5  # the geometric series is needed
    for name, gradient in ours.items():
        assert error(gradient, dense[name]) <= 1e-8, name
        assert error(gradient, unrolled[name]) <= 1e-8, name


def test_jacobian_free_gradient_is_that_of_one_evaluation(mol_problem: Any) -> None:
    config = EquilibriumConfig(TIGHT["anderson"], gradient="jacobian-free")
    problem = mol_problem(batch=2, equilibrium=config)
    y = problem.y.clone().requires_grad_()
    reconstruction = problem.method.reconstruct(y, problem.physics)
    ours = gradients_of(problem, reconstruction.image, y)
    truth = gradients_of(problem, problem.dense_update()(reconstruction.image.detach(), y), y)
    for name, gradient in ours.items():
        assert error(gradient, truth[name]) <= 1e-10, name


def test_unrolled_gradient_is_that_of_the_loop(mol_problem: Any) -> None:
    forward = SolverConfig(method="anderson", tol=1e-3, max_iter=4)  # neither plays a part
    problem = mol_problem(batch=2, equilibrium=EquilibriumConfig(forward, gradient="unrolled"))
    update = problem.dense_update()
    y = problem.y.clone().requires_grad_()
    reconstruction = problem.method.reconstruct(y, problem.physics)
    x = problem.physics.A_adjoint(y)
    for _ in range(4):
        previous, x = x, update(x, y)
    assert error(reconstruction.image, x) <= 1e-12
    ours, truth = gradients_of(problem, reconstruction.image, y), gradients_of(problem, x, y)
    for name, gradient in ours.items():
        assert error(gradient, truth[name]) <= 1e-10, name
    (trace,) = reconstruction.traces
    assert trace.iterations.tolist() == trace.evaluations.tolist() == [4, 4]
    step = (x - previous).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
    torch.testing.assert_close(trace.residual, step.detach(), rtol=1e-10, atol=0)


def test_gradients_of_a_batch_are_those_of_its_samples(mol_problem: Any) -> None:
    """Also where the backward iterations stop at different times."""
    config = EquilibriumConfig(TIGHT["anderson"], TIGHT["anderson"])
    problem = mol_problem(batch=3, equilibrium=config)
    weights = torch.tensor([1.0, 1e-8, 0.0]).view(3, 1, 1, 1)  # of very different cotangents
    y = problem.y.clone().requires_grad_()
    image = problem.method.reconstruct(y, problem.physics).image
    (together,) = torch.autograd.grad((weights * image).square().sum(), y)
    for i in range(3):
        one = problem.y[i : i + 1].clone().requires_grad_()
        physics = problem.physics.select(torch.tensor([i]))
        image = problem.method.reconstruct(one, physics).image
        (alone,) = torch.autograd.grad((weights[i] * image).square().sum(), one)
        assert (together[i] - alone[0]).norm() <= 1e-9 * alone.norm()
    assert together[2].eq(0).all()


@pytest.mark.parametrize("gradient", ["implicit", "jacobian-free"])
@pytest.mark.parametrize("keep", ["lowest", "last"])
def test_what_is_returned_does_not_depend_on_gradients(
    mol_problem: Any, gradient: Any, keep: Any
) -> None:
    """Value and point are the solver's, at a tolerance where they are far apart."""
    solver = SolverConfig("picard", tol=0.05, max_iter=50, keep=keep)
    problem = mol_problem(batch=2, equilibrium=EquilibriumConfig(solver, gradient=gradient))
    adjoint = problem.physics.A_adjoint(problem.y)
    update = problem.method.iteration(problem.y, problem.physics)
    plain = solve(update, adjoint, solver)
    result = implicit(update, adjoint, problem.method.config.equilibrium)
    assert error(plain.value, plain.point) > 0.01
    assert error(result.point, plain.point) == 0
    assert error(result.value, plain.value) <= 1e-13
    torch.testing.assert_close(result.trace.residual, plain.trace.residual)


def test_without_gradients_there_is_no_graph(mol_problem: Any) -> None:
    problem = mol_problem()
    with torch.no_grad():
        image = problem.method.reconstruct(problem.y, problem.physics).image
    assert not image.requires_grad
    result = solve(lambda x: 0.5 * x, torch.ones(1, 3, requires_grad=True), SolverConfig())
    assert not result.value.requires_grad
    assert not result.point.requires_grad


# ---------------------------------------------------------------------- solvers


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cls", [Affine, SelectableAffine])
def test_every_sample_stops_by_itself(affine: Any, method: Method, cls: type[Affine]) -> None:
    """A batch of unequal difficulty is three batches of one; counts are the map's own."""
    config = SolverConfig(method=method, tol=1e-6, max_iter=200)
    f = affine((0.1, 0.6, 0.9), cls=cls)
    together = solve(f, torch.zeros_like(f.offsets), config)
    rounds = len(f.seen)
    trace = together.trace
    assert trace.iterations[0] < trace.iterations[1] < trace.iterations[2] == rounds
    assert trace.converged.all()
    assert int(trace.evaluations.sum()) == sum(f.seen)
    if cls is Affine:
        assert trace.evaluations.tolist() == [rounds] * 3
    else:
        assert torch.equal(trace.evaluations, trace.iterations)
    for i in range(3):
        g = Affine(f.matrices[i : i + 1], f.offsets[i : i + 1])
        alone = solve(g, torch.zeros_like(g.offsets), config)
        assert alone.trace.iterations[0] == trace.iterations[i] == len(g.seen)
        assert error(together.value[i], alone.value[0]) <= 1e-12
        assert error(together.point[i], alone.point[0]) <= 1e-12
        assert error(trace.residual[i], alone.trace.residual[0]) <= 1e-6
        # history: until it stopped, and nothing after
        steps = int(trace.iterations[i])
        assert error(trace.history[:steps, i], alone.trace.history[:, 0]) <= 1e-6
        assert trace.history[steps:, i].isnan().all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tol", [1e-3, 1e-10])
def test_the_residual_is_honest(affine: Any, method: Method, tol: float) -> None:
    f = affine((0.5, 0.9))
    result = solve(f, torch.zeros_like(f.offsets), SolverConfig(method, tol, max_iter=400))
    torch.testing.assert_close(result.value, f(result.point), rtol=1e-14, atol=1e-14)
    residual = (result.value - result.point).norm(dim=1) / result.value.norm(dim=1)
    torch.testing.assert_close(result.trace.residual, residual, rtol=1e-10, atol=0)
    assert (residual <= tol).all()
    # the first that meets the tolerance
    for i, steps in enumerate(result.trace.iterations.tolist()):
        assert (result.trace.history[: steps - 1, i] > tol).all()
    # the distance to the fixed point is at most radius / (1 - radius) times the step
    distance = (result.value - f.solution()).norm(dim=1) / result.value.norm(dim=1)
    assert (distance <= torch.tensor([1.0, 9.0]) * residual + 1e-13).all()


def test_anderson_solves_a_small_linear_problem_in_as_many_steps_as_unknowns(affine: Any) -> None:
    """With n unknowns and n + 1 residuals remembered: as GMRES, an expanding map included."""
    config = SolverConfig("anderson", tol=1e-9, max_iter=40, memory=5, regularization=1e-14)
    for radius in (0.9, 2.5):
        f = affine((radius,), size=4)
        result = solve(f, torch.zeros_like(f.offsets), config)
        assert int(result.trace.iterations) <= 6  # one more to see that it is solved
        assert error(result.value, f.solution()) <= 1e-8


def test_anderson_takes_the_regularised_least_squares_step(affine: Any) -> None:
    """The third iterate by a solver for the constrained problem: eliminate the last weight."""
    damping, r = 0.7, 1e-2
    f = affine((0.9,))
    x0 = torch.ones_like(f.offsets)
    config = SolverConfig(
        "anderson", tol=0.0, max_iter=3, regularization=r, damping=damping, keep="last"
    )
    x1 = x0 + damping * (f(x0) - x0)
    g0, g1 = ((f(x) - x).flatten() for x in (x0, x1))
    # minimise |g1 + a (g0 - g1)|² + r (a² |g0|² + (1-a)² |g1|²)
    d = g0 - g1
    a = (r * g1 @ g1 - d @ g1) / (d @ d + r * (g0 @ g0 + g1 @ g1))
    x2 = a * x0 + (1 - a) * x1 + damping * (a * g0 + (1 - a) * g1)
    result = solve(f, x0, config)
    assert error(result.point, x2) <= 1e-12


def test_anderson_with_a_memory_of_one_is_plain_iteration(affine: Any) -> None:
    f = affine((0.9,))
    x0 = torch.zeros_like(f.offsets)
    plain = solve(f, x0, SolverConfig("picard", tol=0.0, max_iter=7, keep="last"))
    anderson = solve(f, x0, SolverConfig("anderson", tol=0.0, max_iter=7, memory=1, keep="last"))
    assert error(anderson.value, plain.value) <= 1e-14


def test_anderson_needs_fewer_evaluations(mol_problem: Any) -> None:
    """On a MOL map, at loose tolerance and at tight, where an absolute regulariser fails."""
    problem = mol_problem(alpha=1.0, skip=0.8, shift=0.0)
    adjoint = problem.physics.A_adjoint(problem.y)
    update = problem.method.iteration(problem.y, problem.physics)
    counts = {
        (method, tol): int(solve(update, adjoint, SolverConfig(method, tol, 200)).trace.iterations)
        for method in METHODS
        for tol in (1e-3, 1e-5, 1e-8)
    }
    for tol in (1e-3, 1e-5, 1e-8):
        assert counts["anderson", tol] < counts["picard", tol], counts
    assert counts["anderson", 1e-8] <= 0.7 * counts["picard", 1e-8], counts


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-100, -40, 40, 100])
def test_scale_does_not_matter(affine: Any, method: Method, exponent: int) -> None:
    """``c f(x / c)`` for powers of two, from 1e-30 to 1e30: the same bits, times c."""
    config = SolverConfig(method, tol=1e-9, max_iter=200)
    f = affine((0.5, 0.9))
    x0 = torch.ones_like(f.offsets)
    plain = solve(f, x0, config)
    scaled = solve(f.scaled(2.0**exponent), x0 * 2.0**exponent, config)
    assert torch.equal(scaled.trace.iterations, plain.trace.iterations)
    assert torch.equal(scaled.value * 2.0**-exponent, plain.value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-50, -20, 20, 40])
def test_scale_does_not_matter_in_float32(affine: Any, method: Method, exponent: int) -> None:
    """From 1e-15 (the cotangent of a small loss) to 1e12."""
    config = SolverConfig(method, tol=1e-5, max_iter=200)
    f = affine((0.5, 0.9), dtype=torch.float32)
    x0 = torch.ones_like(f.offsets)
    plain = solve(f, x0, config)
    scaled = solve(f.scaled(2.0**exponent), x0 * 2.0**exponent, config)
    assert torch.equal(scaled.trace.iterations, plain.trace.iterations)
    # squared residuals round differently at the lower end of float32's range
    assert error(scaled.value * 2.0**-exponent, plain.value) <= 1e-5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("adaptive", [True, False], ids=["adaptive", "fixed"])
@pytest.mark.parametrize("selectable", [True, False], ids=["select", "whole"])
def test_a_map_that_stops_being_finite_returns_its_best_iterate(
    affine: Any, method: Method, adaptive: bool, selectable: bool
) -> None:
    """One sample turns into NaN at the fifth call; its neighbour converges as if it were alone."""
    f = affine((0.5, 0.9), cls=SelectableAffine if selectable else Affine)
    offsets = f.offsets[1]

    class Breaking(type(f)):
        def __call__(self, x: Tensor) -> Tensor:
            value = super().__call__(x)
            broken = (self.offsets == offsets).all(1) & (len(self.seen) >= 5)
            return torch.where(broken[:, None], torch.nan, value)

    breaking = Breaking(f.matrices, f.offsets)
    if selectable:
        breaking.select = lambda i: Breaking(f.matrices[i], f.offsets[i], breaking.seen)
    x0 = torch.zeros_like(f.offsets)
    config = SolverConfig(method, tol=1e-8 if adaptive else 0.0, max_iter=60)
    result = solve(breaking, x0, config)
    history = result.trace.history[:, 1]
    best = history[:4].min()
    assert result.trace.residual[1] == best
    assert not history[4:].isfinite().any()
    assert not result.trace.converged[1]
    torch.testing.assert_close(result.value[1], f(result.point)[1])
    assert (result.value - result.point)[1].norm() / result.value[1].norm() == pytest.approx(best)
    if adaptive:
        assert result.trace.iterations[1] == 5
    truth = solve(Affine(f.matrices[:1], f.offsets[:1]), x0[:1], config)
    assert torch.equal(result.trace.iterations[:1], truth.trace.iterations)
    assert error(result.value[0], truth.value[0]) <= 1e-12


def test_a_map_that_overflows_is_not_converged() -> None:
    result = solve(lambda x: x**3, torch.full((1, 2), 7.0), SolverConfig("picard", max_iter=60))
    assert result.value.isfinite().all()
    assert result.trace.iterations < 10
    assert result.trace.residual == result.trace.history[:-1].min()
    assert not result.trace.converged


@pytest.mark.parametrize("factor", [1.1, 1.9])
def test_slow_growth_to_overflow_is_not_converged(factor: float) -> None:
    """In float32 within MOL's published cap of 500."""
    config = SolverConfig("picard", tol=1e-4, max_iter=500, keep="last")
    result = solve(lambda x: factor * x, torch.ones(1, 100), config)
    assert result.value.isfinite().all()
    assert not result.trace.converged


def test_a_map_that_is_never_finite_is_not_converged() -> None:
    for method in METHODS:
        config = SolverConfig(method, max_iter=5)
        result = solve(lambda x: x * torch.nan, torch.ones(2, 3), config)
        assert not result.trace.converged.any()
        assert not result.trace.residual.isfinite().any()


def test_gradient_of_a_divergent_map_does_not_raise() -> None:
    """``9 x² + 1`` has no real fixed point."""
    weight = torch.tensor(3.0, requires_grad=True)
    for method in METHODS:
        solver = SolverConfig(method, tol=1e-6, max_iter=500)
        result = implicit(
            lambda x: (weight * x) ** 2 + 1, torch.ones(1, 4), EquilibriumConfig(solver, solver)
        )
        result.value.sum().backward()
        assert not result.trace.converged.any()
        assert result.trace.backward is not None


def test_lowest_or_last(affine: Any) -> None:
    """Of a linear map that expands, the first evaluation has the lowest residual."""
    f = Affine(torch.tensor([[[-1.5]]]), torch.tensor([[1.0]]))  # residuals grow, relative too
    x0 = torch.tensor([[0.5]])
    lowest = solve(f, x0, SolverConfig("picard", tol=1e-6, max_iter=6))
    last = solve(f, x0, SolverConfig("picard", tol=1e-6, max_iter=6, keep="last"))
    x = x0
    for _ in range(5):
        x = f(x)
    assert torch.equal(last.point, x)
    assert torch.equal(last.value, f(x))
    assert last.trace.residual == last.trace.history[-1]
    best = int(lowest.trace.history[:, 0].argmin())
    x = x0
    for _ in range(best):
        x = f(x)
    assert torch.equal(lowest.point, x)
    assert lowest.trace.residual == lowest.trace.history.min() < last.trace.residual
    assert lowest.trace.iterations == last.trace.iterations == 6
    assert not lowest.trace.converged


@pytest.mark.parametrize("method", METHODS)
def test_zero_tolerance_runs_all_iterations(affine: Any, method: Method) -> None:
    """Also from the fixed point on, where residuals are nothing but rounding."""
    f = affine((0.3, 0.9), cls=SelectableAffine)
    result = solve(f, f.solution(), SolverConfig(method, tol=0.0, max_iter=30))
    assert f.seen == [2] * 30
    assert result.trace.evaluations.tolist() == [30, 30]
    assert error(result.value, f.solution()) <= 1e-13
    zero = solve(lambda x: 0.5 * x, torch.zeros(2, 3), SolverConfig(method, tol=0.0, max_iter=5))
    assert zero.value.eq(0).all()


# ---------------------------------------------------------------------- as part of a method


def network_calls(method: MOLLR) -> list[int]:
    seen: list[int] = []
    method.network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    return seen


@pytest.mark.parametrize("solver", METHODS)
@pytest.mark.parametrize("gradient", ["none", "implicit", "jacobian-free", "unrolled"])
def test_evaluations_are_the_calls_of_the_network(
    mol_problem: Any, solver: Method, gradient: Any
) -> None:
    """All of them: also the one that carries the gradient."""
    config = EquilibriumConfig(SolverConfig(solver, tol=1e-6, max_iter=100))
    if gradient != "none":
        config = replace(config, gradient=gradient)
    problem = mol_problem(batch=3, equilibrium=config)
    seen = network_calls(problem.method)
    with torch.set_grad_enabled(gradient != "none"):
        reconstruction = problem.method.reconstruct(problem.y, problem.physics)
    (trace,) = reconstruction.traces
    assert int(trace.evaluations.sum()) == sum(seen)
    if gradient != "unrolled":
        assert trace.evaluations.unique().numel() > 1  # samples leave the batch by themselves


@pytest.mark.parametrize("method", METHODS)
def test_backward_iteration_is_traced(affine: Any, method: Method) -> None:
    """Its evaluations are the Jacobian products; one more carries the result to the parameters."""
    products: list[int] = []

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grad: Any) -> Any:
            products.append(len(grad[0]))
            return grad[0]

    f = affine((0.5, 0.9))
    config = EquilibriumConfig(
        SolverConfig(method, tol=1e-10, max_iter=300), SolverConfig(method, tol=1e-6, max_iter=300)
    )
    offset = torch.zeros_like(f.offsets, requires_grad=True)
    result = implicit(lambda x: Counted.apply(f(x) + offset), torch.zeros_like(offset), config)
    assert result.trace.backward is None
    result.value.sum().backward()
    trace = result.trace.backward
    assert trace is not None
    assert trace.converged.all()
    assert trace.iterations[0] < trace.iterations[1]
    assert int(trace.evaluations.sum()) + 2 == sum(products)
    # M is symmetric: the gradient of the sum is the fixed point for an offset of ones
    truth = Affine(f.matrices, torch.ones_like(offset)).solution()
    assert offset.grad is not None
    assert error(offset.grad, truth) <= 1e-5
    capped = replace(config, backward=SolverConfig(method, tol=1e-6, max_iter=2))
    result = implicit(lambda x: f(x) + offset, torch.zeros_like(offset), capped)
    result.value.sum().backward()
    assert result.trace.backward is not None
    assert not result.trace.backward.converged.any()
    assert result.trace.backward.evaluations.tolist() == [2, 2]


@pytest.mark.parametrize("forward", METHODS)
@pytest.mark.parametrize("backward", METHODS)
@pytest.mark.parametrize("gradient", ["implicit", "jacobian-free", "unrolled"])
def test_a_fixed_number_of_iterations_runs_on_fake_tensors(
    forward: Method, backward: Method, gradient: Any
) -> None:
    """So it never looks at a value, forward nor backward."""
    config = EquilibriumConfig(
        SolverConfig(forward, tol=0.0, max_iter=7),
        SolverConfig(backward, tol=0.0, max_iter=7),
        gradient,
    )
    with FakeTensorMode():
        network = torch.nn.Conv2d(2, 2, 3, padding=1)
        y = torch.randn(3, 2, 8, 8)
        result = implicit(lambda x: network(x) + y, torch.zeros_like(y), config)
        result.value.square().mean().backward()
    assert result.value.shape == (3, 2, 8, 8)
    assert network.weight.grad is not None


@pytest.mark.parametrize("gradient", ["implicit", "jacobian-free", "unrolled"])
def test_nothing_is_left_over_from_a_training_step(mol_problem: Any, gradient: Any) -> None:
    """Live bytes after 50 steps are those after 5, without help of the garbage collector."""
    solver = SolverConfig(tol=1e-4, max_iter=2)
    problem = mol_problem(
        size=8,
        dtype=torch.float32,
        cg_tol=1e-4,
        cg_iterations=1,
        cg_backward_iterations=1,
        depth=2,
        equilibrium=EquilibriumConfig(solver, solver, gradient),
    )
    optimiser = torch.optim.SGD(problem.method.parameters(), lr=1e-4)
    live: list[int] = []
    gc.collect()
    gc.disable()
    try:
        with LiveBytes() as counter:
            counter.hold(problem.method, problem.physics, problem.y, problem.target)
            for _ in range(50):
                image = problem.method.reconstruct(problem.y, problem.physics).image
                (image - problem.target).square().mean().backward()
                optimiser.step()
                optimiser.zero_grad(set_to_none=False)
                del image
                live.append(counter.live)
    finally:
        gc.enable()
    assert live[49] == live[4]


@pytest.mark.parametrize("gradient", ["implicit", "jacobian-free", "unrolled"])
def test_start_and_measurements_are_left_alone(mol_problem: Any, gradient: Any) -> None:
    problem = mol_problem(equilibrium=EquilibriumConfig(gradient=gradient))
    x0 = torch.randn(problem.target.shape, generator=torch.Generator().manual_seed(3)).double()
    x0_before, y_before = x0.clone(), problem.y.clone()
    reconstruction = problem.method.reconstruct(problem.y, problem.physics, x0)
    reconstruction.image.square().sum().backward()
    assert torch.equal(x0, x0_before)
    assert torch.equal(problem.y, y_before)
    assert x0.grad is None
    assert not x0.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_a_start_at_the_fixed_point_takes_one_evaluation(affine: Any, method: Method) -> None:
    f = affine((0.5,))
    result = solve(f, f.solution(), SolverConfig(method, tol=1e-10))
    assert len(f.seen) == 1
    assert result.trace.iterations.tolist() == [1]


def test_bad_settings_are_refused() -> None:
    for field, value in (
        ("tol", -1.0),
        ("max_iter", 0),
        ("memory", 0),
        ("regularization", -1.0),
        ("damping", 0.0),
    ):
        with pytest.raises(ValueError, match=field):
            SolverConfig(**{field: value})
