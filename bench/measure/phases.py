"""The steps that are measured: one of training, a reconstruction, a gradient for an attack."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import profiler
from torch.profiler import record_function

from bench.objective import image_loss, noisy
from bench.reconstructor import Recipe, Reconstruction, Reconstructor, TrainingState
from bench.task import Batch, Task

Phase = Literal["fit", "evaluate", "attack"]
Step = Callable[[Reconstructor, Any, Tensor, Tensor], object]


def sample_batch(task: Task, size: int, phase: Phase) -> Batch:
    """The first sample of the training split, or of the test split where it is not trained on."""
    split: Any = "train" if phase == "fit" and task.samples("train") else "test"
    return task.batch(split, [0] * size, 0)


def unscored(x: Tensor, y: Tensor, physics: Any) -> Batch:
    """A batch of tensors alone, for steps that score nothing."""
    return Batch(x=x, y=y, physics=physics, samples=(), scale=x, data_range=x)


class TrainingStep:
    """A step of the last stage of a recipe: forward, loss, backward and Adam's update.

    Args:
        penalty: whether the recipe's penalty (a Lipschitz estimate) is part of it.
    """

    def __init__(self, method: Reconstructor, recipe: Recipe, penalty: bool = True) -> None:
        self.method, self.recipe = method, recipe
        self.penalty = penalty and recipe.penalty_weight > 0
        parameters = [p for p in method.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, lr=recipe.learning_rate)

    def start(self) -> None:
        """Be as in the middle of a training: with the optimiser's state, and the last gradients."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()

    def __call__(self, batch: Batch) -> None:
        loss = self.loss(batch)
        with region("backward"):
            self.optimizer.zero_grad()
            loss.backward()
        with region("update"):
            self.optimizer.step()

    def loss(self, batch: Batch) -> Tensor:
        """Of the image, and the weighted penalty."""
        recipe, method, noise = self.recipe, self.method, self.recipe.stages[-1].noise
        with region("forward"):
            if noise is None:
                result = method.reconstruct(batch.y, batch.physics)
            else:
                result = Reconstruction(method.denoise(noisy(batch.x, noise)))
            loss = image_loss(recipe, result, batch)
        if noise is not None or not self.penalty:
            return loss
        with region("penalty"):
            penalty, _ = method.penalty(result, batch, TrainingState(0, 1, 0))
            return loss + recipe.penalty_weight * penalty


def region(name: str) -> AbstractContextManager[Any]:
    """A part of a step, under this name in a profile; nothing where nothing is profiled."""
    # fake tensors do not know the marks
    return record_function(name) if profiler._is_profiler_enabled else nullcontext()


class NoGradientError(RuntimeError):
    """The image has no gradient in the measurements."""


def attack_gradient(method: Reconstructor, physics: Any, y: Tensor, x: Tensor) -> Tensor:
    """Of the squared error, in the measurements.

    Raises:
        NoGradientError: there is none.
    """
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        error = (method.reconstruct(leaf, physics).image - x).square().sum()
        gradient = None
        if error.requires_grad:
            (gradient,) = torch.autograd.grad(error, leaf, allow_unused=True)
    if gradient is None:
        raise NoGradientError("no gradient reaches the measurements")
    return gradient


def step_of(phase: Phase, recipe: Recipe, penalty: bool = True) -> Step:
    """A function of method, operator, measurements and reference images.

    The optimiser's state is there before a ``fit`` step, as after the first of a training.
    ``attack`` takes the gradient of the squared error in the measurements alone.
    """

    def fit(method: Reconstructor, physics: Any, y: Tensor, x: Tensor) -> None:
        step = TrainingStep(method, recipe, penalty)
        step.start()
        step(unscored(x, y, physics))
        method.zero_grad()

    def attack(method: Reconstructor, physics: Any, y: Tensor, x: Tensor) -> None:
        method.requires_grad_(False)
        attack_gradient(method, physics, y, x)

    def reconstruct(method: Reconstructor, physics: Any, y: Tensor, x: Tensor) -> None:
        with torch.no_grad():
            method.reconstruct(y, physics)

    return {"fit": fit, "attack": attack, "evaluate": reconstruct}[phase]
