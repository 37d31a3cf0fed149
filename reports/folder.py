"""Everything in a results folder, indexed by job."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError
from bench.storage.frames import load_jobs, load_rows
from bench.storage.job_table import checked_jobs
from bench.store import load_suites
from bench.text_input import parse_json

if TYPE_CHECKING:
    import pandas as pd

Point = tuple[str, str, float]  # subject, sample, value


@dataclass(frozen=True)
class Reading:
    """A row of a measurement; ``value`` is nan where it was not finite."""

    job: str
    metric: str
    value: float
    unit: str
    phase: str
    condition: Mapping[str, Any]
    subject: str | None
    sample: str | None
    flag: str


@dataclass(frozen=True)
class Folder:
    """Everything in a results folder, indexed by job.

    Attributes:
        evaluations: (job, condition, metric) -> its points.
        traces: (fit job, metric) -> (optimiser step, value), by step.
        finals: (fit job, metric) -> value, of the rows without a step.
        readings: measuring job -> its rows; they stand nowhere else but in ``rows``.
    """

    directory: Path
    rows: pd.DataFrame
    jobs: Mapping[str, Mapping[str, Any]]
    suites: Mapping[str, Mapping[str, Any]]
    evaluations: Mapping[tuple[str, str, str], Sequence[Point]]
    traces: Mapping[tuple[str, str], Sequence[tuple[int, float]]]
    finals: Mapping[tuple[str, str], float]
    readings: Mapping[str, Sequence[Reading]]


def load_folder(directory: Path) -> Folder:
    """Read a results folder.

    Raises:
        InputError: if it has no rows, or belongs to no suite.
    """
    suites = load_suites(directory)
    for name, table in suites.items():
        checked_jobs(table, f"{directory}: suite {name}")
    rows = load_rows(directory)
    if rows.empty:
        raise InputError("no rows", where=str(directory), expected="at least one finished job")
    if not suites:
        raise InputError("no suite", where=str(directory), expected="suites/NAME.json")
    jobs = {
        record["job"]: _without_nan(record) for record in load_jobs(directory).to_dict("records")
    }
    measured = rows["job"].isin([key for key, job in jobs.items() if job.get("kind") == "measure"])
    evaluated = rows[(rows["phase"] == "evaluate") & ~measured]
    fitted = rows[(rows["phase"] == "fit") & ~measured].sort_values("step", kind="stable")
    stepped = fitted[fitted["step"].notna()]
    final = fitted[fitted["step"].isna()]
    return Folder(
        directory=directory,
        rows=rows,
        jobs=jobs,
        suites=suites,
        evaluations=_points(evaluated),
        traces=_traces(stepped),
        finals={
            (str(job), str(metric)): float(value)
            for job, metric, value in zip(
                final["job"], final["metric"], final["value"], strict=True
            )
        },
        readings=_readings(rows[measured]),
    )


def _traces(rows: pd.DataFrame) -> dict[tuple[str, str], list[tuple[int, float]]]:
    traces: dict[tuple[str, str], list[tuple[int, float]]] = {}
    columns = ("job", "metric", "step", "value")
    for job, metric, step, value in zip(*(rows[name].tolist() for name in columns), strict=True):
        traces.setdefault((str(job), str(metric)), []).append((int(step), float(value)))
    return traces


def _points(rows: pd.DataFrame) -> dict[tuple[str, str, str], list[Point]]:
    points: dict[tuple[str, str, str], list[Point]] = {}
    canonical = {
        text: json.dumps(_condition(text), sort_keys=True) for text in set(rows["condition"])
    }
    columns = ("job", "condition", "metric", "subject", "sample", "value")
    for job, condition, metric, subject, sample, value in zip(
        *(rows[name].tolist() for name in columns), strict=True
    ):
        key = (job, canonical[condition], metric)
        points.setdefault(key, []).append((str(subject), str(sample), float(value)))
    return points


def _readings(rows: pd.DataFrame) -> dict[str, list[Reading]]:
    conditions = {text: _condition(text) for text in set(rows["condition"])}
    found: dict[str, list[Reading]] = {}
    columns = ("job", "metric", "value", "unit", "phase", "condition", "subject", "sample", "flag")
    for job, metric, value, unit, phase, condition, subject, sample, flag in zip(
        *(rows[name].tolist() for name in columns), strict=True
    ):
        names = [part if isinstance(part, str) else None for part in (subject, sample)]
        reading = Reading(
            job, metric, float(value), unit, phase, conditions[condition], names[0], names[1], flag
        )
        found.setdefault(job, []).append(reading)
    return found


def _condition(text: str) -> dict[str, Any]:
    found = parse_json(text or "{}", "condition of a row", "an object")
    if not isinstance(found, dict):
        raise InputError(f"{text!r}", where="condition of a row", expected="an object")
    return found


def _without_nan(record: Mapping[Any, Any]) -> dict[str, Any]:
    """A job's fields; pandas fills those that only other jobs have with NaN."""
    return {
        str(key): value
        for key, value in record.items()
        if value is not None and not (isinstance(value, float) and math.isnan(value))
    }
