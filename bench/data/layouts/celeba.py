"""CelebA: aligned faces with their official partition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.contained import contained
from bench.data.layouts.contract import Array, Item
from bench.data.layouts.image_folder import decode
from bench.errors import InputError
from bench.text_input import read_text

PARTS = {"0": "train", "1": "validation", "2": "test"}
PARTITION, IMAGES = "list_eval_partition.txt", "img_align_celeba"
IMAGES_A_FILE = 500
SIZE = 128


class CelebA:
    """``img_align_celeba/NNNNNN.jpg``, 178x218, and ``list_eval_partition.txt``.

    A line of the partition is a file's name and 0 (train), 1 (validation) or 2 (test); persons are
    in one part only. Without the identities there are no subjects: every 500 images of a part
    stand for one. Images are cut to their middle 178x178 and reduced to 128x128 by Pillow's
    antialiased bicubic filter (papers say 128x128, and not how).

    Source: Liu et al. 2015, arXiv:1411.7766, and the README that comes with the data.
    """

    about = "CelebA's folder with its partition file"
    content = "images"

    def find(self, source: Path) -> list[Item]:
        names: dict[str, list[str]] = {part: [] for part in PARTS.values()}
        for number, line in enumerate(_lines(source / PARTITION), start=1):
            words = line.split()
            if len(words) != 2 or words[1] not in PARTS:
                raise InputError(
                    f"line {number} is {line[:60]!r}",
                    where=str(source / PARTITION),
                    expected="a file's name and 0, 1 or 2",
                )
            names[PARTS[words[1]]].append(words[0])
        found = []
        for part, members in names.items():
            for first in range(0, len(members), IMAGES_A_FILE):
                name = f"{part}-{first // IMAGES_A_FILE:04d}"
                chosen = tuple(members[first : first + IMAGES_A_FILE])
                found.append(Item(name, name, source / IMAGES, part, chosen))
        if not found:
            raise InputError("names no image", where=str(source / PARTITION), expected="some")
        return found

    def slices(self, item: Item) -> Iterator[Array]:
        for name in item.detail:
            image = decode(contained(item.path, name, PARTITION))
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.crop((left, top, left + side, top + side))
            reduced = square.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            yield np.asarray(reduced).transpose(2, 0, 1)


def _lines(path: Path) -> list[str]:
    return [line for line in read_text(path, "CelebA's partition").splitlines() if line.strip()]
