"""What a suite's answer figures name: a number of every line, from images, measurements, fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reports.measurements import Answer, answers, mean_of
from reports.suite_results import Line, SuiteResults
from reports.tables.memory import smallest_batch, training_peak

LABELS = {
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "nfe": "nFE a slice",
    "lipschitz_jacobian": "Jacobian norm at the reconstruction",
    "lipschitz_ball": "estimate in the ball",
    "lipschitz_sphere": "estimate on the sphere",
    "fit.train_seconds": "training time [s]",
    "fit.best_validation_psnr": "best validation PSNR [dB]",
    "task.acceleration": "acceleration",
    "memory/predicted_peak": "predicted peak of a training step [MB]",
    "basin/end_distance": "distance of the end point, relative",
    "condition.distance": "distance of the start from the fixed point, relative",
    "guarantees/worst_gain": "worst gain found",
    "guarantees/penalty_acts": "share of training images\nat which the penalty acts",
}
_MEASURED = re.compile(r"(?P<question>[\w-]+)/(?P<metric>\w+)(\[(?P<formula>.+)\])?")


@dataclass(frozen=True)
class Point:
    """A line on a task; ``x`` is a word where the axis has words."""

    line: Line
    task: str
    x: float | str
    y: float


def points(results: SuiteResults, x: str, y: str) -> Iterator[Point]:
    """Every line and task that has both numbers; several where x is a condition of y."""
    measured = _Measured(results)
    for task in results.test_tasks:
        for line in results.lines:
            if x.startswith("condition."):
                found = measured.by_condition(line, task.label, y, x.removeprefix("condition."))
                yield from (Point(line, task.label, at, value) for at, value in found.items())
                continue
            here = _place(results, measured, line, task.label, x)
            value = _number(results, measured, line, task.label, y)
            if here is not None and value is not None:
                yield Point(line, task.label, here, value)


def label(results: SuiteResults, name: str) -> str:
    """What an axis of the figure is called."""
    if name in results.axes:
        return str(results.axes[name].get("title") or name)
    bound = _MEASURED.fullmatch(name)
    if bound and bound["formula"]:
        return f"bound {bound['formula']}"
    return LABELS.get(name, name)


def place_on(results: SuiteResults, line: Line, axis: str) -> str | None:
    """Where a line stands on an axis of the suite; None: not on it."""
    for entry in results.entries:
        if results.line_of(entry) == line:
            known = results.axes[axis].get("base") or {}
            others = {name for name, _ in entry.settings} - {axis}
            return None if others else dict(entry.settings).get(axis) or known.get(line.method)
    return None


def _place(
    results: SuiteResults, measured: _Measured, line: Line, task: str, x: str
) -> float | str | None:
    if x in results.axes:
        shown = place_on(results, line, x)
        return None if not shown else _as_number(shown)
    if x.startswith("task."):
        value = results.tasks[task].config.get(x.removeprefix("task."))
        return None if value is None else _as_number(str(value))
    return _number(results, measured, line, task, x)


def _number(
    results: SuiteResults, measured: _Measured, line: Line, task: str, name: str
) -> float | None:
    if name.startswith("fit."):
        finals = results.folder.finals
        values = [finals.get((key, name.removeprefix("fit."))) for key in results.fits(line)]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None
    if _MEASURED.fullmatch(name):
        return measured.mean(line, task, name)
    summary = results.outcome(line, task, name).summary
    return summary.mean if summary else None


def _as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


class _Measured:
    """Answers to the questions that are asked for, looked up by line and task."""

    def __init__(self, results: SuiteResults) -> None:
        self.results = results
        self._found: dict[str, dict[tuple[Line, str], Answer]] = {}

    def mean(self, line: Line, task: str, name: str) -> float | None:
        answer, metric, condition = self._answer(line, task, name)
        if answer is None:
            return None
        if metric == "predicted_peak":
            peak = training_peak(answer, smallest_batch([answer]))
            return None if peak is None else peak / 1e6
        return _mean(answer, answer.of(metric, **condition))

    def by_condition(self, line: Line, task: str, name: str, by: str) -> dict[float | str, float]:
        """Means by a condition's value, in its order."""
        answer, metric, _ = self._answer(line, task, name)
        if answer is None:
            return {}
        values = dict.fromkeys(one.condition.get(by) for one in answer.of(metric))
        means = {v: _mean(answer, answer.of(metric, **{by: v})) for v in values if v is not None}
        return {_as_number(str(v)): mean for v, mean in means.items() if mean is not None}

    def _answer(
        self, line: Line, task: str, name: str
    ) -> tuple[Answer | None, str, Mapping[str, Any]]:
        parts = _MEASURED.fullmatch(name)
        if parts is None:
            return None, "", {}
        question = parts["question"]
        if question not in self._found:
            found = answers(self.results, question)
            self._found[question] = {(one.line, one.task): one for one in found}
        condition = {"formula": parts["formula"]} if parts["formula"] else {}
        return self._found[question].get((line, task)), parts["metric"], condition


def _mean(answer: Answer, readings: Any) -> float | None:
    """Over subjects, where a sample may have several readings (of draws): these first."""
    sums: dict[tuple[str, str, int], list[float]] = {}
    for one in readings:
        if one.value == one.value:
            place = (one.subject or "", one.sample or "", answer.seeds[one.job])
            sums.setdefault(place, []).append(one.value)
    return mean_of({place: sum(values) / len(values) for place, values in sums.items()})
