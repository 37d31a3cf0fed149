"""Smooth random fields: cubic B-splines through random control points."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def smooth_field(rng: np.random.Generator, size: int, knots: int) -> FloatArray:
    """A zero-mean random field of about unit variance, float32 (size, size).

    It varies over about ``size / knots`` pixels. The control points do not depend on ``size``:
    the same generator state gives the same field on a finer or coarser grid. No BLAS is
    involved, so the bits do not depend on the number of threads.
    """
    control = rng.standard_normal((knots + 3, knots + 3), dtype=np.float32)
    # Mean squared norm of the four spline weights along one axis is 0.479.
    columns = _along_rows(control, size).T.copy()
    field: FloatArray = _along_rows(columns, size).T / np.float32(0.479)
    return field


def _along_rows(control: FloatArray, size: int) -> FloatArray:
    first, weights = _basis(size, len(control) - 3)
    field: FloatArray = weights[0] * control[first]
    for tap in range(1, 4):
        field += weights[tap] * control[first + tap]
    return field


@functools.lru_cache(maxsize=64)
def _basis(size: int, knots: int) -> tuple[NDArray[np.intp], FloatArray]:
    """First control point (size,) and four weights (4, size, 1) of each pixel's spline."""
    position = (np.arange(size) + 0.5) * knots / size
    first = np.minimum(position.astype(np.intp), knots - 1)
    t = position - first
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    )
    return first, (weights / 6).astype(np.float32)[:, :, None]
