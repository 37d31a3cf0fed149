"""Photographs: inside the scikit-image package, or in folders."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.contained import contained
from bench.data.layouts.image_folder import SUFFIXES, decode
from bench.data.readers import hash_file
from bench.errors import InputError

LONGEST = 256  # pixels of a photograph's longer side
# inside the package as PNG; others are JPEG, which decoders read differently, or downloaded
PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "chelsea", "clock", "coffee", "coins", "grass", "gravel"),
    *("immunohistochemistry", "moon", "motorcycle"),
)

Pixels = NDArray[np.uint8]


def names_hash(images: Photographs | ImageFolder, names: Sequence[str]) -> str:
    """Hash of the contents of these images."""
    digests = " ".join(f"{name} {images.digest(name)}" for name in sorted(names))
    return hashlib.sha256(digests.encode()).hexdigest()


class Photographs:
    """The photographs inside the scikit-image package (nothing is downloaded)."""

    label = f"scikit-image photographs, {LONGEST} px"

    def read(self, name: str) -> Pixels:
        return _photograph(name)

    def digest(self, name: str) -> str:
        pixels = self.read(name)
        return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


class ImageFolder:
    """8-bit images under a folder, grey ones as colour images without colour."""

    def __init__(self, folder: Path, split: str) -> None:
        if not folder.is_dir():
            raise InputError("no such folder", where=str(folder), expected="a folder of images")
        self.folder, self.label = folder, f"{folder.name} ({split})"

    def read(self, name: str) -> Pixels:
        return _pixels(self._path(name))

    def digest(self, name: str) -> str:
        return hash_file(self._path(name))

    def _path(self, name: str) -> Path:
        for suffix in SUFFIXES:
            path = contained(self.folder, f"{name}{suffix}", "split")
            if path.is_file():
                return path
        raise InputError(
            "no such file", where=str(self.folder / name), expected=", ".join(SUFFIXES)
        )


@functools.cache
def _photograph(name: str) -> Pixels:
    import skimage.data

    if name not in PHOTOGRAPHS:
        raise InputError(f"no photograph {name!r}", where="split", expected=", ".join(PHOTOGRAPHS))
    stereo = name == "motorcycle"
    pixels: Any = skimage.data.stereo_motorcycle()[0] if stereo else getattr(skimage.data, name)()
    image = Image.fromarray(pixels).convert("RGB")
    factor = LONGEST / max(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


@functools.lru_cache(maxsize=128)
def _pixels(path: Path) -> Pixels:
    return np.asarray(decode(path))
