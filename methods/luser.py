"""LUSER: an unrolled loop whose every proximal step is itself a fixed point."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from bench.claims import Claims
from bench.networks.spectral_norm import convolution, scale_last
from bench.reconstructor import (
    Probe,
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Variant,
    check,
)
from bench.task import Task
from methods.equilibrium import EquilibriumConfig, SolverConfig, implicit

ANDERSON = SolverConfig(method="anderson", tol=1e-3, max_iter=30)


@dataclass(frozen=True)
class LUSERConfig(ReconstructorConfig):
    """Published architecture by default; what the paper leaves open is marked.

    Attributes:
        stages: K.
        width: features of the input's and the iterate's branch; twice that where they are mixed.
        groups: of the group norms (open).
        slope: of the leaky ReLUs (open).
        spectral_norm, spectral_size: operator norm of every convolution, determined on images of
            so many pixels (its style is open).
            Affine group norms are not norm-bounded: contraction is not guaranteed.
        start: of the first stage: ``A^H y``, or y itself where it is an image (deblurring).
        output_scale: factor on the initial parameters of the last convolution (open): with a small
            one every stage starts as a gradient step.
        step_size: λ, of the data term; learned (its start is open).
        equilibrium: solvers of every stage's fixed point (open); the lowest residual is returned.
    """

    stages: int = 8
    width: int = 32
    groups: int = 8
    slope: float = 0.01
    spectral_norm: float | None = 1.0
    spectral_size: int = 40
    start: Literal["adjoint", "measurements"] = "adjoint"
    output_scale: float = 1.0
    step_size: float = 1.0
    equilibrium: EquilibriumConfig = field(
        default_factory=lambda: EquilibriumConfig(forward=ANDERSON, backward=ANDERSON)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.stages >= 1, "stages", self.stages, "K of at least 1")
        check(self.groups >= 1, "groups", self.groups, "at least 1")
        divides = self.width >= 1 and self.width % self.groups == 0
        check(divides, "width", self.width, f"a multiple of groups = {self.groups}")
        check(self.spectral_size >= 3, "spectral_size", self.spectral_size, "at least 3")
        check(self.slope >= 0, "slope", self.slope, "0 or more")
        check(self.step_size > 0, "step_size", self.step_size, "above 0")


class Inject(nn.Module):
    """What a stage's input contributes to its fixed point, ``(B, C, H, W) -> (B, width, H, W)``."""

    def __init__(self, config: LUSERConfig) -> None:
        super().__init__()
        conv, width = _convolution(config), config.width
        self.layers = nn.Sequential(
            conv(config.channels, width), nn.LeakyReLU(config.slope), conv(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layers(x)
        return output


class Proximal(nn.Module):
    """``(r, e) -> Mix(Data(r) ⊕ e)``: the map whose fixed point in r is sought."""

    def __init__(self, config: LUSERConfig) -> None:
        super().__init__()
        conv, width = _convolution(config), config.width

        def block(inputs: int, outputs: int) -> list[nn.Module]:
            norm = nn.GroupNorm(config.groups, outputs)
            return [conv(inputs, outputs), norm, nn.LeakyReLU(config.slope)]

        self.data = nn.Sequential(*block(config.channels, width), *block(width, width))
        self.mix = nn.Sequential(
            *block(2 * width, 2 * width),
            *block(2 * width, 2 * width),
            conv(2 * width, config.channels),
        )
        scale_last(self.mix[-1], config.output_scale)

    def forward(self, r: Tensor, injected: Tensor) -> Tensor:
        output: Tensor = self.mix(torch.cat((self.data(r), injected), dim=1))
        return output


class _Map:
    """The proximal map of one batch, for the solver."""

    def __init__(self, proximal: Proximal, injected: Tensor) -> None:
        self.proximal, self.injected = proximal, injected

    def __call__(self, r: Tensor) -> Tensor:
        output: Tensor = self.proximal(r, self.injected)
        return output

    def select(self, indices: Tensor) -> _Map:
        return _Map(self.proximal, self.injected[indices])


class _LUSER(Reconstructor):
    family = "luser"
    paper = "arXiv:2210.04987"
    bibtex = """@article{guan2022loop,
  title={Loop unrolled shallow equilibrium regularizer ({LUSER})},
  author={Guan, Peimeng and Jin, Jihui and Romberg, Justin and Davenport, Mark A.},
  journal={arXiv preprint arXiv:2210.04987}, year={2022}}"""
    Config = LUSERConfig
    config: LUSERConfig
    # the loss of the final image, or of all K (the mean of the others times K - 1 is their sum)
    variants: ClassVar = {
        "final": Variant(),
        "aux": Variant(recipe={"auxiliary": 1.0}),
        # not the authors': a gentle start, an inexact gradient, for short trainings
        "short": Variant(
            config={
                "spectral_norm": 0.7,
                "output_scale": 0.1,
                "equilibrium": EquilibriumConfig(
                    forward=SolverConfig(tol=1e-2, max_iter=10),
                    backward=SolverConfig(tol=3e-2, max_iter=4),
                ),
            },
            recipe={
                "learning_rate": 1e-3,
                "warmup_steps": 20,
                "schedule": "cosine",
                "clip_norm": 1.0,
            },
        ),
    }
    shared: ClassVar[bool]

    def __init__(self, config: LUSERConfig) -> None:
        super().__init__(config)
        distinct = 1 if self.shared else config.stages
        self.inject = nn.ModuleList(Inject(config) for _ in range(distinct))
        self.proximal = nn.ModuleList(Proximal(config) for _ in range(distinct))
        self.step_size = nn.Parameter(torch.tensor(config.step_size))

    @classmethod
    def for_task(cls, task: Task) -> dict[str, Any]:
        start = {"start": "measurements"} if task.name == "deblur" else {}
        return {**super().for_task(task), **start}

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        values = {"width": 8, "groups": 2, "stages": 2, "spectral_norm": 0.2, "spectral_size": 12}
        return {**cls.for_task(task), **values}

    def _start(self, y: Tensor, physics: Any) -> Tensor:
        start: Tensor = y if self.config.start == "measurements" else physics.A_adjoint(y)
        return start

    def gradient_step(self, x: Tensor, y: Tensor, physics: Any) -> Tensor:
        """``d = x + λ A^H (y - A x)``."""
        image: Tensor = physics.A_adjoint(y - physics.A(x))
        return x + self.step_size * image

    def map(self, stage: int, d: Tensor) -> _Map:
        """The map whose fixed point is the stage's residual image."""
        index = 0 if self.shared else stage
        inject, proximal = self.inject[index], self.proximal[index]
        assert isinstance(proximal, Proximal)
        return _Map(proximal, inject(d))

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        """Every stage has a trace, and all images but the last are intermediates."""
        x = self._start(y, physics) if x0 is None else x0
        images, traces = [], []
        for stage in range(self.config.stages):
            d = self.gradient_step(x, y, physics)
            f = self.map(stage, d)
            result = implicit(f, torch.zeros_like(d), self.config.equilibrium)
            x = d + result.value
            images.append(x)
            traces.append(result.trace)
        return Reconstruction(x, tuple(images[:-1]), tuple(traces))

    def with_solver(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> Self:
        solvers = self.config.equilibrium.changed(tol, max_iter, fixed_iterations)
        return self.view(config=replace(self.config, equilibrium=solvers))

    def to_convergence(self, tol: float, max_iter: int) -> Self:
        solvers = self.config.equilibrium.converged(tol, max_iter)
        return self.view(config=replace(self.config, equilibrium=solvers))

    @property
    def gradient_mode(self) -> str:
        return self.config.equilibrium.gradient

    def claims(self) -> Claims:
        """A stage's map has to contract; affine group norms do not let it be guaranteed."""
        return Claims(threshold=1.0)

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        """Every stage's map at its fixed point."""
        x, probes = self._start(y, physics), []
        for stage, image in enumerate((*result.intermediates, result.image)):
            d = self.gradient_step(x, y, physics)
            probes.append(Probe(self.map(stage, d), image - d))
            x = image
        return tuple(probes)

    def networks(self) -> tuple[nn.Module, ...]:
        """The proximal maps; an injection is computed once a stage and not counted."""
        return tuple(self.proximal)

    def recipe(self) -> Recipe:
        """Adam 1e-4 (open), mean squared error."""
        return Recipe(learning_rate=1e-4)


class LUSERSW(_LUSER):
    """LUSER with one set of weights for all stages."""

    name = "luser-sw"
    shared = True


class LUSERDW(_LUSER):
    """LUSER with weights of its own for every stage."""

    name = "luser-dw"
    shared = False


def _convolution(config: LUSERConfig) -> Any:
    return functools.partial(
        convolution, bias=True, spectral_norm=config.spectral_norm, image_size=config.spectral_size
    )
