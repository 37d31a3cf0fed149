"""Readers of public file layouts: BART .cfl, k-space .npz, quantised complex images.

A file is input from outside: nothing is unpickled (see :mod:`bench.data.archives`), and every fault
is an InputError of one line that names the file and what was expected.
"""

from __future__ import annotations

import functools
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.archives import damaged, read_npy, read_npz, require_file, require_not_sparse
from bench.errors import InputError

ComplexArray = NDArray[np.complex64]

_CFL_SAMPLE = 8  # bytes: two little-endian float32
_LARGEST_HEADER = 2**20  # bytes: dimensions, and the command that made the file
_LAYOUT = "complex (coils, height, width) or (height, width)"
_IMAGES = "int16 (slices, height, width, 2)"


def read_kspace(path: str | Path) -> ComplexArray:
    """Read the k-space of one slice.

    Args:
        path: an .npz with the key ``kspace``, complex (N, H, W) or (H, W) for one coil; or a
            BART .cfl with dimensions (1, H, W, N, 1, ...)

    Returns:
        complex64 (N, H, W), in the file's own units

    Raises:
        InputError: missing, damaged, of another layout, not finite, or zero everywhere
    """
    path = Path(path)
    if path.suffix == ".cfl":
        kspace = _coils_first(read_cfl(path), path)
    elif path.suffix == ".npz":
        kspace = read_npz(path, "kspace")[0]
    else:
        raise InputError(
            f"unknown k-space layout {path.suffix!r}", where=str(path), expected=".npz or .cfl"
        )
    if kspace.dtype.kind != "c" or kspace.ndim not in (2, 3):
        raise InputError(
            f"'kspace' has shape {kspace.shape} and dtype {kspace.dtype}",
            where=str(path),
            expected=_LAYOUT,
        )
    if kspace.size == 0:
        raise InputError(
            f"'kspace' is empty, shape {kspace.shape}", where=str(path), expected=_LAYOUT
        )
    with np.errstate(over="ignore"):  # double beyond single precision is reported just below
        kspace = kspace.astype(np.complex64, copy=False)
    if not np.isfinite(kspace).all():
        raise InputError("k-space has NaN or Inf", where=str(path), expected="finite samples")
    if not kspace.any():
        raise InputError("k-space is zero everywhere", where=str(path), expected="some signal")
    return kspace if kspace.ndim == 3 else kspace[None]


def read_cfl(path: str | Path) -> ComplexArray:
    """Read a BART array: complex64 in the header's dimensions, trailing ones included.

    Args:
        path: the .cfl, its .hdr, or their common name; layout as in BART's doc/formats

    Raises:
        InputError: a missing file, a header without integer dimensions, or one whose size is
            not the data's
    """
    path = Path(path)
    stem = path.name[:-4] if path.suffix in (".cfl", ".hdr") else path.name
    header, data = path.with_name(stem + ".hdr"), path.with_name(stem + ".cfl")
    require_file(data, "a BART .cfl with its .hdr beside it")
    require_file(header, f"the header of {data.name} beside it")
    dimensions = _read_dimensions(header)
    found, needed = data.stat().st_size, math.prod(dimensions) * _CFL_SAMPLE
    if found != needed:
        raise InputError(
            f"holds {found} bytes",
            where=str(data),
            expected=f"{needed}, as {header.name} has {'x'.join(map(str, dimensions))} complex64",
        )
    require_not_sparse(data)
    try:
        samples = np.fromfile(data, dtype="<c8")
    except (OSError, MemoryError) as error:
        raise damaged(data, error, "a readable .cfl") from error
    return samples.astype(np.complex64, copy=False).reshape(dimensions, order="F")


def read_complex_images(path: str | Path) -> ComplexArray:
    """Read complex images stored as integers with one scale each.

    Args:
        path: an .npz with ``data``, int16 (S, H, W, 2), and ``scale``, real (S,):
            image s = (data[s, ..., 0] + 1j * data[s, ..., 1]) * scale[s]

    Returns:
        complex64 (S, H, W)

    Raises:
        InputError: missing, damaged or of another layout, or a scale that is not positive
    """
    path = Path(path)
    data, scale = read_npz(path, "data", "scale")
    if data.dtype != np.int16 or data.ndim != 4 or data.shape[-1] != 2 or data.size == 0:
        raise InputError(
            f"'data' has shape {data.shape} and dtype {data.dtype}",
            where=str(path),
            expected=_IMAGES,
        )
    if scale.dtype.kind != "f" or scale.shape != data.shape[:1]:
        raise InputError(
            f"'scale' has shape {scale.shape} and dtype {scale.dtype}",
            where=str(path),
            expected=f"floating point ({len(data)},), one per slice",
        )
    with np.errstate(all="ignore"):
        factor = scale.astype(np.float32)[:, None, None]
        sound = np.isfinite(factor * np.float32(2**15)) & (factor > 0)
    if not sound.all():
        raise InputError(
            "'scale' is not positive", where=str(path), expected="above 0, and images finite"
        )
    images = np.empty(data.shape[:3], np.complex64)
    images.real = data[..., 0] * factor
    images.imag = data[..., 1] * factor
    return images


def read_coil_maps(path: str | Path, shape: tuple[int, ...]) -> ComplexArray:
    """Read the ``coil_maps`` that stand beside k-space of this shape in an .npz.

    Returns:
        complex64 (N, H, W), scaled to unit norm over coils (0 where the file has 0)

    Raises:
        InputError: no such key, another shape, not complex or not finite
    """
    path = Path(path)
    maps = read_npz(path, "coil_maps")[0]
    if maps.dtype.kind != "c" or maps.shape != shape:
        raise InputError(
            f"'coil_maps' has shape {maps.shape} and dtype {maps.dtype}",
            where=str(path),
            expected=f"complex {shape}, as 'kspace'",
        )
    if not np.isfinite(maps).all():
        raise InputError("'coil_maps' has NaN or Inf", where=str(path), expected="finite maps")
    with np.errstate(over="ignore"):
        norm = np.sqrt((np.abs(maps) ** 2).sum(0))
    if not np.isfinite(norm).all():
        raise InputError("'coil_maps' overflow", where=str(path), expected="a norm near 1")
    return (maps / np.where(norm > 0, norm, 1)).astype(np.complex64)


def read_magnitude_images(path: str | Path) -> NDArray[np.float32]:
    """Read real images.

    Args:
        path: an .npz with ``data``, real (S, H, W)

    Raises:
        InputError: missing, damaged, of another layout, or not finite
    """
    path = Path(path)
    data = read_npz(path, "data")[0]
    if data.dtype.kind not in "fiu" or data.ndim != 3 or data.size == 0:
        raise InputError(
            f"'data' has shape {data.shape} and dtype {data.dtype}",
            where=str(path),
            expected="real (slices, height, width)",
        )
    with np.errstate(over="ignore"):
        images = data.astype(np.float32)
    if not np.isfinite(images).all():
        raise InputError("'data' has NaN or Inf", where=str(path), expected="finite images")
    return images


def read_hounsfield(path: str | Path) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Read CT slices and whose they are.

    Args:
        path: an .npz with ``hu``, int16 (S, H, W) in Hounsfield units, and ``subject``, integers
            (S,)

    Raises:
        InputError: missing, damaged or of another layout
    """
    path = Path(path)
    hu, subject = read_npz(path, "hu", "subject")
    if hu.dtype != np.int16 or hu.ndim != 3 or hu.size == 0:
        found = f"'hu' has shape {hu.shape} and dtype {hu.dtype}"
        raise InputError(found, where=str(path), expected="int16 (slices, height, width)")
    if subject.dtype.kind not in "iu" or subject.shape != hu.shape[:1]:
        found = f"'subject' has shape {subject.shape} and dtype {subject.dtype}"
        raise InputError(found, where=str(path), expected=f"integer ({len(hu)},)")
    return hu, subject.astype(np.int64)


def read_series(path: str | Path) -> NDArray[Any]:
    """Read one series of images.

    Args:
        path: an .npy, real or complex (T, H, W)

    Raises:
        InputError: missing, damaged, of another layout, not finite, or zero everywhere
    """
    path = Path(path)
    series = read_npy(path)
    if series.dtype.kind not in "fciu" or series.ndim != 3:
        found = f"shape {series.shape}, dtype {series.dtype}"
        raise InputError(found, where=str(path), expected="real or complex (frames, height, width)")
    with np.errstate(over="ignore"):
        single = series.astype(np.complex64)  # as tasks take it
    if not np.isfinite(single).all() or not single.any():
        raise InputError(
            "has NaN or Inf, or is zero everywhere", where=str(path), expected="finite signal"
        )
    return series


def _read_dimensions(header: Path) -> tuple[int, ...]:
    expected = "a line of positive integers after '# Dimensions'"
    try:
        with header.open("rb") as file:
            text = file.read(_LARGEST_HEADER).decode(errors="replace")  # commands, names of files
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(header)) from error
    titles = [line.strip() for line in text.splitlines()]
    if "# Dimensions" not in titles[:-1]:
        raise InputError("has no dimensions", where=str(header), expected=expected)
    words = titles[titles.index("# Dimensions") + 1].split()
    # At most 16 dimensions in BART; 18 digits keep a product within what a disk could hold.
    sound = words and all(w.isascii() and w.isdigit() and len(w) < 18 and int(w) for w in words)
    if not sound or len(words) > 16:
        raise InputError(
            f"dimensions are {' '.join(words)[:80]!r}", where=str(header), expected=expected
        )
    return tuple(int(word) for word in words)


def _coils_first(array: ComplexArray, path: Path) -> ComplexArray:
    shape = array.shape + (1,) * (4 - array.ndim)
    if shape[0] != 1 or any(n != 1 for n in shape[4:]):
        raise InputError(
            f"dimensions are {'x'.join(map(str, shape))}",
            where=str(path),
            expected="one slice, 1 x height x width x coils",
        )
    slice_ = array.reshape(shape[1:4], order="F")
    return np.ascontiguousarray(slice_.transpose(2, 0, 1))


def hash_file(path: Path) -> str:
    """SHA-256 of a file as it is now. Raises InputError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"unreadable ({error.strerror})", where=str(path), expected="a file"
        ) from error


file_hash = functools.cache(hash_file)
"""The same, of files that do not change while this process runs."""
