"""What a training step minimises, at which rate, and what of it is logged."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.operators.fourier import magnitude
from bench.operators.norms import per_sample
from bench.reconstructor import Recipe, Reconstruction
from bench.task import Batch, Task


def rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate at a step, relative to its base."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    if recipe.schedule == "constant":
        return warm
    return warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def image_loss(recipe: Recipe, result: Reconstruction, batch: Batch) -> Tensor:
    """Mean squared error of the image, and of the intermediates where the recipe weighs them."""

    def error(image: Tensor) -> Tensor:
        if recipe.loss == "magnitude" and image.shape[1] == 2:  # a real image has none
            return (magnitude(image) - magnitude(batch.x)).square().mean()
        return (image - batch.x).square().mean()

    loss = error(result.image)
    if recipe.auxiliary > 0 and result.intermediates:
        parts = torch.stack([error(image) for image in result.intermediates])
        loss = loss + recipe.auxiliary * parts.sum()
    return loss


def noisy(x: Tensor, noise: tuple[float, float]) -> Tensor:
    """``x (B, ...)`` with white Gaussian noise, its deviation uniform in the range, by sample."""
    low, high = noise
    level = low + (high - low) * torch.rand(x.shape[0], device=x.device, dtype=x.dtype)
    return x + per_sample(level, x) * torch.randn_like(x)


def batch_psnr(image: Tensor, batch: Batch, task: Task) -> Tensor:
    """PSNR [dB] of each sample under the task's protocol, ``(B,)``."""
    error = task.comparable(image, batch) - task.comparable(batch.x, batch)
    return 10 * torch.log10(batch.data_range**2 / error.square().flatten(1).mean(1))


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; itself where it is there already."""
    if batch.x.device == device:
        return batch
    names = ("x", "y", "physics", "scale", "data_range")
    return Batch(samples=batch.samples, **{name: getattr(batch, name).to(device) for name in names})


def evaluation_counts(result: Reconstruction) -> dict[str, Tensor]:
    """Mean evaluations a sample, forward and (Jacobian products) backward."""
    if not result.traces:
        return {}
    counts = {
        "nfe_forward": torch.stack([t.evaluations.float().mean() for t in result.traces]).sum()
    }
    backward = [t.backward for t in result.traces if t.backward is not None]
    if backward:
        counts["nfe_backward"] = torch.stack([t.evaluations.float().mean() for t in backward]).sum()
        counts["backward_residual"] = torch.stack([t.residual.mean() for t in backward]).mean()
    return counts
