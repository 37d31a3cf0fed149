"""The one seam between jobs and whatever places them: a job as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.store import Result, Store

# a job that floods its log does not fill the disk: beyond the limit, its beginning is kept
LOG_LIMIT, LOG_KEPT = 10_000_000, 1_000_000


@dataclass(frozen=True)
class Placement:
    """Where and how a job runs: nothing here changes its numbers.

    Attributes:
        data: folder of datasets.
        device: ``cpu`` or ``cuda``.
        threads: of a job.
        timeout: seconds a job.
        plugins: files with more methods.
        deterministic: on CUDA, only algorithms that give the same bits every time.
    """

    data: Path | None = None
    device: str = "cpu"
    threads: int = 1
    timeout: float | None = None
    plugins: tuple[Path, ...] = ()
    deterministic: bool = False

    def arguments(self) -> list[str]:
        """As ``python -m bench.jobs`` takes them."""
        words = ["--device", self.device, "--threads", str(self.threads)]
        if self.data is not None:
            words += ["--data", str(self.data)]
        if self.deterministic:
            words += ["--deterministic"]
        return words + [word for plugin in self.plugins for word in ("--plugin", str(plugin))]


@dataclass
class JobProcess:
    """A job that runs, in its own process group."""

    key: str
    store: Store
    timeout: float | None
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)

    def poll(self) -> Result | None:
        """How it ended, None while it runs; one that takes too long is killed."""
        _trim(self.store.folder(self.key) / "log.txt")
        late = self.timeout is not None and time.monotonic() - self.started > self.timeout
        if self.process.poll() is None and not late:
            return None
        self.kill()  # and whatever it has started itself
        result = self.store.result(self.key)
        if result is None or late:
            result = self._failure(late)
            self.store.write_result(self.key, result)
        return result

    def kill(self) -> None:
        """End the whole process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _failure(self, late: bool) -> Result:
        """A process that ended without saying how: its last words, or the signal that ended it."""
        seconds = time.monotonic() - self.started
        if late:
            return Result("timeout", f"stopped after {self.timeout:g} s", seconds)
        code = self.process.returncode
        if code < 0:
            return Result("killed", f"by {signal.Signals(-code).name}", seconds)
        lines = (self.store.folder(self.key) / "log.txt").read_text(errors="replace").splitlines()
        last = lines[-1][:500] if lines else "nothing in its log"
        return Result("error", f"exit code {code} without a result: {last}", seconds)


def run_job(
    key: str, store: Store, placement: Placement, variables: Mapping[str, str] | None = None
) -> JobProcess:
    """Start a job as its own process in its own process group; its output goes to its log.

    Args:
        variables: of its environment, beside this process's.
    """
    command = [sys.executable, "-m", "bench.jobs", str(store.root), key, *placement.arguments()]
    threads = str(placement.threads)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "EQUIBENCH_PARENT": str(os.getpid()),
        **(variables or {}),
    }
    if not store.finished(key):  # how an earlier attempt ended
        (store.folder(key) / "result.json").unlink(missing_ok=True)
    with (store.folder(key) / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return JobProcess(key, store, placement.timeout, process)


def _trim(log: Path) -> None:
    """The job appends, so that what it writes next stands after what is kept."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            os.truncate(log, LOG_KEPT)
            with log.open("ab") as file:
                file.write(b"\n[the log grew too long: what stood here is left out]\n")
