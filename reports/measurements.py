"""What a suite's measurements have found, by question, line and task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.statistics import Scores, summarise_scores
from reports.ablations import main_lines
from reports.folder import Reading
from reports.suite_results import Line, SuiteResults


@dataclass(frozen=True)
class Answer:
    """Everything that one question has found of a line on a task.

    Attributes:
        readings: of the jobs that ended well; a method that a question says nothing of has none.
        seeds: training seed of each job that ended well.
        asked: number of jobs.
        status: empty if every job ended well, else how the first that did not ended.
        machine: device class and threads that were asked for.
        hardware: what it ran on.
    """

    line: Line
    task: str
    readings: tuple[Reading, ...]
    seeds: dict[str, int]
    asked: int
    status: str
    machine: str
    hardware: str

    def of(self, metric: str, phase: str = "", **condition: Any) -> list[Reading]:
        """Readings of a metric, of a phase, whose condition has these settings."""
        return [
            reading
            for reading in self.readings
            if reading.metric == metric
            and (not phase or reading.phase == phase)
            and all(reading.condition.get(name) == value for name, value in condition.items())
        ]

    @property
    def reservation(self) -> str:
        """What the numbers leave out."""
        ended = len(self.seeds)
        return f" ({ended} of {self.asked} seeds; {self.status})" if self.status else ""

    def scores(self, readings: Sequence[Reading]) -> dict[tuple[str, str, int], float]:
        """(subject, sample, training seed) -> value; what is not finite is left out."""
        return {
            (reading.subject or "", reading.sample or "", self.seeds[reading.job]): reading.value
            for reading in readings
            if math.isfinite(reading.value)
        }

    def mean(self, readings: Sequence[Reading]) -> float | None:
        """Over subjects, each subject's samples and training seeds first."""
        return mean_of(self.scores(readings))


def answers(results: SuiteResults, question: str) -> list[Answer]:
    """By task, then by line, in the suite's order; nothing where the question was not asked."""
    jobs: dict[tuple[str, Line], list[str]] = {}
    for entry in results.entries:
        if entry.kind == "measure" and entry.question == question and entry.test_task is not None:
            keys = jobs.setdefault((entry.test_task, results.line_of(entry)), [])
            if entry.job not in keys:
                keys.append(entry.job)
    tasks = {task.label: place for place, task in enumerate(results.test_tasks)}
    lines = {line: place for place, line in enumerate(results.lines)}

    def place(wanted: tuple[str, Line]) -> tuple[int, int]:
        return tasks.get(wanted[0], len(tasks)), lines.get(wanted[1], len(lines))

    return [_answer(results, *wanted, jobs[wanted]) for wanted in sorted(jobs, key=place)]


def as_they_are(results: SuiteResults, found: Sequence[Answer]) -> list[Answer]:
    """Of methods as they are, which figures have room for; all, if there are only settings."""
    kept = set(main_lines(results))
    return [answer for answer in found if answer.line in kept]


def _answer(results: SuiteResults, task: str, line: Line, keys: Sequence[str]) -> Answer:
    ended = [key for key in keys if results.status(key) == "ok"]
    machines = (_machine(results, key) for key in keys)
    hardware = (_hardware(results, key) for key in ended)
    return Answer(
        line=line,
        task=task,
        readings=tuple(one for key in ended for one in results.folder.readings.get(key, ())),
        seeds={key: results.seed(key) for key in ended},
        asked=len(keys),
        status=results.failure(line, keys, task),
        machine=" / ".join(dict.fromkeys(text for text in machines if text)),
        hardware=" / ".join(dict.fromkeys(text for text in hardware if text)),
    )


def _machine(results: SuiteResults, key: str) -> str:
    settings = results.job(key).get("settings") or {}
    device, threads = settings.get("device_class"), settings.get("threads")
    if not device:
        return ""
    return f"{device}, {threads} thread{'' if threads == 1 else 's'}"


def _hardware(results: SuiteResults, key: str) -> str:
    environment = results.job(key).get("environment") or {}
    device = str(environment.get("device") or "")
    return str(environment.get("processor") or "CPU") if device == "cpu" else device


def mean_of(scores: Scores) -> float | None:
    """Over subjects, each subject's samples and training seeds first; None of nothing."""
    return summarise_scores(scores).mean if scores else None


def largest(readings: Sequence[Reading]) -> float | None:
    """The largest finite value."""
    return max((one.value for one in readings if math.isfinite(one.value)), default=None)
