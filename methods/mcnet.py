"""MCNet: measurement consistency by an implicit ADMM layer after a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.backbone import DEFAULT, OnBackbone
from bench.claims import Claims
from bench.networks import DnCNN
from bench.operators import project_onto_data, solve_normal_equations
from bench.operators.norms import per_sample, sample_norms
from bench.reconstructor import (
    Backbone,
    Layout,
    Probe,
    Recipe,
    Reconstruction,
    Stage,
    Variant,
    check,
)
from bench.task import Task
from methods.equilibrium import EquilibriumConfig, SolverConfig, implicit
from methods.equilibrium_method import (
    SHORT_SOLVERS,
    EquilibriumMethod,
    EquilibriumMethodConfig,
    Iteration,
)

# the regulariser is absolute in the released code, and its numbers need it: it holds the iteration
# up before the fixed point, where images of the released weights are worse (docs/decisions/0008)
ANDERSON = SolverConfig(
    method="anderson",
    tol=1e-5,
    max_iter=200,
    damping=0.9,
    regularization=1e-4,
    absolute=True,
    keep="last",
)
SOLVERS = EquilibriumConfig(forward=ANDERSON, backward=replace(ANDERSON, max_iter=100))


@dataclass(frozen=True)
class MCNetConfig(EquilibriumMethodConfig):
    """The released code's values by default.

    Attributes:
        backbone: the method whose image is made consistent: fitted on its own, then frozen.
        epsilon: radius of the data-consistency set ``||A x - y|| <= ε``; 0 is equality. With noisy
            multi-coil data equality is ill-posed (where A has full rank one image is left, the
            least-squares fit with all its noise): there, 5 % of ``||y||`` is the default.
        epsilon_relative: ε is a share of ``||y||`` (for data that is scaled sample by sample).
        beta: initial weight of the backbone's image, learned.
        rho: of ADMM.
        consistency: factor on ρ in the data terms of ε > 0: 1 is ADMM's; the released weights of
            ε > 0 were trained with an adjoint s² too large and need s² (for scale s).
        range_scale: how far the denoiser's input, scaled to [0, 1] for each sample, is stretched
            about 0.5.
        lipschitz, spectral_size: bound of N: every convolution is normalised to its ``depth``-th
            root, on images of so many pixels; None: no bound.
        denoising_noise, pretraining: noise range of the denoiser's pretraining, relative to the
            image's scale, and its share of the training steps.
        cg_iterations, cg_tol: of solves with operators that have no exact one.
    """

    equilibrium: EquilibriumConfig = field(default_factory=lambda: SOLVERS)
    backbone: Backbone = field(default_factory=lambda: Backbone(DEFAULT))
    width: int = 64
    depth: int = 6
    epsilon: float = 0.0
    epsilon_relative: bool = False
    beta: float = 0.1
    rho: float = 1.0
    consistency: float = 1.0
    range_scale: float = 1.09375
    lipschitz: float | None = 0.9
    spectral_size: int = 40
    denoising_noise: tuple[float, float] = (0.0, 0.1)
    pretraining: float = 0.5
    cg_iterations: int = 50
    cg_tol: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.width >= 1 and self.depth >= 3, "width, depth", (self.width, self.depth), "1, 3")
        check(self.epsilon >= 0, "epsilon", self.epsilon, "0 or more")
        check(self.beta >= 0, "beta", self.beta, "0 or more")
        check(self.rho > 0, "rho", self.rho, "above 0")
        check(self.consistency > 0, "consistency", self.consistency, "above 0")
        check(self.spectral_size >= 3, "spectral_size", self.spectral_size, "at least 3")
        check(self.lipschitz is None or self.lipschitz > 0, "lipschitz", self.lipschitz, "above 0")
        check(self.range_scale > 0, "range_scale", self.range_scale, "above 0")
        check(0 <= self.pretraining < 1, "pretraining", self.pretraining, "in [0, 1)")
        check(self.cg_iterations >= 1, "cg_iterations", self.cg_iterations, "at least 1")


# epsilon = 0, on luma; the file's `weight` is what its `weight_orig` and `weight_u` give
RELEASED = Layout(
    rename={
        r"f\.alpha": "beta",
        r"f\.dncnn\.dncnn\.(\d+)\.weight_orig": r"network.layers.\1.weight",
        r"f\.dncnn\.dncnn\.(\d+)\.weight_u": r"network.layers.\1.u",
    },
    ignore=(r"f\.dncnn\.dncnn\.\d+\.weight",),
    config={"channels": 1, "backbone": {"method": "srcnn", "config": {"channels": 1}}},
)


class MCNet(OnBackbone, EquilibriumMethod):
    """The ADMM fixed point of ``min β/2 ||x - w||² + R's regulariser s.t. ||A x - y|| <= ε``.

    One pass is, for ε = 0 and the state (x, λ),

        ``u = R(x + λ);  x <- Π[(βw + ρ(u - λ)) / (β + ρ)];  λ <- λ + x - u``

    with Π the projection onto ``A x = y``, and for ε > 0 the paper's, with a second dual for the
    residual. R = I - N; w is the image of the backbone. The paper's Theorem 1, that a contractive R
    suffices, is false (R = -0.9 I diverges); what the code bounds is N.

    Source: Mourya and Mota, SR-MCNet (eq. 5, released code).
    """

    name = "mcnet"
    family = "mcnet"
    paper = "SR-MCNet"
    bibtex = """@misc{mourya2022mcnet,
  title={{MCNet}: Measurement-consistent networks via a deep implicit layer},
  author={Mourya, Rahul and Mota, Jo{\\~a}o F. C.}, note={Released code SR-MCNet}, year={2022}}"""
    tasks: ClassVar = ("mri-multicoil", "superres")
    Config = MCNetConfig
    config: MCNetConfig
    variants: ClassVar = {
        "published": Variant(),
        # not the authors': Anderson to 1e-3, an inexact gradient
        "short": Variant(
            config={"equilibrium": SHORT_SOLVERS, "loose_tol": 1e-2},
            recipe={
                "learning_rate": 1e-3,
                "group_rates": {"beta": 1e-2},
                "warmup_steps": 20,
                "schedule": "cosine",
                "clip_norm": 1.0,
            },
        ),
    }

    layouts: ClassVar = {"sr-mcnet": RELEASED}

    def __init__(self, config: MCNetConfig) -> None:
        super().__init__(config)
        self.stand_on(config.backbone, config.channels)
        self.network = DnCNN(
            config.channels,
            config.width,
            config.depth,
            norm="none",
            spectral_norm=config.lipschitz and config.lipschitz ** (1 / config.depth),
            image_size=config.spectral_size,
        )
        self.beta = nn.Parameter(torch.tensor(config.beta))

    @classmethod
    def for_task(cls, task: Task) -> dict[str, Any]:
        values = super().for_task(task)
        if task.channels == 2:  # noisy multi-coil data is fitted by no image, or by a useless one
            values |= {"epsilon": 0.05, "epsilon_relative": True}
        return values

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        own = {"width": 8, "depth": 3, "beta": 0.5, "spectral_size": 12, "cg_iterations": 20}
        # untrained, it does not always settle: a few plain steps magnify no rounding
        plain = SolverConfig(method="picard", tol=1e-3, max_iter=10, keep="last")
        solvers = EquilibriumConfig(forward=plain, backward=plain)
        return {**super().small(task), **own, "equilibrium": solvers}

    # ------------------------------------------------------------------ the layer

    def denoise(self, x: Tensor) -> Tensor:
        """``R(x) = x - N(x)``, on an input scaled to [0, 1], stretched, and scaled back."""
        stretch = self.config.range_scale
        low, high = x.flatten(1).amin(1), x.flatten(1).amax(1)
        # a constant image has no range; any scale will do
        width = per_sample(torch.where(high > low, high - low, torch.ones_like(low)), x)
        centre = per_sample((low + high) / 2, x)
        unit = (x - centre) / width * stretch + 0.5
        output: Tensor = self.network(unit)
        return x - output * width / stretch

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        """The backbone's image is the intermediate, its trace the first."""
        guess = self.backbone.reconstruct(y, physics)  # frozen, but it follows the measurements
        iteration, state = self.fixed_point_map(y, physics, x0, guess.image)
        result = implicit(iteration, state, self.config.equilibrium)
        image = self._split(result.value, guess.image, y)[0]
        return Reconstruction(image, (guess.image,), (*guess.traces, result.trace))

    def fixed_point_map(
        self, y: Tensor, physics: Any, x0: Tensor | None = None, guess: Tensor | None = None
    ) -> tuple[Iteration, Tensor]:
        """Of the state; ``guess`` is the backbone's image w."""
        if guess is None:
            guess = self.backbone.reconstruct(y, physics).image
        y, start = _measured(y, physics), guess if x0 is None else x0
        duals = [torch.zeros_like(guess)]
        step = self._equality
        if self.config.epsilon > 0:
            duals.append(torch.zeros_like(y))
            step = self._ball
        state = torch.cat([part.flatten(1) for part in (start, *duals)], dim=1)
        return Iteration(step, physics, guess, y), state

    def held_start(self, y: Tensor, physics: Any) -> None:
        """None: it starts from the backbone's image, which follows the measurements."""
        return None

    def _equality(self, state: Tensor, physics: Any, w: Tensor, y: Tensor) -> Tensor:
        x, dual = self._split(state, w, y)
        beta, rho, config = self.beta, self.config.rho, self.config
        u = self.denoise(x + dual)
        free = (beta * w + rho * (u - dual)) / (beta + rho)
        x = project_onto_data(physics, free, y, tol=config.cg_tol, max_iter=config.cg_iterations)
        return torch.cat((x.flatten(1), (dual + x - u).flatten(1)), dim=1)

    def _ball(self, state: Tensor, physics: Any, w: Tensor, y: Tensor) -> Tensor:
        x, dual, data_dual = self._split(state, w, y)
        beta, rho, config = self.beta, self.config.rho, self.config
        u = self.denoise(x + dual)
        v = _onto_ball(physics.A(x) - y + data_dual, self._radius(y))
        weight = rho * config.consistency
        rhs = beta * w + rho * (u - dual) + weight * physics.A_adjoint(v + y - data_dual)
        x = solve_normal_equations(
            physics,
            rhs,
            weight,
            beta + rho,
            tol=config.cg_tol,
            max_iter=config.cg_iterations,
        )
        data_dual = data_dual + physics.A(x) - v - y
        parts = (x, dual + x - u, data_dual)
        return torch.cat([part.flatten(1) for part in parts], dim=1)

    def _radius(self, y: Tensor) -> Tensor:
        radius = torch.full_like(y[:, 0].flatten(1)[:, 0], self.config.epsilon)
        return radius * sample_norms(y) if self.config.epsilon_relative else radius

    def _split(self, state: Tensor, image: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """The state's image, its dual and, for ε > 0, the dual of the data."""
        n = image[0].numel()
        x, dual = state[:, :n].view_as(image), state[:, n : 2 * n].view_as(image)
        return (x, dual, state[:, 2 * n :].view_as(y)) if self.config.epsilon > 0 else (x, dual)

    # ------------------------------------------------------------------ views and training

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> None:
        """None: the image alone does not determine the next iterate."""
        return None

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        """I - R at the image: the map whose norm the convolutions bound."""
        return (Probe(lambda x: x - self.denoise(x), result.image),)

    def claims(self) -> Claims | None:
        """Ryu's assumption on N, which the convolutions are normalised to."""
        bound = self.config.lipschitz
        return None if bound is None else Claims(bound)

    def networks(self) -> tuple[nn.Module, ...]:
        return (*(self.backbone.networks() or ()), self.network)

    def recipe(self) -> Recipe:
        """A denoiser first; then Adam 1e-4, β at 1e-3."""
        config = self.config
        pretraining = Stage("denoiser", config.pretraining or 1.0, noise=config.denoising_noise)
        stages = (pretraining,) if config.pretraining > 0 else ()
        return Recipe(
            stages=(*stages, Stage("equilibrium", 1 - config.pretraining)),
            learning_rate=1e-4,
            group_rates={"beta": 1e-3},
        )


def _measured(y: Tensor, physics: Any) -> Tensor:
    """``y`` with zeros where nothing was sampled: there it is in no residual."""
    mask = getattr(physics, "mask", None)
    return y if mask is None else y * mask.unsqueeze(1)


def _onto_ball(t: Tensor, radius: Tensor) -> Tensor:
    """``t`` of every sample, scaled down to a norm of ``radius (B,)`` where it is longer."""
    norms = sample_norms(t)
    tiny = torch.finfo(norms.dtype).tiny
    return t * per_sample((radius / norms.clamp_min(tiny)).clamp_max(1), t)
