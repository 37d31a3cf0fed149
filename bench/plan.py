"""A suite -> a graph of jobs with content keys."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import definitions
from bench.config import as_dict, build, nearest
from bench.errors import InputError
from bench.jobs.evaluate import EvaluateConfig
from bench.jobs.spec import Job
from bench.reconstructor import Recipe, Reconstructor
from bench.registry import create_task, method_class, task_class, variant_of
from bench.suite import MethodEntry, Suite, TaskEntry
from bench.task import Split, Task
from bench.training import TrainingConfig


@dataclass(frozen=True)
class Plan:
    """The jobs of a suite, parents before children, and the labels under which it shows them."""

    suite: Suite
    jobs: dict[str, Job]
    table: dict[str, Any]


def expand(
    suite: Suite,
    data: Path | None = None,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Plan:
    """The graph of jobs.

    Args:
        data: folder that the tasks' file names are relative to.
        seeds: instead of the suite's training seeds.
        only, exclude: patterns of method labels.

    Raises:
        InputError: whatever is wrong with a method, task or setting, before any work.
    """
    tasks = {label: _Open(suite, label, entry, data) for label, entry in suite.tasks.items()}
    for label in (*suite.train_on, *suite.test_on):
        if label not in tasks:
            raise InputError(
                f"unknown task label {label!r}",
                where=f"suite {suite.name}",
                expected=nearest(label, tasks),
            )
    jobs: dict[str, Job] = {}
    rows: list[dict[str, Any]] = []
    for entry in _selected(suite, only, exclude):
        method = _Method(suite, entry)
        for train_on in suite.train_on:
            for seed in seeds if seeds is not None else suite.seeds:
                fit = method.fit(tasks[train_on], seed)
                labels = {"method": method.label, "variant": fit.variant, "train_seed": seed}
                jobs[fit.key] = fit
                rows.append(
                    {
                        **labels,
                        "job": fit.key,
                        "kind": "fit",
                        "train_task": train_on,
                        "test_task": None,
                    }
                )
                for test_on in suite.test_on:
                    job = method.evaluate(tasks[test_on], fit)
                    jobs[job.key] = job
                    where = {"train_task": train_on, "test_task": test_on}
                    rows.append({**labels, "job": job.key, "kind": "evaluate", **where})
    table = {
        "name": suite.name,
        "title": suite.title,
        "note": suite.note,
        "methods": [entry.shown_as for entry in suite.methods],
        "tasks": {label: task.describe() for label, task in tasks.items()},
        "jobs": rows,
    }
    return Plan(suite, jobs, table)


class _Open:
    """A task of the suite, opened: a wrong field or a missing file shows before any work."""

    def __init__(self, suite: Suite, label: str, entry: TaskEntry, data: Path | None) -> None:
        self.where = where = f"suite {suite.name}: tasks.{label}"
        self.entry = entry
        cls: Any = task_class(entry.task, f"{where}.task")
        self.config = as_dict(build(cls.Config, entry.config, f"{where}.config"))
        self.seed = suite.data_seed
        try:
            self.task: Task = create_task(entry.task, data=data, data_seed=self.seed, **self.config)
            self.content = self.task.content_hash()
            self.task.verify()
        except InputError as error:
            raise InputError(str(error), where=where) from error

    def require(self, split: Split, count: int) -> None:
        """Refuse the task if the split has fewer samples than a fit needs."""
        if count and len(self.task.samples(split)) < count:
            have = f"{len(self.task.samples(split))} {split} samples"
            raise InputError(have, where=self.where, expected=f"at least {count} to fit on")

    def describe(self) -> dict[str, Any]:
        return {
            "title": self.entry.title,
            "name": self.entry.task,
            "config": self.config,
            "dataset": self.task.dataset_label,
            "protocol": str(self.task.protocol),
        }

    def fields(self) -> dict[str, Any]:
        return {
            "task": self.entry.task,
            "task_config": self.config,
            "data_seed": self.seed,
            "content": self.content,
            "split": self.task.split_sha256,
            "dataset_label": self.task.dataset_label,
            "protocol": str(self.task.protocol),
        }


class _Method:
    """A method of the suite with everything resolved: configuration, recipe, training."""

    def __init__(self, suite: Suite, entry: MethodEntry) -> None:
        where = f"suite {suite.name}: {entry.name}"
        self.cls = method_class(entry.name, f"suite {suite.name}: methods")
        variant = variant_of(self.cls, entry.variant, where)
        config = build(self.cls.Config, {**variant.config, **entry.config}, f"{where}.config")
        self.config = as_dict(config)
        self.method: Reconstructor = self.cls(config)
        recipe = {**as_dict(self.method.recipe()), **variant.recipe, **entry.recipe}
        training = {**suite.training, **entry.training}
        self.fitting = {
            "recipe": as_dict(build(Recipe, recipe, f"{where}.recipe")),
            "training": as_dict(build(TrainingConfig, training, f"{where}.training")),
        }
        if not recipe["stages"]:  # nothing is trained, so the length of training is not in the key
            self.fitting["training"] = as_dict(
                TrainingConfig(validation_samples=self.fitting["training"]["validation_samples"])
            )
        self.evaluating = as_dict(build(EvaluateConfig, suite.evaluate, f"{where}.evaluate"))
        self.variant = entry.variant or ""
        self.label = entry.shown_as

    def fit(self, task: _Open, seed: int) -> Job:
        trained = bool(self.fitting["recipe"]["stages"])
        searched = self.fitting["recipe"]["search"] is not None
        task.require("train", self.fitting["training"]["batch_size"] if trained else 0)
        task.require("validation", 1 if trained or searched else 0)
        seed = seed if trained else 0  # nothing depends on it otherwise
        return self._job(
            task, kind="fit", settings=self.fitting, train_seed=seed, roots=("bench.jobs.fit",)
        )

    def evaluate(self, task: _Open, fit: Job) -> Job:
        return self._job(
            task,
            kind="evaluate",
            settings=self.evaluating,
            train_seed=fit.train_seed,
            requires=(fit.key,),
            roots=("bench.jobs.evaluate",),
        )

    def _job(self, task: _Open, roots: tuple[str, ...], **fields: Any) -> Job:
        if not self.method.supports(task.task):
            raise InputError(
                f"{self.cls.name} does not support the task {task.entry.task}",
                expected=", ".join(self.cls.tasks),
            )
        modules = (self.cls.__module__, type(task.task).__module__, *roots)
        return Job(
            method=self.cls.name,
            config=self.config,
            variant=self.variant,
            bibtex=self.cls.bibtex,
            definitions=definitions.versions(modules),
            **task.fields(),
            **fields,
        )


def _selected(suite: Suite, only: Sequence[str], exclude: Sequence[str]) -> list[MethodEntry]:
    def matches(entry: MethodEntry, patterns: Sequence[str]) -> bool:
        names = (entry.name, entry.label)
        return any(fnmatch.fnmatch(name, pattern) for name in names for pattern in patterns)

    chosen = [
        entry
        for entry in suite.methods
        if (not only or matches(entry, only)) and not matches(entry, exclude)
    ]
    if not chosen:
        raise InputError(
            "no method is left by --only and --exclude",
            where=f"suite {suite.name}",
            expected="one of " + ", ".join(entry.name for entry in suite.methods),
        )
    return chosen
