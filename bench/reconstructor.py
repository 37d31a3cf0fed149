"""The contract of a method: what it takes, what it returns, and how it wants to be trained."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from bench.deepinv_import import deepinv

if TYPE_CHECKING:
    from bench.claims import Claims
    from bench.task import Batch, Task

Map = Callable[[Tensor], Tensor]

# tasks of images with two axes, and of series or volumes with three
IMAGES = ("mri-multicoil", "mri-singlecoil", "ct", "deblur")
VOLUMES = ("mri-cine", "mri-3d")

# names in configurations: relative tolerances of linear solves inside a method; 0 runs to the cap
INNER_TOLERANCES = ("cg_tol", "start_tol")
# caps, and loops that leave nothing behind: a few steps have the peak of many
INNER_CAPS = ("cg_iterations", "cg_backward_iterations", "start_iterations", "estimate_steps")


def check(holds: bool, name: str, value: object, expected: str) -> None:
    """Refuse a configuration value with one line that names it.

    Raises:
        ValueError: if ``holds`` is false.
    """
    if not holds:
        raise ValueError(f"{name} = {value!r} (expected {expected})")


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
    """A part of training; its name is told to the method.

    Attributes:
        share: of all optimiser steps.
        noise: trains ``denoise`` instead of ``reconstruct``: reference images with white Gaussian
            noise, its standard deviation drawn from this range (lowest, highest) for each sample.
    """

    name: str
    share: float = 1.0
    noise: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check(0 < self.share <= 1, "share", self.share, "in (0, 1]")
        low, high = self.noise or (0.0, 0.0)
        check(0 <= low <= high, "noise", self.noise, "a range in order, 0 or more")


@dataclass(frozen=True)
class Search:
    """Tuning, after training if there is any: the best of ``values`` by validation PSNR.

    The chosen value is written into the buffer ``parameter``, and so into the checkpoint.
    """

    parameter: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Recipe:
    """How a method is trained. Every field can be overridden by a suite.

    Attributes:
        stages: in order; their shares of the steps sum to one. None: nothing to train. Each stage
            goes on from the best parameters, by validation, of the one before it.
        search: a single number tuned on the validation split.
        loss: mean squared error of the two channels, or of magnitudes.
        auxiliary: weight of the intermediate images' losses, which are added up.
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
class Backbone:
    """Another method of the registry that this one is built on: trained first, then frozen."""

    method: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """How released checkpoints of other authors name a method's tensors.

    Attributes:
        rename: regular expressions for whole names in the file, and what replaces them.
        ignore: expressions for names that are not needed.
        config: what the weights were trained with.
    """

    rename: Mapping[str, str]
    ignore: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


class Probe(NamedTuple):
    """A map ``f`` and the points ``x (B, ...)`` at which its Lipschitz constant matters."""

    f: Map
    x: Tensor


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
    """Base of every method's configuration. One with a field ``axes`` is told 2 or 3 by a task."""

    channels: int = 2

    def __post_init__(self) -> None:
        check(self.channels >= 1, "channels", self.channels, "at least 1")


@dataclass(frozen=True)
class Variant:
    """A named setting of a method: what it changes in the configuration and in the recipe."""

    config: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


class Reconstructor(deepinv.models.Reconstructor):
    """A method: ``forward(y, physics) -> image``, as deepinv has it, and what a benchmark needs.

    A subclass with a ``name`` in a module of a scanned package is registered by that alone. Its
    parameters come from its ``Config`` alone.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str]
    paper: ClassVar[str]
    bibtex: ClassVar[str] = ""
    tasks: ClassVar[tuple[str, ...]] = IMAGES
    Config: ClassVar[type[ReconstructorConfig]] = ReconstructorConfig
    variants: ClassVar[Mapping[str, Variant]] = {}
    layouts: ClassVar[Mapping[str, Layout]] = {}
    scale_equivariant: ClassVar[bool] = False

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

    def denoise(self, x: Tensor) -> Tensor:
        """The method's network as a denoiser ``(B, C, H, W)``: what stages with noise train."""
        raise TypeError(f"{type(self).__name__} has no denoiser")

    def supports(self, task: Task) -> bool:
        """Whether the method can run on the task."""
        return task.name in self.tasks

    @classmethod
    def for_task(cls, task: Task) -> dict[str, Any]:
        """What of the configuration follows from the task, where nothing else is said."""
        values: dict[str, Any] = {"channels": task.channels}
        return values | ({"axes": task.axes} if "axes" in cls.Config.__dataclass_fields__ else {})

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        """A configuration of the same structure that runs in well under a second, for tests."""
        return cls.for_task(task)

    def requires(self) -> Mapping[str, Reconstructor]:
        """Submodules, by attribute name, that are fitted as methods of their own beforehand."""
        return {}

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
        """A view with other solver settings; itself where the method solves nothing.

        With a fixed number of iterations inner solves run to their caps, and nothing on the way
        looks at a value. Of methods without an iteration of their own that is all.
        """
        known = self.config.__dataclass_fields__
        inner: dict[str, Any] = {name: 0.0 for name in INNER_TOLERANCES if name in known}
        if fixed_iterations is None or not inner:
            return self
        return self.view(config=replace(self.config, **inner))

    def to_convergence(self, tol: float, max_iter: int) -> Self | None:
        """A view that iterates to the fixed point itself, by the fastest way there is.

        None: nothing is iterated that has one.
        """
        view = self.with_solver(tol=tol, max_iter=max_iter)
        return None if view is self else view

    @property
    def gradient_mode(self) -> str:
        """How the image's gradient is taken: autograd, or a fixed point's mode."""
        return "autograd"

    def claims(self) -> Claims | None:
        """What is guaranteed where the constants of :meth:`probes` are small enough."""
        return None

    def fixed_point_map(
        self, y: Tensor, physics: Any, x0: Tensor | None = None
    ) -> tuple[Map, Tensor] | None:
        """The map that is iterated, as the method is configured, and where from."""
        return None

    def held_start(self, y: Tensor, physics: Any) -> Tensor | None:
        """The ``x0`` that ``reconstruct`` would choose for these measurements, where it has one."""
        return None

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        """The maps whose Lipschitz constant the method's guarantee bounds, where it matters."""
        return ()

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> Tensor | None:
        """``||x - T(x)|| / ||x||`` per sample, ``(B,)``, T being the method's map at step size 1.

        Comparable across step sizes, as a step tolerance is not. None: no such map.
        """
        return None

    def networks(self) -> tuple[nn.Module, ...] | None:
        """The modules whose calls count as network evaluations: by default, every direct child.

        None: which they are is not known, and nothing is counted.
        """
        return tuple(self.children())

    def view(self, **attributes: Any) -> Self:
        """A shallow copy that shares all parameters and differs in these attributes."""
        other = copy.copy(self)
        other.__dict__.update(attributes)
        return other
