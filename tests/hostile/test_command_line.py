"""One hostile file of each kind through the program: exit code 2, and one line on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import harmful_hdf5, harmful_text  # noqa: F401 (they register their files)
from tests.hostile.harmful import HARMFUL
from tests.hostile.valid import KINDS, place
from tests.program import refused

Arguments = Callable[[Path, Path], list[object]]


def _evaluate(path: Path, out: Path) -> list[object]:
    return ["evaluate", "--method", "zero-filled", "--input", path, "--out", out]


def _prepare(layout: str, up: int = 0) -> Arguments:
    return lambda path, out: [
        *("data", "prepare", layout, "--source", path.parents[up], "--out", out, "--quiet")
    ]


def _with_weights(path: Path, out: Path) -> list[object]:
    return [*_evaluate(Path("k.npz"), out), "--weights", path]


def _import(path: Path, out: Path) -> list[object]:
    command = ["import-weights", path, "--from", "mol"]
    return [*command, "--method", "mol-lr", "--out", out / "w.safetensors"]


def _suite(path: Path, fields: dict[str, object], out: Path) -> list[object]:
    """A plan of a suite with one task that reads this file."""
    task = {"task": fields.pop("task"), "config": {"file": path.name, **fields}}
    suite = path.parent / "reads.yaml"
    content = {"name": "reads", "tasks": {"a": task}, "train_on": ["a"], "methods": ["tv"]}
    suite.write_text(json.dumps(content))
    return ["plan", suite, "--data", path.parent, "--out", out]


def _task(task: str, dataset: str) -> Arguments:
    return lambda path, out: _suite(path, {"task": task, "dataset": dataset}, out)


COMMANDS: dict[tuple[str, str], Arguments] = {
    ("suite", "laughs"): lambda path, out: ["run", path, "--out", out],
    ("suite", "python object"): lambda path, out: ["plan", path],
    ("kspace npz", "bomb"): _evaluate,
    ("hdr", "dimensions huge"): lambda path, out: _evaluate(path.with_suffix(".cfl"), out),
    ("fastmri multicoil", "link loop"): _evaluate,
    ("fastmri multicoil", "external"): _prepare("fastmri-multicoil", 1),
    ("calgary-campinas", "virtual"): _prepare("calgary-campinas", 1),
    ("lodopab", "absurd"): _prepare("lodopab-ct"),
    ("celeba", "leads out"): _prepare("celeba"),
    ("png", "bomb"): _prepare("image-folder", 1),
    ("manifest", "leads out"): lambda path, out: ["data", "verify", path.parent],
    ("safetensors", "huge"): _with_weights,
    ("described weights", "deep"): _with_weights,
    ("torch", "a function"): _import,
    ("torch legacy", "deep"): _import,
    ("complex images", "scale NaN"): _task("mri-multicoil", "complex-images"),
    ("series", "header: objects"): _task("mri-cine", "series"),
    ("hounsfield", "float"): _task("ct", "hounsfield"),
    ("magnitudes", "complex"): _task("mri-singlecoil", "magnitude-images"),
}


@pytest.mark.parametrize("fault", COMMANDS, ids=" ".join)
def test_the_program_refuses_it_in_one_line(
    fault: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kind = KINDS[fault[0]]
    path = place(kind, tmp_path / "in")
    HARMFUL[fault](path)
    arguments = COMMANDS[fault](path, tmp_path / "out")
    errors = refused(arguments, monkeypatch, capsys)
    assert errors.startswith("error: ") and errors.strip().isprintable()
    assert str(tmp_path / "in") in errors, errors  # it is about this file
