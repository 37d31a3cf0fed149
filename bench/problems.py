"""Small random problems of every task that the conformance suite knows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.operators import (
    BicubicDownsampling,
    Blur,
    MultiCoilMRI,
    ParallelBeam,
    gaussian_kernel,
)


@dataclass(frozen=True)
class Problem:
    """Random images ``x``, an operator that differs by sample, and noisy measurements ``y``."""

    x: Tensor
    y: Tensor
    physics: Any

    def select(self, index: int) -> Problem:
        """One sample, as a batch of one."""
        return Problem(
            self.x[index : index + 1],
            self.y[index : index + 1],
            self.physics.select(torch.tensor([index], device=self.x.device)),
        )


def multicoil_problem(
    batch: int = 3,
    size: tuple[int, int] = (24, 20),
    coils: int = 3,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> Problem:
    """Masks, maps and noise differ by sample; the last sample has no noise at all."""
    g = torch.Generator().manual_seed(seed)
    width = size[1]
    maps = _smooth(torch.randn(batch, coils, *size, 2, generator=g, dtype=torch.float64), 4.0)
    maps = torch.view_as_complex(maps)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    mask = (torch.rand(batch, 1, 1, width, generator=g) < 0.4).double()
    mask[..., width // 2 - 1 : width // 2 + 2] = 1
    x = _smooth(torch.randn(batch, 1, *size, 2, generator=g, dtype=torch.float64), 1.5)
    x = x[:, 0].movedim(-1, 1)
    x = x / x.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
    physics = MultiCoilMRI(mask, maps)
    y = physics.A(x)
    level = torch.linspace(0.05, 0, batch).view(-1, 1, 1, 1, 1)
    noise = level * torch.randn(y.shape, generator=g, dtype=torch.float64)
    y = y + noise * mask.view(batch, 1, 1, 1, width)
    physics = MultiCoilMRI(mask.to(dtype), maps.to(dtype.to_complex()))
    return Problem(x.to(device, dtype), y.to(device, dtype), physics.to(device))


def superres_problem(
    batch: int = 3,
    size: tuple[int, int] = (24, 20),
    coils: int = 1,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Problem:
    """Images in [0, 1], halved; odd sizes are those of the measurements."""
    g = torch.Generator().manual_seed(0)
    height, width = (side if side % 2 == 0 else 2 * side for side in size)
    x = torch.rand(batch, 1, height, width, 1, generator=g, dtype=torch.float64)
    x = _smooth(x, 1.5)[..., 0].to(device, dtype)
    physics = BicubicDownsampling(2, (height, width)).to(device, dtype)
    return Problem(x, physics.A(x), physics)


def singlecoil_problem(
    batch: int = 3,
    size: tuple[int, int] = (24, 20),
    coils: int = 1,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Problem:
    """As with many coils, and one that sees everything alike."""
    like = multicoil_problem(batch, size, 2, torch.float64)
    physics = MultiCoilMRI(like.physics.mask, torch.ones(1, *size, dtype=torch.complex128))
    return _noisy(like.x, physics, 0.01, dtype, device)


def series_problem(
    batch: int = 3,
    size: tuple[int, int] = (16, 12),
    coils: int = 3,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    alike: bool = False,
) -> Problem:
    """Three frames with masks of their own; ``alike``: planes of a volume, with one mask."""
    frames = [multicoil_problem(batch, size, coils, torch.float64)]
    frames += [multicoil_problem(batch, size, coils, torch.float64, seed=k) for k in (1, 2)]
    x = torch.stack([frame.x for frame in frames], dim=2)
    masks = torch.stack([frame.physics.mask for frame in frames], dim=2)
    maps = frames[0].physics.coil_maps.unsqueeze(2)
    if alike:
        masks = masks[:, :, :1]
        maps = torch.stack([frame.physics.coil_maps for frame in frames], dim=2)
    return _noisy(x, MultiCoilMRI(masks, maps), 0.01, dtype, device)


def tomography_problem(
    batch: int = 3,
    size: tuple[int, int] = (16, 16),
    coils: int = 1,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Problem:
    """Square images of the first side, 12 views."""
    angles = torch.arange(12, dtype=torch.float64) * (torch.pi / 12)
    x = _images(batch, 1, (size[0], size[0]))
    return _noisy(x, ParallelBeam(size[0], angles), 0.01, dtype, device)


def deblurring_problem(
    batch: int = 3,
    size: tuple[int, int] = (24, 20),
    coils: int = 1,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Problem:
    """Images of three channels, blurred."""
    physics = Blur(gaussian_kernel(9, 5.0), size)
    return _noisy(_images(batch, 3, size), physics, 0.01, dtype, device)


PROBLEMS: dict[str, Callable[..., Problem]] = {
    "mri-multicoil": multicoil_problem,
    "mri-singlecoil": singlecoil_problem,
    "mri-cine": series_problem,
    "mri-3d": functools.partial(series_problem, alike=True),
    "ct": tomography_problem,
    "deblur": deblurring_problem,
    "superres": superres_problem,
}


def _images(batch: int, channels: int, size: tuple[int, int]) -> Tensor:
    """Smooth random images in [0, 1], float64."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(batch, channels, *size, 1, generator=g, dtype=torch.float64)
    return _smooth(x, 1.5)[..., 0]


def _noisy(x: Tensor, physics: Any, level: float, dtype: torch.dtype, device: str) -> Problem:
    """Measurements of ``x`` (float64), all in ``dtype``; the last sample has no noise at all."""
    clean = physics.double().A(x)
    g = torch.Generator().manual_seed(1)
    noise = level * clean.std() * torch.randn(clean.shape, generator=g, dtype=torch.float64)
    noise[-1] = 0
    y = clean + noise
    if isinstance(physics, MultiCoilMRI):
        y = y * physics.mask.unsqueeze(1)
        physics = MultiCoilMRI(physics.mask.to(dtype), physics.coil_maps.to(dtype.to_complex()))
    else:
        physics = physics.to(dtype)
    return Problem(x.to(device, dtype), y.to(device, dtype), physics.to(device))


@functools.cache
def _blur(width: float) -> Tensor:
    t = torch.arange(-6, 7, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (t / width) ** 2)
    return kernel / kernel.sum()


def _smooth(x: Tensor, width: float) -> Tensor:
    """``x (B, N, H, W, P)`` blurred along H and W."""
    flat = x.movedim(-1, 2).flatten(0, 2).unsqueeze(1)
    kernel = _blur(width)
    for shape in ((-1, 1), (1, -1)):
        weight = kernel.view(1, 1, *shape)
        flat = torch.nn.functional.conv2d(flat, weight, padding="same")
    b, n, h, w, p = x.shape
    return flat.view(b, n, p, h, w).movedim(2, -1).contiguous()
