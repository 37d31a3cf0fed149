"""A suite -> a graph of jobs with content keys."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config import nearest
from bench.errors import InputError
from bench.jobs.spec import Job
from bench.planning.axes import place_of, used, varied_along
from bench.planning.entries import OpenTask, PlannedMethod
from bench.planning.measurements import ONE_CORE, Fitted, Machine, measurements
from bench.planning.resolve import resolved
from bench.planning.suite import MethodEntry, ScaleName, Suite
from bench.registry import method_class
from bench.store import UNAVAILABLE


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
    axes: Sequence[str] = (),
    skip_bad: bool = False,
    machine: Machine = ONE_CORE,
    scale: ScaleName | None = None,
    pretrained: bool = False,
) -> Plan:
    """The graph of jobs.

    Args:
        data: folder that the tasks' file names are relative to.
        seeds: instead of the suite's training seeds.
        only, exclude: patterns of method labels.
        axes: to vary, of the suite's; with the lines that they depart from. None: all of it.
        skip_bad: leave subjects out whose files cannot be used; splits and keys follow.
        machine: what measurements are made on.
        scale: instead of the suite's own.
        pretrained: load checkpoints of the package instead of training, where there are any.

    Raises:
        InputError: whatever is wrong with a method, task or setting, before any work.
    """
    suite = resolved(suite, data, scale, pretrained)
    tasks = {
        label: OpenTask(suite, label, entry, data, skip_bad) for label, entry in suite.tasks.items()
    }
    entries = _selected(suite, only, exclude, axes)
    _require_known(suite, entries, tasks)
    graph, fitted = _Graph(), []
    for entry in entries:
        for train_on in suite.train_on if entry.train_on is None else entry.train_on:
            tested = entry.test_on or suite.test_on or [train_on]
            if entry.unavailable:
                graph.leave_out(entry, train_on, tested)
                continue
            method = PlannedMethod(suite, entry, tasks[train_on], data)
            for seed in seeds or entry.seeds or suite.seeds:
                labels = {**_labels(entry), "train_task": train_on, "train_seed": seed}
                *backbones, fit = method.fits(seed)
                fitted.append(Fitted(entry.shown_as, method, fit, tuple(tested), labels))
                if not suite.train:
                    continue
                for job in backbones:
                    graph.add(job, "backbone", **labels, test_task=None)
                graph.add(fit, "fit", **labels, test_task=None)
                for test_on in tested:
                    job = method.evaluate(tasks[test_on], fit)
                    graph.add(job, "evaluate", **labels, test_task=test_on)
    for measurement in measurements(suite, fitted, tasks, machine):
        graph.add(measurement.job, "measure", **measurement.labels)
    table = {
        "name": suite.name,
        "title": suite.title,
        "note": suite.note,
        "scale": suite.scale,
        "published": [table.model_dump() for table in suite.published],
        "figures": [figure.model_dump() for figure in suite.figures],
        "axes": _axes(suite, fitted),
        "methods": [entry.shown_as for entry in suite.methods],
        "tasks": {label: task.describe() for label, task in tasks.items()},
        "jobs": graph.rows,
    }
    return Plan(suite, graph.jobs, table)


class _Graph:
    """Jobs by key, parents first, and where the suite's table shows each of them."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.rows: list[dict[str, Any]] = []

    def add(self, job: Job, kind: str, **labels: Any) -> None:
        self.jobs[job.key] = job
        self.rows.append({"job": job.key, "kind": kind, "question": None, **labels})

    def leave_out(self, entry: MethodEntry, train_on: str, test_on: Sequence[str]) -> None:
        """Lines without jobs, for what is unavailable."""
        method_class(entry.name)
        row = {"job": UNAVAILABLE, "kind": "evaluate", **_labels(entry), "train_task": train_on}
        row |= {"train_seed": 0, "question": None}
        self.rows += [{**row, "test_task": label} for label in test_on]


def _labels(entry: MethodEntry) -> dict[str, Any]:
    return {
        "method": entry.shown_as,
        "variant": entry.variant or "",
        "base": entry.base,
        "settings": entry.settings,
        "published": entry.published,
    }


def _axes(suite: Suite, fitted: Sequence[Fitted]) -> dict[str, Any]:
    """Each axis, and where every method that it varies stands on it as it is."""
    varied = {(entry.base, name) for entry in suite.methods for name in entry.settings}
    unvaried = {one.label: one.method for one in fitted if not one.labels["settings"]}
    bases = {label: method.fields() for label, method in unvaried.items()}
    return {
        name: {
            "title": suite.axes[name].title or name,
            "field": suite.axes[name].field,
            "settings": list(suite.axes[name].named()),
            "base": {
                label: place_of(suite.axes[name], fields)
                for label, fields in bases.items()
                if (label, name) in varied
            },
        }
        for name in used(suite)
    }


def _require_known(suite: Suite, entries: Sequence[MethodEntry], tasks: Mapping[str, Any]) -> None:
    labels = [*suite.train_on, *suite.test_on]
    labels += [label for measured in suite.measure for label in measured.tasks or ()]
    for entry in entries:
        labels += [*(entry.train_on or ()), *(entry.test_on or ())]
    for label in labels:
        if label not in tasks:
            raise InputError(
                f"unknown task label {label!r}",
                where=f"suite {suite.name}",
                expected=nearest(label, tasks),
            )


def _selected(
    suite: Suite, only: Sequence[str], exclude: Sequence[str], axes: Sequence[str]
) -> list[MethodEntry]:
    def matches(entry: MethodEntry, patterns: Sequence[str]) -> bool:
        names = (entry.name, entry.shown_as, entry.base)
        return any(fnmatch.fnmatch(name, pattern) for name in names for pattern in patterns)

    chosen = [
        entry
        for entry in (varied_along(suite, axes) if axes else suite.methods)
        if (not only or matches(entry, only)) and not matches(entry, exclude)
    ]
    if not chosen:
        raise InputError(
            "no method is left by --only, --exclude and --axis",
            where=f"suite {suite.name}",
            expected="one of " + ", ".join(entry.name for entry in suite.methods),
        )
    return chosen
