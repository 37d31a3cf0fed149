"""How much worse an image gets when the test differs from the training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.measure.evaluations import count_evaluations
from bench.measure.question import Measured, Subject
from bench.objective import batch_psnr
from bench.operators import MultiCoilMRI
from bench.reconstructor import Reconstructor, check
from bench.task import Batch, Task


@dataclass(frozen=True)
class ShiftConfig:
    """What is changed, one thing at a time.

    Attributes:
        changes: fields of the task (``{acceleration: 6, center_fraction: 0.06}``, another mask);
            None: :func:`usual_changes`.
        iterations: factors on the number of iterations that the method stops at, or is unrolled
            for.
        map_errors: relative errors of coil maps, smooth and complex; the measurements are made with
            the true ones.
        samples: the first of the test split.
    """

    changes: tuple[Mapping[str, Any], ...] | None = None
    iterations: tuple[float, ...] = (0.5, 2.0)
    map_errors: tuple[float, ...] = (0.05, 0.1)
    samples: int = 4

    def __post_init__(self) -> None:
        for factor in self.iterations:
            check(factor > 0, "iterations", factor, "above 0")
        for error in self.map_errors:
            check(0 <= error < 1, "map_errors", error, "in [0, 1)")
        check(self.samples >= 1, "samples", self.samples, "at least 1")


def measure(subject: Subject, config: ShiftConfig) -> Iterator[Measured]:
    """Rows ``psnr`` and ``network`` by sample: unchanged, then with each change."""
    assert subject.retask is not None
    changes: list[tuple[dict[str, Any], Any]] = [({}, subject.task)]
    wanted = usual_changes(subject.task) if config.changes is None else config.changes
    changes += [(dict(change), subject.retask(change)) for change in wanted]
    for change, task in changes:
        count = min(config.samples, len(task.samples("test")))
        for index in range(count):
            batch = subject.batch("test", [index], task)
            yield from _score(subject.method, batch, task, {"change": change})
    for index in range(min(config.samples, len(subject.task.samples("test")))):
        batch = subject.batch("test", [index])
        for factor in config.iterations:
            view, iterations = with_iterations(subject.method, batch, factor)
            if view is not None:
                condition = {"change": {"iterations": factor}, "iterations": iterations}
                yield from _score(view, batch, subject.task, condition)
        for error in config.map_errors:
            if getattr(batch.physics, "coil_maps", torch.empty(1, 1)).shape[1] > 1:
                wrong = _wrong_maps(batch, error, subject.task.data_seed)
                condition = {"change": {"map_error": error}}
                yield from _score(subject.method, wrong, subject.task, condition)


def usual_changes(task: Task) -> tuple[dict[str, Any], ...]:
    """One and a half times and twice the acceleration, another kind of mask; none without masks.

    The fully sampled centre shrinks with the number of samples.
    """
    config = task.config
    if not {"acceleration", "mask"} <= set(getattr(config, "__dataclass_fields__", ())):
        return ()
    faster = tuple(
        {
            "acceleration": factor * config.acceleration,
            "center_fraction": config.center_fraction / factor,
        }
        for factor in (1.5, 2.0)
    )
    return (*faster, {"mask": "random" if config.mask == "equispaced" else "equispaced"})


def _score(
    method: Reconstructor, batch: Batch, task: Any, condition: Mapping[str, Any]
) -> Iterator[Measured]:
    with torch.no_grad(), count_evaluations(method) as count:
        image = method.reconstruct(batch.y, batch.physics).image
    sample = batch.samples[0]
    yield Measured(
        "psnr", float(batch_psnr(image, batch, task)), "dB", "evaluate", condition, sample
    )
    if method.networks() is not None:
        yield Measured("network", count.network, "evaluations", "evaluate", condition, sample)


def with_iterations(
    method: Reconstructor, batch: Batch, factor: float
) -> tuple[Reconstructor | None, int]:
    """A view with so many times the iterations that this sample takes, and how many those are.

    Unrolled networks with shared weights are unrolled further; None where nothing iterates.
    """
    if "iterations" in method.config.__dataclass_fields__:
        unrolled: Any = method.config
        count = max(1, round(factor * unrolled.iterations))
        return method.view(config=replace(unrolled, iterations=count)), count
    with torch.no_grad():
        traces = method.reconstruct(batch.y, batch.physics).traces
    own = [int(trace.iterations) for trace in traces if trace.history.numel()]
    if not own:
        return None, 0
    count = max(1, round(factor * max(own)))
    view = method.with_solver(fixed_iterations=count)
    return (None, 0) if view is method else (view, count)


def _wrong_maps(batch: Batch, error: float, seed: int) -> Batch:
    """The batch with coil maps that are off by a smooth field of this relative norm."""
    maps: Tensor = batch.physics.coil_maps
    generator = torch.Generator().manual_seed(seed)
    flat = maps.flatten(0, -3)
    coarse = torch.randn(len(flat), 2, 4, 4, generator=generator, dtype=torch.float32).to(
        maps.device
    )
    smooth = F.interpolate(coarse, size=maps.shape[-2:], mode="bicubic", align_corners=True)
    field = torch.complex(smooth[:, 0], smooth[:, 1]).to(maps.dtype).view_as(maps)
    field = field * (maps.abs().amax(1, keepdim=True) > 0)  # outside the object maps stay empty
    wrong = maps + field * (error * maps.norm() / field.norm())
    norm = wrong.abs().square().sum(1, keepdim=True).sqrt().clamp_min(1.0)
    return replace(batch, physics=MultiCoilMRI(batch.physics.mask, wrong / norm))
