"""The disk is full, or not to be written: a clear line, nothing lost, and the same run goes on."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench
from tests.program import numbers, run


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, too small for the sweep."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a file system here: run as root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def test_a_full_disk(sweep: Path, undisturbed: Path, disk: Path) -> None:
    output, errors = run("run", sweep, "--out", disk / "out", "--quiet", code=2)
    assert "No space left" in errors and errors.count("\n") == 1, output + errors
    remount(disk, "size=64m")
    before = set(bench.load_rows(disk / "out").job)
    run("run", sweep, "--out", disk / "out", "--quiet")
    assert before and numbers(disk / "out").equals(numbers(undisturbed))
    remount(disk, "ro")
    _, errors = run("run", sweep, "--out", disk / "out", code=2)
    assert "cannot be written (Read-only file system)" in errors and errors.count("\n") == 1
    assert numbers(disk / "out").equals(numbers(undisturbed))


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))


def test_a_limit_of_file_sizes(sweep: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Larger files fail their jobs, and not those of their siblings."""
    _, errors = run(
        "run", sweep, "--out", tmp_path / "out", "--quiet", code=2, preexec_fn=limit_files
    )
    assert "File too large" in errors and "Traceback" not in errors
    run("run", sweep, "--out", tmp_path / "out", "--quiet")
    assert numbers(tmp_path / "out").equals(numbers(undisturbed))
