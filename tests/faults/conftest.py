"""A sweep small enough to be killed many times, and one run of it that nothing disturbs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.program import run

SWEEP: dict[str, Any] = {
    "name": "sweep",
    "title": "A sweep to disturb",
    "tasks": {"small": {"task": "mri-multicoil", "config": {"size": 32, "coils": 3}}},
    "train_on": ["small"],
    "methods": [
        "zero-filled",
        "sense",
        {
            "name": "modl",
            "config": {"width": 8, "depth": 3, "iterations": 3, "batch_norm": False, "bias": True},
            "training": {"steps": 400, "validate_every": 200},
        },
        {
            "name": "mol-lr",
            "variant": "stable",
            "config": {"width": 4, "depth": 2, "estimate_steps": 2},
        },
    ],
    "measure": ["evaluations"],
    "training": {"steps": 20, "validate_every": 10, "validation_samples": 2, "log_every": 2},
    "evaluate": {"samples": 2, "artifacts": 1, "converged_max_iter": 30},
}


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite's file."""
    path = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    return path


@pytest.fixture(scope="module")
def undisturbed(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its results, with one worker."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    run("run", sweep, "--out", folder, "--workers", 1, "--quiet")
    return folder
