"""MoDL: an unrolled network with a data-consistency solve in every iteration."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.networks import RELEASED_NAMES, PlainCNN
from bench.operators import solve_normal_equations
from bench.operators.norms import relative_norms
from bench.operators.sense import sense_image
from bench.reconstructor import (
    IMAGES,
    VOLUMES,
    Layout,
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Stage,
    Trace,
    Variant,
    check,
)
from bench.task import Task


@dataclass(frozen=True)
class MoDLConfig(ReconstructorConfig):
    """Published values by default (the paper's code: 64 features, batch norm, K = 10).

    Attributes:
        formulation: ``original`` (Aggarwal et al.) or ``reciprocal`` (the MOL authors').
        axes: 2 for images, 3 for series and volumes, with convolutions of 3x3x3.
        iterations: K.
        lam: initial data-term (reciprocal) or regulariser (original) weight.
        lam_trainable: whether it is learned.
        shift: of the reciprocal form's solve (0.001 more than the formula in the authors' code).
        cg_iterations, cg_tol: conjugate gradients from zero, stopping at the earlier.
        start: the initial image.
        output_scale: factor on the last layer's initial weights.
    """

    formulation: Literal["original", "reciprocal"] = "original"
    axes: Literal[2, 3] = 2
    width: int = 64
    depth: int = 5
    bias: bool = False
    batch_norm: bool = True
    iterations: int = 10
    lam: float = 0.05
    lam_trainable: bool = True
    shift: float = 0.0
    cg_iterations: int = 10
    cg_tol: float = 1e-10
    start: Literal["adjoint", "sense"] = "adjoint"
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.iterations >= 1, "iterations", self.iterations, "K of at least 1")
        check(self.width >= 1 and self.depth >= 2, "width, depth", (self.width, self.depth), "1, 2")
        check(self.lam > 0, "lam", self.lam, "above 0")
        check(self.cg_iterations >= 1, "cg_iterations", self.cg_iterations, "at least 1")
        check(self.cg_tol >= 0, "cg_tol", self.cg_tol, "0 or more")


RECIPROCAL = {
    "formulation": "reciprocal",
    "bias": True,
    "batch_norm": False,
    "lam": 100.0,
    "shift": 0.001,
    "cg_iterations": 5,
    "start": "sense",
}


class MoDL(Reconstructor):
    """K iterations that share one network and one weight (Aggarwal, Mani, Jacob 2019).

    original:   ``x <- (A^H A + λI)^-1 (A^H y + λ(x + N(x)))``
    reciprocal: ``x <- (λ A^H A + (1 + s)I)^-1 (x - N(x) + λ A^H y)``
    """

    name = "modl"
    family = "unrolled"
    paper = "arXiv:1712.02862"
    bibtex = """@article{aggarwal2019modl,
  title={{MoDL}: Model-based deep learning architecture for inverse problems},
  author={Aggarwal, Hemant K. and Mani, Merry P. and Jacob, Mathews},
  journal={IEEE Transactions on Medical Imaging}, volume={38}, pages={394--405}, year={2019}}"""
    tasks: ClassVar = (*IMAGES, *VOLUMES)
    Config = MoDLConfig
    config: MoDLConfig
    variants: ClassVar = {"original": Variant(), "reciprocal": Variant(config=RECIPROCAL)}
    layouts: ClassVar = {"mnm-mol": Layout(RELEASED_NAMES, config=RECIPROCAL)}

    def __init__(self, config: MoDLConfig) -> None:
        super().__init__(config)
        self.network = PlainCNN(
            config.channels,
            config.width,
            config.depth,
            bias=config.bias,
            batch_norm=config.batch_norm,
            output_scale=config.output_scale,
            axes=config.axes,
        )
        self.lam = nn.Parameter(torch.tensor(config.lam), requires_grad=config.lam_trainable)

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        adjoint = physics.A_adjoint(y)
        x = self._start(y, physics, adjoint) if x0 is None else x0
        images = []
        for _ in range(self.config.iterations):
            x = self._advance(x, adjoint, physics)
            images.append(x)
        count = self.config.iterations
        return Reconstruction(x, tuple(images[:-1]), (Trace.unrolled(x, count, count),))

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**cls.for_task(task), "width": 8, "depth": 3, "iterations": 3}

    def _start(self, y: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        if self.config.start == "adjoint":
            return adjoint
        return sense_image(y, physics, tol=1e-6 if self.config.cg_tol > 0 else 0.0)

    def _advance(self, x: Tensor, adjoint: Tensor, physics: Any) -> Tensor:
        """One of the K iterations, with what its backward pass keeps."""
        return self._iterate(x, adjoint, physics)

    def _iterate(self, x: Tensor, adjoint: Tensor, physics: Any) -> Tensor:
        config, lam = self.config, self.lam
        weight: Tensor | float
        shift: Tensor | float
        if config.formulation == "original":
            rhs, weight, shift = adjoint + lam * (x + self.network(x)), 1.0, lam
        else:
            rhs, weight, shift = x - self.network(x) + lam * adjoint, lam, 1 + config.shift
        return solve_normal_equations(
            physics, rhs, weight, shift, tol=config.cg_tol, max_iter=config.cg_iterations
        )

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> Tensor:
        """Of the unrolled map, which MoDL does not iterate to its fixed point."""
        step = self._iterate(x, physics.A_adjoint(y), physics) - x
        return relative_norms(step, x)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """Half of the steps with K = 1, then all K (the paper's code: 50 epochs each)."""
        return Recipe(
            stages=(Stage("single", 0.5), Stage("unrolled", 0.5)),
            loss="complex",
            learning_rate=1e-3,
            group_rates={"lam": 1.0} if self.config.formulation == "reciprocal" else {},
            clip_value=1.0,
        )

    def during(self, stage: str, progress: float) -> Self:
        if stage != "single":
            return self
        return self.view(config=replace(self.config, iterations=1))


class MoDLCheckpointed(MoDL):
    """MoDL that keeps the K images for its backward pass and computes all else a second time.

    The same image and the same gradients. Memory is that of one iteration and K images, and the
    network is evaluated K times more in every training step, in the backward pass: these are not
    in the trace, which counts the forward's. Batch norm's running statistics are left alone when
    an iteration is repeated, so that they too are MoDL's.

    Source: Chen et al. 2016 (checkpointing).
    """

    name = "modl-checkpointed"

    def _advance(self, x: Tensor, adjoint: Tensor, physics: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return self._iterate(x, adjoint, physics)
        result: Tensor = checkpoint(
            self._iterate,
            x,
            adjoint,
            physics,
            use_reentrant=False,
            preserve_rng_state=False,  # nothing is random
            context_fn=lambda: (contextlib.nullcontext(), _kept_statistics(self.network)),
        )
        return result


@contextlib.contextmanager
def _kept_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms as they are, but without a change of their running statistics."""
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)
    ]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
