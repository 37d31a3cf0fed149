"""Monotone operator learning (MOL): a fixed point with a data-consistency solve inside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from bench.measure.lipschitz import sphere_estimate
from bench.networks import PlainCNN
from bench.operators import solve_normal_equations
from bench.operators.norms import relative_norms
from bench.operators.sense import sense_image
from bench.reconstructor import (
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    TrainingState,
    Variant,
    check,
)
from bench.task import Batch
from methods.equilibrium import EquilibriumConfig, SolverConfig, implicit

PICARD = SolverConfig(method="picard", tol=1e-4, max_iter=500, keep="last")


@dataclass(frozen=True)
class MOLConfig(ReconstructorConfig):
    """The journal code's values by default; departures are named by a suite or a variant.

    Attributes:
        alpha: step size of the forward-backward splitting.
        m: monotonicity; the Lipschitz estimate is kept below ``1 - m``.
        lam: initial weight of the data term; learned as it is, or as ``exp θ``.
        shift: 0.001 in the authors' code (it adds ``shift / alpha`` to the fixed-point equation's
            identity term), 0 in the paper.
        skip: ``H(x) = skip x + N(x)``; the papers have none. With ``skip < 1`` and a small
            ``output_scale`` the map is a contraction before it has learned anything.
        cg_iterations, cg_tol: of every solve, warm-started at the current image; the tolerance is
            relative to the correction.
        cg_backward_iterations, cg_backward_tol: of the cotangent's solve, from zero; None: as
            ``cg_tol``.
        start, start_iterations: the initial image; conjugate gradient iterations of SENSE.
        equilibrium: solvers and gradient.
        loose_tol: forward tolerance at the first step of training, falling to
            ``equilibrium.forward.tol`` over two thirds of it; None: the same throughout.
        penalty: ``log-barrier`` of the estimate (journal), or the ``squared`` estimate (ISBI).
        estimate_displacement, estimate_steps, estimate_step_size: of the Lipschitz estimate.
    """

    width: int = 64
    depth: int = 5
    alpha: float = 0.01
    m: float = 0.02
    lam: float = 100.0
    lam_trainable: bool = True
    lam_exponential: bool = False
    shift: float = 0.001
    skip: float = 0.0
    output_scale: float = 1.0
    cg_iterations: int = 5
    cg_tol: float = 1e-6
    cg_backward_iterations: int = 10
    cg_backward_tol: float | None = None
    start: Literal["sense", "adjoint"] = "sense"
    start_iterations: int = 50
    equilibrium: EquilibriumConfig = field(
        default_factory=lambda: EquilibriumConfig(forward=PICARD, backward=PICARD)
    )
    loose_tol: float | None = None
    penalty: Literal["log-barrier", "squared"] = "log-barrier"
    estimate_displacement: float = 0.01
    estimate_steps: int = 10
    estimate_step_size: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.m < 1, "m", self.m, "in (0, 1)")
        bound = 2 / (2 - self.m)
        check(0 < self.alpha < bound, "alpha", self.alpha, f"in (0, 2/(2-m)) = (0, {bound:.4g})")
        check(self.lam > 0, "lam", self.lam, "above 0")
        check(self.shift >= 0, "shift", self.shift, "0 or more")
        check(self.width >= 1 and self.depth >= 2, "width, depth", (self.width, self.depth), "1, 2")
        check(self.cg_iterations >= 1, "cg_iterations", self.cg_iterations, "at least 1")


class Update:
    """``x -> (αλ A^H A + (1 + s)I)^-1 ((1-α)x + αH(x) + αλ A^H y)`` on one batch (paper eq. 5)."""

    def __init__(self, method: MOLLR, adjoint: Tensor, physics: Any, alpha: float) -> None:
        self.method, self.adjoint, self.physics, self.alpha = method, adjoint, physics, alpha

    def __call__(self, x: Tensor) -> Tensor:
        config, alpha = self.method.config, self.alpha
        weight = alpha * self.method.data_weight()
        return solve_normal_equations(
            self.physics,
            (1 - alpha) * x + alpha * self.method.denoise(x) + weight * self.adjoint,
            weight,
            # the step size and the shift act together: the fixed point must not move with alpha
            1 + config.shift * alpha / config.alpha,
            x0=x,
            tol=config.cg_tol,
            max_iter=config.cg_iterations,
            backward_tol=config.cg_backward_tol,
            backward_max_iter=config.cg_backward_iterations,
        )

    def select(self, indices: Tensor) -> Update:
        """The update of these samples alone."""
        physics = self.physics.select(indices)
        return Update(self.method, self.adjoint[indices], physics, self.alpha)


STABLE_SOLVERS = EquilibriumConfig(
    forward=SolverConfig(method="anderson", tol=1e-3, max_iter=25),
    backward=SolverConfig(method="anderson", tol=1e-2, max_iter=6),
)


class MOLLR(Reconstructor):
    """MOL with a Lipschitz penalty during training (MOL-LR).

    The fixed point solves ``λ A^H (A x - y) + x - H(x) = 0`` (plus ``shift / alpha`` times x).
    """

    name = "mol-lr"
    family = "mol"
    paper = "arXiv:2206.04797"
    bibtex = """@article{pramanik2023mol,
  title={Memory-efficient model-based deep learning with convergence and robustness guarantees},
  author={Pramanik, Aniket and Zimmerman, M. Bridget and Jacob, Mathews},
  journal={IEEE Transactions on Computational Imaging},
  volume={9}, pages={260--275}, year={2023}}"""
    Config = MOLConfig
    config: MOLConfig
    variants: ClassVar = {
        "journal": Variant(),
        "isbi": Variant(
            config={
                "m": 0.1,
                "alpha": 2 * 0.1 / (2 - 0.1) ** 2,
                "shift": 0.0,
                "penalty": "squared",
            },
            recipe={"loss": "complex", "penalty_weight": 1.0},
        ),
        # not the authors': contractive before training, Anderson, step size 1
        "stable": Variant(
            config={
                "alpha": 1.0,
                "m": 0.08,
                "lam": 20.0,
                "lam_exponential": True,
                "shift": 0.0,
                "skip": 0.9,
                "output_scale": 0.1,
                "cg_iterations": 30,
                "cg_tol": 3e-2,
                "cg_backward_iterations": 30,
                "cg_backward_tol": 1e-5,
                "start_iterations": 10,
                "equilibrium": STABLE_SOLVERS,
                "loose_tol": 1e-2,
                "estimate_displacement": 0.05,
            },
            recipe={
                "loss": "complex",
                "group_rates": {"lam": 1e-2},
                "warmup_steps": 20,
                "schedule": "cosine",
                "clip_norm": 1.0,
            },
        ),
    }

    def __init__(self, config: MOLConfig) -> None:
        super().__init__(config)
        self.network = PlainCNN(
            config.channels, config.width, config.depth, output_scale=config.output_scale
        )
        lam = torch.tensor(config.lam)
        self.lam = nn.Parameter(
            lam.log() if config.lam_exponential else lam, requires_grad=config.lam_trainable
        )

    def data_weight(self) -> Tensor:
        """λ, a 0-d tensor."""
        lam: Tensor = self.lam
        return lam.exp() if self.config.lam_exponential else lam

    def denoise(self, x: Tensor) -> Tensor:
        """H: the network, and the skip connection where there is one."""
        output: Tensor = self.network(x)
        return self.config.skip * x + output if self.config.skip else output

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        adjoint = physics.A_adjoint(y)
        if x0 is None:
            x0 = self._start(y, physics, adjoint)
        update = Update(self, adjoint, physics, self.config.alpha)
        result = implicit(update, x0, self.config.equilibrium)
        return Reconstruction(result.value, traces=(result.trace,))

    def _start(self, y: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        if self.config.start == "adjoint":
            return adjoint
        config = self.config
        tol = 1e-6 if config.cg_tol > 0 else 0.0
        return sense_image(y, physics, tol=tol, max_iter=config.start_iterations)

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> Tensor:
        """At step size 1, with a solve for the step itself that is exact to 1e-4."""
        exact = self.view(config=replace(self.config, cg_iterations=200, cg_tol=1e-4))
        step = Update(exact, physics.A_adjoint(y), physics, alpha=1.0)(x) - x
        return relative_norms(step, x)

    def with_solver(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> Self:
        config, solvers = self.config, self.config.equilibrium
        forward = solvers.forward.changed(tol, max_iter, fixed_iterations)
        config = replace(config, equilibrium=replace(solvers, forward=forward))
        if fixed_iterations is not None:  # nothing looks at a value, inside and backward as well
            backward = solvers.backward.changed(fixed_iterations=solvers.backward.max_iter)
            solvers = replace(config.equilibrium, backward=backward)
            config = replace(config, equilibrium=solvers, cg_tol=0.0, cg_backward_tol=0.0)
        return self.view(config=config)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    # ------------------------------------------------------------------ training

    def recipe(self) -> Recipe:
        """Journal code: Adam 1e-3, λ at rate 1, magnitudes, log barrier at weight 1e-6."""
        return Recipe(
            loss="magnitude", learning_rate=1e-3, group_rates={"lam": 1.0}, penalty_weight=1e-6
        )

    def during(self, stage: str, progress: float) -> Self:
        loose, tight = self.config.loose_tol, self.config.equilibrium.forward.tol
        if loose is None:
            return self
        share = min(1.0, 1.5 * progress)
        return self.with_solver(tol=loose ** (1 - share) * tight**share)

    def penalty(
        self, reconstruction: Reconstruction, batch: Batch, state: TrainingState
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the batch of the estimate's barrier, or of its square, at the image."""
        config = self.config
        estimate = sphere_estimate(
            self.denoise,
            reconstruction.image,
            displacement=config.estimate_displacement,
            steps=config.estimate_steps,
            step_size=config.estimate_step_size,
        )
        if config.penalty == "squared":
            value = estimate.square()
        else:
            value = log_barrier(estimate, 1 - config.m)
        return value.mean(), {"lipschitz": estimate.detach().mean()}


def log_barrier(estimate: Tensor, threshold: float, margin: float = 1e-3) -> Tensor:
    """``-log(T - L)`` below ``T - e``, continued by its tangent above (journal code, e = 1e-3)."""
    distance = threshold - estimate
    barrier = -distance.clamp_min(margin).log()
    return torch.where(distance > margin, barrier, barrier + (margin - distance) / margin)
