"""The papers' own numbers, to stand below ours: other data and protocol, never a pass or fail."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from bench.errors import InputError

_INFLATED = "SSIM without a data range, which older scikit-image takes for 2: inflated"
PROTOCOLS: Mapping[str, str] = {
    "arXiv:2111.11380": _INFLATED,
    "arXiv:2312.00386": _INFLATED,
    "SR-MCNet": "luma over 255, as many pixels cut off as the scale (none for bicubic), "
    "scikit-image's default SSIM; Set5 also chose the authors' settings",
}
"""What is known of how the papers scored; where a paper is not named, nothing is."""


@dataclass(frozen=True)
class Published:
    """One cell of a paper's table.

    Attributes:
        value: None where the paper has a dash or a word.
        text: as the paper prints it, words too.
    """

    paper: str
    table: str
    task: str
    dataset: str
    condition: str
    method: str
    variant: str
    metric: str
    value: float | None
    std: float | None
    note: str
    text: str = ""

    @property
    def damaged(self) -> bool:
        """Whether the number cannot be trusted to be the paper's."""
        return "damaged" in self.note

    @property
    def source(self) -> str:
        """The table, cited: a number is one, a word says where in the paper it stands."""
        return f"{self.paper}, {'table ' if self.table.isdigit() else ''}{self.table}"


def load_published() -> list[Published]:
    """Every published number that ships with the package, methods under the registry's names."""
    text = resources.files("reports").joinpath("published.csv").read_text(encoding="utf-8")
    return [_published(record) for record in csv.DictReader(text.splitlines())]


def published_cells(paper: str, table: str) -> list[Published]:
    """The cells of one table, in its order.

    Raises:
        InputError: if no such table ships with the package.
    """
    every = load_published()
    found = [item for item in every if (item.paper, item.table) == (paper, table)]
    if not found:
        raise InputError(
            f"no published numbers of {paper}, table {table}",
            expected="one of: " + "; ".join(dict.fromkeys(item.source for item in every)),
        )
    return found


def _published(record: Mapping[str, Any]) -> Published:
    names = ("paper", "table", "task", "dataset", "condition", "method", "variant", "metric")
    return Published(
        **{name: record[name] for name in names},
        value=_number(record["value"]),
        std=_number(record["std"]),
        note=record["note"],
        text=record["value"],
    )


def _number(text: str) -> float | None:
    """None for an empty cell, and for the words of a qualitative table."""
    try:
        return float(text)
    except ValueError:
        return None
