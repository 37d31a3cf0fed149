"""Jobs as child processes of this one, each in its own process group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.store import Result, Store


@dataclass(frozen=True)
class Placement:
    """Where and how a job runs: nothing here changes its numbers."""

    data: Path | None = None
    device: str = "cpu"
    threads: int = 1
    timeout: float | None = None
    plugins: tuple[Path, ...] = ()


@dataclass
class Running:
    """A job's process."""

    key: str
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)


def run_job(key: str, store: Store, placement: Placement) -> Running:
    """Start a job as its own process in its own process group; its output goes to its log."""
    folder = store.folder(key)
    command = [sys.executable, "-m", "bench.jobs", str(store.root), key]
    command += ["--device", placement.device, "--threads", str(placement.threads)]
    if placement.data is not None:
        command += ["--data", str(placement.data)]
    for plugin in placement.plugins:
        command += ["--plugin", str(plugin)]
    threads = str(placement.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Running(key, process)


class LocalEngine:
    """Runs up to ``workers`` jobs at a time on this machine."""

    def __init__(self, store: Store, placement: Placement, workers: int) -> None:
        self.store, self.placement, self.workers = store, placement, workers
        self.running: list[Running] = []

    @property
    def free(self) -> int:
        """How many more jobs can be started now."""
        return self.workers - len(self.running)

    def start(self, key: str) -> None:
        """Start a job."""
        self.running.append(run_job(key, self.store, self.placement))

    def finished(self) -> list[tuple[str, Result]]:
        """The jobs that have ended since the last call, and how."""
        ended = []
        for job in list(self.running):
            limit = self.placement.timeout
            late = limit is not None and time.monotonic() - job.started > limit
            if job.process.poll() is None and not late:
                continue
            self.running.remove(job)
            if late:
                _kill(job)
            ended.append((job.key, self._result(job, late)))
        return ended

    def stop(self) -> None:
        """End all jobs and their children; a training goes on from its last save next time."""
        for job in self.running:
            _kill(job)
        self.running.clear()

    def _result(self, job: Running, late: bool) -> Result:
        result = self.store.result(job.key)
        if result is None or late:
            result = self._failure(job, late)
            self.store.write_result(job.key, result)
        return result

    def _failure(self, job: Running, late: bool) -> Result:
        """A process that ended without saying how: its last words, or the signal that ended it."""
        seconds = time.monotonic() - job.started
        if late:
            return Result("timeout", f"stopped after {self.placement.timeout:g} s", seconds)
        code = job.process.returncode
        if code < 0:
            return Result("killed", f"by {signal.Signals(-code).name}", seconds)
        lines = (self.store.folder(job.key) / "log.txt").read_text(errors="replace").splitlines()
        last = lines[-1][:500] if lines else "nothing in its log"
        return Result("error", f"exit code {code} without a result: {last}", seconds)


def _kill(job: Running) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job.process.pid, signal.SIGKILL)
    job.process.wait()
