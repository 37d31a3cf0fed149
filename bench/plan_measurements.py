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
from bench.planning import OpenTask, PlannedMethod
from bench.suite import MeasureEntry, Suite


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
    for number, entry in enumerate(suite.measure):
        asked = _Asked(suite, number, entry, machine)
        source = asked.config.get("transfer_from", "")
        if source and source not in {one.label for one in fitted}:
            raise InputError(
                f"unknown method {source!r}",
                where=f"{asked.where}.config.transfer_from",
                expected=nearest(source, [one.label for one in fitted]),
            )
        # what perturbations are taken from comes first, and is attacked by itself alone
        first = min((one.labels["train_seed"] for one in fitted), default=0)
        for one in sorted(fitted, key=lambda one: one.label != source):
            for label in one.tested:
                if entry.tasks is not None and label not in entry.tasks:
                    continue
                if one.labels["train_seed"] != first and not entry.every_seed:
                    continue
                job = asked.job(one, tasks[label], source, fitted)
                if job is not None:
                    labels = {**one.labels, "test_task": label, "question": entry.question}
                    yield Measurement(job, labels)


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

    def job(self, one: Fitted, task: OpenTask, source: str, fitted: Sequence[Fitted]) -> Job | None:
        """The question asked of a fit; None for methods that it is not asked of."""
        patterns = self.entry.methods
        if patterns and not any(fnmatch.fnmatch(one.label, pattern) for pattern in patterns):
            return None
        try:
            self.require(self.resolved, task.task)
        except InputError as error:
            raise InputError(str(error), where=self.where) from error
        others: list[str] = []
        config = dict(self.config)
        if source == one.label:
            config["transfer_from"] = ""
        elif source:
            same = ("train_task", "train_seed")
            for other in fitted:
                if other.label == source and all(
                    other.labels[name] == one.labels[name] for name in same
                ):
                    alone = self._settings({**config, "transfer_from": ""})
                    others.append(other.method.measure(task, other.fit, alone, ()).key)
        return one.method.measure(task, one.fit, self._settings(config), others)

    def _settings(self, config: dict[str, Any]) -> dict[str, Any]:
        return {
            "question": self.entry.question,
            "config": config,
            "device_class": self.machine.device,
            "threads": self.machine.threads,
        }
