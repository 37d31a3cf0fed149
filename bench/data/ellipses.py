"""Random ellipse phantoms for tomography."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Raised whenever the same arguments give other pixels: part of every job key."""

_FINE = 3  # subpixels along each axis: edges are shares of a pixel, not steps


def ellipse_phantom(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A body with organs: one large ellipse and 6 to 14 that add to it or take from it.

    Args:
        rng: the same state gives the same phantom, at any size.
        size: pixels along both axes.

    Returns:
        float32 (size, size) in [0, 1]; the largest value is 1, and 0 is outside of the body.
    """
    axis = ((np.arange(size * _FINE) + 0.5) / (size * _FINE) - 0.5) * 2
    x, y = axis[None, :], axis[:, None]
    body = _ellipse(x, y, (0.0, 0.0), rng.uniform((0.75, 0.6), (0.92, 0.85)), rng.normal(0, 0.1))
    image = 0.4 * body
    for _ in range(rng.integers(6, 15)):
        centre = rng.uniform(-0.55, 0.55, 2)
        radii = rng.uniform(0.04, 0.3, 2)
        contrast = rng.uniform(0.1, 0.6) * rng.choice((-1.0, 1.0))
        image += contrast * body * _ellipse(x, y, centre, radii, rng.uniform(0, np.pi))
    image = image.clip(0, None).reshape(size, _FINE, size, _FINE).mean((1, 3))
    phantom: NDArray[np.float32] = (image / image.max()).astype(np.float32)
    return phantom


def _ellipse(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    centre: NDArray[np.float64] | tuple[float, float],
    radii: NDArray[np.float64],
    angle: float,
) -> NDArray[np.bool_]:
    cosine, sine = np.cos(angle), np.sin(angle)
    a = cosine * (x - centre[0]) + sine * (y - centre[1])
    b = cosine * (y - centre[1]) - sine * (x - centre[0])
    inside: NDArray[np.bool_] = (a / radii[0]) ** 2 + (b / radii[1]) ** 2 <= 1
    return inside
