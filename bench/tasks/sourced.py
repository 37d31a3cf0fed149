"""What tasks share whose images come from a source, by the subjects of a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.data.contained import below
from bench.data.splits import Split as SplitFile
from bench.data.splits import load_split
from bench.errors import InputError
from bench.task import Task


class SourcedTask(Task):
    """A task with a split and a source; the configuration names both.

    ``default_splits``: shipped splits by dataset. A prepared dataset has its own.
    """

    source: Any
    default_splits: ClassVar[dict[str, str]]

    def __init__(self, config: Any, data: Path | None, data_seed: int) -> None:
        self.config, self.data_seed = config, data_seed
        self.split = self._load_split(data)
        self.split_name, self.split_sha256 = self.split.name, self.split.sha256
        self.source = self.open_source(data)
        self.dataset_label = self.source.label

    def open_source(self, data: Path | None) -> Any:
        """Where the images come from, from the configuration."""
        raise TypeError(f"{type(self).__name__} has no source")

    def subjects(self) -> list[str]:
        return self.split.subjects

    def check_subjects(self, subjects: Sequence[str]) -> None:
        self.source.verify(subjects)

    def content_hash(self) -> str:
        content: str = self.source.content_hash(self.subjects())
        return content

    def located(self, data: Path | None) -> Path:
        """The configured file or folder.

        Raises:
            InputError: there is no data folder, or nothing of that name in it.
        """
        return locate(self.config.file, data, self.config.dataset, self.name)

    def _load_split(self, data: Path | None) -> SplitFile:
        config = self.config
        if config.dataset == "prepared" and config.split is None:
            split = load_split(self.located(data) / "split.json")
        else:
            split = load_split(config.split or self.default_splits[config.dataset])
        return split.without(config.exclude)


def locate(file: str | None, data: Path | None, dataset: str, where: str) -> Path:
    """A file or folder below the data folder, or anywhere by an absolute path.

    Raises:
        InputError: there is no data folder, or nothing of that name in it.
    """
    if data is None and not Path(str(file)).is_absolute():
        raise InputError(
            f"dataset {dataset!r} ({file}) needs a data folder",
            where=where,
            expected="--data DIR or EQUIBENCH_DATA",
        )
    path = Path(str(file))
    if not path.is_absolute():  # what is in the user's own data folder may be a link
        path = below(data or Path(), str(file), where)
    if not path.exists():
        raise InputError("no such file or folder", where=str(path), expected=dataset)
    return path


def stacked(images: Sequence[Tensor], where: str) -> Tensor:
    """Samples as a batch. Raises InputError where they are not of one size."""
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) != 1:
        sizes = ", ".join(sorted("x".join(map(str, shape[-2:])) for shape in shapes))
        raise InputError(
            f"images of {sizes} in one batch", where=where, expected="one size, or batch_size 1"
        )
    return torch.stack(list(images))
