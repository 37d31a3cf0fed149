"""The embedded brain phantom: complex axial slices of many subjects, without any download.

Anatomy is real (see anatomy.py); subjects differ by slice, tilt, head size, smooth deformation,
folding, skull and scalp thickness, contrast, bias field, lesions, texture and phase. They all
share one template, so tables made on them say so.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.anatomy import load_anatomy
from bench.data.archives import read_npz
from bench.data.contrast import Signals, draw_signals
from bench.data.smooth_fields import smooth_field
from bench.errors import InputError

ComplexArray = NDArray[np.complex64]
FloatArray = NDArray[np.float32]

VERSION = 1
"""Raised whenever the same arguments give other pixels: part of every cache and job key."""

FIELD_OF_VIEW_MM = 230.0
SIZES = (32, 512)
_FINEST_MM = 1.0  # fractions are computed at this pixel size or finer, then averaged


def brain_subject(subject: int, size: int, seed: int = 0) -> ComplexArray:
    """One axial slice of one subject, front of the head up.

    Args:
        subject: any non-negative number; its contrast is ``CONTRASTS[subject % 4]``
        size: pixels along each side of the 230 mm field of view, 32 to 512
        seed: another seed is another population

    Returns:
        complex64 (size, size), largest magnitude 1, exactly 0 in air

    Raises:
        InputError: negative subject or seed, or a size out of range
    """
    magnitude, phase = _slice(subject, size, seed, 0.0)
    return _complex(magnitude / magnitude.max(), phase)


def brain_volume(
    subject: int, size: int, slices: int, seed: int = 0, spacing_mm: float = 2.5
) -> ComplexArray:
    """Axial slices of one subject around that of :func:`brain_subject`, from below upwards.

    What makes the subject (deformation, folds, bias field, phase) is the same in all of them, and
    so smooth along the third axis too.

    Args:
        slices: number of slices, at least 1
        spacing_mm: from one to the next

    Returns:
        complex64 (slices, size, size), largest magnitude 1
    """
    offsets = (np.arange(slices) - (slices - 1) / 2) * spacing_mm
    found = [_slice(subject, size, seed, float(offset)) for offset in offsets]
    peak = max(magnitude.max() for magnitude, _ in found)
    return np.stack([_complex(magnitude / peak, phase) for magnitude, phase in found])


def _slice(subject: int, size: int, seed: int, offset: float) -> tuple[FloatArray, FloatArray]:
    """Magnitude and phase of the slice so many mm above the subject's own, (size, size)."""
    _check(subject, size, seed)
    rng = np.random.default_rng([VERSION, seed, subject])
    signals = draw_signals(subject, rng)
    factor = math.ceil(FIELD_OF_VIEW_MM / _FINEST_MM / size)
    fine = _magnitude(signals, size * factor, rng, offset)
    # Averaging blocks of the fine grid gives partial-volume edges and suppresses aliasing.
    magnitude = fine.reshape(size, factor, size, factor).mean(axis=(1, 3))
    magnitude *= np.exp(np.float32(rng.uniform(0.08, 0.22)) * smooth_field(rng, size, 3))
    return magnitude, _phase(magnitude > 0, rng)


def _complex(magnitude: FloatArray, phase: FloatArray) -> ComplexArray:
    image = np.zeros(magnitude.shape, np.complex64)
    head = magnitude > 0
    image[head] = magnitude[head] * np.exp(1j * phase[head])
    return image


def brain_subjects(
    subjects: Sequence[int], size: int, seed: int = 0, cache: Path | None = None
) -> ComplexArray:
    """The slices of several subjects, complex64 (S, size, size); see :func:`brain_subject`.

    Args:
        cache: a folder that keeps the result, one file per size, seed, VERSION and subject
            list; a damaged file is rebuilt. None computes.

    Raises:
        InputError: as :func:`brain_subject`
    """
    for subject in subjects:
        _check(subject, size, seed)
    if cache is None:
        return _build(subjects, size, seed)
    numbers = json.dumps([int(subject) for subject in subjects])
    digest = hashlib.sha256(numbers.encode()).hexdigest()[:16]
    path = cache / f"phantom-v{VERSION}-{size}-seed{seed}-{digest}.npz"
    images = _read_cache(path, (len(subjects), size, size))
    if images is None:
        images = _build(subjects, size, seed)
        _write_cache(path, images)
    return images


def _check(subject: int, size: int, seed: int) -> None:
    if subject < 0:
        raise InputError(f"subject is {subject}", expected="a number of at least 0")
    if seed < 0:
        raise InputError(f"seed is {seed}", expected="a number of at least 0")
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"size is {size}", expected=f"{SIZES[0]} to {SIZES[1]} pixels")


def _build(subjects: Sequence[int], size: int, seed: int) -> ComplexArray:
    images = np.empty((len(subjects), size, size), np.complex64)
    for index, subject in enumerate(subjects):
        images[index] = brain_subject(subject, size, seed)
    return images


def _magnitude(signals: Signals, size: int, rng: np.random.Generator, offset: float) -> FloatArray:
    """Magnitude before the bias field, float32 (size, size)."""
    points = _sample_points(size, rng, offset)
    anatomy = load_anatomy()
    distance = anatomy.surface_distance(points).reshape(size, size)
    layers, inside = _head_layers(distance, size, rng)
    image = np.zeros((size, size), np.float32)
    for layer, value in zip(layers, signals.layers, strict=True):
        image += value * layer
    brain = inside > 0
    grey, white, detail = anatomy.tissue(points[:, brain.ravel()])
    tissue = _individual_tissue(grey, white, brain, rng)
    tissue = np.concatenate([tissue, _lesions(tissue[1], brain, rng)])
    tissue[1] -= tissue[3]
    signal = signals.grey * tissue[0] + signals.white * tissue[1] + signals.fluid * tissue[2]
    signal += signals.lesion * tissue[3]
    # Deep nuclei are brighter or darker than their tissue class says, by the contrast's sign.
    signal *= 1 + signals.detail * detail * (1 - tissue[2])
    image[brain] += inside[brain] * signal
    texture = 0.6 * smooth_field(rng, size, 110) + 0.5 * smooth_field(rng, size, 48)
    texture += 0.6 * smooth_field(rng, size, 12)
    image *= np.maximum(1 + np.float32(signals.texture) * texture, 0)
    return image


def _sample_points(size: int, rng: np.random.Generator, offset: float) -> FloatArray:
    """Where in the template (mm) each pixel looks, float32 (3, size * size)."""
    height = rng.uniform(-4.0, 50.0)
    angle, tilt_x, tilt_y = np.radians(rng.normal(0, [4.0, 2.0, 4.0]).clip(-8, 8))
    scale = rng.uniform(0.88, 0.98) * np.array([1.0, rng.uniform(0.95, 1.02)])
    shift = rng.uniform(-2.5, 2.5, 2)
    axis = ((np.arange(size) + 0.5) / size - 0.5) * FIELD_OF_VIEW_MM
    column, row = np.meshgrid(axis - shift[0], axis - shift[1])
    x = (math.cos(angle) * column - math.sin(angle) * row) / scale[0]
    y = -(math.sin(angle) * column + math.cos(angle) * row) / scale[1]
    x, y = x.astype(np.float32), y.astype(np.float32)
    z = np.float32(height + offset) + np.float32(tilt_x) * x + np.float32(tilt_y) * y
    z += 2.0 * smooth_field(rng, size, 7)
    for coordinate in (x, y):
        coordinate += 1.5 * smooth_field(rng, size, 5) + 0.9 * smooth_field(rng, size, 16)
    return np.stack([x, y, z]).reshape(3, -1)


def _head_layers(
    distance: FloatArray, size: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Fractions of the tissues around the brain, (5, size, size), and inside it, (size, size).

    The layers are bone, marrow, bone, fat and skin, as dilations of the brain: steps of the
    distance to its surface, with thicknesses in mm that vary smoothly along the head.
    """
    thickness = rng.uniform([1.0, 1.3, 0.8, 1.2, 2.0, 1.5], [3.0, 2.2, 3.4, 2.0, 5.0, 2.8])
    varied = distance + 0.4 * smooth_field(rng, size, 6)
    stretch = 1 + 0.2 * smooth_field(rng, size, 5)
    edges = np.cumsum(thickness).astype(np.float32)
    steps = [np.clip(edges[0] + 0.5 - varied, 0, 1)]
    steps += [np.clip(edge * stretch.clip(0.6, 1.3) + 0.5 - varied, 0, 1) for edge in edges[1:]]
    # A thin stretch must not cut into the fluid.
    reached = np.maximum.accumulate(np.stack(steps), axis=0)
    return np.diff(reached, axis=0), reached[0]


def _individual_tissue(
    grey: FloatArray, white: FloatArray, brain: NDArray[np.bool_], rng: np.random.Generator
) -> FloatArray:
    """Grey, white and fluid fractions (3, P) with folds of this subject's own.

    The template is an average of 152 people, its cortex blurred: powers of the fractions
    sharpen it, and smooth random factors of each tissue decide where a fold lies.
    """
    size = len(brain)
    fluid = np.clip(1 - grey - white, 0, 1)
    sharpness = rng.uniform(2.0, 2.6)
    atrophy = rng.normal(0.45, 0.3)
    weights = np.stack([grey, white, fluid]).clip(0.01, 1) ** np.float32(sharpness)
    for row, bias in zip(weights, (0.0, 0.0, atrophy), strict=True):
        fold = 0.55 * smooth_field(rng, size, 36) + 0.35 * smooth_field(rng, size, 64)
        row *= np.exp(fold[brain] + np.float32(bias))
    result: FloatArray = weights / weights.sum(axis=0)
    return result


def _lesions(white: FloatArray, brain: NDArray[np.bool_], rng: np.random.Generator) -> FloatArray:
    """Lesion fraction (1, P), part of the white matter; two subjects in three have none."""
    size = len(brain)
    fraction = np.zeros((1, white.size), np.float32)
    if rng.random() > 0.35:
        return fraction
    row, column = ((np.argwhere(brain).T + 0.5) / size - 0.5).astype(np.float32)
    ragged = 0.35 * smooth_field(rng, size, 40)[brain]
    for _ in range(rng.integers(2, 9)):
        where = rng.uniform([-0.24, -0.17], [0.24, 0.17])
        radius = rng.uniform(3.0, 10.0) / FIELD_OF_VIEW_MM
        reach = np.hypot(row - np.float32(where[0]), column - np.float32(where[1])) / radius
        np.maximum(fraction[0], np.clip(2.5 * (1 + ragged - reach), 0, 1), out=fraction[0])
    return fraction * white


def _phase(head: NDArray[np.bool_], rng: np.random.Generator) -> FloatArray:
    """Quadratic plus smooth phase in radians, float32 (H, W), within ±π over the head."""
    size = len(head)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    row, column = axis[:, None], axis[None, :]
    a = rng.standard_normal(5).astype(np.float32)
    phase = a[0] * row + a[1] * column + a[2] * row * column + a[3] * row**2 + a[4] * column**2
    phase = phase + 0.5 * smooth_field(rng, size, 4) + 0.12 * smooth_field(rng, size, 10)
    low, high = phase[head].min(), phase[head].max()
    reach = np.float32(math.pi * rng.uniform(0.3, 1.0))
    result: FloatArray = (phase - (low + high) / 2) * (2 * reach / (high - low))
    return result


def _read_cache(path: Path, shape: tuple[int, int, int]) -> ComplexArray | None:
    try:
        images: ComplexArray = read_npz(path, "images")[0]
    except InputError:  # missing or damaged: rebuild
        return None
    sound = images.shape == shape and images.dtype == np.complex64
    return images if sound and bool(np.isfinite(images).all()) else None


def _write_cache(path: Path, images: ComplexArray) -> None:
    """Write beside the target and rename, so that no reader ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, images=images)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
