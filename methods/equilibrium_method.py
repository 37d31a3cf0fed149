"""What methods that return one fixed point share: the solve, its gradient, its stopping rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from torch import Tensor

from bench.operators.norms import relative_norms
from bench.reconstructor import (
    Map,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    check,
)
from methods.equilibrium import EquilibriumConfig, FixedPoint, SolverConfig, implicit

# not the papers': Anderson to 1e-3 and an inexact gradient, for short trainings
SHORT_SOLVERS = EquilibriumConfig(
    forward=SolverConfig(method="anderson", tol=1e-3, max_iter=25),
    backward=SolverConfig(method="anderson", tol=1e-2, max_iter=6),
)


@dataclass(frozen=True)
class EquilibriumMethodConfig(ReconstructorConfig):
    """Base of these methods' configurations.

    Attributes:
        equilibrium: solvers and gradient.
        loose_tol: forward tolerance at the first step of training, falling to
            ``equilibrium.forward.tol`` over two thirds of it; None: the same throughout.
    """

    equilibrium: EquilibriumConfig = field(default_factory=EquilibriumConfig)
    loose_tol: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.loose_tol is None or self.loose_tol > 0, "loose_tol", self.loose_tol, "above 0")


class Iteration:
    """``x -> step(x, physics, *data)`` on one batch; ``select`` restricts it to some samples.

    Args:
        step: the update, acting on each sample alone.
        physics: the forward operator of the batch. One that cannot be restricted has no ``select``,
            and then neither has the iteration.
        data: tensors ``(B, ...)`` that the update needs of every sample.
    """

    def __init__(self, step: Callable[..., Tensor], physics: Any, *data: Tensor) -> None:
        self.step, self.physics, self.data = step, physics, data

    def __call__(self, x: Tensor) -> Tensor:
        return self.step(x, self.physics, *self.data)

    @property
    def select(self) -> Callable[[Tensor], Iteration]:
        """Indices to the iteration of these samples alone."""
        # not kept as an attribute: that cycle would hold the data until a garbage collection
        if not hasattr(self.physics, "select"):
            raise AttributeError("the operator cannot be restricted to some samples")
        return self._select

    def _select(self, indices: Tensor) -> Iteration:
        data = (tensor[indices] for tensor in self.data)
        return Iteration(self.step, self.physics.select(indices), *data)


class EquilibriumMethod(Reconstructor):
    """A method whose image is the fixed point of ``step``.

    A method gives ``step`` (and ``start``, if that is not the adjoint image). Where what is
    iterated is more than an image, ``start`` and ``image`` translate.
    """

    config: EquilibriumMethodConfig

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        """One update of ``x``; ``adjoint`` is ``A^H y``."""
        raise TypeError(f"{type(self).__name__} has no update")

    def start(self, y: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        """What is iterated first."""
        return adjoint

    def image(self, x: Tensor) -> Tensor:
        """The image in what is iterated."""
        return x

    def iteration(self, y: Tensor, physics: Any) -> Iteration:
        """The map whose fixed point is sought."""
        return Iteration(self.step, physics, physics.A_adjoint(y))

    def fixed_point_map(
        self, y: Tensor, physics: Any, x0: Tensor | None = None
    ) -> tuple[Map, Tensor]:
        iteration = self.iteration(y, physics)
        return iteration, self.start(y, physics, *iteration.data) if x0 is None else x0

    def fixed_point(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> FixedPoint:
        """The fixed point and its trace, differentiable as ``config.equilibrium`` says."""
        iteration, start = self.fixed_point_map(y, physics, x0)
        return implicit(iteration, start, self.config.equilibrium)

    @property
    def gradient_mode(self) -> str:
        return self.config.equilibrium.gradient

    def held_start(self, y: Tensor, physics: Any) -> Tensor | None:
        return self.fixed_point_map(y, physics)[1]

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = self.fixed_point(y, physics, x0)
        return Reconstruction(self.image(result.value), traces=(result.trace,))

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> Tensor | None:
        """Of one update by :meth:`reference`."""
        step = self.reference().iteration(y, physics)(x) - x
        return relative_norms(step, x)

    def reference(self) -> Self:
        """The view with the same fixed point that residuals are measured with: step size 1."""
        return self

    # ------------------------------------------------------------------ solvers

    def cotangent_tol(self, cg_tol: float) -> float:
        """Tolerance of a cotangent's solve inside the backward iteration: a tenth of the
        iteration's own, so that the products it iterates on do not limit it, and no more than
        ``cg_tol``.
        """
        return min(cg_tol, 0.1 * self.config.equilibrium.backward.tol)

    def with_solver(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> Self:
        view = super().with_solver(tol, max_iter, fixed_iterations)
        solvers = self.config.equilibrium.changed(tol, max_iter, fixed_iterations)
        return view.view(config=replace(view.config, equilibrium=solvers))

    def to_convergence(self, tol: float, max_iter: int) -> Self:
        """By :meth:`reference`, Anderson accelerated, whatever the method's own stop is."""
        view = self.reference()
        solvers = view.config.equilibrium.converged(tol, max_iter)
        return view.view(config=replace(view.config, equilibrium=solvers))

    def during(self, stage: str, progress: float) -> Self:
        loose, tight = self.config.loose_tol, self.config.equilibrium.forward.tol
        if loose is None:
            return self
        share = min(1.0, 1.5 * progress)
        return self.with_solver(tol=loose ** (1 - share) * tight**share)
