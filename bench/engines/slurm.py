"""Jobs in the queue of a Slurm cluster, as arrays, by submitit.

What was submitted is written down before it is, and every task carries the name of its record: a
coordinator that is started again finds the tasks of the one before it, and submits none twice.
What ended is read from the results, and never from submitit's own pickles.

    DIR/slurm/name              of all tasks of this folder: `scancel --name=...` ends them
    DIR/slurm/RECORD.json       the groups of jobs of one array
    DIR/slurm/logs/             submitit's files
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engines import slurm_queue
from bench.engines.process import Placement
from bench.engines.slurm_config import SlurmConfig
from bench.engines.slurm_task import JobGroup, final
from bench.errors import InputError
from bench.jobs.spec import Job
from bench.jobs.work import work
from bench.store import Result, Store, read_json, write_atomic, write_json

CHUNK = 1000  # tasks an array; Slurm's usual limit is 1001
GRACE = 5.0  # seconds until a result that a node has written is seen here
REQUEUES = 100  # of a task at the end of its time


@dataclass
class _Task:
    """Jobs that have no result yet, of a task that was submitted."""

    keys: list[str]
    gone: float | None = None  # when it was first missing from the queue


class SlurmEngine:
    """Places jobs in the queue.

    Raises:
        InputError: no Slurm here, or no submitit.
    """

    def __init__(self, store: Store, placement: Placement, config: SlurmConfig) -> None:
        if importlib.util.find_spec("submitit") is None:
            expected = "pip install 'equibench[slurm]'"
            raise InputError("submitit is not installed", where="--engine slurm", expected=expected)
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            expected = "a node that submits to a cluster"
            raise InputError("no sbatch or srun here", where="--engine slurm", expected=expected)
        self.store, self.placement, self.config = store, placement, config
        self.folder = store.root.resolve() / "slurm"
        self.started: dict[str, float] = {}
        self.ready: list[Job] = []
        self.tasks: dict[str, _Task] = {}
        self.looked = 0.0

    @property
    def running(self) -> Mapping[str, float]:
        return self.started

    @property
    def interrupted(self) -> str:
        return (
            "jobs in the queue go on, and the same command finds them again "
            f"(to end them: scancel --name={_name(self.folder)})"
        )

    def adopt(self, keys: Iterable[str]) -> list[str]:
        """Jobs of an earlier coordinator's tasks that wait or run."""
        wanted = set(keys)
        for id_, group in _alive(self.folder):
            known = [key for key in group if key in wanted and not final(self.store.result(key))]
            if known:
                self.tasks[id_] = _Task(known)
                self.started |= dict.fromkeys(known, time.monotonic())
        if not self.tasks:  # what submitit carried to the nodes and back
            for path in (self.folder / "logs").glob("*.pkl"):
                path.unlink(missing_ok=True)
        return list(self.started)

    def accepts(self, job: Job) -> bool:
        """Any kind: what is timed gets a node for itself."""
        return len(self.started) < self.config.most

    def start(self, job: Job) -> None:
        """It is submitted with the others of this round."""
        if not self.store.finished(job.key):  # how an earlier attempt ended
            (self.store.folder(job.key) / "result.json").unlink(missing_ok=True)
        self.started[job.key] = time.monotonic()
        self.ready.append(job)

    def ended(self) -> list[tuple[str, Result]]:
        self._submit()
        if time.monotonic() - self.looked < self.config.poll:
            return []
        self.looked = time.monotonic()
        found = [*self._final(), *self._lost()]
        for key, _ in found:
            del self.started[key]
        return found

    def stop(self) -> None:
        """Tasks stay in the queue; the records of those that have ended go."""
        alive = {key for task in self.tasks.values() for key in task.keys}
        for path, record in _records(self.folder):
            if not alive & {key for group in record["groups"] for key in group}:
                path.unlink(missing_ok=True)

    # ------------------------------------------------------------------ submission

    def _submit(self) -> None:
        jobs, self.ready = self.ready, []
        for alone in (False, True):
            groups = list(_groups([j for j in jobs if j.alone == alone], self.config.group, alone))
            for first in range(0, len(groups), CHUNK):
                self._submit_array(groups[first : first + CHUNK], alone)

    def _submit_array(self, groups: Sequence[Sequence[str]], alone: bool) -> None:
        record, name = uuid.uuid4().hex[:12], _name(self.folder)
        write_json(self.folder / f"{record}.json", {"groups": [list(group) for group in groups]})
        parameters = {**self.config.parameters(self.placement), "comment": record}
        parameters |= {"job_name": name, **({"exclusive": True} if alone else {})}
        root = self.store.root.resolve()
        try:
            ids = _sbatch(
                self.folder / "logs",
                parameters,
                [JobGroup(root, group, self.placement) for group in groups],
            )
        except InputError:
            (self.folder / f"{record}.json").unlink(missing_ok=True)
            raise
        for id_, group in zip(ids, groups, strict=True):
            self.tasks[id_] = _Task(list(group))

    # ------------------------------------------------------------------ endings

    def _final(self) -> Iterator[tuple[str, Result]]:
        """Results that stand, whatever the queue says."""
        for id_, task in list(self.tasks.items()):
            for key in list(task.keys):
                result = final(self.store.result(key))
                if result is not None:
                    task.keys.remove(key)
                    yield key, result
            if not task.keys:
                del self.tasks[id_]

    def _lost(self) -> Iterator[tuple[str, Result]]:
        """Jobs whose task has left the queue, and that did not say how they ended."""
        try:
            states = {task.id: task for task in slurm_queue.tasks(_name(self.folder))}
        except slurm_queue.Unreachable:
            return
        gone: dict[str, str] = {}
        for id_, task in self.tasks.items():
            if id_ in states and states[id_].alive:
                task.gone = None
            elif task.gone is None:
                task.gone = time.monotonic()
            elif time.monotonic() - task.gone > GRACE:
                gone[id_] = states[id_].state if id_ in states else ""
        known = slurm_queue.last_states([id_ for id_, state in gone.items() if not state])
        for id_, state in gone.items():
            for key in self.tasks.pop(id_).keys:
                result = self.store.result(key)
                if result is None:
                    result = _failure(id_, state or known.get(id_, ""))
                    self.store.write_result(key, result)
                yield key, result


def queued(root: Path) -> set[str] | None:
    """Jobs of a results folder that are in Slurm's queue; None if Slurm does not answer."""
    folder = root.resolve() / "slurm"
    if not (folder / "name").is_file():
        return set()
    try:
        return {key for _, group in _alive(folder) for key in group}
    except InputError:
        return None


def _alive(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Tasks that wait or run, with the jobs of each."""
    records = {path.stem: record["groups"] for path, record in _records(folder)}
    if not records:
        return
    try:
        tasks = slurm_queue.tasks(_name(folder))
    except slurm_queue.Unreachable as error:
        raise InputError(
            f"the queue cannot be read ({error})", where="squeue", expected="a Slurm that answers"
        ) from error
    for task in tasks:
        if task.alive and task.comment in records:
            yield task.id, records[task.comment][task.index]


def _sbatch(logs: Path, parameters: Mapping[str, Any], groups: Sequence[JobGroup]) -> list[str]:
    """Submit an array, a task a group. Raises InputError with Slurm's own words."""
    import submitit

    try:
        executor = submitit.SlurmExecutor(logs, max_num_timeout=REQUEUES)
        executor.update_parameters(**parameters)
        # submitit repeats what sbatch says; it is in the error
        with contextlib.redirect_stderr(io.StringIO()), executor.batch():
            submitted = [executor.submit(group) for group in groups]
        return [str(job.job_id) for job in submitted]
    except Exception as error:  # submitit's own, and what sbatch says
        said = " ".join(str(getattr(error, "stderr", None) or error).split())[-300:]
        expected = "a submission that Slurm takes"
        raise InputError(said, where="sbatch", expected=expected) from error


def _records(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob("[!.]*.json")):
        with contextlib.suppress(InputError):  # removed, or of a submission that was not made
            yield path, read_json(path)


def _name(folder: Path) -> str:
    """One for all tasks of a results folder, wherever it is moved to."""
    path = folder / "name"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, f"equibench-{uuid.uuid4().hex[:8]}".encode())
    return path.read_text().strip()


def _groups(jobs: Sequence[Job], most: float, alone: bool) -> Iterator[list[str]]:
    """Short jobs together, up to so much work; one that is timed by itself."""
    group: list[str] = []
    total = 0.0
    for job in sorted(jobs, key=work):
        if group and (alone or total + work(job) > most):
            yield group
            group, total = [], 0.0
        group.append(job.key)
        total += work(job)
    if group:
        yield group


def _failure(id_: str, state: str) -> Result:
    status = slurm_queue.STATUSES.get(state, "killed")
    return Result(
        status, f"Slurm task {id_} left the queue without a result ({state or 'unknown'})"
    )
