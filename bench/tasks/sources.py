"""Where the images of an MRI task come from: a phantom, coil-combined images, or coil k-space."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.data import phantom
from bench.data.coil_maps import (
    MapPhase,
    combine,
    compress_coils,
    estimate_espirit,
    simulate_coil_maps,
)
from bench.data.contained import contained
from bench.data.readers import (
    file_hash,
    read_coil_maps,
    read_complex_images,
    read_kspace,
    read_magnitude_images,
)
from bench.data.splits import is_number
from bench.errors import InputError
from bench.task import Sample

Complex = NDArray[np.complex64]


@dataclass(frozen=True)
class Slice:
    """One image, series or volume with its coils.

    Attributes:
        image: ``(H, W)`` or ``(T, H, W)``, with the subject's largest magnitude 1.
        coil_maps: ``(N, H, W)`` or ``(N, T or 1, H, W)``, sum of squares 1 (0 outside the object
            for estimated maps).
        kspace: fully sampled and acquired, ``(N, ..., H, W)`` in the units of ``image``; None where
            the coils are simulated.
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

    def content_hash(self, subjects: Sequence[str]) -> str:
        """Hash of these subjects' files, or the name and version of the generator."""


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
            if not is_number(subject.removeprefix("phantom-")):
                raise InputError(f"subject {subject!r}", where="split", expected="phantom-NUMBER")

    def content_hash(self, subjects: Sequence[str]) -> str:
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
        return reduced(images, self.size, str(self.path))

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [
            Sample(subject, str(index))
            for subject in subjects
            for index in block(subject, len(self._images), str(self.path))
        ]

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        of_subject = self._images[block(sample.subject, len(self._images), str(self.path))]
        image = self._images[int(sample.sample)] / np.abs(of_subject).max()
        return Slice(image.astype(np.complex64), simulate_coil_maps(self.coils, image.shape, rng))

    def verify(self, subjects: Sequence[str]) -> None:
        self.samples(subjects)

    def content_hash(self, subjects: Sequence[str]) -> str:
        return file_hash(self.path)


@dataclass(frozen=True)
class Calibration:
    """How coil maps come about; see the multi-coil task's configuration."""

    width: int = 24
    phase: MapPhase = "calibration"
    maps: Literal["espirit", "given", "none"] = "espirit"
    compress: int | None = None

    @property
    def label(self) -> str:
        """For tables."""
        compressed = f", {self.compress} virtual coils" if self.compress else ""
        if self.maps == "none":
            return "one coil"
        if self.maps == "given":
            return f"the files' own maps{compressed}"
        return f"ESPIRiT maps from {self.width}x{self.width}{compressed}"


class KspaceSource:
    """Fully sampled k-space, a file a subject.

    The reference image is the coil images combined with the maps, ``sum conj(s) c``. Both the
    acquired k-space and coil images simulated from the reference with the same maps can be used.
    """

    def __init__(self, folder: Path, calibration: Calibration) -> None:
        if not folder.is_dir():
            raise InputError("no such folder", where=str(folder), expected="a folder of k-space")
        self.folder, self.calibration = folder, calibration
        self.label = f"{folder.name} k-space, {calibration.label}"

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [Sample(subject, "0") for subject in subjects]

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        return _calibrated(self._path(sample.subject), self.calibration)

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            read_kspace(self._path(subject))

    def content_hash(self, subjects: Sequence[str]) -> str:
        files = (self._path(subject) for subject in sorted(subjects))
        return hashlib.sha256(" ".join(file_hash(path) for path in files).encode()).hexdigest()

    def _path(self, subject: str) -> Path:
        for suffix in (".npz", ".cfl"):
            path = contained(self.folder, f"{subject}{suffix}", "split")
            if path.is_file():
                return path
        raise InputError("no such file", where=str(self.folder / subject), expected=".npz or .cfl")


@functools.lru_cache(maxsize=8)
def _calibrated(path: Path, how: Calibration) -> Slice:
    kspace, maps = read_kspace(path), None
    if how.maps == "given":
        maps = read_coil_maps(path, kspace.shape)
    if how.compress is not None:
        kspace, maps = compress_coils(kspace, how.compress, maps)
    if how.maps == "none":
        if len(kspace) != 1:
            raise InputError(f"has {len(kspace)} coils", where=str(path), expected="one coil")
        maps = np.ones(kspace.shape, np.complex64)
    elif maps is None:
        maps = estimate_espirit(kspace, how.width, how.phase)
    image = combine(kspace, maps)
    peak = np.abs(image).max()
    return Slice((image / peak).astype(np.complex64), maps, (kspace / peak).astype(np.complex64))


class MagnitudeSource:
    """Magnitude images of one file, a subject each; real, so without any phase to recover.

    Args:
        path: an .npz with ``data``, real (S, H, W).
        size: pixels along both axes: the middle square, reduced in k-space; None: as they are.
    """

    def __init__(self, path: Path, size: int | None) -> None:
        self.path, self.size = path, size
        shown = "" if size is None else f" {size}x{size}"
        self.label = f"{path.stem}{shown}, magnitudes, one coil"

    @functools.cached_property
    def _images(self) -> Complex:
        images = read_magnitude_images(self.path).astype(np.complex64)
        return images if self.size is None else reduced(images, self.size, str(self.path))

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [Sample(subject, "0") for subject in subjects]

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        image = self._images[self._number(sample.subject)]
        peak = np.abs(image).max()
        return Slice(image / peak, np.ones((1, *image.shape), np.complex64))

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            if not np.abs(self._images[self._number(subject)]).max() > 0:
                what = f"image of {subject} is zero everywhere"
                raise InputError(what, where=str(self.path), expected="some signal")

    def content_hash(self, subjects: Sequence[str]) -> str:
        return file_hash(self.path)

    def _number(self, subject: str) -> int:
        number = subject.rpartition("-")[2]
        if not is_number(number) or int(number) >= len(self._images):
            expected = f"NAME-0 to NAME-{len(self._images) - 1}"
            raise InputError(f"no image of {subject!r}", where=str(self.path), expected=expected)
        return int(number)


def reduced(images: Complex, size: int, where: str) -> Complex:
    """The middle square of images (S, H, W), at ``size`` pixels by cropping their k-space."""
    side = min(images.shape[1:])
    if side < size:
        raise InputError(
            f"images of {images.shape[1]}x{images.shape[2]}",
            where=where,
            expected=f"at least size = {size}",
        )
    return _lower_resolution(_centre(images, side), size)


def block(subject: str, images: int, where: str) -> list[int]:
    """Subject ``siat-b`` owns images 30b to 30b+29 (README of the data: seven subjects)."""
    number = subject.rpartition("-")[2]
    if not is_number(number):
        raise InputError(f"no images of {subject!r}", where=where, expected="NAME-NUMBER")
    first = 30 * int(number)
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
