"""The measurements that a suite asks for, of every fit on every task it is tested on."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.config import as_dict, build, nearest
from bench.errors import InputError
from bench.jobs.spec import Job
from bench.measure.questions import QUESTIONS
from bench.planning.entries import OpenTask, PlannedMethod
from bench.planning.suite import MeasureEntry, Suite


@dataclass(frozen=True)
class Machine:
    """What measurements depend on: a device class (``cpu``, or a GPU's name) and threads."""

    device: str = "cpu"
    threads: int = 1


ONE_CORE = Machine()


@dataclass(frozen=True)
class Fitted:
    """A fit of the plan, the tasks that it is tested on, and its labels in the suite's table."""

    label: str
    method: PlannedMethod
    fit: Job
    tested: tuple[str, ...]
    labels: Mapping[str, Any]


Place = tuple[str, str, int]  # label of the method, task and seed of its training
ByPlace = Mapping[Place, Sequence[Fitted]]


@dataclass(frozen=True)
class Measurement:
    """A job, and its labels in the suite's table."""

    job: Job
    labels: Mapping[str, Any]


def measurements(
    suite: Suite, fitted: Sequence[Fitted], tasks: Mapping[str, OpenTask], machine: Machine
) -> Iterator[Measurement]:
    """Jobs, those that others build on first.

    Raises:
        InputError: an unknown question, a wrong setting, or a threat model that the task does not
            have.
    """
    by_place: dict[Place, list[Fitted]] = {}
    for one in fitted:
        by_place.setdefault(_place(one.label, one), []).append(one)
    for number, entry in enumerate(suite.measure):
        asked = _Asked(suite, number, entry, machine)
        source = asked.config.get("transfer_from", "")
        if source and source not in {one.label for one in fitted}:
            raise InputError(
                f"{source!r} is not a method of this run",
                where=f"{asked.where}.config.transfer_from",
                expected=nearest(source, [one.label for one in fitted]),
            )
        planned: set[tuple[str, str]] = set()
        first = min((one.labels["train_seed"] for one in fitted), default=0)
        for one in fitted:
            for label in one.tested:
                if entry.tasks is not None and label not in entry.tasks:
                    continue
                if one.labels["train_seed"] != first and not entry.every_seed:
                    continue
                for measured, job in asked.jobs(one, label, tasks[label], by_place):
                    if (job.key, measured.label) not in planned:
                        planned.add((job.key, measured.label))
                        labels = {**measured.labels, "test_task": label}
                        yield Measurement(job, {**labels, "question": entry.question})


def _place(label: str, one: Fitted) -> Place:
    """Where a method's fit stands that is like this one but for the method."""
    return label, one.labels["train_task"], one.labels["train_seed"]


class _Asked:
    """An entry of the suite's list, resolved."""

    def __init__(self, suite: Suite, number: int, entry: MeasureEntry, machine: Machine) -> None:
        self.where = f"suite {suite.name}: measure.{number}"
        if entry.question not in QUESTIONS:
            raise InputError(
                f"unknown question {entry.question!r}",
                where=self.where,
                expected=nearest(entry.question, QUESTIONS),
            )
        self.entry, self.machine = entry, machine
        question = QUESTIONS[entry.question]
        if question.needs_fit and not suite.train:
            known = ", ".join(name for name, other in QUESTIONS.items() if not other.needs_fit)
            raise InputError(
                f"{entry.question} needs a fit, and the suite trains nothing",
                where=self.where,
                expected=f"of {known}, or train: true",
            )
        config = build(question.config(), entry.config, f"{self.where}.config")
        self.config = as_dict(config)
        module = importlib.import_module(question.module)
        self.require = getattr(module, "require_task", lambda config, task: None)
        self.resolved = config

    def jobs(
        self, one: Fitted, label: str, task: OpenTask, by_place: ByPlace
    ) -> Iterator[tuple[Fitted, Job]]:
        """The question asked of a fit, after the job that its perturbations are taken from.

        Nothing for methods that it is not asked of.
        """
        patterns = self.entry.methods
        if patterns and not any(fnmatch.fnmatch(one.label, pattern) for pattern in patterns):
            return
        try:
            self.require(self.resolved, task.task)
        except InputError as error:
            raise InputError(str(error), where=self.where) from error
        alone = dict(self.config)
        parents = []
        if source := alone.get("transfer_from"):
            alone["transfer_from"] = ""  # the source is attacked by itself
            if source != one.label:
                other = self._source(source, one, label, by_place)
                parents.append(other.method.measure(task, other.fit, self._settings(alone), ()))
                yield other, parents[0]
        config = self.config if parents else alone
        keys = [parent.key for parent in parents]
        yield one, one.method.measure(task, one.fit, self._settings(config), keys)

    def _source(self, source: str, one: Fitted, label: str, by_place: ByPlace) -> Fitted:
        """The source's fit on the same task, by the same seed."""
        for other in by_place.get(_place(source, one), ()):
            if label in other.tested:
                return other
        raise InputError(
            f"{source} is not tested on {label}, as {one.label} is",
            where=f"{self.where}.config.transfer_from",
            expected="a method of the same tasks, or `tasks` and `methods` of the question",
        )

    def _settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "question": self.entry.question,
            "config": dict(config),
            "device_class": self.machine.device,
            "threads": self.machine.threads,
        }
