"""A report of a thousand jobs takes seconds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from reports import write_report

if TYPE_CHECKING:
    from conftest import Synthetic

METHODS, SETTINGS, SEEDS, TASKS = 10, 15, 20, 1
SAMPLES, METRICS, STEPS = 10, 8, 40
SECONDS = 20.0  # of one processor: others on the same machine are not the report's fault


def make(synthetic: Synthetic, root: Path) -> None:
    """10 methods and 15 settings of the first one, each with 20 seeds, tested on one task.

    Written by hand: the store waits for the disk at every file.
    """
    task = next(iter(synthetic.store.suites()["small"]["tasks"].values()))
    tasks = {f"task {number}": task for number in range(TASKS)}
    names: list[tuple[str, dict[str, str]]] = [(f"method {n}", {}) for n in range(METHODS)]
    names += [(f"method 0, m = {n}", {"m": str(n)}) for n in range(SETTINGS)]
    jobs = []
    for number, (method, settings) in enumerate(names):
        base = "method 0" if settings else method
        label = {"method": method, "variant": "", "base": base, "settings": settings}
        for seed in range(SEEDS):
            for place, test in enumerate([None, *tasks]):
                key = f"{number:02d}-{seed:02d}-{place}"
                kind = "fit" if test is None else "evaluate"
                rows = fit_rows(key, seed) if test is None else evaluate_rows(key, number, seed)
                write(root / "jobs" / key, kind, method, rows)
                entry = {"job": key, "kind": kind, "train_task": "task 0", "test_task": test}
                jobs.append({**entry, **label, "train_seed": seed})
                if test is not None and seed == 0 and not settings:
                    keep_image(synthetic, root / "jobs" / key)
    assert len(jobs) == 1000
    suite = {"name": "large", "title": "Large", "note": "", "tasks": tasks, "jobs": jobs}
    (root / "suites").mkdir()
    (root / "suites" / "large.json").write_text(json.dumps(suite))


def write(folder: Path, kind: str, method: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    config = {f"field {number}": number for number in range(30)}
    job = {"schema": 1, "kind": kind, "method": method, "config": config, "task_config": config}
    result = {"status": "ok", "error": "", "wall_seconds": 60.0, "parameters": 1, "environment": {}}
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "log.txt").write_text("a line of the log\n" * 500)
    (folder / "result.json").write_text(json.dumps(result))


def row(key: str, seed: int, metric: str, value: float, **more: Any) -> dict[str, Any]:
    names = {"method": "m", "variant": "", "task": "mri-multicoil", "dataset": "phantom"}
    data = {"split": "test", "split_hash": "0", "data_seed": 0, "train_seed": seed}
    place = {"subject": None, "sample": None, "phase": "fit", "step": None, "condition": "{}"}
    end = {"metric": metric, "value": value, "unit": "", "protocol": "magnitude", "flag": ""}
    return {"job": key, **names, **data, **place, **end, **more}


def fit_rows(key: str, seed: int) -> list[dict[str, Any]]:
    metrics = ("train_loss", "validation_psnr", "lipschitz", "nfe_forward")
    return [
        row(key, seed, metric, 1.0 + step, step=step) for metric in metrics for step in range(STEPS)
    ]


def evaluate_rows(key: str, number: int, seed: int) -> list[dict[str, Any]]:
    metrics = ("psnr", "ssim", "nmse", "nfe", "seconds", "residual", "iterations", "converged")
    assert len(metrics) == METRICS
    draw = np.random.default_rng([number, seed])
    return [
        row(
            key,
            seed,
            metric,
            20 + float(draw.normal()),
            phase="evaluate",
            subject=f"s{n}",
            sample="0",
        )
        for n in range(SAMPLES)
        for metric in metrics
    ]


def keep_image(synthetic: Synthetic, folder: Path) -> None:
    (folder / "artifacts").mkdir()
    reference = synthetic.images(0)
    noise = np.random.default_rng(len(folder.name)).normal(0, 0.02, reference.shape)
    np.savez(
        folder / "artifacts" / "s0--0.npz",
        reference=reference,
        reconstruction=(reference + noise).astype(np.float32),
        data_range=np.float32(1),
        psnr=np.float32(34),
        residual_0=np.geomspace(1, 1e-3, 20),
    )


@pytest.fixture
def large(synthetic: Synthetic, tmp_path: Path) -> Path:
    make(synthetic, tmp_path)
    return tmp_path


@pytest.mark.alone
def test_a_thousand_jobs_are_reported_in_seconds(synthetic: Synthetic, large: Path) -> None:
    write_report(synthetic.root, ["csv", "png"])  # imports are of the process, not of the report
    started = time.process_time()
    report = write_report(large)
    taken = time.process_time() - started
    assert taken < SECONDS
    names = {path.name for path in report.paths}
    assert {"table.md", "ablation.csv", "rows.csv", "index.html"} <= names
    assert report.pages["large"].read_text().count("<details id=") == 1000
