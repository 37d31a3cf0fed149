"""Fixed points ``x = f(x)`` of batched maps, and gradients through them.

Solvers work sample by sample: each stops by itself, and where the map can be restricted to part of
its batch (``f.select(indices)``), samples that have stopped are not evaluated any more. A result
therefore does not depend on what else is in the batch.

The implicit gradient keeps **one** graph. The map is evaluated once with gradients at the fixed
point; that evaluation is what is returned, what the Jacobian-vector products of the backward
iteration run on, and what carries the solved cotangent to parameters and measurements.

Sources: Bai, Kolter, Koltun 2019 (implicit gradients); Walker and Ni 2011 (Anderson acceleration);
Fung et al. 2022 (Jacobian-free).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from bench.operators.norms import per_sample, relative_norms
from bench.reconstructor import Map, Trace, check


@dataclass(frozen=True)
class SolverConfig:
    """How a fixed point is iterated.

    Attributes:
        method: plain (Picard) iteration, or Anderson acceleration.
        tol: on the relative residual ``||f(x) - x|| / ||f(x)||`` of a sample; 0 runs exactly
            ``max_iter`` steps and never looks at a value (fixed cost; works on fake tensors).
        max_iter: most evaluations of the map.
        memory: residuals that Anderson combines.
        regularization: relative to each remembered residual's own norm, so that it acts the same
            at every tolerance and scale; or ``absolute``, as in the code of several authors, where
            it takes over near the fixed point and holds the iteration up.
        damping: weight of the residuals in Anderson's step, 1 for none.
        keep: what a sample returns: the evaluation with the lowest residual, or the last.
    """

    method: Literal["picard", "anderson"] = "anderson"
    tol: float = 1e-3
    max_iter: int = 50
    memory: int = 5
    regularization: float = 1e-6
    absolute: bool = False
    damping: float = 1.0
    keep: Literal["lowest", "last"] = "lowest"

    def __post_init__(self) -> None:
        check(self.tol >= 0, "tol", self.tol, "0 or more")
        check(self.max_iter >= 1, "max_iter", self.max_iter, "at least 1")
        check(self.memory >= 1, "memory", self.memory, "at least 1")
        check(self.regularization >= 0, "regularization", self.regularization, "0 or more")
        check(0 < self.damping <= 1, "damping", self.damping, "in (0, 1]")

    def changed(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> SolverConfig:
        """These settings with another tolerance or cap, or with a fixed number of evaluations."""
        if fixed_iterations is not None:
            return replace(self, tol=0.0, max_iter=fixed_iterations)
        return replace(
            self,
            tol=self.tol if tol is None else tol,
            max_iter=self.max_iter if max_iter is None else max_iter,
        )


@dataclass(frozen=True)
class EquilibriumConfig:
    """Forward solver, the backward's own solver, and which gradient.

    ``implicit`` solves ``u = g + J^T u``; ``jacobian-free`` takes ``u = g``; ``unrolled``
    differentiates through ``forward.max_iter`` plain iterations from the start.
    """

    forward: SolverConfig = field(default_factory=SolverConfig)
    backward: SolverConfig = field(default_factory=SolverConfig)
    gradient: Literal["implicit", "jacobian-free", "unrolled"] = "implicit"

    def changed(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> EquilibriumConfig:
        """With another forward solver; ``fixed_iterations`` are those of the backward too, which
        then looks at no value either.
        """
        forward = self.forward.changed(tol, max_iter, fixed_iterations)
        if fixed_iterations is None:
            return replace(self, forward=forward)
        backward = self.backward.changed(fixed_iterations=fixed_iterations)
        return replace(self, forward=forward, backward=backward)

    def converged(self, tol: float, max_iter: int) -> EquilibriumConfig:
        """Anderson to a tolerance, forward and backward, whatever the stops are."""
        solver = SolverConfig(method="anderson", tol=tol, max_iter=max_iter)
        return replace(self, forward=solver, backward=solver)


@dataclass
class FixedPoint:
    """``point`` where the residual was taken, ``value = f(point)``, and the trace.

    ``value`` is the result; for a converged sample the two agree to the tolerance.
    """

    point: Tensor
    value: Tensor
    trace: Trace


def solve(f: Map, x0: Tensor, config: SolverConfig) -> FixedPoint:
    """Iterate ``f`` from ``x0 (B, ...)`` until every sample has stopped. Carries no gradient.

    A sample stops at its tolerance, at ``max_iter``, or when its residual is no longer finite (it
    then returns its best finite iterate and is not converged). The parts of ``f`` must be finite at
    ``x0`` for there to be one.
    """
    with torch.no_grad():
        return _solve(f, x0.detach(), config)


def implicit(f: Map, x0: Tensor, config: EquilibriumConfig) -> FixedPoint:
    """The fixed point of ``f``, differentiable in everything that ``f`` depends on.

    Where gradients are off, this is :func:`solve`. The trace of the backward iteration is found in
    ``result.trace.backward`` after the backward pass. Second derivatives are not available.
    """
    if not torch.is_grad_enabled():
        return solve(f, x0, config.forward)
    if config.gradient == "unrolled":
        return _unrolled(f, x0, config.forward.max_iter, config.forward.tol)
    result = solve(f, x0, config.forward)
    result.trace.evaluations += 1  # the one with gradients
    if config.gradient == "jacobian-free":
        result.value = f(result.point)
        return result
    leaf = result.point.detach().requires_grad_()
    apply: Any = _ImplicitGradient.apply
    result.value = apply(f(leaf), leaf, config.backward, result.trace)
    return result


class _ImplicitGradient(torch.autograd.Function):
    """Identity on ``value = f(leaf)``; its backward solves ``u = g + J^T u`` on that same graph.

    The solved cotangent is handed down to ``value``, so the engine's ordinary pass carries it to
    whatever the map used. ``value`` is an input here, so differentiating it does not come back.
    """

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, leaf: Tensor, config: SolverConfig, trace: Trace
    ) -> Tensor:
        ctx.save_for_backward(value, leaf)
        ctx.config, ctx.trace = config, trace
        return value.view_as(value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        value, leaf = ctx.saved_tensors

        def step(u: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(value, leaf, u, retain_graph=True)
            total: Tensor = cotangent + product
            return total

        result = solve(step, cotangent, ctx.config)
        ctx.trace.backward = result.trace
        return result.value, None, None, None


def _unrolled(f: Map, x0: Tensor, iterations: int, tol: float) -> FixedPoint:
    point = value = x0
    for _ in range(iterations):
        point, value = value, f(value)
    trace = Trace.unrolled(x0, iterations, iterations)
    trace.residual = relative_norms(value.detach() - point.detach(), value.detach())
    trace.converged = trace.residual <= tol
    return FixedPoint(point.detach(), value, trace)


def _solve(f: Map, x0: Tensor, config: SolverConfig) -> FixedPoint:
    batch, adaptive = x0.shape[0], config.tol > 0
    state = _Best(x0)
    accelerate = _Anderson(x0, config) if config.method == "anderson" else None
    index = torch.arange(batch, device=x0.device)  # the samples that are still iterated
    x, g = x0, f
    for _ in range(config.max_iter):
        fx = g(x)
        residual = relative_norms(fx - x, fx)
        state.record(index, x, fx, residual, config)
        if adaptive:
            stays = torch.isfinite(residual) & (residual > config.tol) & ~state.stopped[index]
            state.stopped[index] |= ~stays
            if not bool(stays.any()):
                break
            if hasattr(f, "select") and not bool(stays.all()):
                index, x, fx = index[stays], x[stays], fx[stays]
                g = f.select(index)
                if accelerate is not None:
                    accelerate.select(stays)
        x = fx if accelerate is None else accelerate.step(x, fx)
    return FixedPoint(state.point, state.value, state.trace(config))


class _Best:
    """What every sample of the batch returns, and its trace, filled in while it is iterated."""

    def __init__(self, x0: Tensor) -> None:
        batch, device = x0.shape[0], x0.device
        self.point, self.value = x0.clone(), x0.clone()
        self.residual = torch.full((batch,), torch.inf, dtype=x0.dtype, device=device)
        self.iterations = torch.zeros(batch, dtype=torch.long, device=device)
        self.evaluations = torch.zeros_like(self.iterations)
        self.stopped = torch.zeros(batch, dtype=torch.bool, device=device)
        self.history: list[Tensor] = []

    def record(
        self, index: Tensor, x: Tensor, fx: Tensor, residual: Tensor, config: SolverConfig
    ) -> None:
        running = ~self.stopped[index]  # a map that cannot be restricted evaluates them all
        self.evaluations[index] += 1
        self.iterations[index] += running.long()
        row = torch.full_like(self.residual, torch.nan)
        row[index] = torch.where(running, residual, torch.nan)
        self.history.append(row)
        lower = torch.isfinite(residual)
        if config.keep == "lowest":
            lower = lower & (residual < self.residual[index])
        chosen = running & lower
        wide = per_sample(chosen, x)
        self.point[index] = torch.where(wide, x, self.point[index])
        self.value[index] = torch.where(wide, fx, self.value[index])
        self.residual[index] = torch.where(chosen, residual, self.residual[index])

    def trace(self, config: SolverConfig) -> Trace:
        return Trace(
            iterations=self.iterations,
            evaluations=self.evaluations,
            residual=self.residual,
            converged=self.residual <= config.tol,
            history=torch.stack(self.history),
        )


class _Anderson:
    """Anderson acceleration in real arithmetic on a ring of the last ``memory`` pairs (x, f(x)).

    Minimises ``||sum a_i g_i||² + r sum a_i² ||g_i||²`` with ``sum a_i = 1``, where ``g = f(x) -
    x`` and ``r`` is the relative regulariser: solved in float64, every ``g_i`` at unit norm.
    """

    def __init__(self, x0: Tensor, config: SolverConfig) -> None:
        batch, size = x0.shape[0], x0[0].numel()
        self.config = config
        self.images = x0.new_zeros(batch, config.memory, size)
        self.residuals = x0.new_zeros(batch, config.memory, size)
        self.filled = 0

    def select(self, stays: Tensor) -> None:
        self.images, self.residuals = self.images[stays], self.residuals[stays]

    def step(self, x: Tensor, fx: Tensor) -> Tensor:
        config, slot = self.config, self.filled % self.config.memory
        self.images[:, slot] = x.flatten(1)
        self.residuals[:, slot] = (fx - x).flatten(1)
        self.filled += 1
        n = min(self.filled, config.memory)
        if n == 1:
            return x + config.damping * (fx - x)
        images, residuals = self.images[:, :n], self.residuals[:, :n]
        weights = self._weights(residuals).to(x.dtype).unsqueeze(1)
        mixed = torch.bmm(weights, images) + config.damping * torch.bmm(weights, residuals)
        return mixed.view_as(x)

    def _weights(self, residuals: Tensor) -> Tensor:
        gram = torch.bmm(residuals, residuals.mT).double()
        norms = gram.diagonal(dim1=1, dim2=2).sqrt().clamp_min(torch.finfo(torch.float64).tiny)
        cosines = gram / (norms.unsqueeze(1) * norms.unsqueeze(2))
        identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        amount = torch.full_like(norms, self.config.regularization)
        if self.config.absolute:
            amount = amount / norms.square()
        matrix = cosines + amount.unsqueeze(2) * identity
        solution = torch.linalg.solve_ex(matrix, (1 / norms).unsqueeze(2))[0].squeeze(2)
        unnormalised: Tensor = solution / norms
        return unnormalised / unnormalised.sum(1, keepdim=True)
