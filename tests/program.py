"""The program as its user meets it: a process with its output, and the rows that it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bench
from bench import cli

# what differs between two runs of the same job: the clock, and what a device measures
MEASURED = ("seconds", "train_seconds", "step_seconds", "slice_seconds", "allocated_peak")
MEASURED += ("reserved_peak", "device_used", "allocated_over_predicted")


def start(
    *arguments: Any, variables: dict[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """The command as a process, without the machine's own data folder."""
    command = [sys.executable, "-m", "bench.cli", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "EQUIBENCH_DATA"}
    environment |= variables or {}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, env=environment, **options)


def run(*arguments: Any, code: int = 0, seconds: float = 560, **options: Any) -> tuple[str, str]:
    """Its output and errors; it must end with this code."""
    process = start(*arguments, **options)
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == code, output + errors
    return output, errors


def refused(arguments: Sequence[Any], monkeypatch: Any, capsys: Any) -> str:
    """The one line on stderr with which the program, in this process, refuses these arguments."""
    monkeypatch.delenv("EQUIBENCH_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["equibench", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    errors: str = capsys.readouterr().err
    assert ended.value.code == 2 and errors.count("\n") == 1, errors
    return errors


def numbers(folder: Path, without: Sequence[str] = MEASURED) -> pd.DataFrame:
    """All rows but of what is measured anew every time, in an order of their own."""
    rows = bench.load_rows(folder)
    rows = rows[~rows.metric.isin(without)]
    return rows.sort_values(list(rows.columns)).reset_index(drop=True)
