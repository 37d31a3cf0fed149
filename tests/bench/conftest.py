"""A suite small enough to run many times."""

import copy
from pathlib import Path

import pytest
import yaml

TINY = {
    "name": "tiny",
    "title": "Tiny",
    "tasks": {
        "small": {"task": "mri-multicoil", "title": "Small", "config": {"size": 32, "coils": 3}},
        "fast": {
            "task": "mri-multicoil",
            "config": {"size": 32, "coils": 3, "acceleration": 6, "center_fraction": 0.1},
        },
    },
    "train_on": ["small"],
    "test_on": ["small", "fast"],
    "methods": [
        "zero-filled",
        "sense",
        {
            "name": "modl",
            "config": {"width": 4, "depth": 2, "iterations": 2, "batch_norm": False, "bias": True},
        },
        {
            "name": "mol-lr",
            "variant": "stable",
            "config": {"width": 4, "depth": 2, "estimate_steps": 2},
        },
    ],
    "training": {"steps": 6, "validate_every": 3, "validation_samples": 2, "log_every": 2},
    "evaluate": {"samples": 3, "artifacts": 1, "converged_max_iter": 30},
}


@pytest.fixture
def write_suite(tmp_path):
    """Write the tiny suite, changed by ``change``, and return its path."""

    def write(change=None, name: str = "tiny", folder: Path = tmp_path) -> Path:
        content = copy.deepcopy(TINY)
        if change is not None:
            change(content)
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture(scope="session")
def tiny():
    """The tiny suite's content, not to be changed."""
    return TINY
