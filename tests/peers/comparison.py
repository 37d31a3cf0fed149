"""One comparison: our time beside others' in the same run, and the goal that was set for it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Call = Callable[[], Any]


@dataclass(frozen=True)
class Comparison:
    """A line of the table.

    Attributes:
        work: what was done, with its sizes.
        against: whose.
        measured: a ratio, or seconds.
        goal: of it.
        sense: whether ``measured`` should be ``at least`` or ``at most`` the goal.
        unit: ``x`` for a ratio of medians, ``s`` for seconds.
        detail: what stands behind it.
    """

    work: str
    against: str
    measured: float | None
    goal: float
    sense: Literal["at least", "at most"]
    unit: Literal["x", "s"] = "x"
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """None where it could not be measured."""
        if self.measured is None:
            return None
        at_least = self.sense == "at least"
        return self.measured >= self.goal if at_least else self.measured <= self.goal


def seconds(calls: Mapping[str, Call], repeats: int = 15, warm_up: int = 2) -> dict[str, float]:
    """Median time of every call. They take turns, since the machine's speed drifts."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number >= warm_up:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def times_as_fast(
    work: str, against: str, ours: float, theirs: float, goal: float, detail: str = ""
) -> Comparison:
    """How many times as long they take."""
    said = f"{_time(ours)} against {_time(theirs)}" + (f"; {detail}" if detail else "")
    return Comparison(work, against, theirs / ours, goal, "at least", detail=said)


def times_the_cost(
    work: str, against: str, ours: float, theirs: float, goal: float, detail: str = ""
) -> Comparison:
    """How many times as long we take."""
    said = f"{_time(ours)} against {_time(theirs)}" + (f"; {detail}" if detail else "")
    return Comparison(work, against, ours / theirs, goal, "at most", detail=said)


def unavailable(work: str, against: str, goal: float, why: str) -> Comparison:
    """A peer that is not here: its line stays in the table and says so."""
    return Comparison(work, against, None, goal, "at least", detail=why)


def error(value: Any, truth: Any) -> float:
    """Relative difference of two tensors."""
    return float((value - truth).norm() / truth.norm())


def _time(value: float) -> str:
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
