"""The contract of a method: what it takes, what it returns, and how it wants to be trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from bench.deepinv_import import deepinv

if TYPE_CHECKING:
    from bench.task import Batch, Task


@dataclass
class Trace:
    """What an iteration did, per sample.

    Attributes:
        iterations: ``(B,)`` steps until the sample stopped.
        evaluations: ``(B,)`` network evaluations spent on the sample.
        residual: ``(B,)`` relative residual of what was returned.
        converged: ``(B,)`` whether the tolerance was reached.
        history: ``(K, B)`` residual at every step, NaN after a sample has stopped.
        backward: the trace of the gradient's own iteration, once it has run.
    """

    iterations: Tensor
    evaluations: Tensor
    residual: Tensor
    converged: Tensor
    history: Tensor
    backward: Trace | None = None

    @staticmethod
    def unrolled(x: Tensor, iterations: int, evaluations: int) -> Trace:
        """A fixed number of iterations, the same for every sample of ``x (B, ...)``."""
        batch, device = x.shape[:1], x.device
        return Trace(
            iterations=torch.full(batch, iterations, device=device),
            evaluations=torch.full(batch, evaluations, device=device),
            residual=torch.full(batch, torch.nan, device=device),
            converged=torch.ones(batch, dtype=torch.bool, device=device),
            history=torch.empty(0, *batch, device=device),
        )


@dataclass
class Reconstruction:
    """An image ``(B, C, H, W)``, the intermediate images an auxiliary loss may use, and traces."""

    image: Tensor
    intermediates: tuple[Tensor, ...] = ()
    traces: tuple[Trace, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A part of training: ``share`` of all optimiser steps; its name is told to the method."""

    name: str
    share: float = 1.0


@dataclass(frozen=True)
class Search:
    """Tuning instead of training: the best of ``values`` by PSNR on the validation split.

    The chosen value is written into the buffer ``parameter``, and so into the checkpoint.
    """

    parameter: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Recipe:
    """How a method is trained. Every field can be overridden by a suite.

    Attributes:
        stages: in order; their shares of the steps sum to one. None: nothing to train.
        search: a single number tuned on the validation split.
        loss: mean squared error of the two channels, or of magnitudes.
        auxiliary: weight of the mean loss of the intermediate images.
        learning_rate: of Adam; ``group_rates`` gives parameters their own by name.
        warmup_steps: linear from zero.
        schedule: constant, or a cosine to zero at the last step.
        clip_norm, clip_value: of the gradient.
        penalty_weight: times ``penalty_decay ** epoch``.
    """

    stages: tuple[Stage, ...] = (Stage("train"),)
    search: Search | None = None
    loss: Literal["complex", "magnitude"] = "complex"
    auxiliary: float = 0.0
    learning_rate: float = 1e-3
    group_rates: Mapping[str, float] = field(default_factory=dict)
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: float | None = None
    clip_value: float | None = None
    penalty_weight: float = 0.0
    penalty_decay: float = 1.0


@dataclass(frozen=True)
class TrainingState:
    """Where training stands: the step, of how many, and the epoch, all from zero."""

    step: int
    steps: int
    epoch: int

    @property
    def progress(self) -> float:
        """From 0 at the first step to 1 at the last."""
        return self.step / max(self.steps - 1, 1)


@dataclass(frozen=True)
class ReconstructorConfig:
    """Base of every method's configuration."""

    channels: int = 2

    def __post_init__(self) -> None:
        check(self.channels >= 1, "channels", self.channels, "at least 1")


def check(holds: bool, name: str, value: object, expected: str) -> None:
    """Refuse a configuration value with one line that names it.

    Raises:
        ValueError: if ``holds`` is false.
    """
    if not holds:
        raise ValueError(f"{name} = {value!r} (expected {expected})")


@dataclass(frozen=True)
class Variant:
    """A named setting of a method: what it changes in the configuration and in the recipe."""

    config: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


class Reconstructor(deepinv.models.Reconstructor):
    """A method: ``forward(y, physics) -> image``, as deepinv has it, and what a benchmark needs.

    A method is a subclass with a ``name`` in a module of a scanned package; nothing else registers
    it. Its parameters come from its ``Config`` alone.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    paper: ClassVar[str]
    bibtex: ClassVar[str] = ""
    tasks: ClassVar[tuple[str, ...]] = ("mri-multicoil",)
    Config: ClassVar[type[ReconstructorConfig]] = ReconstructorConfig
    variants: ClassVar[Mapping[str, Variant]] = {}

    def __init__(self, config: ReconstructorConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, y: Tensor, physics: Any, **_: Any) -> Tensor:
        """Measurements and forward operator to an image: the call that deepinv knows."""
        return self.reconstruct(y, physics).image

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        """Measurements ``(B, 2, N, H, W)`` to an image ``(B, C, H, W)``, with traces.

        Args:
            y: measurements; never modified.
            physics: the forward operator of this batch.
            x0: another start than the method's own.
        """
        raise TypeError(f"{type(self).__name__} does not reconstruct")

    def supports(self, task: Task) -> bool:
        """Whether the method can run on the task."""
        return task.name in self.tasks

    def recipe(self) -> Recipe:
        """How the method is trained; by default there is nothing to train."""
        return Recipe(stages=())

    def penalty(
        self, reconstruction: Reconstruction, batch: Batch, state: TrainingState
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A regulariser of the network, and what of it is worth logging (means over the batch).

        Called inside the training step where the recipe has a penalty weight.
        """
        return reconstruction.image.new_zeros(()), {}

    def during(self, stage: str, progress: float) -> Self:
        """The view of this method to be trained at this point (``progress`` in [0, 1])."""
        return self

    def with_solver(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> Self:
        """A view with other solver settings; itself where the method has no inner iteration."""
        return self

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> Tensor | None:
        """``||x - T(x)|| / ||x||`` per sample, ``(B,)``, T being the method's map at step size 1.

        Comparable across step sizes, as a step tolerance is not. None: no such map.
        """
        return None

    def networks(self) -> tuple[nn.Module, ...]:
        """The modules whose calls count as network evaluations: by default, every direct child."""
        return tuple(self.children())

    def view(self, **attributes: Any) -> Self:
        """A shallow copy that shares all parameters and differs in these attributes."""
        other = copy.copy(self)
        other.__dict__.update(attributes)
        return other
