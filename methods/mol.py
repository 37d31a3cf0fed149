"""Monotone operator learning (MOL): a fixed point with a data-consistency solve inside."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from bench.claims import Claims
from bench.measure.lipschitz import ball_estimate, sphere_estimate
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

PICARD = SolverConfig(method="picard", tol=1e-4, max_iter=500, keep="last")


@dataclass(frozen=True)
class MOLConfig(EquilibriumMethodConfig):
    """The journal code's values by default; departures are named by a suite or a variant.

    Attributes:
        axes: 2 for images, 3 for series and volumes, with convolutions of 3x3x3.
        alpha: step size of the forward-backward splitting.
        m: monotonicity; the Lipschitz estimate is kept below ``1 - m``.
        lam: initial weight of the data term; learned as it is, or as ``exp θ``.
        shift: 0.001 in the authors' code (it adds ``shift / alpha`` to the fixed-point equation's
            identity term), 0 in the paper.
        skip: ``H(x) = skip x + N(x)``; the papers have none. With ``skip < 1`` and a small
            ``output_scale`` the map is a contraction before it has learned anything.
        spectral_norm, spectral_size: operator norm of every convolution (MOL-SN: 1), determined on
            images of so many pixels.
        scaled: ``H = (1 - m)(skip x + (1 - skip) N(x))`` instead: with ``spectral_norm = 1`` the
            guarantee ``Lip(H) <= 1 - m`` then holds, which the papers' MOL-SN states and lacks.
        cg_iterations, cg_tol: of every solve, warm-started at the current image; the tolerance is
            relative to the correction.
        cg_backward_iterations: of the cotangent's solve, from zero; its tolerance is
            :meth:`EquilibriumMethod.cotangent_tol`.
        initial, start_iterations: the initial image; conjugate gradient iterations of SENSE.
        penalty: ``log-barrier`` of the estimate (journal), the ``squared`` estimate (ISBI), or the
            ``hinge`` of MnM-MOL, the squared excess over ``1 - m``.
        estimator: on a ``sphere`` (theirs) or in a ``ball`` of ``estimate_radius`` (MnM-MOL).
        estimate_displacement, estimate_steps, estimate_step_size: of the estimate on the sphere.
    """

    equilibrium: EquilibriumConfig = field(
        default_factory=lambda: EquilibriumConfig(forward=PICARD, backward=PICARD)
    )
    axes: Literal[2, 3] = 2
    width: int = 64
    depth: int = 5
    alpha: float = 0.01
    m: float = 0.02
    lam: float = 100.0
    lam_trainable: bool = True
    lam_exponential: bool = False
    shift: float = 0.001
    skip: float = 0.0
    spectral_norm: float | None = None
    spectral_size: int = 40
    scaled: bool = False
    output_scale: float = 1.0
    cg_iterations: int = 5
    cg_tol: float = 1e-6
    cg_backward_iterations: int = 10
    initial: Literal["sense", "adjoint"] = "sense"
    start_iterations: int = 50
    penalty: Literal["log-barrier", "squared", "hinge"] = "log-barrier"
    estimator: Literal["sphere", "ball"] = "sphere"
    estimate_radius: float = 0.3
    estimate_displacement: float = 0.01
    estimate_steps: int = 10
    estimate_step_size: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.m < 1, "m", self.m, "in (0, 1)")
        bound = 2 / (2 - self.m)
        check(0 < self.alpha < bound, "alpha", self.alpha, f"in (0, 2/(2-m)) = (0, {bound:.4g})")
        check(self.lam > 0, "lam", self.lam, "above 0")
        check(self.spectral_size >= 3, "spectral_size", self.spectral_size, "at least 3")
        check(self.shift >= 0, "shift", self.shift, "0 or more")
        check(self.width >= 1 and self.depth >= 2, "width, depth", (self.width, self.depth), "1, 2")
        check(self.cg_iterations >= 1, "cg_iterations", self.cg_iterations, "at least 1")
        check(self.estimate_steps >= 0, "estimate_steps", self.estimate_steps, "0 or more")
        check(self.estimate_radius > 0, "estimate_radius", self.estimate_radius, "above 0")


# not the authors': contractive before training, Anderson, step size 1
STABLE = {
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
    "start_iterations": 10,
    "equilibrium": SHORT_SOLVERS,
    "loose_tol": 1e-2,
    "estimate_displacement": 0.05,
}
STABLE_RECIPE = {
    "loss": "complex",
    "group_rates": {"lam": 1e-2},
    "warmup_steps": 20,
    "schedule": "cosine",
    "clip_norm": 1.0,
}
ISBI = {"m": 0.1, "alpha": 2 * 0.1 / (2 - 0.1) ** 2, "shift": 0.0}


class MOL(EquilibriumMethod):
    """MOL without any constraint: it may diverge, and is there to show it (ISBI, figure 2).

    ``x -> (αλ A^H A + (1 + s)I)^-1 ((1-α)x + αH(x) + αλ A^H y)`` (paper eq. 5), whose fixed point
    solves ``λ A^H (A x - y) + (1 + s/α)x - H(x) = 0``.
    """

    name = "mol"
    family = "mol"
    paper = "arXiv:2111.11380"
    bibtex = """@inproceedings{pramanik2022mol,
  title={Improved model based deep learning using monotone operator learning ({MOL})},
  author={Pramanik, Aniket and Jacob, Mathews},
  booktitle={IEEE International Symposium on Biomedical Imaging}, year={2022}}"""
    tasks: ClassVar = (*IMAGES, *VOLUMES)
    Config = MOLConfig
    config: MOLConfig
    variants: ClassVar = {
        "journal": Variant(),
        "isbi": Variant(config=ISBI, recipe={"loss": "complex"}),
        "stable": Variant(config=STABLE, recipe=STABLE_RECIPE),
    }
    layouts: ClassVar = {"mol": Layout(RELEASED_NAMES)}

    def __init__(self, config: MOLConfig) -> None:
        super().__init__(config)
        self.network = PlainCNN(
            config.channels,
            config.width,
            config.depth,
            output_scale=config.output_scale,
            spectral_norm=config.spectral_norm,
            image_size=config.spectral_size,
            axes=config.axes,
        )
        lam = torch.tensor(config.lam)
        self.lam = nn.Parameter(
            lam.log() if config.lam_exponential else lam, requires_grad=config.lam_trainable
        )

    @classmethod
    def for_task(cls, task: Task) -> dict[str, Any]:
        # a cube of 16 has as many points as a square of 64; its norms are a percent too small
        cube = {"spectral_size": 16} if task.axes == 3 else {}
        return {**super().for_task(task), **cube}

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**cls.for_task(task), **STABLE, "width": 8, "depth": 3, "spectral_size": 8}

    def data_weight(self) -> Tensor:
        """λ, a 0-d tensor."""
        lam: Tensor = self.lam
        return lam.exp() if self.config.lam_exponential else lam

    def denoise(self, x: Tensor) -> Tensor:
        """H: the network, and the skip connection where there is one."""
        output: Tensor = self.network(x)
        config = self.config
        if config.scaled:
            return (1 - config.m) * (config.skip * x + (1 - config.skip) * output)
        return config.skip * x + output if config.skip else output

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        config, alpha = self.config, self.config.alpha
        weight = alpha * self.data_weight()
        return solve_normal_equations(
            physics,
            (1 - alpha) * x + alpha * self.denoise(x) + weight * adjoint,
            weight,
            1 + config.shift,
            x0=x,
            tol=config.cg_tol,
            max_iter=config.cg_iterations,
            backward_tol=self.cotangent_tol(config.cg_tol),
            backward_max_iter=config.cg_backward_iterations,
        )

    def start(self, y: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        config = self.config
        if config.initial == "adjoint":
            return adjoint
        tol = 1e-6 if config.cg_tol > 0 else 0.0
        return sense_image(y, physics, tol=tol, max_iter=config.start_iterations)

    def reference(self) -> Self:
        """At step size 1, where the shift of the same fixed point is ``shift / alpha``; solves to
        1e-4 of the step.
        """
        config = self.config
        shift = config.shift / config.alpha
        exact = replace(config, alpha=1.0, shift=shift, cg_iterations=200, cg_tol=1e-4)
        return self.view(config=exact)

    def claims(self) -> Claims | None:
        """None: nothing keeps this one's network from expanding."""
        return None

    def guarantees(self) -> Claims:
        """For ``Lip(H) <= 1 - m``, with ``||A|| <= 1``.

        The papers' bound is eq. 6 of arXiv:2206.04797; it is infinite at ``α = 2m/(2-m)²``, the
        largest step size they allow. The last one holds for every step size, and is attained.
        """
        alpha, m, lam = self.config.alpha, self.config.m, float(self.data_weight().detach())
        root = 1 - 2 * alpha * m + (alpha * (2 - m)) ** 2
        papers = alpha * lam / (1 - math.sqrt(root)) if root < 1 else math.inf
        return Claims(
            threshold=1 - m,
            estimator=self.config.estimator,
            contraction=1 - alpha * m if alpha <= 1 else alpha - 1 + alpha * (1 - m),
            bounds={
                "αλ/(1-√(1-2αm+α²(2-m)²))": papers,
                "λ/m": lam / m if alpha <= 1 else math.inf,
                "½√(λ/m)": 0.5 * math.sqrt(lam / m),
            },
        )

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        return (Probe(self.denoise, result.image),)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """Journal code: Adam 1e-3, λ at rate 1, magnitudes."""
        return Recipe(loss="magnitude", learning_rate=1e-3, group_rates={"lam": 1.0})


@dataclass(frozen=True)
class MOLSNConfig(MOLConfig):
    """As MOL's, every convolution at norm 1."""

    spectral_norm: float | None = 1.0


class MOLSN(MOL):
    """MOL with every convolution normalised to operator norm 1 at image size (MOL-SN)."""

    name = "mol-sn"
    Config = MOLSNConfig
    config: MOLSNConfig
    variants: ClassVar = {
        **MOL.variants,
        "scaled": Variant(config={"scaled": True}),
        "stable": Variant(config=STABLE | {"scaled": True, "skip": 0.5}, recipe=STABLE_RECIPE),
    }

    def claims(self) -> Claims:
        return self.guarantees()


class MOLLR(MOL):
    """MOL with a Lipschitz penalty during training (MOL-LR)."""

    name = "mol-lr"
    paper = "arXiv:2206.04797"
    bibtex = """@article{pramanik2023mol,
  title={Memory-efficient model-based deep learning with convergence and robustness guarantees},
  author={Pramanik, Aniket and Zimmerman, M. Bridget and Jacob, Mathews},
  journal={IEEE Transactions on Computational Imaging},
  volume={9}, pages={260--275}, year={2023}}"""
    variants: ClassVar = {
        "journal": Variant(),
        "isbi": Variant(
            config=ISBI | {"penalty": "squared"},
            recipe={"loss": "complex", "penalty_weight": 1.0},
        ),
        "stable": Variant(config=STABLE, recipe=STABLE_RECIPE),
    }

    def claims(self) -> Claims:
        return self.guarantees()

    def recipe(self) -> Recipe:
        """MOL's, and the log barrier at weight 1e-6."""
        return replace(super().recipe(), penalty_weight=1e-6)

    def penalty(
        self, reconstruction: Reconstruction, batch: Batch, state: TrainingState
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the batch of the penalised estimate at the image."""
        config = self.config
        estimate = self.estimated(reconstruction.image)
        if config.penalty == "squared":
            value = estimate.square()
        elif config.penalty == "hinge":
            value = (estimate - (1 - config.m)).relu().square()
        else:
            value = log_barrier(estimate, 1 - config.m)
        return value.mean(), {"lipschitz": estimate.detach().mean()}

    def estimated(self, image: Tensor) -> Tensor:
        """The Lipschitz estimate of H at images ``(B, C, ...)``, ``(B,)``."""
        config = self.config
        if config.estimator == "ball":
            steps, radius = config.estimate_steps, config.estimate_radius
            return ball_estimate(self.denoise, image, radius=radius, steps=steps)
        return sphere_estimate(
            self.denoise,
            image,
            displacement=config.estimate_displacement,
            steps=config.estimate_steps,
            step_size=config.estimate_step_size,
        )


def log_barrier(estimate: Tensor, threshold: float, margin: float = 1e-3) -> Tensor:
    """``-log(T - L)`` below ``T - e``, continued by its tangent above (journal code, e = 1e-3)."""
    distance = threshold - estimate
    barrier = -distance.clamp_min(margin).log()
    return torch.where(distance > margin, barrier, barrier + (margin - distance) / margin)
