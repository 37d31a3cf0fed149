"""Folders of images of one size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.archives import require_file
from bench.data.layouts.contract import Array, Item, part_of
from bench.errors import InputError

# what these suffixes mean: a file of another kind, EPS say, would start another program
FORMATS = ("PNG", "BMP", "JPEG", "TIFF")
MOST_PIXELS = 2**26  # of an image, 256 MiB while it is read; a small file can declare many more
SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")


class ImageFolder:
    """8-bit images, every one a subject, in colours.

    A folder called train, val or test (or ``something_train``) says which part its images are in.
    """

    about = "a folder of images"
    content = "images"

    def find(self, source: Path) -> list[Item]:
        if not source.is_dir():
            raise InputError("no such folder", where=str(source), expected="a folder of images")
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError("no image", where=str(source), expected=", ".join(SUFFIXES))
        return [
            Item(
                "-".join(path.relative_to(source).with_suffix("").parts),
                path.relative_to(source).with_suffix("").as_posix(),
                path,
                part_of(path.parent.name),
            )
            for path in paths
        ]

    def slices(self, item: Item) -> Iterator[Array]:
        yield np.asarray(decode(item.path)).transpose(2, 0, 1)


def decode(path: Path) -> Image.Image:
    """An image in RGB. Raises InputError if it cannot be read, or has more than 8 bits."""
    require_file(path, "an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of sizes: ours is smaller
            with Image.open(path, formats=FORMATS) as image:
                _require_small(image, path)
                mode, rgb = image.mode, image.convert("RGB")
    except InputError:
        raise
    except Exception as error:  # decoders raise their own, SyntaxError and struct.error too
        raise InputError(
            f"is not a readable image: {str(error)[:120]}", where=str(path), expected="an image"
        ) from error
    if mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        raise InputError(
            f"has Pillow mode {mode}", where=str(path), expected="8-bit grey or RGB pixels"
        )
    return rgb


def _require_small(image: Image.Image, path: Path) -> None:
    if image.width * image.height > MOST_PIXELS:
        found = f"has {image.width}x{image.height} pixels"
        raise InputError(found, where=str(path), expected=f"at most {MOST_PIXELS}")
