"""The results of one suite, looked up by the labels of its job table.

Rows on disk know nothing of suites, for suites share jobs: a suite's table names the jobs, and
method, tasks and seed are its labels for them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.statistics import Scores, Summary, summarise_scores
from bench.store import UNAVAILABLE
from reports.folder import Folder

OWN_STOP = "{}"
CONVERGED = '{"stop": "converged"}'
PENDING = ("not run", "not finished")  # what an outcome says of jobs that may still come


@dataclass(frozen=True)
class TaskInfo:
    """A task under the suite's label for it.

    ``published``: a paper's dataset and condition; ``fallback``: what stands in for which data.
    """

    label: str
    title: str
    name: str
    config: Mapping[str, Any]
    dataset: str
    protocol: str
    published: Mapping[str, str] = field(default_factory=dict)
    fallback: str = ""


@dataclass(frozen=True)
class Entry:
    """One line of the suite's job table; the tasks are labels.

    ``question``: of a measurement, else empty. ``published``: a paper's variant, where labels do
    not say it. ``base``, ``settings``: of an ablation, the label of the method as it is, and what
    was changed of it.
    """

    job: str
    kind: str
    method: str
    variant: str
    train_task: str | None
    test_task: str | None
    train_seed: int | None
    question: str = ""
    published: str = ""
    base: str = ""
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Line:
    """What tables have a line for: a method, trained on a task (None: not trained)."""

    method: str
    variant: str
    train_task: str | None


@dataclass(frozen=True)
class Outcome:
    """One metric of one line on one task, or why there is none.

    Attributes:
        summary: over subjects and training seeds; None without a number.
        status: empty if every job ended well, else how the first that did not ended.
        seeds, seeds_expected: jobs with numbers, and jobs asked for: one a training seed.
        samples: test samples of one seed.
        missing: values that were not finite; they are left out.
    """

    summary: Summary | None
    status: str
    seeds: int = 0
    seeds_expected: int = 0
    samples: int = 0
    missing: int = 0


class SuiteResults:
    """One suite of a results folder.

    ``trained_for``: where there are several training tasks, and what is tested on a task was always
    trained on the same one, which one that is; a method is then one line. Else empty.
    ``published``: (paper, table) of each published table that the suite is about. ``axes``: what
    its ablations vary, by name. ``figures``: that answer its question.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        table = folder.suites[name]
        self.folder, self.name = folder, name
        self.title, self.note = str(table.get("title") or name), str(table.get("note") or "")
        self.scale = str(table.get("scale") or "")
        self.axes: Mapping[str, Mapping[str, Any]] = table.get("axes") or {}
        self.figures: Sequence[Mapping[str, Any]] = table.get("figures") or ()
        named = table.get("published") or ()
        self.published = tuple((str(one["paper"]), str(one["table"])) for one in named)
        self.tasks = {label: _task(label, task) for label, task in table["tasks"].items()}
        self.entries = tuple(dict.fromkeys(_entry(record) for record in table["jobs"]))
        tested = {(e.test_task, e.train_task) for e in self.entries if e.kind == self.result_kind}
        pairs = {test: train for test, train in tested if test is not None and train is not None}
        several = len({train for _, train in tested}) > 1
        self.trained_for = pairs if several and len(pairs) == len(tested) else {}
        self._outcomes: dict[tuple[Line, str, str, str], Outcome] = {}
        self._by_place: dict[tuple[Line, str | None], list[str]] = {}
        self._seeds: dict[str, int] = {}
        self._bases = {self.line_of(e): e.base for e in self.entries if e.base}
        self._asked: dict[tuple[Line, str | None], set[int | None]] = {}
        for entry in self.entries:
            place = self.line_of(entry), entry.test_task
            self._asked.setdefault(place, set()).add(entry.train_seed)
            # a job under several seeds does not depend on them: the smallest stands for all
            seed = entry.train_seed or 0
            self._seeds[entry.job] = min(seed, self._seeds.get(entry.job, seed))
            if entry.kind in ("fit", "evaluate"):
                jobs = self._by_place.setdefault(place, [])
                if entry.job not in jobs:
                    jobs.append(entry.job)

    @property
    def result_kind(self) -> str:
        """Of the jobs that tables have lines for: evaluations, unless there are none."""
        there = {entry.kind for entry in self.entries}
        return next((kind for kind in ("evaluate", "measure", "fit") if kind in there), "fit")

    def line_of(self, entry: Entry) -> Line:
        """The line that a job belongs to."""
        return Line(entry.method, entry.variant, None if self.trained_for else entry.train_task)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """What is evaluated (or measured, or only trained), in the suite's order."""
        kind = self.result_kind
        return tuple(dict.fromkeys(self.line_of(e) for e in self.entries if e.kind == kind))

    @cached_property
    def test_tasks(self) -> tuple[TaskInfo, ...]:
        """The tasks that something is evaluated or measured on, in the order of the jobs."""
        # not in the order of `tasks`: JSON on disk has its keys sorted, and 10x is before 4x
        labels = dict.fromkeys(e.test_task for e in self.entries if e.kind == self.result_kind)
        return tuple(
            self.tasks[label] for label in labels if label is not None and label in self.tasks
        )

    @cached_property
    def train_tasks(self) -> tuple[str, ...]:
        """Labels of the tasks that something is trained on."""
        labels = dict.fromkeys(line.train_task for line in self.lines)
        return tuple(label for label in labels if label is not None and label in self.tasks)

    @cached_property
    def train_seeds(self) -> tuple[int, ...]:
        """Every training seed of the suite."""
        return tuple(sorted({e.train_seed for e in self.entries if e.train_seed is not None}))

    def seeds_of(self, line: Line) -> tuple[int, ...]:
        """Training seeds that the line is tested with; all of the suite's where nothing is trained.

        Lines may have fewer than the suite. What is measured without a fit does not count.
        """
        tested = (e for e in self.entries if e.kind == "evaluate" and self.line_of(e) == line)
        own = {e.train_seed for e in tested}
        return tuple(sorted(seed for seed in own if seed is not None))

    def label(self, line: Line) -> str:
        """The method's label, with its variant where the suite has several under one label."""
        variants = {other.variant for other in self.lines if other.method == line.method}
        return f"{line.method}, {line.variant}" if len(variants) > 1 else line.method

    def method_name(self, line: Line) -> str:
        """The registry's name, which the label may not say."""
        own = (e for e in self.entries if self.line_of(e) == line and e.kind != "backbone")
        jobs = [self.job(e.job) for e in own]
        return next((str(job["method"]) for job in jobs if job.get("method")), line.method)

    def base_of(self, line: Line) -> str:
        """The label of the method that a line of an ablation is a setting of; else its own."""
        return self._bases.get(line) or self.label(line)

    def long_label(self, line: Line) -> str:
        """The label, with the training task where the suite trains on several."""
        several = len(self.train_tasks) > 1 and line.train_task is not None
        return f"{self.label(line)} (trained on {line.train_task})" if several else self.label(line)

    def fits(self, line: Line) -> list[str]:
        """The line's training jobs, one a seed (and a task, where each has its own)."""
        return self._by_place.get((line, None), [])

    def trained_on(self, task: str) -> SuiteResults:
        """The same, with the fits on one task only."""
        other = copy.copy(self)
        kept = {e.job for e in self.entries if e.kind == "fit" and e.train_task == task}
        other._by_place = {
            place: [job for job in jobs if place[1] is not None or job in kept]
            for place, jobs in self._by_place.items()
        }
        other.train_tasks = (task,)
        return other

    def evaluations(self, line: Line, task: str) -> list[str]:
        """The line's test jobs on a task, one a seed (or one for each condition of a seed)."""
        return self._by_place.get((line, task), [])

    def job(self, key: str) -> Mapping[str, Any]:
        """A job as it ran; with status ``not run`` if it never did."""
        missing = UNAVAILABLE if key == UNAVAILABLE else "not run"
        return self.folder.jobs.get(key) or {"job": key, "status": missing}

    def status(self, key: str) -> str:
        """How a job ended."""
        return str(self.job(key).get("status") or "not finished")

    def seed(self, key: str) -> int:
        """The training seed that a job's numbers count for."""
        return self._seeds[key]

    def failed(self) -> list[Entry]:
        """Every entry whose job did not end well, trainings first: what they caused follows."""
        there = [entry for entry in self.entries if entry.job != UNAVAILABLE]
        bad = [entry for entry in there if self.status(entry.job) != "ok"]
        first = {entry.job: entry for entry in reversed(bad)}
        unique = [entry for entry in bad if first[entry.job] is entry]
        return sorted(
            unique, key=lambda entry: (self.status(entry.job) == "blocked", entry.kind != "fit")
        )

    def outcome(self, line: Line, task: str, metric: str, condition: str = OWN_STOP) -> Outcome:
        """A metric of the test samples, under one condition."""
        wanted = (line, task, metric, condition)
        if wanted not in self._outcomes:
            self._outcomes[wanted] = self._outcome(*wanted)
        return self._outcomes[wanted]

    def scores(self, line: Line, task: str, metric: str, condition: str = OWN_STOP) -> Scores:
        """Every value of the test jobs that ended well, finite or not."""
        # what a failed job left behind is no result
        keys = [key for key in self.evaluations(line, task) if self.status(key) == "ok"]
        return {
            (subject, sample, self._seeds[key]): value
            for key in keys
            for subject, sample, value in self.folder.evaluations.get((key, condition, metric), ())
        }

    def fit_statuses(self, line: Line, task: str) -> dict[int, str]:
        """How the trainings behind the line's tests on a task ended, by training seed."""
        trained = self.trained_on(self.trained_for[task]) if task in self.trained_for else self
        return {self._seeds[key]: self.status(key) for key in trained.fits(line)}

    def _outcome(self, line: Line, task: str, metric: str, condition: str) -> Outcome:
        scores = self.scores(line, task, metric, condition)
        finite = {place: value for place, value in scores.items() if math.isfinite(value)}
        return Outcome(
            summary=summarise_scores(finite) if finite else None,
            status=self.failure(line, self.evaluations(line, task), task),
            seeds=len({seed for *_, seed in finite}),
            seeds_expected=self._expected(line, task),
            samples=len({place[:2] for place in scores}),
            missing=len(scores) - len(finite),
        )

    def _expected(self, line: Line, task: str) -> int:
        return min(len(self._asked.get((line, task), ())), len(self.evaluations(line, task)))

    def failure(self, line: Line, keys: Sequence[str], task: str) -> str:
        """How the first of a line's jobs on a task that did not end well ended; empty if none."""
        for key in keys:
            status = self.status(key)
            if status == "blocked":  # say by what
                causes = self.fit_statuses(line, task).values()
                cause = next((cause for cause in causes if cause != "ok"), "")
                return f"blocked: fit {cause}" if cause else status
            if status != "ok":
                return status
        return ""


def _task(label: str, task: Mapping[str, Any]) -> TaskInfo:
    column = task.get("published") or {}
    return TaskInfo(
        label=label,
        title=str(task.get("title") or label),
        name=str(task.get("name") or ""),
        config=task.get("config") or {},
        dataset=str(task.get("dataset") or ""),
        protocol=str(task.get("protocol") or ""),
        published={name: str(value) for name, value in column.items() if value is not None},
        fallback=str(task.get("fallback") or ""),
    )


def _entry(record: Mapping[str, Any]) -> Entry:
    seed = record.get("train_seed")
    return Entry(
        job=record["job"],
        kind=record["kind"],
        method=str(record["method"]),
        variant=str(record.get("variant") or ""),
        train_task=record.get("train_task"),
        test_task=record.get("test_task"),
        train_seed=None if seed is None else int(seed),
        question=str(record.get("question") or ""),
        published=str(record.get("published") or ""),
        base=str(record.get("base") or ""),
        settings=tuple((str(k), str(v)) for k, v in (record.get("settings") or {}).items()),
    )
