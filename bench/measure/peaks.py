"""The question of peak memory: predicted, and measured where there is a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.measure.cuda_memory import measured_peaks
from bench.measure.memory import predict, steps
from bench.measure.phases import NoGradientError, Phase
from bench.measure.question import Measured, Subject
from bench.reconstructor import check


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
            except NoGradientError as error:
                flag, nothing = str(error), float("nan")
                yield Measured("predicted_peak", nothing, "bytes", step.phase, condition, flag=flag)
                continue
            flag = f"keeps {found.kept} bytes after the step" if found.kept else ""
            yield Measured("predicted_peak", found.peak, "bytes", step.phase, condition, flag=flag)
            if subject.device != "cpu":
                yield from measured_peaks(subject, step, size, condition, found.peak)
