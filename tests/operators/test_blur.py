"""Blurring against dense matrices, deepinv and torch's convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.deepinv_import import deepinv
from bench.operators import Blur, gaussian_kernel, solve_normal_equations

Dense = Callable[[Callable[[Tensor], Tensor], tuple[int, ...]], Tensor]


def lopsided(boundary: Any, size: tuple[int, int] = (7, 6)) -> Blur:
    """A kernel without any symmetry, which shows what is turned and shifted."""
    kernel = torch.rand(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return Blur(kernel / kernel.sum(), size, boundary)


@pytest.mark.parametrize("boundary", ["circular", "zero"])
def test_the_adjoint_is_the_transpose(matrix_of: Dense, boundary: str) -> None:
    physics = lopsided(boundary)
    a = matrix_of(physics.A, (2, 7, 6))
    assert torch.allclose(matrix_of(physics.A_adjoint, (2, 7, 6)), a.T, atol=1e-14)
    assert torch.allclose(matrix_of(physics.A_adjoint_A, (2, 7, 6)), a.T @ a, atol=1e-14)


def test_zero_boundary_is_a_padded_convolution() -> None:
    physics, x = lopsided("zero"), torch.rand(2, 1, 7, 6, dtype=torch.float64)
    expected = F.conv2d(x, physics.kernel.flip(0, 1)[None, None], padding=2)
    assert torch.allclose(physics.A(x), expected, atol=1e-14)


@pytest.mark.parametrize("side", [9, 5])
def test_circular_boundary_is_deepinvs(side: int) -> None:
    kernel = gaussian_kernel(side, 5.0).float()
    other = deepinv.physics.Blur(filter=kernel[None, None], padding="circular")
    x = torch.rand(2, 3, 21, 18)
    physics = Blur(kernel, (21, 18))
    assert torch.allclose(physics.A(x), other.A(x), atol=1e-6)
    assert torch.allclose(physics.A_adjoint(x), other.A_adjoint(x), atol=1e-6)


def test_the_kernel_is_the_papers() -> None:
    kernel = gaussian_kernel(9, 5.0)
    assert kernel.shape == (9, 9) and float(kernel.sum()) == pytest.approx(1)
    assert float(kernel[4, 6] / kernel[4, 4]) == pytest.approx(torch.e ** (-4 / 10))


def test_solves_are_exact_and_differentiable(matrix_of: Dense) -> None:
    physics = lopsided("circular")
    rhs = torch.rand(2, 1, 7, 6, dtype=torch.float64)
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    a = matrix_of(physics.A, (1, 7, 6))
    inverse = torch.linalg.inv(0.7 * a.T @ a + 0.3 * torch.eye(42, dtype=torch.float64))
    solved = solve_normal_equations(physics, rhs, weight, 0.3)
    assert torch.allclose(solved.flatten(1), rhs.flatten(1) @ inverse.T, atol=1e-12)
    (gradient,) = torch.autograd.grad(solved.sum(), weight)
    ones, flat = torch.ones(42, dtype=torch.float64), rhs.flatten(1)
    expected = -sum(ones @ inverse @ a.T @ a @ inverse @ row for row in flat)
    assert float(gradient) == pytest.approx(float(expected), rel=1e-10)
    each = physics.solve_normal(rhs, torch.tensor([0.7, 2.0]), torch.tensor([0.3, 0.1]))
    assert torch.allclose(each[:1], solved[:1], atol=1e-7)  # float32 weights


@pytest.mark.parametrize("boundary", ["circular", "zero"])
def test_double_precision_is_exact_after_single(boundary: Any) -> None:
    physics = Blur(gaussian_kernel(9, 5.0), (12, 11), boundary)
    x = torch.rand(1, 1, 12, 11, dtype=torch.float64)
    expected = physics.A(x)
    assert torch.equal(physics.float().double().A(x), expected)


def test_refuses_what_is_no_blur() -> None:
    for kernel, size in (((4, 4), (9, 9)), ((3, 5), (9, 9)), ((9, 9), (8, 20))):
        with pytest.raises(ValueError, match="expected k x k"):
            Blur(torch.ones(kernel), size)
