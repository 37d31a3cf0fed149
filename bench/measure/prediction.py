"""Peak memory and largest batch of a method on a task, predicted without a device."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.measure.memory import count, fake_copy
from bench.networks.spectral_norm import SpectralConv
from bench.objective import image_loss, noisy
from bench.reconstructor import Reconstruction, Reconstructor, TrainingState, check
from bench.task import Batch, Task


@dataclass(frozen=True)
class MemoryConfig:
    """What is counted.

    Attributes:
        phase: a training step of the last stage (forward, loss, backward and Adam's update, twice,
            so that the optimiser's state is there from the beginning), or a reconstruction.
        iterations: of every fixed point, forward and backward. An implicit gradient's peak does not
            depend on it once Anderson's window is full, which is five where nothing else is said.
        penalty: whether the recipe's penalty (a Lipschitz estimate) is part of the step.
    """

    phase: Literal["fit", "evaluate"] = "fit"
    iterations: int = 6
    penalty: bool = True

    def __post_init__(self) -> None:
        check(self.iterations >= 1, "iterations", self.iterations, "at least 1")


def predict_peak(
    method: Reconstructor,
    task: Task,
    batch_size: int = 1,
    config: MemoryConfig = MemoryConfig(),
) -> int:
    """Peak bytes of a step of ``method`` on ``task``, without running it.

    Inner solves run to their caps and no sample leaves the batch: an upper bound. What an operator
    needs inside (a convolution's workspace, a plan of an FFT), fragmentation and the CUDA context
    come on top.

    Args:
        task: one of its samples gives the shapes; nothing is computed with its values.
        batch_size: samples. At most two are loaded: more have the shapes of these.
    """
    batch = sample_batch(task, min(2, batch_size), config)
    inputs = (prepared(method, config), batch.physics, batch.y, batch.x)
    mode = FakeTensorMode()
    view, physics, y, x = fake_copy(mode, inputs)
    with mode:
        if batch_size > 2:
            index = torch.arange(batch_size) % 2
            physics, y, x = physics.select(index), y[index], x[index]
        return count(step_of(config), (view, physics, y, x))


def sample_batch(task: Task, size: int, config: MemoryConfig) -> Batch:
    """The first sample of the training split, or of the test split where it is not trained on."""
    split: Any = "train" if config.phase == "fit" and task.samples("train") else "test"
    return task.batch(split, [0] * size, 0)


def prepared(method: Reconstructor, config: MemoryConfig) -> Reconstructor:
    """A copy of the method whose step looks at no value."""
    copied = copy.deepcopy(method)
    for layer in copied.modules():
        if isinstance(layer, SpectralConv):  # as in the middle of a training, where norms go on
            layer.tol, layer.max_iter, layer._fresh = 0.0, layer.iterations, False
    view = copied.with_solver(fixed_iterations=config.iterations)
    view.train(config.phase == "fit")
    return view


def step_of(config: MemoryConfig) -> Callable[[Reconstructor, Any, Tensor, Tensor], None]:
    """What is counted: a function of method, operator, measurements and reference images."""
    if config.phase == "evaluate":
        return _reconstruct

    def fit(method: Reconstructor, physics: Any, y: Tensor, x: Tensor) -> None:
        batch = Batch(x=x, y=y, physics=physics, samples=(), scale=x, data_range=x)
        parameters = [p for p in method.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(parameters)
        for _ in range(2):
            optimiser.zero_grad()
            _loss(method, batch, config.penalty).backward()
            optimiser.step()

    return fit


def _reconstruct(method: Reconstructor, physics: Any, y: Tensor, x: Tensor) -> None:
    with torch.no_grad():
        method.reconstruct(y, physics)


def _loss(method: Reconstructor, batch: Batch, with_penalty: bool) -> Tensor:
    """Of the last stage of the method's recipe."""
    recipe = method.recipe()
    noise = recipe.stages[-1].noise
    if noise is not None:
        denoised = Reconstruction(method.denoise(noisy(batch.x, noise)))
        return image_loss(recipe, denoised, batch)
    result = method.reconstruct(batch.y, batch.physics)
    loss = image_loss(recipe, result, batch)
    if with_penalty and recipe.penalty_weight > 0:
        penalty, _ = method.penalty(result, batch, TrainingState(0, 1, 0))
        loss = loss + recipe.penalty_weight * penalty
    return loss


def largest_batch(peak: Callable[[int], int], limit: int, most: int = 4096) -> int:
    """The largest batch whose ``peak`` is at most ``limit`` bytes, 0 if none fits.

    ``peak`` grows with the batch, nearly as a straight line: a few calls are enough.
    """
    if peak(1) > limit:
        return 0
    fits, known = 1, {1: peak(1)}
    above = most + 1  # the smallest that is known not to fit, or past the end
    guess = 2
    while above - fits > 1:
        known[guess] = peak(guess)
        if known[guess] <= limit:
            fits = guess
        else:
            above = guess
        slope = max(1, (known[guess] - known[1]) // (guess - 1))
        line = 1 + (limit - known[1]) // slope
        if len(known) > 8:  # not straight at all: halve what is left
            line = (fits + above) // 2
        guess = min(max(line, fits + 1), above - 1)
    return fits


def even_batch(largest: int, least: int = 1) -> int:
    """The papers' definition: the largest even batch, or 1; below ``least`` nothing (0)."""
    chosen = largest - largest % 2 if largest >= 2 else largest
    return chosen if chosen >= least else 0
