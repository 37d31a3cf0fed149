"""Peak memory of a method on a task: predicted without a device, measured on one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.measure.live_bytes import Count, count, fake_copy
from bench.measure.phases import Phase, sample_batch, step_of
from bench.measure.question import Measured, Subject
from bench.reconstructor import INNER_CAPS, Recipe, Reconstructor, check
from bench.task import Task

NO_GRADIENT = "does not require grad"  # torch's words
FEW = 2  # steps of inner loops, whose peak is reached in the second


@dataclass(frozen=True)
class StepConfig:
    """What is counted.

    Attributes:
        phase: a training step, a reconstruction, or an attack's gradient: see
            :func:`bench.measure.phases.step_of`.
        iterations: of every fixed point, forward and backward. An implicit gradient's peak does not
            grow with it: solvers keep what they need from the beginning.
        penalty: whether the recipe's penalty (a Lipschitz estimate) is part of a training step.
    """

    phase: Phase = "fit"
    iterations: int = 3
    penalty: bool = True

    def __post_init__(self) -> None:
        check(self.iterations >= 1, "iterations", self.iterations, "at least 1")


def predict_peak(
    method: Reconstructor,
    task: Task,
    batch_size: int = 1,
    config: StepConfig = StepConfig(),
    recipe: Recipe | None = None,
) -> int:
    """Peak bytes of a step of ``method`` on ``task``, without running it.

    No sample leaves the batch: an upper bound. What an operator needs inside (a convolution's
    workspace, a plan of an FFT), fragmentation and the CUDA context come on top.

    Args:
        task: one of its samples gives the shapes; nothing is computed with its values.
        batch_size: samples. At most two are loaded: more have the shapes of these.
        recipe: of training, if not the method's own.

    Raises:
        ValueError: a training step of a method without parameters to train.
    """
    return predict(method, task, batch_size, config, recipe).peak


def predict(
    method: Reconstructor,
    task: Task,
    batch_size: int = 1,
    config: StepConfig = StepConfig(),
    recipe: Recipe | None = None,
) -> Count:
    """:func:`predict_peak`, and what the step keeps."""
    check(batch_size >= 1, "batch_size", batch_size, "at least 1")
    recipe = recipe or method.recipe()
    if config.phase == "fit" and not recipe.stages:
        raise ValueError(f"{method.name} has nothing to train (expected phase evaluate or attack)")
    batch = sample_batch(task, min(2, batch_size), config.phase)
    inputs = (prepared(method, config), batch.physics, batch.y, batch.x)
    mode = FakeTensorMode()
    view, physics, y, x = fake_copy(mode, inputs)
    with mode:
        if batch_size > 2:
            index = torch.arange(batch_size) % 2
            physics, y, x = physics.select(index), y[index], x[index]
        return count(step_of(config.phase, recipe, config.penalty), (view, physics, y, x))


def prepared(method: Reconstructor, config: StepConfig) -> Reconstructor:
    """A copy of the method whose step looks at no value, with short inner loops."""
    view = _shortened(copy.deepcopy(method)).with_solver(fixed_iterations=config.iterations)
    view.train(config.phase == "fit")
    return view


def _shortened(method: Reconstructor) -> Reconstructor:
    """Short inner loops that look at no value, in the methods that it is built on too."""
    for layer in method.modules():
        if callable(fix := getattr(layer, "fix_cost", None)):
            fix(FEW)
    for name, other in method.requires().items():
        setattr(method, name, _shortened(other).with_solver(fixed_iterations=FEW))
    known = method.config.__dataclass_fields__
    caps = {name: min(FEW, getattr(method.config, name)) for name in INNER_CAPS if name in known}
    return method.view(config=replace(method.config, **caps)) if caps else method


# ---------------------------------------------------------------------- the question


@dataclass(frozen=True)
class MemoryConfig:
    """Peak memory by phase and batch.

    Attributes:
        batches: samples a step.
        phases: of which steps; a training step counts with and without its penalty.
        iterations: of every fixed point, see :class:`StepConfig`.
    """

    batches: tuple[int, ...] = (1, 2)
    phases: tuple[Phase, ...] = ("fit", "evaluate", "attack")
    iterations: int = 3

    def __post_init__(self) -> None:
        check(len(self.batches) > 0, "batches", self.batches, "at least one")
        for size in self.batches:
            check(size >= 1, "batches", size, "at least 1")
        check(self.iterations >= 1, "iterations", self.iterations, "at least 1")


def steps(subject: Subject, phases: tuple[Phase, ...], iterations: int) -> Iterator[StepConfig]:
    """The steps that there are: no training without parameters, no penalty without a weight."""
    for phase in phases:
        if phase == "fit" and not subject.recipe.stages:
            continue
        yield StepConfig(phase, iterations)
        if phase == "fit" and subject.recipe.penalty_weight > 0:
            yield StepConfig(phase, iterations, penalty=False)


def measure(subject: Subject, config: MemoryConfig) -> Iterator[Measured]:
    """Rows ``predicted_peak`` and, on CUDA, what the device says of the same steps."""
    for step in steps(subject, config.phases, config.iterations):
        for size in config.batches:
            condition: dict[str, Any] = {
                "batch": size,
                "penalty": step.penalty and subject.recipe.penalty_weight > 0,
                "iterations": step.iterations,
                "upper_bound": True,
            }
            try:
                found = predict(subject.method, subject.task, size, step, subject.recipe)
            except RuntimeError as error:
                if NO_GRADIENT not in str(error):
                    raise
                flag, nothing = "no gradient reaches the measurements", float("nan")
                yield Measured("predicted_peak", nothing, "bytes", step.phase, condition, flag=flag)
                continue
            flag = f"keeps {found.kept} bytes after the step" if found.kept else ""
            yield Measured("predicted_peak", found.peak, "bytes", step.phase, condition, flag=flag)
            if subject.device != "cpu":
                from bench.measure.cuda_memory import measured_peaks

                yield from measured_peaks(subject, step, size, condition, found.peak)
