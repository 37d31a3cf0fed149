"""Where series and volumes come from: simulated hearts and heads, and files."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.data import beating_heart, phantom
from bench.data.coil_maps import simulate_coil_maps
from bench.data.readers import file_hash, read_complex_images, read_series
from bench.data.splits import is_number
from bench.errors import InputError
from bench.task import Sample
from bench.tasks.sources import Complex, Slice, block, reduced


class _Simulated:
    """Series with simulated coils, the same for all frames; one series a subject."""

    coils: int

    def series(self, subject: str) -> Complex:
        """Complex (T, H, W), the largest magnitude 1."""
        raise TypeError(f"{type(self).__name__} has no series")

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [Sample(subject, "0") for subject in subjects]

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        image = self.series(sample.subject)
        maps = simulate_coil_maps(self.coils, image.shape[-2:], rng)
        return Slice(image, maps[:, None])

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            _number(subject)


class HeartSource(_Simulated):
    """The embedded cine phantom."""

    def __init__(self, size: int, frames: int, coils: int, seed: int) -> None:
        self.size, self.frames, self.coils, self.seed = size, frames, coils, seed
        self.label = f"beating heart {frames}x{size}x{size}, {coils} simulated coils"

    def series(self, subject: str) -> Complex:
        return _heart(_number(subject), self.size, self.frames, self.seed)

    def content_hash(self, subjects: Sequence[str]) -> str:
        version = f"beating-heart version {beating_heart.VERSION}"
        return f"{version}, seed {self.seed}, {self.frames}x{self.size}"


class VolumeSource(_Simulated):
    """Neighbouring slices of the embedded brain phantom."""

    def __init__(self, size: int, slices: int, coils: int, seed: int) -> None:
        self.size, self.slices, self.coils, self.seed = size, slices, coils, seed
        self.label = f"brain phantom {slices}x{size}x{size} (one anatomy), {coils} simulated coils"

    def series(self, subject: str) -> Complex:
        return _volume(_number(subject), self.size, self.slices, self.seed)

    def content_hash(self, subjects: Sequence[str]) -> str:
        version = f"brain-phantom version {phantom.VERSION}"
        return f"{version}, seed {self.seed}, {self.slices}x{self.size}"


class SeriesSource(_Simulated):
    """One real series in an .npy file: the only subject, named after the file."""

    def __init__(self, path: Path, size: int, frames: int | None, coils: int) -> None:
        self.path, self.size, self.frames, self.coils = path, size, frames, coils
        self.label = f"{path.stem} at {size}x{size}, {coils} simulated coils"

    @functools.cached_property
    def _series(self) -> Complex:
        series = read_series(self.path)[: self.frames]
        if self.frames is not None and len(series) < self.frames:
            expected = f"at least frames = {self.frames}"
            raise InputError(f"{len(series)} frames", where=str(self.path), expected=expected)
        series = reduced(series.astype(np.complex64), self.size, str(self.path))
        relative: Complex = series / np.abs(series).max()
        return relative

    def series(self, subject: str) -> Complex:
        if subject != self.path.stem:
            raise InputError(f"no {subject!r}", where=str(self.path), expected=self.path.stem)
        return self._series

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            self.series(subject)

    def content_hash(self, subjects: Sequence[str]) -> str:
        return file_hash(self.path)


class StackSource(_Simulated):
    """The axial slices of coil-combined images: the first ten of a subject's block."""

    def __init__(self, path: Path, size: int, slices: int, coils: int) -> None:
        self.path, self.size, self.slices, self.coils = path, size, slices, coils
        self.label = f"{path.stem} {slices}x{size}x{size}, {coils} simulated coils"

    @functools.cached_property
    def _images(self) -> Complex:
        return reduced(read_complex_images(self.path), self.size, str(self.path))

    def series(self, subject: str) -> Complex:
        axial = block(subject, len(self._images), str(self.path))[:10]
        if self.slices > len(axial):
            expected = f"slices of at most {len(axial)}"
            raise InputError(f"slices = {self.slices}", where=str(self.path), expected=expected)
        stack = self._images[axial[: self.slices]]
        relative: Complex = stack / np.abs(stack).max()
        return relative

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            self.series(subject)

    def content_hash(self, subjects: Sequence[str]) -> str:
        return file_hash(self.path)


@functools.lru_cache(maxsize=64)
def _heart(number: int, size: int, frames: int, seed: int) -> Complex:
    rng = np.random.default_rng([beating_heart.VERSION, seed, number])
    return beating_heart.beating_heart(rng, size, frames)


@functools.lru_cache(maxsize=64)
def _volume(number: int, size: int, slices: int, seed: int) -> Complex:
    return phantom.brain_volume(number, size, slices, seed)


def _number(subject: str) -> int:
    number = subject.rpartition("-")[2]
    if not is_number(number):
        raise InputError(f"subject {subject!r}", where="split", expected="NAME-NUMBER")
    return int(number)
