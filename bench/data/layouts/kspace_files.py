"""Single slices of k-space: BART's .cfl and NumPy's .npz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.data.layouts.contract import Array, Item, files, part_of
from bench.data.readers import read_kspace


class KspaceFiles:
    """One slice a file, and a file a subject; see :func:`bench.data.readers.read_kspace`.

    Args:
        suffix: ``.cfl`` (with its ``.hdr``, dimensions 1 x height x width x coils) or ``.npz``
            (``kspace``, complex (coils, height, width) or (height, width)).

    Source: BART's documentation of its file format (doc/formats).
    """

    content = "kspace"

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self.about = {".cfl": "BART .cfl with .hdr", ".npz": "NumPy .npz with 'kspace'"}[suffix]

    def find(self, source: Path) -> list[Item]:
        return [
            Item(path.stem, path.stem, path, part_of(path.parent.name))
            for path in files(source, f"*{self.suffix}", self.about)
        ]

    def slices(self, item: Item) -> Iterator[Array]:
        yield read_kspace(item.path)
