"""The multi-coil operator against its own definition, dense matrices and two other libraries."""

from __future__ import annotations

from collections.abc import Callable

import fastmri
import pytest
import torch
from torch import Tensor

from bench.deepinv_import import deepinv
from bench.operators import MultiCoilMRI
from bench.operators.fourier import fft2c, ifft2c, magnitude, to_channels, to_complex

Build = Callable[..., MultiCoilMRI]
Dense = Callable[[Callable[[Tensor], Tensor], tuple[int, ...]], Tensor]

SIZES = [(16, 16), (17, 15), (16, 15), (15, 18)]
# One rounding of an orthonormal FFT of these sizes is about 2e-7 relative; four of them stay below.
FLOAT32 = 2e-6


def random_like(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 1) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def error(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).norm() / truth.norm())


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).sum()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.complex64, 1e-6), (torch.complex128, 1e-12)]
)
def test_adjoint(
    random_mri: Build, size: tuple[int, int], columns: bool, dtype: torch.dtype, tolerance: float
) -> None:
    physics = random_mri(*size, 3, columns=columns, batch=2, dtype=dtype)
    real = physics.coil_maps.real.dtype
    x, z = (random_like((2, 2, *size), real, seed) for seed in (1, 2))
    y = random_like((2, 2, 3, *size), real, 3)
    ax = physics.A(x)
    assert ax.dtype == physics.A_adjoint(y).dtype == physics.A_adjoint_A(x).dtype == real
    assert abs(dot(ax, y) - dot(x, physics.A_adjoint(y))) <= tolerance * ax.norm() * y.norm()
    # the fused operator is the composition, hence symmetric, with norm at most one
    assert error(physics.A_adjoint_A(x), physics.A_adjoint(ax)) <= 2 * tolerance
    assert (
        abs(dot(ax, physics.A(z)) - dot(physics.A_adjoint_A(x), z)) <= tolerance * 4 * x.norm() ** 2
    )
    assert ax.norm() <= x.norm() * (1 + tolerance)
    assert (ax.abs().amax((0, 1, 2)) > 0).any()


@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
def test_matrix(random_mri: Build, matrix_of: Dense, columns: bool) -> None:
    """Against DFT matrices written out, on an even by odd image."""
    height, width, coils = 8, 7, 3
    physics = random_mri(height, width, coils, columns=columns, dtype=torch.complex128)

    def centred_dft(n: int) -> Tensor:
        k = torch.arange(n, dtype=torch.float64) - n // 2
        return torch.exp(-2j * torch.pi * k[:, None] * k[None, :] / n) / n**0.5

    dft = torch.kron(centred_dft(height), centred_dft(width))
    mask = physics.mask[0, 0].expand(height, width).reshape(-1, 1)
    a = torch.cat([mask * dft * m.reshape(1, -1) for m in physics.coil_maps[0]])
    # complex matrix -> real matrix on (real, imaginary) channels
    truth = torch.cat([torch.cat([a.real, -a.imag], 1), torch.cat([a.imag, a.real], 1)])

    image, kspace = (2, height, width), (2, coils, height, width)
    torch.testing.assert_close(matrix_of(physics.A, image), truth, rtol=0, atol=1e-13)
    torch.testing.assert_close(matrix_of(physics.A_adjoint, kspace), truth.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(
        matrix_of(physics.A_adjoint_A, image), truth.T @ truth, rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
def test_agrees_with_deepinv(random_mri: Build, size: tuple[int, int], columns: bool) -> None:
    ours = random_mri(*size, 4, columns=columns, batch=2)
    mask = ours.mask.expand(2, 2, *size)
    theirs = deepinv.physics.MultiCoilMRI(mask=mask, coil_maps=ours.coil_maps, img_size=(2, *size))
    x, y = random_like((2, 2, *size), torch.float32), random_like((2, 2, 4, *size), torch.float32)
    assert error(ours.A(x), theirs.A(x)) <= FLOAT32
    assert error(ours.A_adjoint(y), theirs.A_adjoint(y)) <= FLOAT32
    assert error(ours.A_adjoint_A(x), theirs.A_adjoint_A(x)) <= FLOAT32


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_fastmri(size: tuple[int, int]) -> None:
    """One coil of ones and every sample taken is the plain transform."""
    physics = MultiCoilMRI(torch.ones(size), torch.ones(1, *size, dtype=torch.complex64))
    x = random_like((2, 2, *size), torch.float32)
    truth = fastmri.fft2c(x.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)
    assert error(physics.A(x)[:, :, 0], truth) <= FLOAT32
    assert error(to_channels(fft2c(to_complex(x))), truth) <= FLOAT32
    assert error(to_channels(ifft2c(to_complex(truth))), x) <= FLOAT32
    assert error(physics.A_adjoint_A(x), x) <= FLOAT32
    assert torch.allclose(magnitude(x), fastmri.complex_abs(x.movedim(1, -1)))


def test_every_layout_of_mask_and_maps_means_the_same(random_mri: Build) -> None:
    """(W,) columns with or without batch and channel axes, a mask per sample or one for all."""
    each = random_mri(9, 8, 3, columns=True, batch=3)
    x = random_like((3, 2, 9, 8), torch.float32)
    one_mask, one_map = each.mask[:1], each.coil_maps[:1]

    def results(mask: Tensor, maps: Tensor) -> tuple[Tensor, ...]:
        physics = MultiCoilMRI(mask, maps)
        y = physics.A(x)
        return y, physics.A_adjoint(y), physics.A_adjoint_A(x)

    def same(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
        return all(error(v, w) <= FLOAT32 for v, w in zip(a, b, strict=True))

    truth = results(one_mask, one_map)
    assert same(results(one_mask[0, 0], one_map[0]), truth)
    assert same(results(one_mask[:, 0], one_map), truth)
    assert same(results(one_mask[0, 0].bool(), one_map[0]), truth)
    assert same(results(one_mask.expand(3, 1, 9, 8), one_map.expand(3, -1, -1, -1)), truth)
    # the two broadcast separately
    truth = results(each.mask, each.coil_maps)
    assert same(results(each.mask[:, 0].expand(3, 9, 8), each.coil_maps), truth)
    assert same(results(each.mask, one_map), results(each.mask, one_map.expand(3, -1, -1, -1)))
    assert same(
        results(one_mask, each.coil_maps), results(one_mask.expand(3, -1, -1, -1), each.coil_maps)
    )


def test_samples_of_a_batch_are_independent_and_can_be_selected(random_mri: Build) -> None:
    physics = random_mri(9, 8, 3, batch=4)
    x = random_like((4, 2, 9, 8), torch.float32)
    y = physics.A(x)
    for i in range(4):
        alone = MultiCoilMRI(physics.mask[i], physics.coil_maps[i])
        assert error(y[i : i + 1], alone.A(x[i : i + 1])) <= FLOAT32
    indices = torch.tensor([3, 1])
    chosen = physics.select(indices)
    assert error(chosen.A(x[indices]), y[indices]) <= FLOAT32
    assert error(chosen.A_adjoint(y[indices]), physics.A_adjoint(y)[indices]) <= FLOAT32
    assert error(chosen.A_adjoint_A(x[indices]), physics.A_adjoint_A(x)[indices]) <= FLOAT32
    # a selection of a selection, and of an operator that all samples share
    assert error(chosen.select(torch.tensor([1])).A(x[1:2]), y[1:2]) <= FLOAT32
    shared = MultiCoilMRI(physics.mask[0], physics.coil_maps[0])
    assert error(shared.select(indices).A(x[indices]), shared.A(x)[indices]) <= FLOAT32
    # its parent is as before, also when the selection is changed
    chosen.update_parameters(mask=torch.ones(9, 8))
    assert torch.equal(physics.A(x), y)


def test_applications_are_counted_per_sample(random_mri: Build) -> None:
    physics = random_mri(8, 8, 2, batch=3)
    x = random_like((3, 2, 8, 8), torch.float32)
    physics.A_adjoint(physics.A(x))
    physics.select(torch.tensor([0])).A_adjoint_A(x[:1])
    assert (physics.count.forward, physics.count.adjoint) == (4, 4)


def test_parameters_change_in_place_with_all_that_is_derived_from_them(random_mri: Build) -> None:
    before, after = (random_mri(8, 7, 3, seed=seed) for seed in (0, 1))
    x = random_like((1, 2, 8, 7), torch.float32)
    y = after.A(x)
    both = {"mask": after.mask, "coil_maps": after.coil_maps}

    called = random_mri(8, 7, 3)
    assert torch.equal(called(x, **both), y)  # deepinv's call; its noise model is none
    updated = random_mri(8, 7, 3)
    updated.update_parameters(**both)
    one_by_one = random_mri(8, 7, 3)
    one_by_one.A(x, mask=after.mask)
    one_by_one.A_adjoint(y, coil_maps=after.coil_maps)
    for physics in (called, updated, one_by_one):
        assert torch.equal(physics.A(x), y)
        assert torch.equal(physics.A_adjoint(y), after.A_adjoint(y))
        assert torch.equal(physics.A_adjoint_A(x), after.A_adjoint_A(x))
    # from a 2-D mask to columns and to another size
    columns = random_mri(6, 9, 2, columns=True, seed=2)
    updated.update_parameters(mask=columns.mask, coil_maps=columns.coil_maps)
    z = random_like((1, 2, 6, 9), torch.float32)
    assert torch.equal(updated.A_adjoint_A(z), columns.A_adjoint_A(z))
    assert error(before.A(x), y) > 0.1


@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
def test_nothing_given_is_modified(random_mri: Build, columns: bool) -> None:
    given = random_mri(8, 7, 3, columns=columns)
    mask, maps = given.mask.clone(), given.coil_maps.clone()
    mask_before, maps_before = mask.clone(), maps.clone()
    physics = MultiCoilMRI(mask, maps)
    x, y = random_like((1, 2, 8, 7), torch.float32), random_like((1, 2, 3, 8, 7), torch.float32)
    x_before, y_before = x.clone(), y.clone()
    physics.A(x)
    physics.A_adjoint(y)
    physics.A_adjoint_A(x)
    for now, then in ((mask, mask_before), (maps, maps_before), (x, x_before), (y, y_before)):
        assert torch.equal(now, then)


def test_bad_shapes_are_refused() -> None:
    maps = torch.ones(2, 8, 8, dtype=torch.complex64)
    for mask, given in (
        (torch.ones(8, 8), maps.real),
        (torch.ones(8, 7), maps),
        (torch.ones(7, 8), maps),
        (torch.ones(3, 8, 8), maps.expand(2, -1, -1, -1)),
        (torch.ones(1, 2, 8, 8), maps),
    ):
        with pytest.raises(ValueError, match="coil maps"):
            MultiCoilMRI(mask, given)


# ---------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("name", ["A", "A_adjoint", "A_adjoint_A"])
@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
def test_derivatives(random_mri: Build, matrix_of: Dense, name: str, columns: bool) -> None:
    """Backward is the transposed matrix, forward mode the matrix, and both can be repeated."""
    physics = random_mri(4, 5, 2, columns=columns, dtype=torch.complex128)
    linear = getattr(physics, name)
    shape = (2, 2, 4, 5) if name == "A_adjoint" else (2, 4, 5)
    matrix = matrix_of(linear, shape)
    x = random_like((1, *shape), torch.float64).requires_grad_()
    output = linear(x)
    cotangent = random_like(tuple(output.shape), torch.float64, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(output, x, cotangent, create_graph=True)
    # float64, a few hundred terms: 1e-13
    torch.testing.assert_close(
        gradient.flatten(), matrix.T @ cotangent.flatten(), rtol=0, atol=1e-13
    )
    tangent = random_like((1, *shape), torch.float64, 3)
    (second,) = torch.autograd.grad(gradient, cotangent, tangent)
    torch.testing.assert_close(second.flatten(), matrix @ tangent.flatten(), rtol=0, atol=1e-13)
    with torch.autograd.forward_ad.dual_level():
        dual = linear(torch.autograd.forward_ad.make_dual(x.detach(), tangent))
        pushed = torch.autograd.forward_ad.unpack_dual(dual).tangent
    assert pushed is not None
    torch.testing.assert_close(pushed.flatten(), matrix @ tangent.flatten(), rtol=0, atol=1e-13)
    assert torch.autograd.gradcheck(linear, x, check_forward_ad=True)


def test_gradient_of_a_broadcast_image(random_mri: Build) -> None:
    """One image under three sets of maps: its gradient is the sum over them."""
    physics = random_mri(6, 5, 2, columns=True, batch=3, dtype=torch.complex128)
    physics.update_parameters(mask=physics.mask[:1])
    x = random_like((1, 2, 6, 5), torch.float64).requires_grad_()
    physics.A(x).square().sum().backward()
    truth = 2 * physics.A_adjoint_A(x.detach().expand(3, -1, -1, -1)).sum(0, keepdim=True)
    torch.testing.assert_close(x.grad, truth, rtol=0, atol=1e-13)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("columns", [True, False], ids=["columns", "2-d"])
def test_on_cuda_as_on_the_cpu(random_mri: Build, columns: bool) -> None:
    physics = random_mri(33, 32, 4, columns=columns, batch=2)
    x = random_like((2, 2, 33, 32), torch.float32)
    y, normal = physics.A(x), physics.A_adjoint_A(x)
    physics = physics.to("cuda")
    assert error(physics.A(x.cuda()).cpu(), y) <= FLOAT32
    assert error(physics.A_adjoint(y.cuda()).cpu(), normal) <= FLOAT32
    assert error(physics.A_adjoint_A(x.cuda()).cpu(), normal) <= FLOAT32


# ---------------------------------------------------------------------- series and volumes


@pytest.mark.parametrize("maps_differ", [False, True], ids=["cine", "volume"])
@pytest.mark.parametrize("columns", [False, True])
def test_a_series_is_its_frames(random_mri: Build, columns: bool, maps_differ: bool) -> None:
    frames = [random_mri(9, 8, 3, columns=columns, batch=2, seed=s) for s in range(3)]
    masks = torch.stack([frame.mask for frame in frames], 2)
    maps = torch.stack([frame.coil_maps for frame in frames], 2)
    if maps_differ:
        masks = masks[:, :, :1]
        frames = [MultiCoilMRI(frames[0].mask, frame.coil_maps) for frame in frames]
    else:
        maps = maps[:, :, :1]
        frames = [MultiCoilMRI(frame.mask, frames[0].coil_maps) for frame in frames]
    series = MultiCoilMRI(masks, maps)
    x = torch.randn(2, 2, 3, 9, 8)
    y = series.A(x)
    assert y.shape == (2, 2, 3, 3, 9, 8)
    for t, frame in enumerate(frames):
        assert torch.allclose(y[:, :, :, t], frame.A(x[:, :, t]), atol=1e-6)
        adjoint = frame.A_adjoint(y[:, :, :, t])
        assert torch.allclose(series.A_adjoint(y)[:, :, t], adjoint, atol=1e-6)
        normal = frame.A_adjoint_A(x[:, :, t])
        assert torch.allclose(series.A_adjoint_A(x)[:, :, t], normal, atol=1e-6)
    one = series.select(torch.tensor([1]))
    assert torch.allclose(one.A(x[1:]), y[1:], atol=1e-6)


def test_a_series_needs_masks_and_maps_that_fit() -> None:
    maps = torch.ones(1, 2, 4, 6, 5, dtype=torch.complex64)
    for mask in ((1, 1, 3, 6, 5), (1, 1, 6, 5), (1, 1, 4, 6, 4)):
        with pytest.raises(ValueError, match="coil maps"):
            MultiCoilMRI(torch.ones(mask), maps)
