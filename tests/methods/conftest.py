"""Small problems in float64, and the same written out with dense matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.operators import MultiCoilMRI
from bench.reconstructor import Reconstructor
from bench.registry import create_method
from methods.equilibrium import EquilibriumConfig
from methods.mol import MOLLR, MOLConfig


@dataclass
class Problem:
    """A method with exact solves, and one batch of random data for it."""

    method: MOLLR
    physics: MultiCoilMRI
    y: Tensor
    target: Tensor

    def dense_update(self) -> Callable[[Tensor, Tensor], Tensor]:
        """``(x, y) -> T(x)``, differentiable in all, with an eigendecomposition for the solve."""
        shape = self.target.shape[1:]
        size = shape.numel()
        basis = torch.eye(size, dtype=torch.float64).view(size, 1, *shape)
        parts = []
        for i in range(len(self.y)):
            physics = self.physics.select(torch.tensor([i]))
            a = torch.stack([physics.A(e).flatten() for e in basis], dim=1)
            eigenvalues, vectors = torch.linalg.eigh(a.T @ a)
            parts.append((a, eigenvalues, vectors))
        config = self.method.config

        def update(x: Tensor, y: Tensor) -> Tensor:
            lam, h = self.method.data_weight(), self.method.denoise(x)
            rows = []
            for i, (a, eigenvalues, vectors) in enumerate(parts):
                rhs = (1 - config.alpha) * x[i].flatten() + config.alpha * h[i].flatten()
                rhs = rhs + config.alpha * lam * (a.T @ y[i].flatten())
                inverse = 1 / (config.alpha * lam * eigenvalues + 1 + config.shift)
                rows.append(vectors @ (inverse * (vectors.T @ rhs)))
            return torch.stack(rows).view_as(x)

        return update


@pytest.fixture
def mol_problem() -> Callable[..., Problem]:
    """``mol_problem(batch=, size=, coils=, dtype=, equilibrium=, **config)``.

    The network's Lipschitz constant is far below 1, so the map is a contraction.
    """

    def build(
        batch: int = 1,
        size: int = 12,
        coils: int = 3,
        dtype: torch.dtype = torch.float64,
        equilibrium: EquilibriumConfig | None = None,
        **config: Any,
    ) -> Problem:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            maps = torch.randn(batch, coils, size, size, dtype=torch.complex128)
            maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
            mask = (torch.rand(batch, 1, 1, size) < 0.4).double()
            mask[..., size // 2] = 1
            settings = {
                "width": 8,
                "depth": 3,
                "alpha": 0.8,
                "lam": 3.0,
                "shift": 0.01,
                "skip": 0.5,
                "initial": "adjoint",
                "cg_tol": 1e-15,
                "cg_iterations": 300,
                "cg_backward_iterations": 300,
                "equilibrium": equilibrium or EquilibriumConfig(),
            }
            method = MOLLR(MOLConfig(**{**settings, **config})).to(dtype)
            physics = MultiCoilMRI(mask, maps.to(dtype.to_complex()))
            target = torch.randn(batch, 2, size, size, dtype=dtype)
            y = physics.A(target) + 0.05 * torch.randn(batch, 2, coils, size, size, dtype=dtype)
        return Problem(method, physics, y, target)

    return build


class DenseOperator:
    """Another operator's one sample as a matrix, with exact solves; autograd sees plain algebra."""

    def __init__(self, physics: Any, x: Tensor) -> None:
        size = x[0].numel()
        basis = torch.eye(size, dtype=x.dtype).view(size, 1, *x.shape[1:])
        rows = [physics.A(e) for e in basis]
        self.image, self.low, self.inner = x.shape, rows[0].shape, physics
        self.matrix = torch.stack([row.flatten() for row in rows], dim=1)
        self.eigenvalues, self.vectors = torch.linalg.eigh(self.matrix.T @ self.matrix)

    def A(self, x: Tensor) -> Tensor:  # noqa: N802
        return (self.matrix @ x.flatten()).view(self.low)

    def A_adjoint(self, y: Tensor) -> Tensor:  # noqa: N802
        return (self.matrix.T @ y.flatten()).view(self.image)

    def A_adjoint_A(self, x: Tensor) -> Tensor:  # noqa: N802
        return self.A_adjoint(self.A(x))

    def solve_normal(self, rhs: Tensor, weight: Any, shift: Any) -> Tensor:
        inside = (self.vectors.T @ rhs.flatten()) / (weight * self.eigenvalues + shift)
        return (self.vectors @ inside).view(self.image)

    def A_dagger(self, y: Tensor) -> Tensor:  # noqa: N802
        if hasattr(self.inner, "solve_normal"):
            return (torch.linalg.pinv(self.matrix) @ y.flatten()).view(self.image)
        return self.solve_normal(self.A_adjoint(y), 1.0, 1e-6)  # what stands for it elsewhere

    def upsample(self, y: Tensor) -> Tensor:
        return self.inner.upsample(y)


@pytest.fixture
def dense() -> type[DenseOperator]:
    """``dense(physics, x)``."""
    return DenseOperator


@pytest.fixture
def create() -> Callable[..., Reconstructor]:
    """``create(name, **config)``: with random weights, the same ones every time, in float64."""

    def build(name: str, **config: Any) -> Reconstructor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return create_method(name, **config).double().eval()

    return build
