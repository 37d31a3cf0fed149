"""Seconds of a training step and of a reconstruction, with one thread and with all."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.measure.phases import TrainingStep, sample_batch
from bench.measure.question import Measured, Subject
from bench.objective import on_device
from bench.reconstructor import check

FREE = 0.85  # of the cores: with less, times are those of a busy machine


@dataclass(frozen=True)
class TimeConfig:
    """How often.

    Attributes:
        repeats: timed runs, after ``warm_up`` that are not.
        samples: slices that are reconstructed in turn.
        threads: of the CPU; 0 stands for all cores of this process.
    """

    repeats: int = 7
    warm_up: int = 2
    samples: int = 2
    threads: tuple[int, ...] = (1, 0)

    def __post_init__(self) -> None:
        check(self.repeats >= 3, "repeats", self.repeats, "at least 3")
        check(self.warm_up >= 1, "warm_up", self.warm_up, "at least 1")
        check(self.samples >= 1, "samples", self.samples, "at least 1")
        check(len(self.threads) > 0, "threads", self.threads, "at least one number")
        for count in self.threads:
            check(count >= 0, "threads", count, "0 or more")


def measure(subject: Subject, config: TimeConfig) -> Iterator[Measured]:
    """Rows ``step_seconds`` and ``slice_seconds``: the median, and both quartiles.

    Flagged where other processes held the cores just before.
    """
    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0))
    try:
        for threads in dict.fromkeys(count or cores for count in config.threads):
            free = free_share(threads)
            torch.set_num_threads(threads)
            flag = f"busy machine: {free:.0%} of {threads} core(s) were free" if free < FREE else ""
            for row in _times(subject, config, threads):
                yield replace(row, flag=flag)
    finally:
        torch.set_num_threads(before)


def free_share(threads: int, seconds: float = 0.2) -> float:
    """Share of so many cores that this process gets when it asks for them, about 1 if all.

    Threads that wait for each other lose far more to a busy neighbour than its share.
    """
    torch.set_num_threads(1)
    matrix = torch.rand(128, 128)

    def work() -> float:
        started, used = time.perf_counter(), time.thread_time()
        while time.perf_counter() - started < seconds:
            for _ in range(20):
                torch.mm(matrix, matrix)
        return (time.thread_time() - used) / (time.perf_counter() - started)

    with ThreadPoolExecutor(threads) as pool:
        return (
            sum(future.result() for future in [pool.submit(work) for _ in range(threads)]) / threads
        )


def _times(subject: Subject, config: TimeConfig, threads: int) -> Iterator[Measured]:
    condition = {"threads": threads, "repeats": config.repeats, "warm_up": config.warm_up}
    if subject.recipe.stages:
        method = copy.deepcopy(subject.method).train()  # steps change parameters
        step = TrainingStep(method, subject.recipe)
        batch = sample_batch(subject.task, subject.batch_size, "fit")
        batch = on_device(batch, torch.device(subject.device))
        seconds = _repeat(lambda: step(batch), subject.device, config)
        sized = {**condition, "batch": subject.batch_size}
        yield from _rows("step_seconds", seconds, "fit", sized)
    count = min(config.samples, len(subject.task.samples("test")))
    batches = [subject.batch("test", [index]) for index in range(count)]

    def reconstruct() -> None:
        with torch.no_grad():
            for batch in batches:
                subject.method.reconstruct(batch.y, batch.physics)

    seconds = [value / count for value in _repeat(reconstruct, subject.device, config)]
    yield from _rows("slice_seconds", seconds, "evaluate", {**condition, "samples": count})


def _repeat(run: Callable[[], None], device: str, config: TimeConfig) -> list[float]:
    found = []
    for number in range(config.warm_up + config.repeats):
        started = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        if number >= config.warm_up:
            found.append(time.perf_counter() - started)
    return found


def _rows(
    metric: str, seconds: list[float], phase: str, condition: dict[str, int]
) -> Iterator[Measured]:
    low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    for statistic, value in (("median", median), ("quartile 1", low), ("quartile 3", high)):
        how = {**condition, "statistic": statistic}
        yield Measured(metric, float(value), "s", phase, how)
