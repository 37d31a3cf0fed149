"""The largest batch that a training step fits into a GPU of a given size."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.errors import InputError
from bench.measure.cuda_memory import verified
from bench.measure.memory import predict_peak, steps
from bench.measure.question import Measured, Subject
from bench.reconstructor import check

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
MOST = 4096


def parse_size(text: str) -> int:
    """``24GB`` or ``22.5 GiB`` as bytes; GB is 10^9.

    Raises:
        InputError: it is no positive number with a unit.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([A-Za-z]+)\s*", text)
    if match is None or match[2].upper() not in UNITS or float(match[1]) <= 0:
        raise InputError(f"{text!r} is no size", expected="a number and GB or GiB, as 24GB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def largest_batch(peak: Callable[[int], int], limit: int, most: int = MOST) -> int:
    """The largest batch whose ``peak`` is at most ``limit`` bytes, 0 if none fits.

    ``peak`` grows with the batch, nearly as a straight line: a few calls are enough.
    """
    first = peak(1)
    if first > limit:
        return 0
    fits, above = 1, most + 1  # the smallest that is known not to fit, or past the end
    guess, calls = 2, 0
    while above - fits > 1:
        found, calls = peak(guess), calls + 1
        if found <= limit:
            fits = guess
        else:
            above = guess
        slope = max(1, (found - first) // (guess - 1))
        line = 1 + (limit - first) // slope
        if calls > 8:  # not straight at all: halve what is left
            line = (fits + above) // 2
        guess = min(max(line, fits + 1), above - 1)
    return fits


def even_batch(largest: int, least: int = 1) -> int:
    """The papers' definition: the largest even batch, or 1; below ``least`` nothing (0)."""
    chosen = largest - largest % 2 if largest >= 2 else largest
    return chosen if chosen >= least else 0


@dataclass(frozen=True)
class BatchSizeConfig:
    """Largest batches by GPU.

    Attributes:
        gpus: sizes.
        reserve: of each GPU for the CUDA context and workspaces, which are not predicted.
        least: the smallest batch that the papers' definition counts (MRI in LUSER's Table 3: 2).
        iterations: of every fixed point.
        most: larger batches are not looked for.
    """

    gpus: tuple[str, ...] = ("8GB", "10GB", "24GB", "80GB")
    reserve: str = "0.5GB"
    least: int = 1
    iterations: int = 3
    most: int = MOST

    def __post_init__(self) -> None:
        for text in (*self.gpus, self.reserve):
            parse_size(text)
        for text in self.gpus:
            fits = parse_size(text) > parse_size(self.reserve)
            check(fits, "gpus", text, f"more than the reserve of {self.reserve}")
        check(len(self.gpus) > 0, "gpus", self.gpus, "at least one size")
        check(self.least >= 1, "least", self.least, "at least 1")
        check(self.iterations >= 1, "iterations", self.iterations, "at least 1")
        check(self.most >= 1, "most", self.most, "at least 1")


def measure(subject: Subject, config: BatchSizeConfig) -> Iterator[Measured]:
    """Rows ``largest_batch`` and ``largest_even_batch`` (the papers'), a GPU size each."""
    for step in steps(subject, ("fit",), config.iterations):

        @functools.cache
        def peak(size: int, step: Any = step) -> int:
            return predict_peak(subject.method, subject.task, size, step, subject.recipe)

        for gpu in config.gpus:
            limit = parse_size(gpu) - parse_size(config.reserve)
            found = largest_batch(peak, limit, config.most)
            condition = {
                "gpu": gpu,
                "reserve": config.reserve,
                "penalty": step.penalty and subject.recipe.penalty_weight > 0,
                "iterations": config.iterations,
                "how": "predicted",
                "most": config.most,
            }
            yield Measured("largest_batch", found, "samples", "fit", condition)
            papers = {**condition, "least": config.least}
            yield Measured(
                "largest_even_batch", even_batch(found, config.least), "samples", "fit", papers
            )
            if subject.device != "cpu":
                yield verified(subject, step, found, limit, condition)
