"""A made-up results folder, written through bench.store as a run would."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.store import Result, Row, Store

HOSTILE = "<script>alert(1)</script>"
AWKWARD = "mol_lr 100%"
LOG = "0 %\r50 %\r\x1b[32m100 %\x1b[0m\n" + f"step 1: <i>{HOSTILE}</i>\n" * 500 + "the last line\n"

# label -> registry name, mean PSNR [dB] on the task with 30 subjects, iterates
METHODS: dict[str, tuple[str, float, bool]] = {
    "sense": ("sense", 25.3, False),
    "modl": ("modl", 30.3, False),
    AWKWARD: ("mol-lr", 29.6, True),
    HOSTILE: ("mol", 29.9, True),
}
TASKS: dict[str, dict[str, Any]] = {
    "4x": {
        "title": "Brain phantom, 4x",
        "name": "mri-multicoil",
        "config": {
            "dataset": "brain-phantom",
            "coils": 8,
            "measurements": "simulated",
            "noise": 0.01,
            "acceleration": 4.0,
            "mask": "random",
        },
        "dataset": "brain phantom 96x96 (one anatomy), 8 simulated coils",
        "protocol": "magnitude; data range: volume maximum; SSIM: uniform 7x7, K1 0.01, K2 0.03",
    },
    "acquired": {
        "title": "Acquired 8-coil slice, 6x",
        "name": "mri-multicoil",
        "config": {
            "dataset": "kspace",
            "coils": 8,
            "measurements": "acquired",
            "noise": 0.0,
            "acceleration": 6.0,
        },
        "dataset": "multicoil, acquired",
        "protocol": "magnitude; data range: volume maximum; SSIM: uniform 7x7, K1 0.01, K2 0.03",
    },
}
SUBJECTS = {"4x": 30, "acquired": 1}
STEPS = 400


def draw_image(subject: int, size: int = 32) -> NDArray[np.float32]:
    """A disc with texture, float32 (size, size), in arbitrary units."""
    rng = np.random.default_rng(subject)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    disc = (x**2 + y**2 < 0.7).astype(np.float32)
    return np.asarray(disc * (0.5 + 0.3 * rng.random((size, size))), np.float32)


def residuals() -> dict[str, NDArray[np.float32]]:
    """Of a method with two stages, at its own stop, and of its converged pass."""
    lengths = {"residual_0": 5, "residual_1": 7, "converged_residual_0": 30}
    return {name: np.geomspace(1, 1e-3, n, dtype=np.float32) for name, n in lengths.items()}


@dataclass
class Synthetic:
    """Writes a results folder. ``images`` gives the reference of a subject's number.

    ``evaluated`` keeps what was written: (method, task, condition, metric) -> subject -> value.
    """

    root: Path
    images: Callable[[int], NDArray[np.float32]] = draw_image
    seeds: tuple[int, ...] = (0,)
    subjects: dict[str, int] = field(default_factory=lambda: dict(SUBJECTS))
    evaluated: dict[tuple[str, str, str, str], dict[str, float]] = field(default_factory=dict)

    def write(self) -> Synthetic:
        """Two suites: `small` has every method and task, `one` shares two of its jobs."""
        self.store = Store(self.root)
        self.store.create()
        self.labels: list[dict[str, Any]] = []
        for number, method in enumerate(METHODS):
            for seed in self.seeds:
                self._method(method, number, seed)
        self._diverged()
        tasks = {"schema": 1, "tasks": TASKS}
        about = {"name": "small", "title": "A small suite", "note": "Does not claim a ranking"}
        self.store.write_suite("small", {**tasks, **about, "jobs": self.labels})
        one = [e for e in self.labels if e["method"] == "modl" and e["test_task"] != "acquired"]
        about = {"name": "one", "title": "One method", "note": ""}
        self.store.write_suite("one", {**tasks, **about, "jobs": one})
        return self

    def _method(self, method: str, number: int, seed: int) -> None:
        fit = f"fit{number}s{seed}"
        self._job(fit, "fit", method, None, seed)
        self.store.write_rows(fit, self._fit_rows(fit, method, number, seed))
        for task in TASKS:
            key = f"evaluate{number}s{seed}{task}"
            self._job(key, "evaluate", method, task, seed)
            self.store.write_rows(key, self._evaluate_rows(key, method, number, task, seed))
            self._artifact(key, method, task)

    def _job(
        self, key: str, kind: str, method: str, test: str | None, seed: int, status: str = "ok"
    ) -> None:
        name = METHODS.get(method, (method,))[0]
        description = {
            "kind": kind,
            "method": name,
            "variant": "",
            "config": {"m": 0.02, "width": 32, "secret": HOSTILE},
            "task": "mri-multicoil",
            "task_config": TASKS[test or "4x"]["config"],
            "settings": {"steps": STEPS},
            "bibtex": f"@article{{{name}, title = {{On {name}}}}}",
        }
        self.store.write_job(key, description)
        (self.store.folder(key) / "log.txt").write_text(LOG)
        environment = {"device": "cpu", "threads": 1, "torch": "2.13.0", "python": "3.11"}
        error = "" if status == "ok" else "the loss is nan at step 173 & <b>no more</b>"
        self.store.write_result(key, Result(status, error, 61.5, 113155, environment))
        label = {"method": method, "variant": "", "train_task": "4x", "test_task": test}
        self.labels.append({"job": key, "kind": kind, **label, "train_seed": seed})

    def _diverged(self) -> None:
        """Unconstrained MOL: its fit diverges after a while, and blocks its evaluations."""
        key, method = "fit9s0", "mol (no constraint)"
        self._job(key, "fit", method, None, 0, "diverged")
        rows = [
            row
            for row in self._fit_rows(key, method, 9, 0)
            if row.step is not None and row.step < STEPS / 2
        ]
        self.store.write_rows(key, rows)
        for task in TASKS:
            self._job(f"evaluate9s0{task}", "evaluate", method, task, 0, "blocked")

    def _row(self, key: str, method: str, seed: int, metric: str, value: float, **more: Any) -> Row:
        defaults = {
            "task": "mri-multicoil",
            "dataset": "brain phantom",
            "split": "test",
            "split_hash": "0123abcd",
            "data_seed": 0,
            "subject": None,
            "sample": None,
            "phase": "fit",
            "step": None,
            "condition": "{}",
            "unit": {"psnr": "dB", "seconds": "s"}.get(metric, ""),
            "protocol": "",
        }
        name = METHODS.get(method, (method,))[0]
        given = {"job": key, "method": name, "variant": "", "train_seed": seed, "metric": metric}
        return Row(**{**defaults, **given, "value": value, **more})

    def _fit_rows(self, key: str, method: str, number: int, seed: int) -> list[Row]:
        finals = {"parameters": 113155.0, "train_seconds": 61.5 + seed, "tuned:weight": 0.03}
        rows = [self._row(key, method, seed, name, value) for name, value in finals.items()]
        if number == 0:
            return rows
        rng = np.random.default_rng([number, seed])
        for step in range(10, STEPS + 1, 10):
            done = step / STEPS
            values = {
                "train_loss": 0.02 * math.exp(-3 * done) * rng.lognormal(0, 0.15) + 0.001 * number,
                "nfe_forward": 5.0 if number == 1 else 8 + 10 * done + rng.normal(0, 0.3),
            }
            if number > 1:
                values["nfe_backward"] = 6 - rng.random()
                limit = 1.2 if number == 9 else 0.93
                values["lipschitz"] = 0.6 + (limit - 0.6) * (1 - math.exp(-5 * done))
            if number == 9 and step > STEPS / 3:
                values["train_loss"] *= 10 ** (step - STEPS / 3)
            if step % 40 == 0:
                values["validation_psnr"] = (
                    30.5 - 4 * math.exp(-4 * done) - 0.4 * number + 0.1 * seed
                )
            rows += [self._row(key, method, seed, n, v, step=step) for n, v in values.items()]
        return rows

    def _evaluate_rows(
        self, key: str, method: str, number: int, task: str, seed: int
    ) -> Iterator[Row]:
        _, quality, iterates = METHODS[method]
        conditions = ["{}", '{"stop": "converged"}'] if iterates else ["{}"]
        for condition in conditions:
            converged = condition != "{}"
            for subject in range(self.subjects[task]):
                rng = np.random.default_rng([number, seed, subject, converged])
                psnr = quality - (5 if task == "acquired" else 0) + 0.3 * converged
                values = {
                    "psnr": psnr + rng.normal(0, 1.2),
                    "ssim": 0.8 + (psnr - 25) / 60 + rng.normal(0, 0.01),
                    "nfe": 60.0 if converged else 15 + float(rng.integers(3)) if iterates else 5.0,
                    "seconds": 0.0123 * number + 0.002,
                }
                if iterates:
                    values["residual"] = 2e-7 if converged else 1.3e-2 * rng.lognormal(0, 0.2)
                    values["iterations"] = values["nfe"]
                    values["converged"] = float(converged or rng.random() < 0.8)
                name = f"subject-{subject:02d}"
                where = {"phase": "evaluate", "subject": name, "sample": "0"}
                where |= {"condition": condition, "protocol": TASKS[task]["protocol"]}
                for metric, value in values.items():
                    place = (method, task, condition, metric)
                    kept = self.evaluated.setdefault(place, {})
                    kept[name] = kept.get(name, 0.0) + value / len(self.seeds)
                    yield self._row(key, method, seed, metric, value, **where)

    def _artifact(self, key: str, method: str, task: str) -> None:
        folder = self.store.folder(key) / "artifacts"
        folder.mkdir(exist_ok=True)
        reference = self.images(len(task))
        peak = float(reference.max())
        quality = METHODS[method][1] - (5 if task == "acquired" else 0)
        rng = np.random.default_rng(len(method))
        noise = rng.normal(0, peak * 10 ** (-quality / 20), reference.shape)
        image = np.abs(reference + np.asarray(noise, np.float32))
        np.savez(
            folder / "subject-00--0.npz",
            reference=reference,
            reconstruction=image.astype(np.float32),
            data_range=np.float32(peak),
            psnr=np.float32(-20 * math.log10(np.sqrt(np.mean((image - reference) ** 2)) / peak)),
            **(residuals() if METHODS[method][2] else {}),
        )


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Four methods and a diverged one, two tasks (30 subjects; 1 subject), two suites."""
    return Synthetic(tmp_path_factory.mktemp("results")).write()


@pytest.fixture(scope="session")
def rows_on_disk(synthetic: Synthetic) -> list[dict[str, Any]]:
    """Every row as it stands on disk, read without the package."""
    files = sorted(synthetic.root.glob("jobs/*/rows.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]
