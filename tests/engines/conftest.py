"""Jobs that are nothing but what a test wants them to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench.engines import local
from bench.engines.process import JobProcess, Placement
from bench.jobs.spec import Job
from bench.planning.plan import expand
from bench.planning.suite import Suite
from bench.store import Result, Store

NOTHING = Suite(
    name="nothing",
    tasks={"small": {"task": "mri-multicoil", "config": {"size": 32, "coils": 3}}},
    train_on=["small"],
    methods=["zero-filled"],
)
# what a job does when all is well
OK = "store.write_rows(key, []); store.write_result(key, Result('ok'))"
Script = Callable[[Job], str]


@pytest.fixture(scope="session")
def a_job() -> Job:
    """Any; others are made of it by their seed."""
    return next(iter(expand(NOTHING).jobs.values()))


@pytest.fixture
def jobs(a_job: Job) -> Callable[[int], list[Job]]:
    def make(count: int) -> list[Job]:
        return [replace(a_job, train_seed=seed) for seed in range(count)]

    return make


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """Jobs run a few lines of Python instead of ``bench.jobs``; everything else is as it is."""

    def use(script: Script) -> None:
        def run_job(
            key: str, store: Store, placement: Placement, variables: Mapping[str, str] | None = None
        ) -> JobProcess:
            lines = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from bench.store import Result, Store
from pathlib import Path
store, key = Store(Path({str(store.root)!r})), {key!r}
folder = store.folder(key)
{script(Job.read(store.read_job(key)))}
"""
            with (store.folder(key) / "log.txt").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-c", lines],
                    stdout=log,
                    stderr=log,
                    env=dict(variables or {}),
                    start_new_session=True,
                )
            return JobProcess(key, store, placement.timeout, process)

        monkeypatch.setattr(local, "run_job", run_job)

    return use


def place(engine: local.LocalEngine, jobs: list[Job], store: Store) -> dict[int, Result]:
    """Run them all, as a run would, and say how each seed's job ended."""
    store.create()
    waiting, found = list(jobs), {}
    seeds = {job.key: job.train_seed for job in jobs}
    while waiting or engine.running:
        while waiting and engine.accepts(waiting[0]):
            job = waiting.pop(0)
            store.write_job(job.key, job.describe())
            engine.start(job)
        found |= {seeds[key]: result for key, result in engine.ended()}
    return found
