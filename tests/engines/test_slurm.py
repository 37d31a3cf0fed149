"""A real Slurm: jobs go through its queue, and everything that happens to them there is noticed.

Where none answers, one is started for these tests by the scripts ``up`` and ``down`` in
``EQUIBENCH_SLURM`` (default ``../shared/slurm``); without those they are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import bench
from bench.engines.process import Placement
from bench.engines.slurm_config import SlurmConfig
from bench.errors import InputError
from bench.store import Store
from tests.program import numbers, run, start

pytestmark = pytest.mark.timeout(600)

SUITE: dict[str, Any] = {
    "name": "queued",
    "tasks": {"small": {"task": "mri-multicoil", "config": {"size": 32, "coils": 3}}},
    "train_on": ["small"],
    "methods": [
        "zero-filled",
        {
            "name": "modl",
            "config": {"width": 8, "depth": 3, "iterations": 3, "batch_norm": False, "bias": True},
        },
    ],
    "training": {"steps": 20, "validate_every": 10, "validation_samples": 2},
    "evaluate": {"samples": 2, "artifacts": 1},
}
OFTEN = {"EQUIBENCH_SAVE_SECONDS": "0.2"}
LONG = {"steps": 800, "validate_every": 400}


def answers() -> bool:
    found = shutil.which("sinfo")
    return bool(found) and subprocess.run(["sinfo"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def slurm(repo_root: Path) -> Iterator[None]:
    if answers():
        yield
        return
    given = os.environ.get("EQUIBENCH_SLURM")
    scripts = Path(given) if given else repo_root.parent / "shared" / "slurm"
    if os.geteuid() != 0 or not (scripts / "up").is_file():
        pytest.skip(f"no Slurm answers, and there is no {scripts}/up to start one as root")
    state = Path(tempfile.mkdtemp(prefix="equibench-slurm-"))  # pytest's folders are for one user
    state.chmod(0o755)
    # its output goes to a file: the daemons would keep a pipe open for ever
    with (state / "up.log").open("w") as log:
        up = subprocess.run([scripts / "up", state], stdout=log, stderr=log, timeout=300)
    if up.returncode:
        pytest.skip(f"{scripts}/up: {(state / 'up.log').read_text()[-300:]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(state / "slurm.conf"))
        yield
        subprocess.run([scripts / "down", state], capture_output=True, timeout=60)
    shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "queued.yaml"
    path.write_text(yaml.safe_dump(SUITE))
    return path


@pytest.fixture
def options(tmp_path: Path) -> list[Any]:
    """A task a job, and looks at the queue that are close together."""
    profile = tmp_path / "profile.yaml"
    profile.write_text("{poll: 0.5, group: 0}")
    return ["--engine", "slurm", "--slurm-profile", profile, "--memory", "1GB"]


def queue(folder: Path, form: str, *more: str) -> list[str]:
    """What squeue prints of this folder's tasks."""
    name = (folder / "slurm" / "name").read_text()
    command = ["squeue", "--me", "-h", "--array", f"--name={name}", f"--format={form}", *more]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def wait(condition: Any, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


def longer(suite: Path) -> None:
    suite.write_text(yaml.safe_dump({**SUITE, "training": {**SUITE["training"], **LONG}}))


def fit_of_modl(folder: Path) -> str | None:
    """Its key, once it trains."""
    found = [p.parent for p in folder.glob("jobs/*/resume.safetensors")]
    return found[0].name if found else None


def alone_in_the_queue(folder: Path) -> tuple[str, str]:
    """The fit of modl and its task, once it trains and everything else is done."""
    key = wait(lambda: fit_of_modl(folder))
    (task,) = wait(lambda: (ids := queue(folder, "%i")) and len(ids) == 1 and ids)
    return key, task


def test_a_coordinator_is_killed_and_no_job_runs_twice(
    slurm: None, suite: Path, options: list[Any], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    longer(suite)
    arguments = ("run", suite, "--out", folder, *options, "--quiet")
    first = start(*arguments, variables=OFTEN)
    wait(lambda: fit_of_modl(folder))
    first.send_signal(signal.SIGKILL)
    first.communicate()
    output, _ = run("status", folder)
    assert "running" in output and "fit modl" in output
    run(*arguments)
    jobs = bench.load_jobs(folder)
    assert set(jobs.status) == {"ok"} and len(jobs) == 4
    assert len(queue(folder, "%i", "--states=all")) == 4, "a job was submitted twice"
    logs = "".join(path.read_text() for path in folder.glob("jobs/*/log.txt"))
    assert "going on from step" not in logs  # the training was never disturbed
    local = tmp_path / "local"
    run("run", suite, "--out", local, "--quiet")
    assert numbers(folder).equals(numbers(local))
    assert not list(folder.glob("slurm/*.json"))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["scontrol", "requeue"], id="by-slurm"),
        # what Slurm sends before the end of a task's time: the task requeues itself
        pytest.param(["scancel", "--signal=USR2"], id="near-the-end-of-its-time"),
    ],
)
def test_a_requeued_training_goes_on_from_its_save(
    command: list[str], slurm: None, suite: Path, options: list[Any], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    longer(suite)
    process = start("run", suite, "--out", folder, *options, "--quiet", variables=OFTEN)
    key, task = alone_in_the_queue(folder)
    subprocess.run([*command, task], check=True)
    wait(lambda: queue(folder, "%i", "--states=pending"))
    # It waits for two minutes, unless it is told not to; within the second in which its first run
    # was ended, the node refuses to launch it ("already killed").
    time.sleep(3)
    subprocess.run(["scontrol", "update", f"JobId={task}", "StartTime=now"], check=True)
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert "going on from step" in (Store(folder).folder(key) / "log.txt").read_text()


@pytest.mark.parametrize("accounting", [True, False])
def test_a_killed_task_is_noticed(
    accounting: bool, slurm: None, suite: Path, options: list[Any], tmp_path: Path
) -> None:
    """With ``sacct`` and without it; its children are blocked, and its siblings are not."""
    folder, tools = tmp_path / "out", tmp_path / "tools"
    tools.mkdir()
    if not accounting:
        (tools / "sacct").write_text("#!/bin/sh\necho 'accounting is disabled' >&2\nexit 1\n")
        (tools / "sacct").chmod(0o755)
    longer(suite)
    variables = {**OFTEN, "PATH": f"{tools}:{os.environ['PATH']}"}
    process = start("run", suite, "--out", folder, *options, "--quiet", variables=variables)
    _, task = alone_in_the_queue(folder)
    subprocess.run(["scancel", "--signal=KILL", task], check=True)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1, errors
    statuses = bench.load_jobs(folder).groupby("method").status.apply(sorted).to_dict()
    assert statuses == {"modl": ["blocked", "killed"], "zero-filled": ["ok", "ok"]}
    assert "killed: fit of modl" in errors and "Traceback" not in errors


def test_an_interruption_leaves_the_queue_alone(
    slurm: None, suite: Path, options: list[Any], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    longer(suite)
    process = start("run", suite, "--out", folder, *options, "--quiet", variables=OFTEN)
    wait(lambda: fit_of_modl(folder))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    name = (folder / "slurm" / "name").read_text()
    assert process.returncode == 143 and f"scancel --name={name}" in errors
    assert queue(folder, "%i", "--states=running")
    subprocess.run(["scancel", f"--name={name}"], check=True)


def test_what_slurm_refuses_is_one_line(
    slurm: None, suite: Path, options: list[Any], tmp_path: Path
) -> None:
    arguments = ("run", suite, "--out", tmp_path / "out", *options, "--partition", "nowhere")
    _, errors = run(*arguments, code=2)
    assert errors.count("\n") == 1 and "invalid partition" in errors.lower()


# ---------------------------------------------------------------------- what needs no Slurm


def test_gpus_are_asked_for_only_where_they_are_wanted() -> None:
    config = SlurmConfig(partition="gpu", memory="8GB", extra={"exclude": "node7"})
    given = config.parameters(Placement(device="cuda", threads=4))
    assert given["gres"] == "gpu:1" and given["cpus_per_task"] == 4
    assert given["additional_parameters"] == {"exclude": "node7", "mem": "7629M"}
    assert "gres" not in config.parameters(Placement())
    assert given["signal_delay_s"] == 90
    assert SlurmConfig(time=1).parameters(Placement())["signal_delay_s"] == 15


def test_short_jobs_share_a_task_and_long_arrays_are_cut(jobs: Any) -> None:
    from bench.engines import slurm

    short = jobs(7)
    groups = list(slurm._groups(short, 20, alone=False))  # of work 5 each
    assert [len(group) for group in groups] == [4, 3]
    assert sorted(key for group in groups for key in group) == sorted(job.key for job in short)
    assert [len(group) for group in slurm._groups(short, 60, alone=True)] == [1] * 7
    assert slurm.CHUNK <= 1000


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--engine", "pbs"], "--engine: 'pbs' (expected local or slurm)"),
        (["--partition", "x"], "--partition: is of another engine (expected --engine slurm)"),
        (["--memory", "lots"], "'lots' is no size"),
        (["--engine", "slurm", "--workers", "2"], "--workers: is of the local engine"),
        (["--engine", "slurm", "--slurm-profile", "{file}"], "unknown key 'partitoin'"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], expected: str, suite: Path, tmp_path: Path
) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text("partitoin: gpu")
    given = [option.format(file=file) for option in options]
    _, errors = run("run", suite, "--out", tmp_path / "out", *given, code=2)
    assert errors.count("\n") == 1 and expected in errors
    assert not (tmp_path / "out").exists()


def test_a_machine_without_slurm_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bench.engines.slurm import SlurmEngine

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no sbatch or srun here"):
        SlurmEngine(Store(tmp_path), Placement(), SlurmConfig())
