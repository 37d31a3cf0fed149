"""Bicubic downsampling against torch's interpolation, autograd and dense matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.operators.downsampling import BicubicDownsampling

Dense = Callable[[Callable[[Tensor], Tensor], tuple[int, ...]], Tensor]

SCALES = [2, 3, 4]
EXACT = {"rtol": 0.0, "atol": 1e-12}


def interpolate(x: Tensor, scale: int) -> Tensor:
    return F.interpolate(
        x, scale_factor=1 / scale, mode="bicubic", antialias=True, align_corners=False
    )


def random_like(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 1) -> Any:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def small(scale: int) -> BicubicDownsampling:
    """Not square, and at these sizes every pixel is near a border."""
    return BicubicDownsampling(scale, (3 * scale, 2 * scale)).double()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 12), (32, 32)], ids=str)
def test_is_torchs_interpolation(scale: int, size: tuple[int, int]) -> None:
    shape = (size[0] * scale, size[1] * scale)
    physics = BicubicDownsampling(scale, shape)
    x = random_like((2, 3, *shape))
    assert float((physics.A(x) - interpolate(x, scale)).abs().max()) <= 1e-6
    y = random_like((2, 3, *size))
    up = F.interpolate(y, scale_factor=scale, mode="bicubic", antialias=True)
    assert float((physics.upsample(y) - up).abs().max()) <= 1e-6


@pytest.mark.parametrize("scale", SCALES)
def test_adjoint_is_that_of_torchs_interpolation(scale: int) -> None:
    shape = (9 * scale, 5 * scale)
    physics = BicubicDownsampling(scale, shape)
    x, y = random_like((2, 1, *shape)).requires_grad_(), random_like((2, 1, 9, 5))
    (vjp,) = torch.autograd.grad(interpolate(x, scale), x, y)
    assert float((physics.A_adjoint(y) - vjp).abs().max()) <= 1e-6
    (own,) = torch.autograd.grad(physics.A(x), x, y)
    torch.testing.assert_close(own, physics.A_adjoint(y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_matrices(matrix_of: Dense, scale: int) -> None:
    physics = small(scale)
    image, low = (1, 3 * scale, 2 * scale), (1, 3, 2)
    a = matrix_of(lambda x: interpolate(x, scale), image)
    torch.testing.assert_close(matrix_of(physics.A, image), a, **EXACT)
    torch.testing.assert_close(matrix_of(physics.A_adjoint, low), a.T, **EXACT)
    torch.testing.assert_close(matrix_of(physics.A_adjoint_A, image), a.T @ a, **EXACT)
    inverse = a.T @ torch.linalg.inv(a @ a.T)
    torch.testing.assert_close(matrix_of(physics.A_dagger, low), inverse, **EXACT)
    assert 1.0 <= float(torch.linalg.matrix_norm(a, 2)) ** 2 * scale**2 < 1.06
    normal = 0.7 * a.T @ a + 0.01 * torch.eye(len(a.T), dtype=a.dtype)
    solved = matrix_of(lambda rhs: physics.solve_normal(rhs, 0.7, 0.01), image)
    torch.testing.assert_close(solved, torch.linalg.inv(normal), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("scale", SCALES)
def test_as_large_as_photographs(scale: int) -> None:
    """The docstring's norm and condition number, by the eigenvalues, and float32's accuracy."""
    physics = BicubicDownsampling(scale, (60 * scale, 48 * scale))
    spectrum = physics._spectrum
    assert 1.01 <= float(spectrum.max()) * scale**2 <= 1.04
    assert float(spectrum.max() / spectrum.min()) < 5
    y = random_like((1, 1, 60, 48))
    assert float((physics.A(physics.A_dagger(y)) - y).norm() / y.norm()) <= 2e-6
    x = random_like((1, 1, 60 * scale, 48 * scale))
    solved = physics.solve_normal(x, 1.0, 0.05)
    back = physics.A_adjoint_A(solved) + 0.05 * solved
    assert float((back - x).norm() / x.norm()) <= 1e-5


def test_each_sample_can_have_its_own_weights() -> None:
    physics = small(2)
    rhs = random_like((3, 1, 6, 4), torch.float64)
    weight, shift = torch.tensor([[0.0, 1.0, 30.0], [1.0, 0.5, 2.0]], dtype=torch.float64)
    solved = physics.solve_normal(rhs, weight, shift)
    for i in range(3):
        alone = physics.solve_normal(rhs[i : i + 1], float(weight[i]), float(shift[i]))
        torch.testing.assert_close(solved[i : i + 1], alone, **EXACT)
    torch.testing.assert_close(solved[0], rhs[0], **EXACT)


def test_gradients_of_everything() -> None:
    physics = small(3)
    rhs = random_like((2, 1, 9, 6), torch.float64).requires_grad_()
    y = random_like((2, 1, 3, 2), torch.float64).requires_grad_()
    weight = torch.tensor([0.3, 4.0], dtype=torch.float64, requires_grad=True)
    shift = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(physics.solve_normal, (rhs, weight, shift))
    for linear, x in ((physics.A, rhs), (physics.A_adjoint, y), (physics.A_dagger, y)):
        assert torch.autograd.gradcheck(linear, x, check_forward_ad=True)


@pytest.mark.parametrize("scale", SCALES)
def test_upsampling_is_not_the_adjoint(scale: int) -> None:
    """It is scale^2 times the adjoint inside, and some per cent off because of the borders."""
    shape = (24 * scale, 20 * scale)
    physics = BicubicDownsampling(scale, shape).double()
    y = random_like((1, 1, 24, 20), torch.float64).abs()
    up, adjoint = physics.upsample(y), scale**2 * physics.A_adjoint(y)
    inside = slice(4 * scale, -4 * scale)
    torch.testing.assert_close(up[..., inside, inside], adjoint[..., inside, inside], **EXACT)
    assert 0.02 < float((up - adjoint).norm() / up.norm()) < 0.2


def test_counts_and_selects() -> None:
    physics = BicubicDownsampling(2, (4, 6))
    chosen = physics.select(torch.tensor([0, 2]))
    x = random_like((3, 1, 4, 6))
    physics.A_adjoint(physics.A(x))
    chosen.A_adjoint_A(x[[0, 2]])
    assert (physics.count.forward, physics.count.adjoint) == (5, 5)


def test_moves_and_refuses() -> None:
    physics = BicubicDownsampling(2, (4, 6))
    assert physics.A(random_like((1, 1, 4, 6))).dtype == torch.float32
    x = random_like((1, 1, 4, 6), torch.float64)
    assert float((physics.float().double().A(x) - interpolate(x, 2)).abs().max()) <= 1e-12
    with pytest.raises(ValueError, match=r"sides that 3 divides"):
        BicubicDownsampling(3, (9, 10))
    with pytest.raises(ValueError, match=r"image of shape .*expected \(B, C, 4, 6\)"):
        physics.A(torch.zeros(1, 1, 6, 4))
    with pytest.raises(ValueError, match=r"measurements of shape"):
        physics.A_adjoint(torch.zeros(1, 1, 4, 6))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_as_on_the_cpu() -> None:
    physics = BicubicDownsampling(3, (33, 48))
    x = random_like((2, 1, 33, 48))
    y, solved = physics.A(x), physics.solve_normal(x, 2.0, 0.1)
    physics = physics.to("cuda")
    torch.testing.assert_close(physics.A(x.cuda()).cpu(), y, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        physics.solve_normal(x.cuda(), 2.0, 0.1).cpu(), solved, rtol=1e-4, atol=1e-4
    )
