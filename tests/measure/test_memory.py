"""Predictions against the same count of real steps, and the batch that they allow."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch

import bench
from bench import registry
from bench.measure.batch_size import even_batch, largest_batch
from bench.measure.live_bytes import count
from bench.measure.memory import StepConfig, predict_peak, prepared
from bench.measure.phases import sample_batch, step_of
from bench.reconstructor import Reconstructor
from bench.task import Task

TASKS: dict[str, dict[str, Any]] = {
    "mri-multicoil": {"size": 32, "coils": 3},
    "superres": {"scale": 2, "patch": 24},
    "ct": {"size": 20, "views": 9},
    "deblur": {"size": 24},
    "mri-cine": {"size": 16, "frames": 3, "coils": 2},
}
TRAINABLE = [name for name, cls in registry.methods().items() if cls(cls.Config()).recipe().stages]


def small(name: str, task: str) -> tuple[Reconstructor, Task]:
    made = bench.create_task(task, **TASKS[task])
    torch.manual_seed(0)
    return bench.create_method(name, made, **registry.method_class(name).small(made)), made


def measured(method: Reconstructor, task: Task, batch_size: int, config: StepConfig) -> int:
    """The same accounting of a step that is run on the CPU."""
    batch = sample_batch(task, batch_size, config.phase)
    view, recipe = prepared(method, config), method.recipe()
    step = step_of(config.phase, recipe, config.penalty)
    return count(step, (view, batch.physics, batch.y, batch.x)).peak


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("modl", "de-prox") else [pytest.mark.slow])
        for name in TRAINABLE
    ],
)
def test_the_prediction_is_the_count_of_a_real_step(name: str) -> None:
    """To the byte, at batches of 1 and 2, for a step and for a reconstruction.

    Slow for all but two: up to half a minute each.
    """
    first = registry.method_class(name).tasks[0]
    method, task = small(name, first)
    for phase in ("fit", "evaluate", "attack"):
        config = StepConfig(phase, iterations=3)
        for size in (1, 2):
            predicted = predict_peak(method, task, size, config)
            assert predicted == measured(method, task, size, config), (config.phase, size)


@pytest.mark.parametrize("name", ["modl", pytest.param("luser-sw", marks=pytest.mark.slow)])
@pytest.mark.parametrize("task", ["deblur", "ct"])
def test_other_operators_are_predicted_too(name: str, task: str) -> None:
    method, made = small(name, task)
    config = StepConfig(iterations=3)
    assert predict_peak(method, made, 2, config) == measured(method, made, 2, config)


@pytest.mark.slow
def test_series_are_predicted_too() -> None:
    method, task = small("mol-sn", "mri-cine")
    config = StepConfig(iterations=2)
    assert predict_peak(method, task, 1, config) == measured(method, task, 1, config)


@pytest.mark.parametrize("name", ["modl", "unet"])
def test_it_grows_with_the_batch(name: str) -> None:
    method, task = small(name, "mri-multicoil")
    found = [predict_peak(method, task, size, StepConfig(iterations=2)) for size in range(1, 6)]
    assert found == sorted(found) and found[0] < found[1] < found[4]
    steps = [b - a for a, b in pairwise(found)]
    # a straight line but for rounding up to 512 bytes: more than two samples are sized from two
    assert max(steps) <= 1.1 * min(steps)


@pytest.mark.slow
def test_the_penalty_is_part_of_the_step_or_not() -> None:
    """MnM-MOL's two points and their gradients cost more than the step itself leaves."""
    method, task = small("mnm-mol", "mri-multicoil")
    with_it, without = (
        predict_peak(method, task, 1, StepConfig(iterations=2, penalty=wanted))
        for wanted in (True, False)
    )
    assert with_it > without


def affine(a: int, b: int) -> Callable[[int], int]:
    return lambda size: a + b * size


@pytest.mark.parametrize(
    ("peak", "limit", "expected"),
    [
        (affine(10, 5), 14, 0),
        (affine(10, 5), 15, 1),
        (affine(10, 5), 19, 1),
        (affine(10, 5), 20, 2),
        (affine(10, 5), 1000, 198),
        (lambda size: 10 + size + size**2 // 50, 1000, 198),
        (affine(0, 1), 10**9, 4096),
    ],
)
def test_the_largest_batch(peak: Callable[[int], int], limit: int, expected: int) -> None:
    calls = []

    def counted(size: int) -> int:
        calls.append(size)
        return peak(size)

    assert largest_batch(counted, limit) == expected
    assert len(calls) <= 20


def test_the_papers_definition() -> None:
    assert [even_batch(n) for n in (0, 1, 2, 3, 7)] == [0, 1, 2, 2, 6]
    assert [even_batch(n, least=2) for n in (0, 1, 2, 3)] == [0, 0, 2, 2]


def test_predictions_leave_the_method_as_it_was() -> None:
    method, task = small("modl", "mri-multicoil")
    before = {name: value.clone() for name, value in method.state_dict().items()}
    predict_peak(method, task, 1, StepConfig(iterations=2))
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())
