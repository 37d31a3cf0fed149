"""Peak memory of a method on a task, predicted without a device."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.measure.live_bytes import Count, count, fake_copy
from bench.measure.phases import Phase, sample_batch, step_of
from bench.measure.question import Subject
from bench.reconstructor import INNER_CAPS, Recipe, Reconstructor, check
from bench.task import Task

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


def steps(subject: Subject, phases: tuple[Phase, ...], iterations: int) -> Iterator[StepConfig]:
    """The steps that there are: no training without parameters, no penalty without a weight."""
    for phase in phases:
        if phase == "fit" and not subject.recipe.stages:
            continue
        yield StepConfig(phase, iterations)
        if phase == "fit" and subject.recipe.penalty_weight > 0:
            yield StepConfig(phase, iterations, penalty=False)
