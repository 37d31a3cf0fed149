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


def random_problem(
    task: str,
    batch: int = 3,
    size: tuple[int, int] | None = None,
    coils: int = 3,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Problem:
    """A problem of the task of that name; masks, maps and noise differ by sample.

    Noise falls from sample to sample; the last one has none at all.

    Args:
        size: (H, W) of the images, where the task has a choice: super-resolution doubles odd sides,
            tomography takes the first for both. About 20 pixels a side if not given.
        coils: where the task has more than one.
    """
    make, usual, level = _TASKS[task]
    x, physics = make(batch, size or usual, coils)
    clean = physics.A(x)
    g = torch.Generator().manual_seed(1)
    levels = torch.linspace(level, 0, batch).view(-1, *[1] * (clean.ndim - 1))
    y = clean + levels * torch.randn(clean.shape, generator=g, dtype=torch.float64)
    if isinstance(physics, MultiCoilMRI):
        y = y * physics.mask.unsqueeze(1)
        physics = MultiCoilMRI(physics.mask.to(dtype), physics.coil_maps.to(dtype.to_complex()))
    else:
        physics = physics.to(dtype)
    return Problem(x.to(device, dtype), y.to(device, dtype), physics.to(device))


def _multicoil(batch: int, size: tuple[int, int], coils: int, seed: int = 0) -> tuple[Tensor, Any]:
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
    return x, MultiCoilMRI(mask, maps)


def _singlecoil(batch: int, size: tuple[int, int], coils: int) -> tuple[Tensor, Any]:
    """As with many coils, and one that sees everything alike."""
    x, physics = _multicoil(batch, size, 2)
    return x, MultiCoilMRI(physics.mask, torch.ones(1, *size, dtype=torch.complex128))


def _series(
    batch: int, size: tuple[int, int], coils: int, alike: bool = False
) -> tuple[Tensor, Any]:
    """Three frames with masks of their own; ``alike``: planes of a volume, with one mask."""
    frames = [_multicoil(batch, size, coils, seed) for seed in range(3)]
    masks = torch.stack([physics.mask for _, physics in frames], dim=2)
    maps = frames[0][1].coil_maps.unsqueeze(2)
    if alike:
        masks = masks[:, :, :1]
        maps = torch.stack([physics.coil_maps for _, physics in frames], dim=2)
    return torch.stack([x for x, _ in frames], dim=2), MultiCoilMRI(masks, maps)


def _tomography(batch: int, size: tuple[int, int], coils: int) -> tuple[Tensor, Any]:
    angles = torch.arange(12, dtype=torch.float64) * (torch.pi / 12)
    physics = ParallelBeam(size[0], angles).double()
    return _images(batch, 1, (size[0], size[0])), physics


def _deblurring(batch: int, size: tuple[int, int], coils: int) -> tuple[Tensor, Any]:
    return _images(batch, 3, size), Blur(gaussian_kernel(9, 5.0), size).double()


def _superres(batch: int, size: tuple[int, int], coils: int) -> tuple[Tensor, Any]:
    height, width = (side if side % 2 == 0 else 2 * side for side in size)
    return _images(batch, 1, (height, width)), BicubicDownsampling(2, (height, width)).double()


# By task: images (float64) and their operator, the usual size, and the first sample's noise.
_TASKS: dict[str, tuple[Callable[..., tuple[Tensor, Any]], tuple[int, int], float]] = {
    "mri-multicoil": (_multicoil, (24, 20), 0.05),
    "mri-singlecoil": (_singlecoil, (24, 20), 0.01),
    "mri-cine": (_series, (16, 12), 0.01),
    "mri-3d": (functools.partial(_series, alike=True), (16, 12), 0.01),
    "ct": (_tomography, (16, 16), 0.02),
    "deblur": (_deblurring, (24, 20), 0.005),
    "superres": (_superres, (24, 20), 0.0),
}
TASKS = tuple(_TASKS)


def _images(batch: int, channels: int, size: tuple[int, int]) -> Tensor:
    """Smooth random images in [0, 1], float64."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(batch, channels, *size, 1, generator=g, dtype=torch.float64)
    return _smooth(x, 1.5)[..., 0]


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
