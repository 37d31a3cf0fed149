"""The shipped suites over all tasks: every job ends well, and every task has numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench
from bench import registry
from bench.objective import batch_psnr
from bench.planning.plan import expand
from bench.planning.suite_files import load
from reports import write_report


def test_every_task_is_trained_on(tmp_path: Path) -> None:
    outcome = bench.run_suite("tasks", tmp_path)
    assert outcome.ok, outcome.errors
    write_report(tmp_path)
    jobs, rows = bench.load_jobs(tmp_path), bench.load_rows(tmp_path)
    trained = jobs[(jobs.kind == "fit") & jobs.method.isin(["modl", "mol-lr"])]
    covered = trained.groupby("method").task.apply(set).to_dict()
    assert covered["modl"] == covered["mol-lr"] == set(registry.tasks()) - {"superres"}
    psnr = rows[(rows.metric == "psnr") & (rows.condition == "{}")]
    means = psnr.groupby(["task", "method"]).value.mean().unstack()
    for name, values in means.iterrows():
        # after twenty steps they are no worse than where they start, at the adjoint image
        assert values[["modl", "mol-lr"]].min() > _adjoint_psnr(name) - 0.1, name
    table = (tmp_path / "report/tasks/table.md").read_text()
    assert "Trained for each column on the task that is tested there" in table
    figures = {path.stem for path in (tmp_path / "report/tasks/figures").glob("*.png")}
    assert {"training-ct", "reconstruction-deblur", "reconstruction-cine"} <= figures


def test_real_sets_are_planned(data_root: Path) -> None:
    plan = expand(load("tasks-real"), data_root)
    tested = {row["test_task"] for row in plan.table["jobs"] if row["kind"] == "evaluate"}
    assert tested == set(plan.suite.tasks)


def _adjoint_psnr(name: str) -> float:
    (entry,) = (entry for entry in load("tasks").tasks.values() if entry.task == name)
    task = bench.create_task(name, **entry.config)
    scores = []
    for index in range(2):
        batch = task.batch("test", [index])
        image = batch.physics.A_adjoint(batch.y)
        scores.append(float(batch_psnr(image, batch, task)))
    return sum(scores) / 2


@pytest.mark.slow
def test_real_sets(data_root: Path, tmp_path: Path) -> None:
    """About five minutes."""
    outcome = bench.run_suite("tasks-real", tmp_path, data_root)
    assert outcome.ok, outcome.errors
