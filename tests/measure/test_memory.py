"""Predictions against the same count of real steps, and the batch that they allow."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

import bench
from bench import cli, registry
from bench.errors import InputError
from bench.measure import memory, peaks
from bench.measure.batch_size import even_batch, largest_batch, parse_size
from bench.measure.cuda_memory import in_new_process, request
from bench.measure.live_bytes import count
from bench.measure.memory import StepConfig, predict, predict_peak, prepared
from bench.measure.peaks import MemoryConfig
from bench.measure.phases import Phase, sample_batch, step_of
from bench.measure.question import Subject
from bench.reconstructor import Reconstructor
from bench.task import Task
from tests.measure.toys import PIXELS, Leaky, Loop, ToyTask, subject

PHASES: tuple[Phase, ...] = ("fit", "evaluate", "attack")

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
        pytest.param(name, marks=[] if name in ("modl", "unet") else [pytest.mark.slow])
        for name in TRAINABLE
    ],
)
def test_the_prediction_is_the_count_of_a_real_step(name: str) -> None:
    """To the byte, at batches of 1 and 2, for a step and for a reconstruction.

    Slow for all but two: up to half a minute each.
    """
    first = registry.method_class(name).tasks[0]
    method, task = small(name, first)
    for phase in PHASES:
        config = StepConfig(phase, iterations=3)
        for size in (1, 2):
            predicted = predict_peak(method, task, size, config)
            assert predicted == measured(method, task, size, config), (config.phase, size)


ON_MRI = [name for name in TRAINABLE if "mri-multicoil" in registry.method_class(name).tasks]
SECONDS = 15.0


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ON_MRI)
def test_a_prediction_at_full_size_takes_seconds(name: str) -> None:
    """320x320, 12 coils, methods as published: a training step, of processor time."""
    task = bench.create_task("mri-multicoil", size=320, coils=12)
    method = bench.create_method(name, task)
    sample_batch(task, 1, "fit")  # the phantom and the maps are the task's to make
    started = time.process_time()
    peak = predict_peak(method, task, 1)
    assert time.process_time() - started < SECONDS
    assert peak > 320 * 320 * 12 * 8


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


def test_what_a_step_keeps_is_seen() -> None:
    """A method that keeps an image of every call, and one that does not."""
    task = ToyTask()
    config = StepConfig("evaluate")
    assert predict(Loop(), task, 2, config).kept == 0
    kept = predict(Leaky(), task, 2, config).kept
    assert kept == -(-2 * PIXELS * 4 // 512) * 512
    flags = [row.flag for row in peaks.measure(subject(Leaky()), MemoryConfig(batches=(2,)))]
    assert all("keeps" in flag for flag in flags)
    assert not any(row.flag for row in peaks.measure(subject(Loop()), MemoryConfig()))


@pytest.mark.parametrize("name", ["mol-lr", pytest.param("mnm-mol", marks=pytest.mark.slow)])
def test_a_few_inner_steps_have_the_peak_of_many(name: str, monkeypatch: Any) -> None:
    method, task = small(name, "mri-multicoil")
    found = {}
    for few in (2, 6):
        monkeypatch.setattr(memory, "FEW", few)
        found[few] = [predict_peak(method, task, 1, StepConfig(phase)) for phase in PHASES]
    assert found[2] == found[6]


def test_a_peak_hardly_depends_on_the_iterations_of_an_equilibrium() -> None:
    """But for the residuals that a trace keeps: a block for each step."""
    method, task = small("mol-sn", "mri-multicoil")
    for phase in PHASES:
        three, six = (predict_peak(method, task, 1, StepConfig(phase, k)) for k in (3, 6))
        assert 0 <= six - three <= 3 * 512


def test_another_process_runs_the_same_step() -> None:
    """What a GPU is asked in a process of its own, here on the CPU."""
    method, task = small("modl", "mri-multicoil")
    asked = request(Subject(method, task, method.recipe()), StepConfig(), 2)
    assert in_new_process(asked) == {"steps": 2}
    assert in_new_process(replace(asked, steps=3)) == {"steps": 3}
    broken = replace(asked, step=StepConfig("evaluate", iterations=1), batch=0)
    with pytest.raises(RuntimeError):
        in_new_process(broken)


def test_sizes_of_gpus() -> None:
    assert (parse_size("24GB"), parse_size("1.5 GiB")) == (24 * 10**9, 3 * 2**29)
    for wrong in ("24", "GB", "24 lightyears", "-3GB", "0GB", ""):
        with pytest.raises(InputError, match="expected"):
            parse_size(wrong)


def test_nothing_to_train_has_no_training_step() -> None:
    method, task = small("zero-filled", "mri-multicoil")
    with pytest.raises(ValueError, match="nothing to train"):
        predict_peak(method, task)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory", "modl", "mri-multicoil", "--gpu", "24"], "expected a number and GB"),
        (["memory", "modl", "mri-multicoil", "--gpu", "0.1GB"], "more than the reserve"),
        (["memory", "modle", "mri-multicoil"], "one of"),
        (["memory", "bicubic", "mri-multicoil"], "does not support"),
        (["run", "quick", "--device", "cuda"], "no CUDA device"),
        (["memory", "modl", "mri-multicoil", "--task-config", "sise=64"], "size"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    arguments: list[str], message: str, monkeypatch: Any, capsys: Any
) -> None:
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    monkeypatch.setattr(sys, "argv", ["equibench", *arguments])
    with pytest.raises(SystemExit) as refusal:
        cli.main()
    assert refusal.value.code == 2
    text = capsys.readouterr().err
    assert message in " ".join(text.split()) and text.count("\n") == 1


def test_the_command_answers(monkeypatch: Any, capsys: Any) -> None:
    fields = ["--task-config", "size=64", "--task-config", "coils=2", "--config", "iterations=2"]
    command = ["equibench", "memory", "modl", "mri-multicoil", "--gpu", "2GB", *fields]
    monkeypatch.setattr(sys, "argv", [*command, "--config", "width=8"])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 0
    text = capsys.readouterr().out
    task = bench.create_task("mri-multicoil", size=64, coils=2)
    method = bench.create_method("modl", task, iterations=2, width=8)
    assert f"{predict_peak(method, task) / 1e9:.3f} GB" in text
    largest = largest_batch(lambda size: predict_peak(method, task, size), 1_500_000_000)
    assert f"{largest}" in text
