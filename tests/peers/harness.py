"""What the harness costs: starts of processes, memory of a step, a worker beside another."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import bench
from bench.measure.live_bytes import count_peak
from tests.measure.test_live_bytes import ONE_ITERATION, gradient_step, implicit, problem
from tests.peers.comparison import Comparison, times_as_fast

STARTS = 5
METHODS = ("mol*", "mnm-mol", "luser-sw", "sense")  # of quick, for the workers


def rows() -> Iterator[Comparison]:
    """Starts, memory, workers."""
    yield _import()
    yield _start_of_a_job()
    yield _memory()
    yield _workers()


def _import() -> Comparison:
    command = [sys.executable, "-c", "import bench"]
    bare = _seconds([sys.executable, "-c", "pass"])
    said = f"an empty interpreter takes {bare:.2f} s of it"
    return Comparison("import bench", "-", _seconds(command), 0.5, "at most", "s", said)


def _start_of_a_job() -> Comparison:
    """Everything that a job's process imports before it works."""
    command = [sys.executable, "-c", "import bench.jobs.__main__, bench.registry as r; r.methods()"]
    return Comparison("Start of a job's process", "-", _seconds(command), 3.0, "at most", "s")


def _seconds(command: list[str]) -> float:
    taken = []
    for _ in range(STARTS):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _memory() -> Comparison:
    """Bytes of a step of MOL-LR, 64x64, 64 features: counted, nothing to do with a clock."""
    deq, unrolled = (
        count_peak(gradient_step, *problem(64, config), fake=True)
        for config in (implicit("anderson", "picard"), ONE_ITERATION)
    )
    said = f"{deq / 1e6:.2f} MB against {unrolled / 1e6:.2f} MB"
    work = "Peak bytes of a training step, MOL-LR, 64x64, 64 features"
    return Comparison(work, "one unrolled iteration", deq / unrolled, 1.05, "at most", detail=said)


def _workers() -> Comparison:
    taken = {}
    for workers in (2, 1):
        folder = Path(tempfile.mkdtemp(prefix="equibench-workers-"))
        start = time.perf_counter()
        bench.run_suite("quick", folder, only=METHODS, workers=workers, threads=1)
        taken[workers] = time.perf_counter() - start
        shutil.rmtree(folder)
    work = "quick (SENSE, MOL, MnM-MOL, LUSER-SW), two workers of one thread"
    return times_as_fast(work, "one worker of one thread", taken[2], taken[1], 1.7)
