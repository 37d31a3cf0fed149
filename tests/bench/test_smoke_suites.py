"""Every shipped suite runs at scale smoke by one command, and leaves what it promises.

Two of them every time; the others are slow: about two minutes a suite on two cores, by
`make test PYTEST_ARGS="-m slow tests/bench/test_smoke_suites.py"`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.planning.suite_files import load, shipped
from bench.storage.frames import load_jobs

# collections; released weights need data; checkpoints that ci has already; a search says its steps
OTHERWISE = (
    *("full", "reference-cpu", "released-weights", "real-brain", "tasks-real", "ci-checkpoints"),
    "reference-search",
)

EVERY_TIME = ("mol-table1", "question-basin")  # a paper's table, and a question's answer
SLOW = [name for name in shipped() if name not in (*OTHERWISE, *EVERY_TIME)]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name", [*EVERY_TIME, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_a_suite_runs_at_scale_smoke(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.cli", "run", name, "--scale", "smoke", "--quiet"]
    embedded = {key: value for key, value in os.environ.items() if key != "EQUIBENCH_DATA"}
    ran = subprocess.run(
        [*command, "--out", tmp_path], env=embedded, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert set(load_jobs(tmp_path)["status"]) == {"ok"}
    report, suite = tmp_path / "report" / name, load(name)
    page = (report / "index.html").read_text()
    assert "Scale smoke" in page
    for number in range(len(suite.figures)):
        assert (report / "figures" / f"answer-{number + 1}.pdf").stat().st_size > 1000
    for published in suite.published:
        assert list(report.glob(f"paper-*{published.table}.md")), published
    fallbacks = {task.data for task in suite.tasks.values()} - {None}
    assert not fallbacks or "in place of" in page
