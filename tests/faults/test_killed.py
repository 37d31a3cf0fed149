"""Processes are killed at random moments; what is left is finished, and equal bit for bit.

The long form, 100 kills: `make soak`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from bench.store import Store
from tests.program import numbers, run, start

# a training that is killed has something to go on from
OFTEN = {"EQUIBENCH_SAVE_SECONDS": "0.2"}


def jobs_of(folder: Path) -> list[int]:
    """Processes of jobs in this folder."""
    found = subprocess.run(["pgrep", "-f", f"bench.jobs {folder} "], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def saves(folder: Path) -> list[Path]:
    return list(folder.glob("jobs/*/resume.safetensors"))


def disturb(suite: Path, folder: Path, draw: random.Random, training: bool) -> str:
    """Start a run, kill a part of it after a while, and say what was killed."""
    workers = draw.choice((1, 2, 3))
    process = start("run", suite, "--out", folder, "--quiet", "--workers", workers, variables=OFTEN)
    if training:  # in the middle of one
        deadline = time.monotonic() + 60
        while not saves(folder) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(draw.uniform(0.0, 0.5))
    else:
        time.sleep(draw.uniform(1.0, 12.0))
    jobs, victim = jobs_of(folder), "coordinator"
    if process.poll() is not None:
        victim = "nothing (it had ended)"
    elif jobs and draw.random() < 0.4:
        victim = "job"
        os.kill(draw.choice(jobs), signal.SIGKILL)
        time.sleep(draw.uniform(0.0, 1.0))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 10
    while jobs_of(folder):
        assert time.monotonic() < deadline, "a job outlives whoever has started it"
        time.sleep(0.05)
    return victim


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_and_finished_equals_undisturbed(
    kills: int, sweep: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Whatever the number of workers and the order of the jobs, too."""
    draw, victims, resumed = random.Random(kills), Counter[str](), 0
    folder = tmp_path / "out"
    content = yaml.safe_load(sweep.read_text())
    content["methods"].reverse()
    backwards = tmp_path / "sweep.yaml"
    backwards.write_text(yaml.safe_dump(content))
    folders = []
    while victims["coordinator"] + victims["job"] < kills:
        training = not victims or draw.random() < 0.5
        victims[disturb(draw.choice((sweep, backwards)), folder, draw, training)] += 1
        if all(Store(folder).finished(key) for key in Store(undisturbed).jobs()):
            resumed += went_on(folder)
            folders.append(folder)
            folder = tmp_path / f"out-{len(folders)}"
    store = Store(folder)
    finished = {key: stamp(store, key) for key in store.jobs() if store.finished(key)}
    run("run", sweep, "--out", folder, "--quiet", "--workers", 2, variables=OFTEN)
    assert {key: stamp(store, key) for key in finished} == finished, "a finished job ran again"
    resumed += went_on(folder)
    assert resumed, "no training was killed after a save"
    for one in (*folders, folder):
        assert numbers(one).equals(numbers(undisturbed))
    assert not list(folder.rglob(".*.tmp")), "the run that finished it has left a temporary file"
    print(f"\nkilled: {dict(victims)}; {len(folders) + 1} sweeps equal bit for bit; ", end="")
    print(f"{resumed} trainings went on from a save")


def stamp(store: Store, key: str) -> int:
    return (store.folder(key) / "result.json").stat().st_mtime_ns


def went_on(folder: Path) -> int:
    """How often a training began at another step than the first."""
    logs = [path.read_text(errors="replace") for path in folder.glob("jobs/*/log.txt")]
    return sum(log.count("going on from step") for log in logs)


def test_two_coordinators_on_one_folder(sweep: Path, undisturbed: Path, tmp_path: Path) -> None:
    """One has it, the other is told; no row is lost, and none is there twice.

    Deterministic algorithms are those of the CPU anyway: the bits stay.
    """
    folder = tmp_path / "out"
    arguments = ("run", sweep, "--out", folder, "--quiet", "--deterministic")
    both = [start(*arguments) for _ in range(2)]
    ends = [(process.communicate(timeout=560)[1], process.returncode) for process in both]
    assert sorted(code for _, code in ends) == [0, 2], ends
    message = next(errors for errors, code in ends if code == 2)
    assert "another run is writing to it" in message and message.count("\n") == 1
    assert numbers(folder).equals(numbers(undisturbed))
