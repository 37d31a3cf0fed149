"""The rows of a suite's jobs, under the labels of its table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.errors import InputError
from bench.storage.job_table import checked_jobs, require_key
from bench.store import UNAVAILABLE, Row, Store, load_suites

# of methods whose weights were there before, and of those that the run trained
Section = Literal["given", "trained"]


class Labels(NamedTuple):
    """A job in the suite's table; empty where it has no such label."""

    method: str
    train_task: str
    test_task: str
    train_seed: int
    kind: str
    question: str


class Place(NamedTuple):
    """What a number is of. The fields are the columns, after the job's labels."""

    job: Labels
    split: str
    subject: str
    sample: str
    phase: str
    step: int | None
    condition: str
    metric: str
    unit: str

    @property
    def order(self) -> tuple[object, ...]:
        """What lines are sorted by."""
        return tuple(-1 if part is None else part for part in self)


Values = dict[Place, float]


@dataclass(frozen=True)
class Results:
    """What a run of a suite has to compare.

    Attributes:
        values: of jobs that ended well; NaN where they were not finite.
        sections: of these jobs: whether the weights that they need were there before the run.
        failed: of the others: how they ended.
        names: of the registry's methods behind each label.
    """

    values: Values = field(default_factory=dict)
    sections: dict[Labels, Section] = field(default_factory=dict)
    failed: dict[Labels, str] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)


def read_results(directory: Path, suite: str | None = None) -> Results:
    """The rows of a suite's jobs, under its labels.

    Raises:
        InputError: no rows, rows of another schema, or several suites and none named.
    """
    suites = load_suites(directory)
    if suite is None and len(suites) == 1:
        (suite,) = suites
    if suite not in suites:
        what = "no suite was run into it" if not suites else f"suites {', '.join(suites)}"
        raise InputError(what, where=str(directory), expected="one; name it with --suite")
    store, results = Store(directory), Results()
    for line in checked_jobs(suites[suite], f"{directory}: suite {suite}"):
        if line["job"] != UNAVAILABLE:
            try:
                _read_job(store, line, results)
            except (KeyError, TypeError, RecursionError) as error:
                where = str(store.folder(line["job"]))
                what = f"is damaged: {type(error).__name__} {error}"
                raise InputError(what, where=where, expected="what `run` wrote") from error
    if not results.values and not results.failed:
        raise InputError("no rows", where=str(directory), expected="a folder that `run` has filled")
    return results


def _read_job(store: Store, line: Mapping[str, Any], results: Results) -> None:
    job = Labels._make("" if line.get(name) is None else line[name] for name in Labels._fields)
    result = store.result(line["job"])
    if result is None or result.status != "ok":
        how = f"{result.status}: {result.error}" if result else "not finished"
        results.failed[job] = how.rstrip(": ")
        return
    if job.kind != "backbone":
        results.names.setdefault(job.method, set()).add(store.read_job(line["job"])["method"])
    if results.sections.get(job) != "trained":  # several questions may stand under one label
        results.sections[job] = "given" if _given(store, line["job"]) else "trained"
    path = store.folder(line["job"]) / "rows.jsonl"
    rows = [Row(**record) for record in store.records(line["job"])]
    for number, row in enumerate(rows, start=1):
        place = Place(
            job,
            row.split,
            row.subject or "",
            row.sample or "",
            row.phase,
            row.step,
            row.condition,
            row.metric,
            row.unit,
        )
        if place in results.values:
            raise InputError(
                f"{group(place)} stands for two numbers",
                where=f"{path}, line {number}",
                expected="a label of its own for every method of the suite",
            )
        results.values[place] = math.nan if row.value is None else row.value


def _given(store: Store, key: str, above: tuple[str, ...] = ()) -> bool:
    """Whether neither the job nor what it builds on has trained anything."""
    require_key(key, " <- ".join(above) or key)
    if key in above:
        raise InputError("builds on itself", where=f"job {key}", expected="jobs that were before")
    job = store.read_job(key)
    if job["kind"] == "fit" and job["settings"]["recipe"]["stages"]:
        return False
    return all(_given(store, parent, (*above, key)) for parent in job["requires"])


def group(place: Place) -> str:
    """What its samples and steps share, in words."""
    condition = "" if place.condition == "{}" else f" {place.condition}"
    return f"{job_text(place.job)}, {place.phase}: {place.metric}{condition}"


def job_text(job: Labels) -> str:
    """A job in words."""
    task = job.test_task or job.train_task
    task = task if task == job.train_task else f"{job.train_task} -> {task}"
    seed = f", seed {job.train_seed}" if job.train_seed else ""
    return f"{job.method} on {task}{seed}, {job.question or job.kind}"
