"""Where the suites of a results folder stand, seen from outside: any process may ask, any time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engines.slurm import queued
from bench.errors import InputError
from bench.store import UNAVAILABLE, Store, load_suites

RUNNING, QUEUED, TO_DO = "running", "queued", "to do"


@dataclass(frozen=True)
class JobStatus:
    """A job of a suite.

    Attributes:
        name: kind or question, method, and the task it is about.
        state: how it ended (``ok``, ``diverged``, ...), or ``running``, ``queued``, ``to do``.
        detail: the error, or how far it has come.
    """

    job: str
    name: str
    state: str
    detail: str = ""


def suites_of(directory: Path) -> dict[str, list[JobStatus]]:
    """Every job of every suite of a results folder, by the suite's name.

    Raises:
        InputError: no suite was run into it.
    """
    suites = load_suites(directory)
    if not suites:
        raise InputError("no suite was run into it", where=str(directory), expected="results")
    store, waiting = Store(directory), queued(directory) or set()
    return {
        name: [
            _job(store, key, row, waiting)
            for key, row in {row["job"]: row for row in reversed(table["jobs"])}.items()
            if key != UNAVAILABLE
        ][::-1]
        for name, table in suites.items()
    }


def counts(jobs: list[JobStatus]) -> dict[str, int]:
    """How many stand where."""
    return dict(Counter(job.state for job in jobs))


def _job(store: Store, key: str, row: dict[str, Any], waiting: set[str]) -> JobStatus:
    name = shown_name(row)
    if store.held(key):
        share, text = store.progress(key)
        return JobStatus(key, name, RUNNING, f"{share:.0%} {text}".rstrip())
    result = store.result(key)
    if result is not None and not (key in waiting and not store.finished(key)):
        return JobStatus(key, name, result.status, result.error)
    return JobStatus(key, name, QUEUED if key in waiting else TO_DO)


def shown_name(row: dict[str, Any]) -> str:
    """A job of a suite's table, as people call it."""
    target = row["test_task"] or row["train_task"]
    kind = row["question"] if row["kind"] == "measure" else row["kind"]
    return f"{kind} {row['method']} on {target}"
