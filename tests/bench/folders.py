"""Results folders made up through the store, as runs would leave them."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from bench.jobs.spec import Job
from bench.store import Result, Row, Store, write_atomic


def job(kind: str, method: str = "modl", seed: int = 0, requires: tuple[str, ...] = ()) -> Job:
    """A job with a key of its own."""
    return Job(
        kind=kind,
        method=method,
        config={"width": 4, "schedule": None, "names": ["a", "ü"]},
        task="mri-multicoil",
        task_config={"size": 32, "noise": 0.01},
        data_seed=0,
        train_seed=seed,
        content="0" * 16,
        split="0" * 16,
        settings={"recipe": {"stages": [{"name": "all"}]}, "training": {"steps": 6}},
        definitions={"bench.training": "v1"},
        requires=requires,
        dataset_label="brain phantom",
        protocol="magnitude",
        bibtex=f"@article{{{method}}}",
    )


def rows_of(job: Job, shift: float = 0.0, seconds: float = 0.5) -> list[Row]:
    """Rows with everything that is awkward: no value, no step, no subject, a condition."""

    def row(metric: str, value: float | None, **more: Any) -> Row:
        place = {"subject": None, "sample": None, "step": None, "condition": "{}"}
        names = {"variant": "", "task": job.task, "dataset": job.dataset_label, "split": "test"}
        seeds = {"data_seed": job.data_seed, "train_seed": job.train_seed}
        about = {"method": job.method, "split_hash": job.split, "protocol": job.protocol}
        given = {"metric": metric, "value": value, "unit": "", "phase": job.kind, **more}
        return Row(**{"job": job.key, **names, **seeds, **about, **place, **given})

    place = {"subject": "ü/1", "sample": "0"}
    return [
        row("train_loss", 1 / 3 + shift, step=10),
        row("train_loss", float("nan"), step=2**53 + 1),
        row("psnr", 0.1 + 0.2, **place, unit="dB"),
        row("psnr", 5e-324, **place, condition='{"stop": "converged"}', unit="dB"),
        row("parameters", 113155, flag="odd"),
        row("seconds", seconds, unit="s"),
    ]


@dataclass
class Folder:
    """A results folder that is being made up."""

    root: Path
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.root)
        self.store.create()

    def add(
        self, job: Job, status: str | None = "ok", shift: float = 0.0, seconds: float = 0.5
    ) -> str:
        """A job with all of its files; without a status, one that has not ended."""
        key, folder = job.key, self.store.folder(job.key)
        self.store.write_job(key, job.describe())
        (folder / "log.txt").write_text("a line\n")
        (folder / ".lock").write_text("")
        (folder / "progress.json").write_text('{"share": 1.0, "text": ""}')
        if status in ("ok", "diverged"):
            self.store.write_rows(key, rows_of(job, shift, seconds))
        if job.kind == "fit" and status == "ok":
            tensors = {"weight": np.arange(6, dtype=np.float32)}
            write_atomic(self.store.checkpoint(key), save(tensors, {"job": key}))
        if job.kind == "evaluate" and status == "ok":
            (folder / "artifacts").mkdir(exist_ok=True)
            buffer = io.BytesIO()
            np.savez_compressed(buffer, reference=np.zeros((4, 4), np.float32))
            write_atomic(folder / "artifacts" / "s--0.npz", buffer.getvalue())
        if status is not None:
            error = "" if status == "ok" else "the loss is nan"
            self.store.write_result(key, Result(status, error, 61.5, 7, {"device": "cpu"}))
        test = None if job.kind == "fit" else "4x"
        labels = {"method": job.method, "train_task": "4x", "test_task": test, "question": None}
        labels |= {"variant": "", "base": "", "settings": {}, "published": ""}
        self.lines.append({"job": key, "kind": job.kind, "train_seed": job.train_seed, **labels})
        return key

    def pair(self, method: str, seed: int = 0, **more: Any) -> tuple[str, str]:
        """A fit, and an evaluation of it."""
        fit = self.add(job("fit", method, seed))
        return fit, self.add(job("evaluate", method, seed, (fit,)), **more)

    def suite(self, name: str = "small", **more: Any) -> None:
        """Write the table of all jobs so far."""
        task = {"title": "4x", "name": "mri-multicoil", "config": {"size": 32}}
        task |= {"dataset": "brain phantom", "protocol": "magnitude", "left_out": {}}
        methods = list(dict.fromkeys(line["method"] for line in self.lines))
        table = {"name": name, "title": "Small", "note": "", "scale": None, "methods": methods}
        table |= {"tasks": {"4x": task}, "axes": {}, "figures": [], "published": []}
        self.store.write_suite(name, {**table, "jobs": self.lines, **more})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
