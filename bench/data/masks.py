"""Sampling masks: columns as in fastMRI, and two-dimensional variable density.

Centre means index n // 2 of each axis, where the centred FFT puts zero frequency.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError

Mask = NDArray[np.float32]

COLUMNS = ("random", "equispaced", "gaussian")
MASK_KINDS = (*COLUMNS, "variable-density-2d")

# standard deviation over the number of columns; DEQ4IP does not say its own
_GAUSSIAN_WIDTH = 1 / 6
_DENSITY_POWER = 3.0  # of (1 - radius): where typical 2-D variable-density designs lie


def draw_mask(
    kind: str,
    shape: tuple[int, int],
    acceleration: float,
    center_fraction: float,
    rng: np.random.Generator,
) -> Mask:
    """Draw one mask of ones (sampled) and zeros.

    Args:
        kind: one of MASK_KINDS
        shape: (H, W) of k-space
        acceleration: all samples over acquired samples, in expectation; at least 1
        center_fraction: fully sampled part: of the columns, or of all samples for 2-D; at most
            1 / acceleration
        rng: the same state gives the same mask

    Returns:
        float32 (1, W) for columns, (H, W) for 2-D

    Raises:
        InputError: unknown kind, or a field out of range
    """
    if kind == "variable-density-2d":
        return variable_density_mask(shape, acceleration, center_fraction, rng)
    return column_mask(kind, shape, acceleration, center_fraction, rng)


def column_mask(
    kind: str,
    shape: tuple[int, int],
    acceleration: float,
    center_fraction: float,
    rng: np.random.Generator,
) -> Mask:
    """Columns, float32 (1, W); arguments as :func:`draw_mask`.

    ``random`` is fastMRI's RandomMaskFunc, ``equispaced`` its EquispacedMaskFractionFunc: the plain
    equispaced kind adds the centre on top and is faster than the acceleration it states.
    ``gaussian`` draws ``W / acceleration`` columns, the centre's among them, without replacement
    and with a Gaussian density (DEQ4IP).
    """
    if kind not in COLUMNS:
        raise InputError(f"unknown mask {kind!r}", expected=f"one of {', '.join(MASK_KINDS)}")
    _check(shape, acceleration, center_fraction)
    width = shape[1]
    if kind == "gaussian":
        return _gaussian_columns(width, acceleration, center_fraction, rng)
    seed = int(rng.integers(2**31))
    position = rng.random()
    if acceleration == 1:
        return np.ones((1, width), np.float32)
    centre = round(width * center_fraction)
    if centre >= width / acceleration:  # nothing is left to draw, and fastMRI divides by zero
        return _centre_box((1, width), (1, centre))
    from fastmri.data import subsample

    spacing = (width - centre) / (width / acceleration - centre)
    function: Any = (
        subsample.RandomMaskFunc if kind == "random" else subsample.EquispacedMaskFractionFunc
    )
    mask, _ = function([center_fraction], [acceleration], seed=seed)(
        (1, width, 1), offset=int(position * min(round(spacing), width)), seed=seed
    )
    drawn: Mask = np.ascontiguousarray(mask.numpy().reshape(1, width), np.float32)
    if not drawn.any():  # possible without a centre: leave one sample to reconstruct from
        drawn[0, width // 2] = 1
    return drawn


def _gaussian_columns(
    width: int, acceleration: float, center_fraction: float, rng: np.random.Generator
) -> Mask:
    total = max(1, round(width / acceleration))
    mask = _centre_box((1, width), (1, min(total, round(width * center_fraction))))
    distance = (np.arange(width) - width // 2) / (width * _GAUSSIAN_WIDTH)
    _draw_rest(mask, np.exp(-0.5 * distance**2)[None], total, rng)
    return mask


def variable_density_mask(
    shape: tuple[int, int],
    acceleration: float,
    center_fraction: float,
    rng: np.random.Generator,
) -> Mask:
    """Random samples, denser towards the centre, float32 (H, W); arguments as :func:`draw_mask`.

    The density is (1 - r)³ of the relative distance r to the centre plus a floor, and sampling
    is without replacement, so that the count is H·W / acceleration to the nearest sample. The
    fully sampled centre is a box with the image's proportions.
    """
    _check(shape, acceleration, center_fraction)
    height, width = shape
    total = round(height * width / acceleration)
    side = math.sqrt(center_fraction)
    box = (round(height * side), round(width * side))
    if box[0] * box[1] > total:  # rounding up may exceed the budget by a line
        box = (math.floor(height * side), math.floor(width * side))
    mask = _centre_box(shape, box)
    row = (np.arange(height) - height // 2) / (height / 2)
    column = (np.arange(width) - width // 2) / (width / 2)
    radius = np.hypot(row[:, None], column[None, :]) / math.sqrt(2)
    density = np.clip(1 - radius, 0, None) ** _DENSITY_POWER + 0.01
    _draw_rest(mask, density, total, rng)
    return mask


def _draw_rest(
    mask: Mask, density: NDArray[np.float64], total: int, rng: np.random.Generator
) -> None:
    """Fill the mask up to ``total`` samples by this density, without replacement."""
    # Efraimidis and Spirakis 2006: the largest keys.
    keys = np.log(rng.random(mask.shape) + 1e-300) / density
    keys[mask > 0] = -np.inf
    chosen = np.argsort(keys.ravel(), kind="stable")[::-1][: total - int(mask.sum())]
    mask.ravel()[chosen] = 1


def _check(shape: tuple[int, int], acceleration: float, center_fraction: float) -> None:
    if min(shape) < 1:
        raise InputError(f"shape is {shape}", expected="two sides of at least 1 sample")
    if not 1 <= acceleration <= shape[1]:
        raise InputError(
            f"acceleration is {acceleration}", expected=f"1 to {shape[1]}, the number of columns"
        )
    if not 0 <= center_fraction <= 1 / acceleration:
        raise InputError(
            f"center_fraction is {center_fraction}",
            expected=f"0 to 1 / acceleration = {1 / acceleration:.4g}",
        )


def _centre_box(shape: tuple[int, int], box: tuple[int, int]) -> Mask:
    """Ones in a centred box, as fastMRI places its central columns."""
    mask = np.zeros(shape, np.float32)
    top, left = ((n - b + 1) // 2 for n, b in zip(shape, box, strict=True))
    mask[top : top + box[0], left : left + box[1]] = 1
    return mask
