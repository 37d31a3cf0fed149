"""Before any time is compared: everybody finds the same, and our goals that no clock decides."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from bench.operators.norms import relative_norms
from tests.peers import fixed_points, operators, sense, training
from tests.peers.comparison import error
from tests.peers.engines import by_deepinv, by_picard, by_torchdeq, instead_of_ours


@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
def test_normal_operators_agree(columns: bool) -> None:
    _, difference = operators.contenders(2, columns)
    assert difference < 2e-6  # four transforms in float32


@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
def test_sense_images_agree(data_root: Path, tmp_path: Path, columns: bool) -> None:
    """After 60 iterations of the same recursion; rounding grows along it."""
    given = sense.problem(data_root, columns)
    truth = sense.ours(given)(60)
    assert given.residual(truth) < 1.2e-4
    solvers = {"sigpy": sense.by_sigpy(given), "deepinv": sense.by_deepinv(given)}
    if shutil.which("bart"):
        solvers["BART"] = sense.Bart(given, tmp_path)
    found = {name: error(solve(60), truth) for name, solve in solvers.items()}
    assert max(found.values()) < 1e-3, found


def test_fixed_points_agree_and_take_fewer_evaluations() -> None:
    """An easy and a harder sample. (The table does so with eight, before it compares times.)"""
    f, x0 = fixed_points.problem("mol-lr", samples=3)
    counted, plain = fixed_points.Counted(f, []), fixed_points.Counted(f, [])
    truth = fixed_points.ours(counted, x0)
    with torch.no_grad():
        assert relative_norms(f(truth) - truth, truth).amax() < 2e-5
    found = {"picard": fixed_points.ours(plain, x0, "picard")}
    found |= {"torchdeq": by_torchdeq(f, x0, 1e-4, 400), "deepinv": by_deepinv(f, x0, 1e-4, 400)}
    # a residual of 1e-4 leaves an error of that, divided by one minus the contraction
    errors = {other: error(image, truth) for other, image in found.items()}
    assert max(errors.values()) < 5e-3, errors
    assert sum(plain.samples) >= 1.6 * sum(counted.samples)


def test_gradients_agree() -> None:
    """Three engines in the same method's training step; float64, since the map hardly contracts."""
    truth, batch = (
        training.exact_gradient("mol-lr", samples=1),
        training.mixed_batch(1, torch.float64),
    )
    method = training.with_tolerance(training.trained("mol-lr", torch.float64), 1e-6, exact=True)
    errors = {}
    for name, engine in training.ENGINES.items():
        with instead_of_ours(engine):
            errors[name] = error(training.gradient(method, batch), truth)
    assert max(errors.values()) < 1e-2, errors


def test_another_engine_does_replace_ours() -> None:
    calls = []

    def counting(*arguments: object) -> object:
        calls.append(arguments)
        raise InterruptedError

    method, batch = training.trained("mol-lr"), training.mixed_batch(1)
    with instead_of_ours(counting), pytest.raises(InterruptedError):  # type: ignore[arg-type]
        method.reconstruct(batch.y, batch.physics)
    assert len(calls) == 1
    assert by_picard(lambda x: 0.5 * x, torch.ones(1, 1), 1e-3, 50).item() == pytest.approx(
        0, abs=2e-3
    )
