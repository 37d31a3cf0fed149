"""pytest fixture for repositories with methods of their own: a suite against golden rows.

    def test_my_method(equibench_check):
        equibench_check("ci", golden="golden", plugins=["mymethod.py"], methods=["my-method"])

``pytest --equibench-update`` makes the numbers the golden rows, also for the first time. pytest
loads this module in every run, so it imports nothing of ours before a test asks for it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

OPTION = "--equibench-update"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Called by pytest."""
    text = "Make the numbers of equibench_check the golden rows."
    parser.getgroup("equibench").addoption(OPTION, action="store_true", help=text)


@pytest.fixture
def equibench_check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Run a suite into a temporary folder and compare it with golden rows; fails with the report.

    Arguments of the function, relative to the folder that pytest was started in:
        suite: a shipped name, or a YAML file.
        golden: folder of the golden rows.
        plugins: Python files with methods.
        methods: names of these, added to the suite.
        only: methods that are run, by pattern; by default ``methods``, or all if there are none.
        options: further ones of ``equibench run``.

    Returns the results folder.
    """

    def check(
        suite: str | Path,
        golden: str | Path,
        *,
        plugins: Sequence[str | Path] = (),
        methods: Sequence[str] = (),
        only: Sequence[str] | None = None,
        options: Sequence[str] = (),
    ) -> Path:
        chosen = list(methods if only is None else only)
        out = tmp_path / "equibench"
        command = ["run", str(suite), "--out", str(out), "--quiet", *options]
        named = {"--plugin": plugins, "--add-method": methods, "--only": chosen}
        command += [
            part for name, each in named.items() for one in each for part in (name, str(one))
        ]
        ran = _equibench(*command)
        if ran.returncode not in (0, 1):  # 1: a job failed, which the report says
            pytest.fail(ran.stderr.strip(), pytrace=False)
        command = ["check", str(out), "--against", str(golden)]
        command += [part for one in chosen for part in ("--only", one)]
        command += ["--update"] if request.config.getoption(OPTION) else []
        checked = _equibench(*command)
        if checked.returncode:
            pytest.fail(f"{checked.stdout}{checked.stderr}".strip(), pytrace=False)
        return out

    return check


def _equibench(*arguments: str) -> subprocess.CompletedProcess[str]:
    # a process of its own: plugins stay out of this one
    command = [sys.executable, "-m", "bench.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
