"""The parallel beam against analytic projections, deepinv and dense matrices."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bench.deepinv_import import deepinv
from bench.operators import ParallelBeam
from bench.operators.tomography import detectors_for, system_matrix

Dense = Callable[[Callable[[Tensor], Tensor], tuple[int, ...]], Tensor]


def views(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.float64) * (math.pi / count)


def test_the_adjoint_is_the_transpose_and_the_norm_is_one(matrix_of: Dense) -> None:
    physics = ParallelBeam(9, views(7)).double()
    a = matrix_of(physics.A, (1, 9, 9))
    shape = (1, 7, physics.detectors)
    assert torch.equal(matrix_of(physics.A_adjoint, shape), a.T)
    assert torch.allclose(matrix_of(physics.A_adjoint_A, (1, 9, 9)), a.T @ a, atol=1e-14)
    assert float(torch.linalg.matrix_norm(a, 2)) == pytest.approx(1, abs=1e-6)


def test_projections_of_an_ellipse_are_the_analytic_ones() -> None:
    """A chord's length; off the centre and turned, so that signs and directions count.

    The image is a pixel's share of the ellipse, so that lines near its rim see a soft edge: the
    error is that of about a pixel, and falls with the size.
    """
    errors = []
    for size in (64, 256):
        physics = ParallelBeam(size, views(24))
        scale = 1 / float(system_matrix_gain(physics))
        axis = (torch.arange(4 * size, dtype=torch.float64) + 0.5) / 4 - size / 2
        x, y = axis[None, :], -axis[:, None]  # y upwards
        cx, cy, a, b, turn = 0.12 * size, 0.07 * size, 0.3 * size, 0.15 * size, 0.4
        u = math.cos(turn) * (x - cx) + math.sin(turn) * (y - cy)
        v = math.cos(turn) * (y - cy) - math.sin(turn) * (x - cx)
        inside = ((u / a) ** 2 + (v / b) ** 2 <= 1).double()
        image = inside.view(size, 4, size, 4).mean((1, 3))
        found = physics.A(image[None, None].float())[0, 0].double() * scale
        s = torch.arange(physics.detectors, dtype=torch.float64) - physics.detectors // 2
        angle = views(24)[:, None]
        reach = (a * torch.cos(angle - turn)) ** 2 + (b * torch.sin(angle - turn)) ** 2
        offset = s - cx * torch.cos(angle) - cy * torch.sin(angle)
        chord = 2 * a * b * (reach - offset**2).clamp_min(0).sqrt() / reach
        errors.append(float((found - chord).norm() / chord.norm()))
    assert errors[0] < 0.03 and errors[1] < errors[0] / 2, errors


def system_matrix_gain(physics: ParallelBeam) -> Tensor:
    """What lengths are multiplied with: a ray through the middle crosses ``size`` pixels."""
    ones = torch.ones(1, 1, physics.size, physics.size)
    return physics.A(ones)[0, 0, 0, physics.detectors // 2] / physics.size


def test_it_is_deepinvs_up_to_interpolation() -> None:
    """Another projector (rotate, then add): the same mass, width and, to half a pixel, place.

    Half a pixel, because deepinv turns about another point than the image's middle: the analytic
    test above says whose place is right.
    """
    size, count = 64, 30
    axis = torch.linspace(-1, 1, size)
    x = torch.exp(-8 * ((axis[None] - 0.2) ** 2 + 2 * (axis[:, None] + 0.1) ** 2))[None, None]
    physics = ParallelBeam(size, views(count))
    other = deepinv.physics.Tomography(angles=count, img_width=size, circle=False, normalize=False)
    theirs = _moments(other.A(x)[0, 0].T)
    ours = _moments(physics.A(x)[0, 0] / system_matrix_gain(physics))
    assert torch.allclose(ours[0], theirs[0], rtol=1e-3)
    assert float((ours[1] - theirs[1]).abs().max()) <= 0.75
    assert torch.allclose(ours[2], theirs[2], rtol=0.02)


def _moments(projections: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mass, centre and variance of every row, from the middle of the detector."""
    s = torch.arange(projections.shape[1]) - (projections.shape[1] - 1) / 2
    mass = projections.sum(1)
    centre = (projections * s).sum(1) / mass
    return mass, centre, (projections * (s - centre[:, None]) ** 2).sum(1) / mass


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_gradients_are_adjoints(dtype: torch.dtype, tol: float) -> None:
    physics = ParallelBeam(16, views(10)).to(dtype)
    g = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 16, 16, dtype=dtype, generator=g).requires_grad_()
    y = torch.rand(3, 1, 10, detectors_for(16), dtype=dtype, generator=g)
    (gradient,) = torch.autograd.grad(physics.A(x), x, y)
    assert torch.equal(gradient, physics.A_adjoint(y))
    inner = (physics.A(x) * y).sum() - (x * gradient).sum()
    assert abs(float(inner.detach())) <= tol * float((x * gradient).detach().sum())
    assert physics.count.forward == 2 * 3 and physics.count.adjoint == 2 * 3  # one by autograd


def test_double_precision_is_exact_after_single() -> None:
    physics = ParallelBeam(12, views(5)).double()
    x = torch.rand(1, 1, 12, 12, dtype=torch.float64)
    expected = physics.A(x)
    assert torch.equal(physics.float().double().to("cpu").A(x), expected)


def test_every_pixel_is_seen_from_every_angle() -> None:
    """The detector covers the diagonal: no mass is lost at any angle."""
    matrix = system_matrix(10, tuple(float(a) for a in views(8))).forward.to_dense()
    mass = matrix.view(8, detectors_for(10), 100).sum(1)
    assert torch.allclose(mass.mean(1), mass.mean(), rtol=0.02)
    # rays that cross a row further apart than pixels are see some pixels less than others
    assert float(mass.min()) > 0.5 * float(mass.mean())
