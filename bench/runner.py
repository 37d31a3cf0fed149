"""Run a plan: missing jobs, parents first, with whatever fails leaving its siblings alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.engines.contract import Engine
from bench.engines.local import LocalEngine
from bench.engines.process import Placement
from bench.environment import device_class
from bench.errors import InputError
from bench.jobs.work import work
from bench.planning.measurements import Machine
from bench.planning.plan import Plan, expand
from bench.planning.suite import ScaleName
from bench.planning.suite_files import load
from bench.storage.files import remove_leftovers
from bench.store import Result, Store

DEFAULT_ROOT = Path("results/runs")


@dataclass
class Outcome:
    """How the jobs of a run ended: key to status; ``cached`` were there before."""

    directory: Path
    statuses: dict[str, str] = field(default_factory=dict)
    cached: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every job ended well."""
        return all(status == "ok" for status in self.statuses.values())


@dataclass(frozen=True)
class State:
    """Where a run stands, for whoever shows it."""

    done: float
    running: tuple[str, ...]
    seconds_left: float | None
    ended: tuple[tuple[str, Result], ...] = ()


Watcher = Callable[[State], None]


def run_suite(
    suite: str,
    out: str | Path | None = None,
    data: str | Path | None = None,
    *,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    axes: Sequence[str] = (),
    device: str = "cpu",
    workers: int | None = None,
    threads: int = 1,
    timeout: float | None = None,
    scale: ScaleName | None = None,
    pretrained: bool = False,
) -> Outcome:
    """Run a suite by name or path into a results folder; what is there already is not repeated.

    Raises:
        InputError: for anything wrong with the suite or the folders, before any work.
    """
    folder = Path(data) if data else data_folder()
    machine = Machine(device_class(device), threads)
    asked = (load(suite), folder, seeds, only, exclude, axes)
    plan = expand(*asked, machine=machine, scale=scale, pretrained=pretrained)
    store = Store(Path(out) if out else DEFAULT_ROOT / plan.suite.name)
    placement = Placement(folder, device, threads, timeout)
    return run(plan, store, LocalEngine(store, placement, workers or default_workers(threads)))


def data_folder() -> Path | None:
    """``EQUIBENCH_DATA``, if it is set."""
    given = os.environ.get("EQUIBENCH_DATA")
    return Path(given) if given else None


def default_workers(threads: int) -> int:
    """As many jobs as there are cores for their threads."""
    return max(1, len(os.sched_getaffinity(0)) // threads)


def run(
    plan: Plan,
    store: Store,
    engine: Engine,
    watch: Watcher = lambda state: None,
) -> Outcome:
    """Run every job of the plan that has not finished in the store."""
    store.create()
    with store.lock():
        for folder in (store.root, store.root / "suites", store.root / "slurm"):
            remove_leftovers(folder)
        previous = store.suites().get(plan.suite.name, {})
        store.write_suite(plan.suite.name, _with_earlier_jobs(plan.table, previous, store))
        try:
            return _Run(plan, store, engine, watch).to_the_end()
        except InputError:
            raise
        except OSError as error:  # a folder that is gone
            raise InputError(
                f"cannot be written ({error.strerror}): what is done is kept",
                where=str(error.filename or store.root),
                expected="room, and permission to write",
            ) from error
        finally:
            engine.stop()


def _with_earlier_jobs(
    table: dict[str, Any], previous: Mapping[str, Any], store: Store
) -> dict[str, Any]:
    """The suite's table, and what an earlier run of other methods or seeds has finished.

    A label means the newest job under it: what the suite has redefined since is left out.
    """
    names = ("kind", "question", "method", "train_task", "test_task", "train_seed")

    def place(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(name) for name in names)

    new = {place(row) for row in table["jobs"]}
    known = {None, *table["tasks"]}
    kept = [
        row
        for row in previous.get("jobs", [])
        if place(row) not in new
        and row["method"] in table["methods"]
        and {row["train_task"], row["test_task"]} <= known
        and store.finished(row["job"])
    ]
    order = {name: place for place, name in reversed(list(enumerate(table["methods"])))}
    rows = sorted((*table["jobs"], *kept), key=lambda row: order[row["method"]])
    earlier = previous.get("axes", {})
    axes = {  # methods of this run say where they stand; others stand where they did
        name: {**axis, "base": earlier.get(name, {}).get("base", {}) | axis["base"]}
        for name, axis in table["axes"].items()
    }
    return {**table, "axes": axes, "jobs": rows}


class _Run:
    def __init__(self, plan: Plan, store: Store, engine: Engine, watch: Watcher) -> None:
        self.plan, self.store, self.engine, self.watch = plan, store, engine, watch
        self.outcome, self.shown = Outcome(store.root), 0.0
        self.waiting: list[str] = []  # what is timed last: it runs alone
        for key in sorted(plan.jobs, key=lambda key: plan.jobs[key].alone):
            result = store.result(key)
            if result is not None and store.finished(key):
                self._end(key, result)
                self.outcome.cached.add(key)
            else:
                self.waiting.append(key)
        self.estimate = _Estimate(plan, store, self.waiting)
        adopted = set(engine.adopt(self.waiting))
        self.waiting = [key for key in self.waiting if key not in adopted]

    def to_the_end(self) -> Outcome:
        self._block_children()
        while self.waiting or self.engine.running:
            self._start_what_is_ready()
            ended = self.engine.ended()
            for key, result in ended:
                self._end(key, result)
            if ended:
                self._block_children()
            self._show(ended)
            if not ended:
                time.sleep(0.1)
        return self.outcome

    def _start_what_is_ready(self) -> None:
        for key in list(self.waiting):
            job = self.plan.jobs[key]
            if any(self.outcome.statuses.get(parent) != "ok" for parent in job.requires):
                continue
            if not self.engine.accepts(job):
                return  # one after the other: a large one is not starved by small ones
            self.waiting.remove(key)
            self.store.write_job(key, job.describe())
            self.engine.start(job)

    def _show(self, ended: Sequence[tuple[str, Result]]) -> None:
        """Twice a second at most, and less often where many progress files are to be read."""
        now, running = time.monotonic(), self.engine.running
        if ended or now - self.shown > max(0.5, len(running) / 200):
            self.shown = now
            self.watch(self.estimate.state(running, self.outcome, ended))

    def _end(self, key: str, result: Result) -> None:
        self.outcome.statuses[key] = result.status
        if result.status != "ok":
            self.outcome.errors[key] = result.error

    def _block_children(self) -> None:
        for key in list(self.waiting):
            job = self.plan.jobs[key]
            failed = [p for p in job.requires if self.outcome.statuses.get(p, "ok") != "ok"]
            if failed:
                self.waiting.remove(key)
                parent = self.plan.jobs[failed[0]]
                result = Result("blocked", f"{parent.kind} of {parent.method} ({failed[0]}) failed")
                self.store.write_job(key, job.describe())
                self.store.write_result(key, result)
                self._end(key, result)


class _Estimate:
    """The time left, from the work done so far and what running jobs say of themselves."""

    def __init__(self, plan: Plan, store: Store, waiting: Sequence[str]) -> None:
        self.store, self.started = store, time.monotonic()
        self.work = {key: work(plan.jobs[key]) for key in waiting}
        self.total = sum(self.work.values())

    def state(
        self,
        running: Mapping[str, float],
        outcome: Outcome,
        ended: Sequence[tuple[str, Result]],
    ) -> State:
        """Done as a share of all work, and the time left: at the pace so far, or what the slowest
        running job needs at its own pace if that is longer.
        """
        finished = sum(units for key, units in self.work.items() if key in outcome.statuses)
        shares = {key: self.store.progress(key)[0] for key in running}
        partial = sum(self.work[key] * share for key, share in shares.items())
        done = (finished + partial) / self.total if self.total else 1.0
        now = time.monotonic()
        paces = [(now - self.started, done)]
        paces += [(now - begun, shares[key]) for key, begun in running.items()]
        known = [seconds * (1 - share) / share for seconds, share in paces if share > 0.02]
        left = max(known) if done > 0.02 else None
        return State(done, tuple(shares), left, tuple(ended))
