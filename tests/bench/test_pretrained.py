"""The package's checkpoints in the place of trainings, and the one command that shows them."""

import subprocess
import sys

import pytest

from bench.errors import InputError
from bench.planning.plan import expand
from bench.planning.pretrained import FOLDER
from bench.planning.suite_files import load
from bench.storage.frames import load_jobs
from bench.weights import CHECKPOINTS

LARGEST = 10e6  # bytes of all checkpoints


def test_every_checkpoint_of_the_package_fits_the_demo():
    plan = expand(load("demo"), pretrained=True)
    trained = {job.method for job in plan.jobs.values() if job.settings.get("weights")}
    files = set((CHECKPOINTS / FOLDER).glob("*.safetensors"))
    assert trained == {file.stem for file in files} and trained
    left = {row["method"] for row in plan.table["jobs"] if row["train_seed"] != 0}
    assert not left
    assert sum(file.stat().st_size for file in files) < LARGEST
    assert all(file.with_suffix(".md").is_file() for file in files)


def test_another_network_is_refused():
    with pytest.raises(InputError, match=r"suite quick: .*weights.*expected"):
        expand(load("quick"), pretrained=True)


def test_the_demo(tmp_path):
    """Every method on a phantom's scan, without training."""
    command = [sys.executable, "-m", "bench.cli", "run", "demo", "--pretrained", "--quiet"]
    done = subprocess.run([*command, "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    jobs = load_jobs(tmp_path)
    assert set(jobs.status) == {"ok"} and len(set(jobs.method)) >= 10
    assert list((tmp_path / "report" / "demo" / "figures").glob("reconstruction-*.png"))
