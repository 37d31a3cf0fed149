"""Where equilibria are needed: a cine series that unrolled MoDL does not fit into 24 GB."""

from __future__ import annotations

import pytest

import bench
from bench.measure.memory import StepConfig, predict_peak


def peaks(size: int, frames: int, coils: int) -> dict[str, int]:
    """Of training steps; ``mol`` is MOL-LR's without its Lipschitz penalty."""
    task = bench.create_task("mri-cine", size=size, frames=frames, coils=coils)
    names = ("modl", "modl-checkpointed", "mol-lr")
    found = {name: predict_peak(bench.create_method(name, task), task) for name in names}
    without = StepConfig(penalty=False)
    return found | {"mol": predict_peak(bench.create_method("mol-lr", task), task, 1, without)}


def test_an_equilibrium_needs_a_fraction_of_ten_iterations() -> None:
    """64 features, ten iterations against one, whose network the penalty evaluates once more."""
    found = peaks(48, 4, 4)
    assert found["modl"] > 8 * found["mol"]
    assert found["modl"] > 4 * found["mol-lr"]
    assert found["mol"] < found["modl-checkpointed"] < found["modl"] / 4


@pytest.mark.slow
def test_a_series_that_fits_for_mol_and_not_for_modl() -> None:
    """24 frames of 256x256, 16 coils, batch 1, float32: about two minutes."""
    found = peaks(256, 24, 16)
    assert found["modl"] > 24e9
    assert found["mol-lr"] < 8e9
    assert found["mol"] < 3e9
