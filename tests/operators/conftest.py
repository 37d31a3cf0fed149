"""Small operators, and the matrix of any linear map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.operators import MultiCoilMRI


@pytest.fixture
def random_mri() -> Callable[..., MultiCoilMRI]:
    """``random_mri(height, width, coils, columns=, batch=, dtype=, seed=)``: rough random maps.

    A different mask and other maps for every sample; the maps' sum of squares is one.
    """

    def build(
        height: int,
        width: int,
        coils: int,
        *,
        columns: bool = False,
        batch: int = 1,
        dtype: torch.dtype = torch.complex64,
        seed: int = 0,
    ) -> MultiCoilMRI:
        generator = torch.Generator().manual_seed(seed)
        rows = 1 if columns else height
        mask = (torch.rand(batch, 1, rows, width, generator=generator) < 0.4).float()
        mask[..., width // 2] = 1
        shape = (batch, coils, height, width)
        maps = torch.randn(shape, dtype=torch.complex128, generator=generator)
        maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
        return MultiCoilMRI(mask, maps.to(dtype))

    return build


@pytest.fixture
def matrix_of() -> Callable[[Callable[[Tensor], Tensor], tuple[int, ...]], Tensor]:
    """``matrix_of(linear, shape)``: column by column, float64; ``shape`` without the batch."""

    def build(linear: Callable[[Tensor], Any], shape: tuple[int, ...]) -> Tensor:
        size = int(torch.tensor(shape).prod())
        basis = torch.eye(size, dtype=torch.float64).view(size, *shape)
        return torch.cat([linear(e.unsqueeze(0)).flatten(1) for e in basis]).T

    return build
