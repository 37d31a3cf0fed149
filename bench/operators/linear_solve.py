"""Conjugate gradients for batches, and the differentiable data-consistency solve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from bench.operators.norms import per_sample


class NormalOperator(Protocol):
    """What a data-consistency solve needs of a forward operator."""

    def A_adjoint_A(self, x: Tensor) -> Tensor: ...  # noqa: N802


class Solution(NamedTuple):
    """A batched linear solve: ``x (B, ...)``, ``iterations (B,)``, relative ``residual (B,)``."""

    x: Tensor
    iterations: Tensor
    residual: Tensor


def conjugate_gradient(
    apply: Callable[[Tensor], Tensor],
    rhs: Tensor,
    x0: Tensor | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
) -> Solution:
    """Solve ``apply(x) = rhs`` for a symmetric positive definite map, sample by sample.

    Every sample stops by itself at ``||r|| <= tol ||rhs||`` and is frozen from then on, so a result
    does not depend on what else is in the batch. The problem is scaled by its right-hand side
    first: ``rhs * c`` gives ``x * c`` for any ``c`` that the dtype can hold.

    Args:
        apply: the map, ``(B, ...) -> (B, ...)``, acting on each sample alone.
        rhs: right-hand side, ``(B, ...)``, real (complex data as pairs of real channels).
        x0: warm start, ``(B, ...)``; zero if None.
        tol: relative tolerance; 0 runs exactly ``max_iter`` iterations without looking at values
            (needed on fake tensors, and for a fixed cost).
        max_iter: most iterations.

    Source: Hestenes and Stiefel 1952. Not differentiable: see :func:`solve_normal_equations`.
    """
    with torch.no_grad():
        peak = rhs.flatten(1).abs().amax(1)
        # zero needs no scale; NaN keeps its own, so that a bad sample shows and harms no other
        scale = per_sample(torch.where(peak == 0, torch.ones_like(peak), peak), rhs)
        b = rhs / scale
        x = torch.zeros_like(b) if x0 is None else x0 / scale
        r = b.clone() if x0 is None else b - apply(x)
        p = r.clone()
        rr = _dot(r, r)
        norm = _dot(b, b)
        norm = torch.where(norm > 0, norm, torch.ones_like(norm))
        # below this the squares underflow, and the next step would divide zero by zero
        floor = max(tol, torch.finfo(b.dtype).eps ** 2) ** 2
        iterations = torch.zeros(rhs.shape[0], dtype=torch.long, device=rhs.device)
        for _ in range(max_iter):
            active = rr > floor * norm
            if tol > 0 and not bool(active.any()):
                break
            ap = apply(p)
            alpha = torch.where(active, rr / _dot(p, ap), 0.0)
            x.addcmul_(per_sample(alpha, x), p)
            r.addcmul_(per_sample(-alpha, r), ap)
            previous, rr = rr, _dot(r, r)
            p = torch.addcmul(r, per_sample(torch.where(active, rr / previous, 0.0), r), p)
            iterations += active
        return Solution(x * scale, iterations, (rr / norm).sqrt())


def solve_normal_equations(
    physics: NormalOperator,
    rhs: Tensor,
    weight: Tensor | float,
    shift: Tensor | float,
    x0: Tensor | None = None,
    *,
    tol: float = 1e-6,
    max_iter: int = 100,
    backward_tol: float | None = None,
    backward_max_iter: int | None = None,
    exact: bool = True,
) -> Tensor:
    """The data-consistency solve ``(weight A^H A + shift I)^-1 rhs``, differentiable.

    Its backward solves the same system for the cotangent, from zero: nothing of the iteration is
    stored, and the gradient is that of the exact solve also where the forward was warm-started
    (differentiating through a warm-started, truncated CG is wrong by tens of percent). Gradients
    reach ``rhs``, ``weight`` and ``shift``.

    A warm-started solve looks for the correction ``x - x0``, and its tolerance is relative to that
    correction's right-hand side. Inside a fixed-point iteration the solve thus stays as accurate,
    relative to the step, as it gets closer. (A tolerance relative to ``rhs`` would return ``x0``
    unchanged once it is near enough, and the iteration would look converged.)

    Args:
        physics: operator with ``A_adjoint_A``; one with ``solve_normal(rhs, weight, shift)`` is
            solved by that, exactly, and the tolerances are not needed.
        rhs: ``(B, ...)``.
        weight, shift: non-negative scalars, floats or 0-d tensors.
        x0: warm start ``(B, ...)``, not differentiated.
        tol, max_iter: of the forward solve, relative; ``tol=0`` runs exactly ``max_iter``.
        backward_tol, backward_max_iter: of the cotangent's solve; the forward's if None.
        exact: whether to take an exact solve where the operator has one.
    """
    if exact and hasattr(physics, "solve_normal"):
        direct: Tensor = physics.solve_normal(rhs, weight, shift)
        return direct
    apply: Any = _NormalSolve.apply
    solution: Tensor = apply(
        rhs,
        torch.as_tensor(weight, dtype=rhs.dtype, device=rhs.device),
        torch.as_tensor(shift, dtype=rhs.dtype, device=rhs.device),
        None if x0 is None else x0.detach(),
        physics,
        (tol, max_iter),
        (tol if backward_tol is None else backward_tol, backward_max_iter or max_iter),
    )
    return solution


def project_onto_data(
    physics: Any, x: Tensor, y: Tensor, *, tol: float = 1e-6, max_iter: int = 100
) -> Tensor:
    """The image nearest to ``x`` that fits the data, ``x - A^+ (A x - y)``, differentiable.

    Exact for operators with ``solve_normal``, whose ``A_dagger`` is; otherwise the pseudo-inverse
    is that of damped least squares, ``(A^H A + 1e-6 I)^-1 A^H``. Where no image fits (noise on more
    samples than pixels), the least-squares fits stand for the set.

    Args:
        x: images ``(B, C, H, W)``; y: measurements.
        tol, max_iter: of the damped solve.
    """
    misfit = physics.A(x) - y
    if hasattr(physics, "solve_normal"):
        correction: Tensor = physics.A_dagger(misfit)
    else:
        rhs = physics.A_adjoint(misfit)
        correction = solve_normal_equations(physics, rhs, 1.0, 1e-6, tol=tol, max_iter=max_iter)
    return x - correction


class _NormalSolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rhs: Tensor,
        weight: Tensor,
        shift: Tensor,
        x0: Tensor | None,
        physics: NormalOperator,
        forward_stop: tuple[float, int],
        backward_stop: tuple[float, int],
    ) -> Tensor:
        def normal(v: Tensor) -> Tensor:
            return torch.addcmul(shift * v, weight, physics.A_adjoint_A(v))

        tol, max_iter = forward_stop
        if x0 is None:
            x = conjugate_gradient(normal, rhs, tol=tol, max_iter=max_iter).x
        else:
            x = x0 + conjugate_gradient(normal, rhs - normal(x0), tol=tol, max_iter=max_iter).x
        # x is only needed for the gradients of the two scalars
        ctx.save_for_backward(x if weight.requires_grad or shift.requires_grad else None)
        ctx.normal, ctx.physics, ctx.stop = normal, physics, backward_stop
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        tol, max_iter = ctx.stop
        g = conjugate_gradient(ctx.normal, cotangent, tol=tol, max_iter=max_iter).x
        weight = -(ctx.physics.A_adjoint_A(x) * g).sum() if ctx.needs_input_grad[1] else None
        shift = -(x * g).sum() if ctx.needs_input_grad[2] else None
        return g, weight, shift, None, None, None, None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)
