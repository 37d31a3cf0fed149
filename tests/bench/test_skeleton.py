"""A new method: one file of under 60 lines, plus nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import bench
from bench.errors import InputError
from bench.skeleton import write_method

CONFORMS = """
import sys
from pathlib import Path
from bench.registry import add_plugin
from bench.testing import check_method
add_plugin(Path(sys.argv[1]))
check_method("my-method")
"""


def run(*arguments: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "EQUIBENCH_DATA"}
    process = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True)
    assert process.returncode == 0, process.stdout.decode() + process.stderr.decode()


def test_it_conforms_trains_and_has_its_rows(tmp_path: Path, tiny: dict) -> None:
    run("-m", "bench.cli", "new", "method", "my-method", "--out", str(tmp_path))
    file = tmp_path / "my_method.py"
    assert len(file.read_text().splitlines()) < 60
    run("-c", CONFORMS, str(file))
    suite = {**tiny, "test_on": ["small"], "methods": ["zero-filled"]}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(suite))
    options = ("--plugin", str(file), "--add-method", "my-method", "--out", str(tmp_path / "out"))
    run("-m", "bench.cli", "run", str(tmp_path / "tiny.yaml"), *options)
    rows = bench.load_rows(tmp_path / "out")
    scores = rows[(rows.method == "my-method") & (rows.metric == "psnr")]
    assert len(scores) == tiny["evaluate"]["samples"]


@pytest.mark.parametrize("name", ["", "My Method", "../x", "modl", "deq4ip", "1st"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="new method"):
        write_method(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_method("mine", tmp_path)
    with pytest.raises(InputError, match="such a file"):
        write_method("mine", tmp_path)
