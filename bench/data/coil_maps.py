"""Coil sensitivity maps: simulated for phantoms, estimated by ESPIRiT for acquired k-space."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError

ComplexArray = NDArray[np.complex64]
MapPhase = Literal["calibration", "first-coil"]

_KERNEL = 6  # ESPIRiT kernel width in samples, the value of the paper and of BART
_SMALLEST_CALIBRATION = 8  # fewer samples than this leave too few kernel positions


def simulate_coil_maps(
    coils: int, shape: tuple[int, int], rng: np.random.Generator
) -> ComplexArray:
    """Sensitivities of a ring of surface coils around the field of view.

    Each coil is a circular loop, seen side-on in the imaging plane: its transverse field falls
    off with distance as on the loop's axis, (1 + d²/r²)^(-3/2), and its phase turns with the
    direction towards the loop (after Biot and Savart; compare Roemer et al. 1990,
    doi:10.1002/mrm.1910160203). Positions, radii and receiver phases are jittered.

    Args:
        coils: number of coils N, at least 1
        shape: (H, W) in pixels
        rng: source of the jitter; the same state gives the same maps

    Returns:
        complex64 (N, H, W); the sum over coils of the squared magnitude is 1 in every pixel

    Raises:
        InputError: coils or a side of the image is less than 1
    """
    if coils < 1:
        raise InputError(f"coils is {coils}", expected="a number of at least 1")
    if min(shape) < 1:
        raise InputError(f"shape is {shape}", expected="two sides of at least 1 pixel")
    height, width = shape
    row = np.linspace(-1, 1, height)[:, None]
    column = np.linspace(-1, 1, width)[None, :]
    turn = rng.uniform(0, 2 * np.pi)
    maps = np.empty((coils, height, width), np.complex128)
    for coil in range(coils):
        angle = turn + 2 * np.pi * (coil + rng.uniform(-0.2, 0.2)) / coils
        ring = rng.uniform(1.15, 1.45)
        # Fewer coils are larger, so that neighbours overlap.
        radius = rng.uniform(0.9, 1.1) * min(1.1, 0.55 + 2.0 / coils)
        # Pixels in the coil's own frame: outwards is the positive real axis.
        pixels = (column + 1j * row) * np.exp(-1j * angle)
        magnitude = (1 + (np.abs(pixels - ring) / radius) ** 2) ** -1.5
        # The direction is taken from behind the loop: at the loop itself it would jump.
        phase = np.angle(ring + 0.5 - pixels) + rng.uniform(0, 2 * np.pi)
        maps[coil] = magnitude * np.exp(1j * phase)
    maps /= np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    return maps.astype(np.complex64)


def estimate_espirit(
    kspace: NDArray[Any], calibration: int = 24, phase: MapPhase = "calibration"
) -> ComplexArray:
    """ESPIRiT maps from the central calibration region (Uecker et al. 2014, by sigpy).

    ESPIRiT leaves a phase open: maps times ``exp(iφ)`` and the image times ``exp(-iφ)`` give the
    same k-space. ``first-coil`` makes the first map real, as sigpy has it, so that the image
    carries that coil's phase. ``calibration`` moves the smooth phase of the image, as the
    calibration region alone shows it, into the maps: what is left of the image's phase is small,
    which is what a network trained on coil-combined images expects. (After Uecker and Lustig 2017,
    who use virtual coils; the low-resolution image is the older way to the same end.)

    Args:
        kspace: complex (N, H, W), centred; its central region is fully sampled
        calibration: side of that region in samples
        phase: how the open phase is chosen

    Returns:
        complex64 (N, H, W): unit norm over coils on the object, 0 outside of it

    Raises:
        InputError: k-space is not complex (N, H, W), not finite or empty in the calibration
            region, or the region is too small, or larger than k-space
    """
    if kspace.ndim != 3 or not np.iscomplexobj(kspace) or len(kspace) < 1:
        raise InputError(
            f"k-space has shape {kspace.shape} and dtype {kspace.dtype}",
            expected="complex (coils, height, width)",
        )
    limit = min(kspace.shape[1:])
    if not _SMALLEST_CALIBRATION <= calibration <= limit:
        raise InputError(
            f"calibration is {calibration}",
            expected=f"{_SMALLEST_CALIBRATION} to {limit} samples, the k-space's smaller side",
        )
    from sigpy import resize
    from sigpy.mri.app import EspiritCalib

    centre = resize(kspace, (len(kspace), calibration, calibration))
    scale = float(np.abs(centre).max())
    if not np.isfinite(scale) or scale == 0:
        raise InputError(
            "k-space is empty or not finite in the calibration region",
            expected=f"a fully sampled centre of {calibration} x {calibration}",
        )
    # sigpy divides by the first map's magnitude, which vanishes where that coil sees nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        maps = EspiritCalib(
            (kspace / scale).astype(np.complex64),
            calib_width=calibration,
            kernel_width=_KERNEL,
            show_pbar=False,
        ).run()
    maps = np.nan_to_num(np.asarray(maps, np.complex128))
    norm = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    maps /= np.where(norm > 0, norm, 1)
    if phase == "calibration":
        combined = (maps.conj() * _low_resolution(kspace / scale, calibration)).sum(axis=0)
        maps *= np.exp(1j * np.angle(combined))
    return maps.astype(np.complex64)


def combine(kspace: NDArray[Any], maps: ComplexArray) -> ComplexArray:
    """Coil images combined with their maps, ``sum_n conj(s_n) c_n``: (N, H, W) to (H, W)."""
    axes = (-2, -1)
    coil_images = np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), norm="ortho")
    coil_images = np.fft.fftshift(coil_images, axes=axes)
    combined: ComplexArray = (maps.conj() * coil_images).sum(0)
    return combined


def compress_coils(
    kspace: ComplexArray, coils: int, maps: ComplexArray | None = None
) -> tuple[ComplexArray, ComplexArray | None]:
    """k-space (N, H, W), and maps, of the virtual coils that hold most of the energy.

    Principal components of all samples (Buehrer et al. 2007, doi:10.1002/mrm.21237). Compressed
    maps are scaled back to unit norm over coils: what was lost with the other components is taken
    from all alike.

    Raises:
        InputError: more virtual coils than real ones
    """
    if not 1 <= coils <= len(kspace):
        raise InputError(f"{coils} virtual coils of {len(kspace)}", expected=f"1 to {len(kspace)}")
    samples = kspace.reshape(len(kspace), -1).astype(np.complex128)
    _, vectors = np.linalg.eigh(samples @ samples.conj().T)
    basis = vectors[:, ::-1][:, :coils].conj().T
    virtual = np.tensordot(basis, kspace, 1).astype(np.complex64)
    if maps is None:
        return virtual, None
    reduced = np.tensordot(basis, maps, 1)
    norm = np.sqrt((np.abs(reduced) ** 2).sum(0))
    return virtual, (reduced / np.where(norm > 0, norm, 1)).astype(np.complex64)


def _low_resolution(kspace: NDArray[Any], calibration: int) -> NDArray[Any]:
    """Coil images from the calibration region alone, windowed so that they do not ring."""
    height, width = kspace.shape[1:]
    taper = np.hanning(calibration + 2)[1:-1]  # without the ends, which are zero
    window = np.zeros((height, width))
    top, left = height // 2 - calibration // 2, width // 2 - calibration // 2
    window[top : top + calibration, left : left + calibration] = np.outer(taper, taper)
    axes = (-2, -1)
    images: NDArray[Any] = np.fft.ifft2(np.fft.ifftshift(kspace * window, axes))
    return np.fft.fftshift(images, axes)
