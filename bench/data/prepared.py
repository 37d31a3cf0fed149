"""Prepared datasets: HDF5 files with a manifest, read lazily.

A folder that ``equibench data prepare`` has written:

- ``manifest.json``: what it holds, a list of files with their sizes and SHA-256, and what was left
  out and why;
- ``split.json``: which subjects train, validate and test;
- ``data/*.h5``: the arrays of one source file each, chunked by slice. ``image`` is complex64
  (S, H, W), float32 (S, C, H, W), or uint8 (S, C, H, W) for 0 to 1; where there is acquired
  k-space, ``kspace`` and ``coil_maps`` are complex64 (S, N, H, W).
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config import build
from bench.data.archives import damaged
from bench.data.contained import below, contained
from bench.data.hdf5 import open_file, require_own_data
from bench.data.readers import hash_file
from bench.errors import InputError
from bench.text_input import read_json_object

FORMAT, VERSION = "equibench-prepared", 1
MANIFEST, SPLIT = "manifest.json", "split.json"


@dataclass(frozen=True)
class PreparedFile:
    """One HDF5 file.

    Attributes:
        file: relative to the folder.
        subject: whose it is.
        source: what it was made of, relative to the source folder.
        samples: number of slices.
        peak: the largest magnitude of all images, which scores refer to.
        bytes, sha256: of the file.
    """

    file: str
    subject: str
    source: str
    samples: int
    peak: float
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        below(Path(), self.file, "file")
        # a slice takes some bytes, however well it is compressed
        if not (1 <= self.samples <= self.bytes and 0 <= self.peak < math.inf):
            counts = f"{self.samples} samples, {self.bytes} bytes, peak {self.peak}"
            raise InputError(counts, where=self.file, expected="no more samples than bytes")


@dataclass(frozen=True)
class Manifest:
    """What a prepared dataset holds.

    Attributes:
        layout: of the source, with the settings that it was read with.
        content: ``kspace``, or ``images``.
        left_out: source files that could not be used, and why.
    """

    layout: str
    content: str
    settings: dict[str, Any] = field(default_factory=dict)
    files: tuple[PreparedFile, ...] = ()
    left_out: tuple[dict[str, str], ...] = ()

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1) + "\n"


class Prepared:
    """A prepared dataset, opened. Only what is asked for is read.

    Raises:
        InputError: not such a folder, or files are missing or of another size than the manifest's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self._by_subject: dict[str, list[PreparedFile]] = {}
        for file in self.manifest.files:
            self._by_subject.setdefault(file.subject, []).append(file)

    @property
    def label(self) -> str:
        """For tables."""
        left_out = len(self.manifest.left_out)
        return f"{self.folder.name} ({self.manifest.layout})" + (
            f", {left_out} files left out" if left_out else ""
        )

    def files(self, subjects: Sequence[str]) -> Iterator[PreparedFile]:
        """Of these subjects, in order."""
        for subject in subjects:
            if subject not in self._by_subject:
                raise InputError(
                    f"no subject {subject!r}",
                    where=str(self.folder),
                    expected=f"one of {len(self._by_subject)}, as {next(iter(self._by_subject))!r}",
                )
            yield from self._by_subject[subject]

    def array(self, file: str, name: str, index: int) -> NDArray[Any] | None:
        """One slice of one array; None where the file has no such array."""
        path = contained(self.folder, file, str(self.folder / MANIFEST))
        opened = _open(path)
        try:
            if name not in opened:
                return None
            found, where = opened[name], f"{path}: {name}"
            if getattr(found, "ndim", 0) < 3 or found.dtype.kind not in "cfu":
                what = getattr(found, "dtype", "a group")
                raise InputError(f"holds {what}", where=where, expected="slices of numbers")
            require_own_data(found, where)
            return np.asarray(found[index])
        except InputError:
            raise
        except Exception as error:  # h5py raises many kinds for a damaged file
            raise damaged(path, error, "a readable HDF5 file") from error

    def peak(self, subject: str) -> float:
        """The subject's largest magnitude, over all of its files."""
        return max(file.peak for file in self._by_subject[subject])

    def verify(self, subjects: Sequence[str]) -> None:
        """Refuse a file that is missing or of another size; see :func:`differing` for hashes."""
        for file in self.files(subjects):
            path = contained(self.folder, file.file, str(self.folder / MANIFEST))
            size = path.stat().st_size if path.is_file() else None
            if size != file.bytes:
                found = "no such file" if size is None else f"holds {size} bytes"
                raise InputError(found, where=str(path), expected=f"{file.bytes} bytes")

    def content_hash(self) -> str:
        """Of all files' hashes, as the manifest has them."""
        digests = " ".join(f"{file.file} {file.sha256}" for file in self.manifest.files)
        return hashlib.sha256(digests.encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a prepared dataset. Raises InputError if there is none that is sound."""
    path = folder / MANIFEST
    expected = "a folder written by `equibench data prepare`"
    content = read_json_object(path, expected)
    found = content.pop("format", None), content.pop("version", None)
    try:
        if found != (FORMAT, VERSION):
            raise InputError(f"format {found[0]!r}, version {found[1]!r}")
        return build(Manifest, content, MANIFEST)
    except InputError as error:
        what = f"is not a manifest: {error}"
        raise InputError(what, where=str(path), expected=expected) from error


def differing(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file that is not what the manifest says, and how it differs; each is read whole."""
    for file in read_manifest(folder).files:
        path = contained(folder, file.file, str(folder / MANIFEST))
        if not path.is_file():
            yield file.file, "missing"
        elif path.stat().st_size != file.bytes:
            yield file.file, f"{path.stat().st_size} bytes, expected {file.bytes}"
        elif hash_file(path) != file.sha256:
            yield file.file, "other contents of the same size"


@functools.lru_cache(maxsize=4)
def _open(path: Path) -> Any:
    """An HDF5 file for reading. A few stay open; a closed one is opened again when needed."""
    return open_file(path)
