"""MOL without a constraint: an expansive network is an outcome to record, not a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bench
from bench.errors import Diverged
from bench.testing import multicoil_problem
from bench.training import Trainer, TrainingConfig
from methods.equilibrium import EquilibriumConfig, SolverConfig

METHODS = ["picard", "anderson"]


class Expansive(nn.Module):
    """``3 x + sin(40 x) + 1 / 10``: of slope above 1, and with a kink for Anderson everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * x + torch.sin(40 * x) + 0.1


@pytest.mark.parametrize("solver", METHODS)
@pytest.mark.parametrize("keep", ["lowest", "last"])
def test_an_expansive_network_is_recorded_as_not_converged(
    create: Any, solver: Any, keep: Any
) -> None:
    """Plain iteration runs until float32 overflows; what is returned is finite."""
    p = multicoil_problem(batch=2, size=(8, 8))
    config = SolverConfig(solver, tol=1e-4, max_iter=300, keep=keep)
    method = create("mol", width=4, depth=2, alpha=1.0, equilibrium=EquilibriumConfig(config))
    method.network = Expansive()
    with torch.no_grad():
        result = method.float().reconstruct(p.y, p.physics)
    (trace,) = result.traces
    assert not trace.converged.any()
    assert torch.isfinite(result.image).all()
    assert torch.isfinite(trace.residual).all()
    assert (trace.residual > 1e-4).all()
    if solver == "picard":
        assert (trace.iterations < 300).all()  # stopped where it was no longer finite
    if solver == "picard" and keep == "last":
        assert result.image.abs().max() > 1e10


def test_a_gradient_through_it_does_not_raise(create: Any) -> None:
    p = multicoil_problem(batch=1, size=(8, 8), dtype=torch.float64)
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


@pytest.mark.parametrize(
    ("parameter", "message"), [("lam", "loss is nan"), ("network.layers.0.weight", "loss is nan")]
)
def test_training_names_what_is_not_finite(tmp_path: Path, parameter: str, message: str) -> None:
    task = bench.create_task("mri-multicoil", size=32, coils=3)
    method = bench.create_method("mol", task, variant="stable", width=4, depth=2)
    with torch.no_grad():
        method.get_parameter(parameter).fill_(torch.nan)
    config = TrainingConfig(steps=2, validate_every=2, validation_samples=1)
    trainer = Trainer(method, task, method.recipe(), config, 0, tmp_path / "resume.safetensors")
    with pytest.raises(Diverged, match=message + " at step 0"):
        trainer.run()
