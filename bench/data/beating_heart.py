"""The embedded cine phantom: a simulated short-axis view of a beating heart."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.data.smooth_fields import smooth_field

VERSION = 1
"""Raised whenever the same arguments give other pixels: part of every job key."""

FloatArray = NDArray[np.float64]

# signal of balanced steady-state imaging, blood the brightest
_LUNG, _MUSCLE, _FAT, _MYOCARDIUM, _BLOOD, _LIVER = 0.06, 0.35, 0.8, 0.4, 1.0, 0.5
_SOFT = 1.2  # pixels over which an edge passes, so that it can lie between pixels


def beating_heart(rng: np.random.Generator, size: int, frames: int) -> NDArray[np.complex64]:
    """One heartbeat of one subject, periodic in time.

    A chest wall with fat, two lungs, the liver's dome, and a heart whose left ventricle contracts
    while its wall thickens (the wall's area is kept, as muscle is incompressible) and whose right
    ventricle follows. Subjects differ in shape, place, size, ejection, heart's phase, texture and
    smooth background phase; blood has a flow phase of its own that changes over the beat.

    Args:
        rng: the same state gives the same subject.
        size: pixels along both axes.
        frames: of the beat.

    Returns:
        complex64 (frames, size, size), the largest magnitude 1.
    """
    anatomy = _Anatomy(rng, size)
    beat = _volume_curve((np.arange(frames) + rng.uniform(0, frames)) / frames)
    series = np.stack([anatomy.frame(float(phase)) for phase in beat])
    series /= np.abs(series).max()
    return series.astype(np.complex64)


def _volume_curve(time: FloatArray) -> FloatArray:
    """0 at the end of filling, 1 at the end of contraction, over beats of length 1.

    Contraction takes a third of a beat, refilling a third, and then the heart rests.
    """
    t = time % 1
    contracting = 0.5 - 0.5 * np.cos(math.pi * np.clip(t / 0.35, 0, 1))
    refilling = 0.5 + 0.5 * np.cos(math.pi * np.clip((t - 0.35) / 0.35, 0, 1))
    return np.asarray(np.where(t < 0.35, contracting, refilling))


class _Anatomy:
    """A subject's shapes; everything in units of half the field of view, rows downwards."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        axis = ((np.arange(size) + 0.5) / size - 0.5) * 2
        self.x, self.y = np.meshgrid(axis, axis)
        self.soft = 2 * _SOFT / size
        self.body = rng.uniform((0.86, 0.62), (0.95, 0.74))
        self.fat = rng.uniform(0.03, 0.07)
        self.heart = rng.uniform((0.02, -0.12), (0.22, 0.02))
        self.cavity = rng.uniform(0.15, 0.19)
        self.wall = rng.uniform(0.05, 0.07)
        self.ejection = rng.uniform(0.25, 0.4)  # of the radius: 45 to 65 % of the volume
        self.oval = rng.uniform(0.9, 1.1)
        self.tilt = rng.uniform(-0.4, 0.4)
        self.flow = rng.uniform(0.4, 1.2)
        self.texture = 1 + 0.08 * smooth_field(rng, size, 24) + 0.05 * smooth_field(rng, size, 64)
        self.shading = np.exp(0.15 * smooth_field(rng, size, 3))
        self.phase = 1.2 * smooth_field(rng, size, 3)
        self.papillary = rng.uniform(0.6, 1.4, 2)

    def frame(self, contraction: float) -> NDArray[np.complex128]:
        """The image at one moment, complex (size, size)."""
        image = np.zeros_like(self.x)
        image = self._cover(image, self._ellipse((0, 0), self.body), _FAT)
        image = self._cover(image, self._ellipse((0, 0), self.body - self.fat), _MUSCLE)
        lung = (0.42 * self.body[0], 0.72 * self.body[1])
        for side in (-1, 1):
            centre = (side * 0.5 * self.body[0], -0.05)
            image = self._cover(image, self._ellipse(centre, lung), _LUNG)
        # the diaphragm goes down a little as the heart's base is pulled towards it
        liver = self._ellipse((-0.45, 0.6 + 0.02 * contraction), (0.5, 0.33))
        image = self._cover(image, liver * self._ellipse((0, 0), self.body - self.fat), _LIVER)
        image, blood = self._ventricles(image, contraction)
        magnitude = image * self.texture * self.shading
        flow = self.flow * math.sin(math.pi * contraction) * blood
        frame: NDArray[np.complex128] = magnitude * np.exp(1j * (self.phase + flow))
        return frame

    def _ventricles(self, image: FloatArray, contraction: float) -> tuple[FloatArray, FloatArray]:
        inner = self.cavity * (1 - self.ejection * contraction)
        area = (self.cavity + self.wall) ** 2 - self.cavity**2
        outer = math.sqrt(inner**2 + area)
        left = np.add(self.heart, (0.0, 0.015 * contraction))
        oval = np.array((self.oval, 1 / self.oval))
        # a crescent on the septum's side: a larger ellipse, of which the left heart covers a part
        right = left - (0.8 * (self.cavity + self.wall), -0.03)
        reach = (1.35 * self.cavity) * (1 - 0.6 * self.ejection * contraction)
        wide = self._ellipse(right, np.array((reach, 1.05 * reach)) + 0.025)
        cavity = self._ellipse(right, np.array((reach, 1.05 * reach)))
        image = self._cover(self._cover(image, wide, _MYOCARDIUM), cavity, _BLOOD)
        image = self._cover(image, self._ellipse(left, outer * oval), _MYOCARDIUM)
        blood = self._ellipse(left, inner * oval)
        for angle, where in zip((0.9, 2.4), self.papillary, strict=True):
            at = left + 0.6 * inner * np.array((math.cos(angle * where), math.sin(angle * where)))
            blood = blood * (1 - self._ellipse(at, (0.22 * inner, 0.22 * inner)))
        pools = np.maximum(blood, cavity * (1 - self._ellipse(left, outer * oval)))
        return self._cover(image, blood, _BLOOD), pools

    def _ellipse(
        self, centre: tuple[float, float] | FloatArray, radii: tuple[float, float] | FloatArray
    ) -> FloatArray:
        """1 inside, 0 outside, soft by about a pixel."""
        cosine, sine = math.cos(self.tilt), math.sin(self.tilt)
        dx, dy = self.x - centre[0], self.y - centre[1]
        a, b = cosine * dx + sine * dy, cosine * dy - sine * dx
        if centre[0] == 0 and centre[1] == 0:
            a, b = self.x, self.y  # the body lies straight
        reach = np.hypot(a / radii[0], b / radii[1])
        distance = (reach - 1) * min(radii[0], radii[1])
        return np.asarray(np.clip(0.5 - distance / self.soft, 0, 1))

    @staticmethod
    def _cover(image: FloatArray, shape: FloatArray, value: float) -> FloatArray:
        return image * (1 - shape) + value * shape
