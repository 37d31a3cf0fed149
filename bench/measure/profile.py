"""Where the time of a step goes: traces for TensorBoard and Chrome, the costliest operations."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch.profiler import (
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    tensorboard_trace_handler,
)

from bench.errors import InputError
from bench.measure.phases import TrainingStep, sample_batch
from bench.objective import on_device
from bench.reconstructor import Recipe, Reconstructor, check
from bench.task import Batch, Task

COSTLIEST = 10


@dataclass(frozen=True)
class ProfileConfig:
    """What is profiled.

    Attributes:
        phase: a training step of the last stage (forward, loss, penalty, backward and Adam's
            update), or a reconstruction.
        steps: that are recorded, after ``warmup`` steps that are not.
        batch_size: samples a step, all of them the first of their split.
        memory: record what every operation allocates and frees.
        shapes: record the shapes of every operation's inputs.
    """

    phase: Literal["fit", "evaluate"] = "fit"
    steps: int = 3
    warmup: int = 1
    batch_size: int = 1
    memory: bool = True
    shapes: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "warmup", "batch_size"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")


class Operation(NamedTuple):
    """An operation, over all recorded steps.

    Attributes:
        name: PyTorch's.
        calls: how many.
        self_time: seconds without the operations that it calls; on the GPU where there is one.
        total_time: seconds with them.
        share: of the self time of all operations, in (0, 1].
        self_memory: bytes allocated less bytes freed, without the operations that it calls; None if
            not recorded.
    """

    name: str
    calls: int
    self_time: float
    total_time: float
    share: float
    self_memory: int | None


class Profile(NamedTuple):
    """The costliest operations, in order of self time, the trace in TensorBoard's folder, and the
    same trace under a name that stays.
    """

    operations: tuple[Operation, ...]
    tensorboard: Path
    chrome: Path


def profile_method(
    method: Reconstructor,
    task: Task,
    folder: Path,
    config: ProfileConfig = ProfileConfig(),
    device: str = "cpu",
    recipe: Recipe | None = None,
) -> Profile:
    """Profile steps of a copy of ``method`` on ``task``; earlier TensorBoard traces stay.

    Args:
        folder: ``tensorboard/*.pt.trace.json`` and ``chrome-trace.json`` are written into it.
        recipe: of training, if not the method's own.

    Raises:
        InputError: a phase "fit" of a method with nothing to train, or a folder that cannot be one.
    """
    recipe = recipe or method.recipe()
    if config.phase == "fit" and not recipe.stages:
        what = f"{method.name} has nothing to train"
        raise InputError(what, where="phase fit", expected="phase evaluate")
    traces = _folder(folder / "tensorboard")
    on = torch.device(device)
    batch = on_device(sample_batch(task, config.batch_size, config.phase), on)
    copied = copy.deepcopy(method).to(on)
    if config.phase == "fit":
        step = _training_step(copied, recipe, batch)
    else:
        step = _reconstruction(copied, batch)
    profiler = _record(step, config, on, tensorboard_trace_handler(str(traces), config.phase))
    # named by the time [ns]; copied, for a profiler may refuse to write a trace twice
    written = max(traces.glob(f"{config.phase}.*.pt.trace.json"))
    chrome = folder / "chrome-trace.json"
    shutil.copyfile(written, chrome)
    operations = costliest(profiler.key_averages(), on.type, config.memory)
    return Profile(operations, written, chrome)


def costliest(events: Iterable[Any], device: str, memory: bool) -> tuple[Operation, ...]:
    """The ten operations with the largest self time, of a profiler's averages by name.

    Steps and named regions (``forward``) are no operations, nor are kernels: a kernel's time is
    that of the operation that started it.
    """
    kind = "cpu" if device == "cpu" else "device"
    operations = [
        event
        for event in events
        if event.device_type.name == "CPU"
        and not event.is_user_annotation
        and getattr(event, f"self_{kind}_time_total") > 0
    ]
    times = {id(event): getattr(event, f"self_{kind}_time_total") for event in operations}
    total = sum(times.values())
    operations.sort(key=lambda event: times[id(event)], reverse=True)
    return tuple(
        Operation(
            event.key,
            event.count,
            times[id(event)] * 1e-6,
            getattr(event, f"{kind}_time_total") * 1e-6,
            times[id(event)] / total,
            getattr(event, f"self_{kind}_memory_usage") if memory else None,
        )
        for event in operations[:COSTLIEST]
    )


# ---------------------------------------------------------------------- pieces


def _record(
    step: Callable[[], None],
    config: ProfileConfig,
    device: torch.device,
    ready: Callable[[Any], None],
) -> Any:
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(
        activities=activities,
        schedule=schedule(wait=0, warmup=config.warmup, active=config.steps, repeat=1),
        on_trace_ready=ready,
        record_shapes=config.shapes,
        profile_memory=config.memory,
    ) as profiler:
        for _ in range(config.warmup + config.steps):
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()  # kernels belong to the step that started them
            profiler.step()
    return profiler


def _training_step(method: Reconstructor, recipe: Recipe, batch: Batch) -> Callable[[], None]:
    method.train()
    step = TrainingStep(method, recipe)
    return lambda: step(batch)


def _reconstruction(method: Reconstructor, batch: Batch) -> Callable[[], None]:
    method.eval()

    def step() -> None:
        with torch.no_grad(), record_function("reconstruct"):
            method.reconstruct(batch.y, batch.physics)

    return step


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(why, where=str(path), expected="a folder to write into") from error
    if not os.access(path, os.W_OK):
        raise InputError("not writable", where=str(path), expected="a folder to write into")
    return path
