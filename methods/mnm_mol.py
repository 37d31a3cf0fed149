"""Local monotone operator learning (MnM-MOL): a gradient step, monotone in a ball."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from bench.claims import Claims
from bench.measure.lipschitz import ball_estimate
from bench.networks import RELEASED_NAMES, PlainCNN
from bench.operators import solve_normal_equations
from bench.operators.sense import sense_image
from bench.reconstructor import (
    IMAGES,
    VOLUMES,
    Layout,
    Probe,
    Recipe,
    Reconstruction,
    TrainingState,
    Variant,
    check,
)
from bench.task import Batch, Task
from methods.equilibrium import EquilibriumConfig, SolverConfig
from methods.equilibrium_method import (
    SHORT_SOLVERS,
    EquilibriumMethod,
    EquilibriumMethodConfig,
)

PICARD = SolverConfig(method="picard", tol=2e-4, max_iter=200, keep="last")
# steps are smaller than MOL's: to the same distance, more of them and a tighter tolerance
SHORT = SHORT_SOLVERS.changed(tol=2e-4, max_iter=40)


@dataclass(frozen=True)
class MnMMOLConfig(EquilibriumMethodConfig):
    """The released code's values by default.

    Attributes:
        axes: 2 for images, 3 for series and volumes, with convolutions of 3x3x3.
        step_size: ``γλ`` of either splitting.
        splitting: the published ``gradient`` step, or MOL's (``proximal``), which solves with the
            data term and has the same fixed point. The paper's guarantee covers the gradient step;
            where F is a gradient, the proximal one converges under the same constraint at step
            sizes up to 1.
        m: monotonicity of ``Q = A^H A + F/λ`` wanted in the ball: ``Lip(I - Q) <= 1 - m``.
        delta: radius of the ball around the fixed point, relative to its norm.
        lam: initial gain of the network (not a data weight: ``γ = step_size / λ``); learned as it
            is, or as ``exp θ``.
        skip: ``F(x) = skip x + N(x)``; the paper has none.
        cg_iterations, cg_tol: of the solves of the proximal splitting.
        start_iterations: conjugate gradient iterations of the initial SENSE image.
        estimate_steps: ascent steps of the two-point Lipschitz estimate.
    """

    equilibrium: EquilibriumConfig = field(
        default_factory=lambda: EquilibriumConfig(forward=PICARD, backward=PICARD)
    )
    axes: Literal[2, 3] = 2
    width: int = 64
    depth: int = 5
    step_size: float = 0.1
    splitting: Literal["gradient", "proximal"] = "gradient"
    m: float = 0.02
    delta: float = 0.3
    lam: float = 10.0
    lam_trainable: bool = True
    lam_exponential: bool = False
    skip: float = 0.0
    output_scale: float = 1.0
    cg_iterations: int = 30
    cg_tol: float = 3e-2
    start_iterations: int = 50
    estimate_steps: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.step_size <= 1, "step_size", self.step_size, "in (0, 1]")
        check(0 < self.m < 1, "m", self.m, "in (0, 1)")
        check(self.delta > 0, "delta", self.delta, "above 0")
        check(self.lam > 0, "lam", self.lam, "above 0")
        check(self.width >= 1 and self.depth >= 2, "width, depth", (self.width, self.depth), "1, 2")
        check(self.cg_iterations >= 1, "cg_iterations", self.cg_iterations, "at least 1")
        check(self.estimate_steps >= 0, "estimate_steps", self.estimate_steps, "0 or more")


class MnMMOL(EquilibriumMethod):
    """Multi-coil MRI by a locally monotone operator (John, Chand, Jacob 2023).

    ``x <- x - γ[λ A^H (A x - y) + F(x)]`` with ``γ = step_size / λ``. Its fixed point,
    ``A^H A x + F(x)/λ = A^H y``, is MOL's with ``H = I - F``; what is constrained is
    ``I - Q = I - A^H A - F/λ``, the data term included, and only in a ball around the image.
    """

    name = "mnm-mol"
    family = "mol"
    paper = "arXiv:2312.00386"
    bibtex = """@article{john2023local,
  title={Local monotone operator learning using non-monotone operators: {MnM-MOL}},
  author={John, Maneesh and Chand, Jyothi Rikhab and Jacob, Mathews},
  journal={arXiv preprint arXiv:2312.00386}, year={2023}}"""
    tasks: ClassVar = (*IMAGES, *VOLUMES)
    Config = MnMMOLConfig
    config: MnMMOLConfig
    variants: ClassVar = {
        "published": Variant(),
        # not the authors': MOL's splitting, Anderson, within the constraint before training
        "stable": Variant(
            config={
                "splitting": "proximal",
                "step_size": 1.0,
                "lam": 4.0,
                "lam_exponential": True,
                "skip": 0.1,
                "output_scale": 0.1,
                "start_iterations": 10,
                "estimate_steps": 5,
                "equilibrium": SHORT,
                "loose_tol": 1e-3,
            },
            recipe={
                "loss": "complex",
                "learning_rate": 1e-3,
                "group_rates": {"lam": 1e-2},
                "penalty_weight": 0.1,
                "warmup_steps": 20,
                "schedule": "cosine",
                "clip_norm": 1.0,
            },
        ),
    }

    layouts: ClassVar = {"mnm-mol": Layout(RELEASED_NAMES)}

    def __init__(self, config: MnMMOLConfig) -> None:
        super().__init__(config)
        self.network = PlainCNN(
            config.channels,
            config.width,
            config.depth,
            output_scale=config.output_scale,
            axes=config.axes,
        )
        lam = torch.tensor(config.lam)
        self.lam = nn.Parameter(
            lam.log() if config.lam_exponential else lam, requires_grad=config.lam_trainable
        )

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {
            **cls.for_task(task),
            "width": 8,
            "depth": 3,
            "step_size": 0.5,
            "skip": 0.1,
            "lam": 5.0,
            "start_iterations": 10,
        }

    def gain(self) -> Tensor:
        """λ, a 0-d tensor."""
        lam: Tensor = self.lam
        return lam.exp() if self.config.lam_exponential else lam

    def score(self, x: Tensor) -> Tensor:
        """F: the network, and the skip connection where there is one."""
        output: Tensor = self.network(x)
        return self.config.skip * x + output if self.config.skip else output

    def displacement(self, x: Tensor, physics: Any) -> Tensor:
        """``(I - Q)(x) = x - A^H A x - F(x)/λ``: what the constraint bounds."""
        data: Tensor = physics.A_adjoint_A(x)
        return x - data - self.score(x) / self.gain()

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        config = self.config
        if config.splitting == "gradient":
            moved = self.displacement(x, physics) + adjoint
            return (1 - config.step_size) * x + config.step_size * moved
        weight = config.step_size
        return solve_normal_equations(
            physics,
            x - weight / self.gain() * self.score(x) + weight * adjoint,
            weight,
            1.0,
            x0=x,
            tol=config.cg_tol,
            max_iter=config.cg_iterations,
            backward_tol=self.cotangent_tol(config.cg_tol),
        )

    def start(self, y: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        tol = 1e-6 if self.config.cg_tol > 0 else 0.0
        return sense_image(y, physics, tol=tol, max_iter=self.config.start_iterations)

    def reference(self) -> Self:
        """MOL's splitting at step size 1, solves to 1e-4 of the step: the same fixed point."""
        view = replace(self.config, splitting="proximal", step_size=1.0)
        return self.view(config=replace(view, cg_iterations=200, cg_tol=1e-4))

    def claims(self) -> Claims:
        """For ``L[I - Q] <= 1 - m`` in the ball; the rate is the gradient map's."""
        config = self.config
        rate = 1 - config.step_size * config.m if config.splitting == "gradient" else None
        return Claims(
            threshold=1 - config.m,
            estimator="ball",
            contraction=rate,
            bounds={"1/m": 1 / config.m},
            radius=config.delta,
        )

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        return (Probe(lambda x: self.displacement(x, physics), result.image),)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    # ------------------------------------------------------------------ training

    def recipe(self) -> Recipe:
        """Released code: Adam 5e-4, λ at rate 1, magnitudes, penalty ``1e-3 · 0.97^epoch``."""
        return Recipe(
            loss="magnitude",
            learning_rate=5e-4,
            group_rates={"lam": 1.0},
            penalty_weight=1e-3,
            penalty_decay=0.97,
        )

    def penalty(
        self, reconstruction: Reconstruction, batch: Batch, state: TrainingState
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """``ReLU(L - (1 - m))^2`` of the two-point estimate in the ball, mean over the batch."""
        physics = batch.physics
        estimate = ball_estimate(
            lambda x: self.displacement(x, physics),
            reconstruction.image,
            radius=self.config.delta,
            steps=self.config.estimate_steps,
            mask=coil_support(physics),
        )
        excess = (estimate - (1 - self.config.m)).relu()
        return excess.square().mean(), {"lipschitz": estimate.detach().mean()}


def coil_support(physics: Any) -> Tensor | None:
    """Where any coil sees anything, ``(B, 1, H, W)``; None for operators without coils."""
    maps = getattr(physics, "coil_maps", None)
    if maps is None:
        return None
    support: Tensor = (maps.abs().amax(1, keepdim=True) > 0).to(maps.real.dtype)
    return support
