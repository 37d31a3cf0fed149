"""Deep equilibrium models for inverse problems (DEQ4IP): DE-Grad, DE-Prox and DE-ADMM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from bench.claims import Claims
from bench.networks import DnCNN
from bench.operators import solve_normal_equations
from bench.reconstructor import Map, Probe, Recipe, Reconstruction, Stage, Variant, check
from bench.task import Task
from methods.equilibrium import EquilibriumConfig, SolverConfig
from methods.equilibrium_method import (
    SHORT_SOLVERS,
    EquilibriumMethod,
    EquilibriumMethodConfig,
)

ANDERSON = SolverConfig(
    method="anderson", tol=1e-4, max_iter=100, memory=5, regularization=1e-2, damping=1.0
)


@dataclass(frozen=True)
class DEConfig(EquilibriumMethodConfig):
    """The authors' values by default (MRI).

    Attributes:
        equilibrium: Anderson as published; its regulariser is relative here, absolute there.
        eta: step size of the data term.
        eta_trainable: False in the authors' code for MRI, True (and counted) in LUSER's table.
        batch_norm: affine, on the middle layers. It is not norm-bounded.
        freeze_batch_norm: keep the statistics of the pretraining while the equilibrium is trained:
            with the batch's own, a sample's map would depend on the rest of its batch, and change
            with every evaluation. The authors' code does not.
        spectral_norm, spectral_size: operator norm of every convolution, determined on images of
            so many pixels; None: not normalised.
        clamp: every iterate is cut to ``[-clamp, clamp]`` (1 in the authors' code, which is not
            for complex images of any scale).
        denoising_noise: range of noise levels of the pretraining.
        pretraining: its share of the training steps; without it training diverges.
    """

    equilibrium: EquilibriumConfig = field(
        default_factory=lambda: EquilibriumConfig(forward=ANDERSON, backward=ANDERSON)
    )
    width: int = 64
    depth: int = 17
    eta: float = 0.4
    eta_trainable: bool = True
    batch_norm: bool = True
    freeze_batch_norm: bool = True
    spectral_norm: float | None = 1.0
    spectral_size: int = 40
    output_scale: float = 1.0
    clamp: float | None = None
    denoising_noise: tuple[float, float] = (0.0, 0.1)
    pretraining: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.width >= 1 and self.depth >= 3, "width, depth", (self.width, self.depth), "1, 3")
        check(self.spectral_size >= 3, "spectral_size", self.spectral_size, "at least 3")
        check(self.eta > 0, "eta", self.eta, "above 0")
        check(self.clamp is None or self.clamp > 0, "clamp", self.clamp, "above 0")
        check(0 <= self.pretraining < 1, "pretraining", self.pretraining, "in [0, 1)")
        low, high = self.denoising_noise
        check(0 <= low <= high, "denoising_noise", self.denoising_noise, "a range in order")


SHORT = Variant(
    config={"equilibrium": SHORT_SOLVERS, "loose_tol": 1e-2, "output_scale": 0.1},
    recipe={
        "learning_rate": 1e-3,
        "group_rates": {"eta": 1e-2},
        "warmup_steps": 20,
        "schedule": "cosine",
        "clip_norm": 1.0,
    },
)


class _DeepEquilibrium(EquilibriumMethod):
    family = "deq4ip"
    paper = "arXiv:2102.07944"
    bibtex = """@article{gilton2021deep,
  title={Deep equilibrium architectures for inverse problems in imaging},
  author={Gilton, Davis and Ongie, Gregory and Willett, Rebecca},
  journal={IEEE Transactions on Computational Imaging}, volume={7}, pages={1123--1133}, year={2021}
}"""
    Config = DEConfig
    config: DEConfig
    # short: Anderson to 1e-3, an inexact gradient, a gentle start
    variants: ClassVar = {"published": Variant(), "short": SHORT}

    def __init__(self, config: DEConfig) -> None:
        super().__init__(config)
        self.network = DnCNN(
            config.channels,
            config.width,
            config.depth,
            norm="batch" if config.batch_norm else "none",
            spectral_norm=config.spectral_norm,
            image_size=config.spectral_size,
            output_scale=config.output_scale,
        )
        self.eta = nn.Parameter(torch.tensor(config.eta), requires_grad=config.eta_trainable)

    @classmethod
    def for_task(cls, task: Task) -> dict[str, Any]:
        eta = {"eta": 0.2} if task.name == "deblur" else {}  # the authors'
        return {**super().for_task(task), **eta}

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        # untrained, they do not converge: a few plain steps magnify no rounding
        plain = SolverConfig(method="picard", tol=1e-3, max_iter=8, keep="last")
        solvers = EquilibriumConfig(forward=plain, backward=plain)
        values = {"width": 8, "depth": 4, "spectral_size": 12, "equilibrium": solvers}
        return {**cls.for_task(task), **values}

    def denoise(self, x: Tensor) -> Tensor:
        """``x + N(x)``, as the pretraining has it."""
        output: Tensor = self.network(x)
        return x + output

    def clamped(self, x: Tensor) -> Tensor:
        """The iterate inside the configured bounds."""
        bound = self.config.clamp
        return x if bound is None else x.clamp(-bound, bound)

    def gradient(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        """Of the data term, ``A^H A x - A^H y``."""
        data: Tensor = physics.A_adjoint_A(x)
        return data - adjoint

    def claims(self) -> Claims | None:
        """The iteration has to contract."""
        return Claims(threshold=1.0)

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        """The iteration itself: what has to contract."""
        return (Probe(self.iteration(y, physics), result.image),)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """A denoiser first, then the equilibrium (the authors start from a trained denoiser)."""
        share = self.config.pretraining
        pretraining = Stage("denoiser", share or 1.0, noise=self.config.denoising_noise)
        stages = (pretraining,) if share > 0 else ()
        return Recipe(stages=(*stages, Stage("equilibrium", 1 - share)), learning_rate=1e-4)

    def during(self, stage: str, progress: float) -> Self:
        if stage != "denoiser" and self.config.freeze_batch_norm:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        share = self.config.pretraining
        return super().during(stage, max(0.0, (progress - share) / (1 - share)))


class DEGrad(_DeepEquilibrium):
    """``z <- z - η (A^H A z - A^H y - N(z))``."""

    name = "de-grad"

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        x = self.clamped(x)
        output: Tensor = self.network(x)
        return x - self.eta * (self.gradient(x, physics, adjoint) - output)


class DEProx(_DeepEquilibrium):
    """``g = z - η (A^H A z - A^H y);  z <- g + N(g)``. LUSER's DEQ4IP is this one."""

    name = "de-prox"
    aliases = ("deq4ip",)

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        x = self.clamped(x)
        return self.denoise(x - self.eta * self.gradient(x, physics, adjoint))


@dataclass(frozen=True)
class DEADMMConfig(DEConfig):
    """As the others', and of ADMM: penalty, dual step, and the inner solve (relative tolerance)."""

    eta: float = 0.4
    dual_step: float = 0.1
    cg_iterations: int = 50
    cg_tol: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.dual_step <= 1, "dual_step", self.dual_step, "in (0, 1]")
        check(self.cg_iterations >= 1, "cg_iterations", self.cg_iterations, "at least 1")


class DEADMM(_DeepEquilibrium):
    """``x = (A^H A + ηI)^-1 (A^H y + η(z - u));  z <- (x + u) + N(x + u);  u <- u + δ(x - z)``.

    What is iterated is the pair (z, u), on the channel axis; ``δ`` is 0.1 in the authors' code.
    """

    name = "de-admm"
    Config = DEADMMConfig
    config: DEADMMConfig

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        z, u = x.chunk(2, dim=1)
        config = self.config
        primal = solve_normal_equations(
            physics,
            adjoint + self.eta * (z - u),
            1.0,
            self.eta,
            tol=config.cg_tol,
            max_iter=config.cg_iterations,
            backward_tol=self.cotangent_tol(config.cg_tol),
        )
        z = self.clamped(self.denoise(primal + u))
        return torch.cat((z, u + config.dual_step * (primal - z)), dim=1)

    def start(self, y: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        return torch.cat((adjoint, torch.zeros_like(adjoint)), dim=1)

    def fixed_point_map(
        self, y: Tensor, physics: Any, x0: Tensor | None = None
    ) -> tuple[Map, Tensor]:
        """``x0``: an image, or an image with its dual."""
        if x0 is not None and x0.shape[1] == self.config.channels:
            x0 = torch.cat((x0, torch.zeros_like(x0)), dim=1)
        return super().fixed_point_map(y, physics, x0)

    def image(self, x: Tensor) -> Tensor:
        return x.chunk(2, dim=1)[0]

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        """The network: the pair's fixed point is not the image alone."""
        return (Probe(self.network, result.image),)

    def claims(self) -> None:
        """None: that the network contracts does not make the iteration on the pair contract."""
        return None

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> None:
        """None: the image alone does not determine the next iterate."""
        return None
