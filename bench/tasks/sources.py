"""Where the images of an MRI task come from: a phantom, coil-combined images, or coil k-space."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.data import phantom
from bench.data.coil_maps import MapPhase, estimate_espirit, simulate_coil_maps
from bench.data.readers import file_hash, read_complex_images, read_kspace
from bench.errors import InputError
from bench.task import Sample

Complex = NDArray[np.complex64]


@dataclass(frozen=True)
class Slice:
    """One image with its coils.

    Attributes:
        image: ``(H, W)``, with the subject's largest magnitude 1.
        coil_maps: ``(N, H, W)``, sum of squares 1 (0 outside the object for estimated maps).
        kspace: fully sampled and acquired, ``(N, H, W)`` in the units of ``image``; None where the
            coils are simulated.
    """

    image: Complex
    coil_maps: Complex
    kspace: Complex | None = None


class Source(Protocol):
    """Images by subject and sample."""

    label: str

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        """The images of these subjects, in order."""

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        """One image; ``rng`` draws its coil maps where they are simulated."""

    def verify(self, subjects: Sequence[str]) -> None:
        """Raise InputError for the first file of these subjects that cannot be used."""

    def content_hash(self) -> str:
        """Hash of file contents, or the name and version of the generator."""


def cache_folder() -> Path:
    """``EQUIBENCH_CACHE``, or the user's cache folder."""
    given = os.environ.get("EQUIBENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(base) / "equibench"


class PhantomSource:
    """The embedded brain phantom: every subject is one axial slice, coils are simulated."""

    def __init__(self, size: int, coils: int, seed: int, subjects: Sequence[str]) -> None:
        self.size, self.coils, self.seed = size, coils, seed
        self.label = f"brain phantom {size}x{size} (one anatomy), {coils} simulated coils"
        self._subjects = list(subjects)

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [Sample(subject, "0") for subject in subjects]

    @functools.cached_property
    def _images(self) -> Complex:
        numbers = [int(subject.removeprefix("phantom-")) for subject in self._subjects]
        return phantom.brain_subjects(numbers, self.size, self.seed, cache_folder())

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        image = self._images[self._subjects.index(sample.subject)]
        return Slice(image, simulate_coil_maps(self.coils, image.shape, rng))

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            if not subject.removeprefix("phantom-").isdigit():
                raise InputError(f"subject {subject!r}", where="split", expected="phantom-NUMBER")

    def content_hash(self) -> str:
        return f"brain-phantom version {phantom.VERSION}, seed {self.seed}, size {self.size}"


class ComplexImageSource:
    """Acquired, coil-combined complex images in blocks of slices per subject; simulated coils.

    Images are cut to a square and low-pass filtered to ``size`` by cropping their k-space, as a
    scan of lower resolution would.
    """

    def __init__(self, path: Path, size: int, coils: int) -> None:
        self.path, self.size, self.coils = path, size, coils
        self.label = f"{path.stem} {size}x{size}, {coils} simulated coils"

    @functools.cached_property
    def _images(self) -> Complex:
        images = read_complex_images(self.path)
        side = min(images.shape[1:])
        if side < self.size:
            raise InputError(
                f"images of {images.shape[1]}x{images.shape[2]}",
                where=str(self.path),
                expected=f"at least size = {self.size}",
            )
        return _lower_resolution(_centre(images, side), self.size)

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [
            Sample(subject, str(index))
            for subject in subjects
            for index in _block(subject, len(self._images), str(self.path))
        ]

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        block = self._images[_block(sample.subject, len(self._images), str(self.path))]
        image = self._images[int(sample.sample)] / np.abs(block).max()
        return Slice(image.astype(np.complex64), simulate_coil_maps(self.coils, image.shape, rng))

    def verify(self, subjects: Sequence[str]) -> None:
        self.samples(subjects)

    def content_hash(self) -> str:
        return file_hash(self.path)


class KspaceSource:
    """Fully sampled multi-coil k-space, a file a subject, with maps by ESPIRiT from its centre.

    The reference image is the coil images combined with the maps, ``sum conj(s) c``. Both the
    acquired k-space and coil images simulated from the reference with the same maps can be used.
    """

    def __init__(self, folder: Path, calibration: int, phase: MapPhase) -> None:
        if not folder.is_dir():
            raise InputError("no such folder", where=str(folder), expected="a folder of k-space")
        self.folder, self.calibration, self.phase = folder, calibration, phase
        self.label = f"{folder.name} k-space, ESPIRiT maps from {calibration}x{calibration}"

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [Sample(subject, "0") for subject in subjects]

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        return _calibrated(self._path(sample.subject), self.calibration, self.phase)

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            read_kspace(self._path(subject))

    def content_hash(self) -> str:
        files = sorted((*self.folder.glob("*.npz"), *self.folder.glob("*.cfl")))
        return hashlib.sha256(" ".join(file_hash(path) for path in files).encode()).hexdigest()

    def _path(self, subject: str) -> Path:
        for suffix in (".npz", ".cfl"):
            path = self.folder / f"{subject}{suffix}"
            if path.is_file():
                return path
        raise InputError("no such file", where=str(self.folder / subject), expected=".npz or .cfl")


@functools.lru_cache(maxsize=8)
def _calibrated(path: Path, calibration: int, phase: MapPhase) -> Slice:
    kspace = read_kspace(path)
    maps = estimate_espirit(kspace, calibration, phase)
    axes = (-2, -1)
    coil_images = np.fft.fftshift(
        np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), norm="ortho"), axes=axes
    )
    image = (maps.conj() * coil_images).sum(0)
    peak = np.abs(image).max()
    return Slice((image / peak).astype(np.complex64), maps, (kspace / peak).astype(np.complex64))


def _block(subject: str, images: int, where: str) -> list[int]:
    """Subject ``siat-b`` owns images 30b to 30b+29 (README of the data: seven subjects)."""
    first = 30 * int(subject.rpartition("-")[2])
    if first >= images:
        raise InputError(f"no images of {subject}", where=where, expected=f"more than {first}")
    return list(range(first, min(first + 30, images)))


def _centre(images: Complex, side: int) -> Complex:
    top, left = ((length - side) // 2 for length in images.shape[1:])
    return images[:, top : top + side, left : left + side]


def _lower_resolution(images: Complex, size: int) -> Complex:
    axes = (-2, -1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=axes)), axes=axes)
    # the zero frequency stands at n // 2 before and after the crop
    first = images.shape[-1] // 2 - size // 2
    kspace = kspace[:, first : first + size, first : first + size]
    lower = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes)), axes=axes)
    # transforms are not orthonormal here: the mean of the image stays
    scaled: Complex = (lower * (size / images.shape[-1]) ** 2).astype(np.complex64)
    return scaled
