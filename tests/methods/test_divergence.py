"""MOL without a constraint: an expansive network is an outcome to record, not a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.errors import Diverged
from bench.problems import random_problem
from bench.task import Batch
from bench.training import Trainer, TrainingConfig
from methods.equilibrium import EquilibriumConfig, SolverConfig

METHODS = ["picard", "anderson"]


class Expansive(nn.Module):
    """``c x + sin(40 x) + 1 / 10``."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + torch.sin(40 * x) + 0.1


@pytest.mark.parametrize("solver", METHODS)
@pytest.mark.parametrize("keep", ["lowest", "last"])
def test_an_expansive_network_is_recorded_as_not_converged(
    create: Any, solver: Any, keep: Any
) -> None:
    """Plain iteration runs until float32 overflows; what is returned is finite."""
    p = random_problem("mri-multicoil", batch=2, size=(8, 8))
    config = SolverConfig(solver, tol=1e-4, max_iter=100, keep=keep)
    method = create("mol", width=4, depth=2, alpha=1.0, equilibrium=EquilibriumConfig(config))
    # (Anderson finds the unstable fixed point of a map that is nearly linear)
    method.network = Expansive(30.0 if solver == "picard" else 3.0)
    with torch.no_grad():
        result = method.float().reconstruct(p.y, p.physics)
    (trace,) = result.traces
    assert not trace.converged.any()
    assert torch.isfinite(result.image).all()
    assert torch.isfinite(trace.residual).all()
    assert (trace.residual > 1e-4).all()
    if solver == "picard":
        assert (trace.iterations < 100).all()  # stopped where it was no longer finite
    if solver == "picard" and keep == "last":
        assert result.image.abs().max() > 1e10


def test_a_gradient_through_it_does_not_raise(create: Any) -> None:
    p = random_problem("mri-multicoil", batch=1, size=(8, 8), dtype=torch.float64)
    solver = SolverConfig("anderson", tol=1e-4, max_iter=30)
    method = create("mol", width=4, depth=2, equilibrium=EquilibriumConfig(solver, solver))
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter.mul_(30)
    result = method.reconstruct(p.y, p.physics)
    result.image.square().sum().backward()
    backward = result.traces[0].backward
    assert backward is not None
    assert not backward.converged.any()


class OneBatch:
    """A task as far as the first training step needs it."""

    channels = 2
    problem = random_problem("mri-multicoil", batch=2, size=(8, 8))

    def samples(self, split: str) -> range:
        return range(2)

    def batch(self, split: str, indices: Any, epoch: int | None = None) -> Batch:
        p, ones = self.problem, torch.ones(2)
        return Batch(p.x, p.y, p.physics, (), ones, ones)


@pytest.mark.parametrize("parameter", ["lam", "network.layers.0.weight"])
def test_training_names_what_is_not_finite(create: Any, tmp_path: Path, parameter: str) -> None:
    method = create("mol", variant="stable", width=4, depth=2).float()
    with torch.no_grad():
        method.get_parameter(parameter).fill_(torch.nan)
    config = TrainingConfig(steps=2)
    file = tmp_path / "resume.safetensors"
    trainer = Trainer(method, OneBatch(), method.recipe(), config, 0, file)
    with pytest.raises(Diverged, match="the loss is nan at step 0"):
        trainer.run()
