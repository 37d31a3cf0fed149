"""The papers' own numbers, to stand below ours: other data and protocol, never a pass or fail."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Published:
    """One cell of a paper's table. ``value`` is None where the paper has a dash or a word."""

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


def load_published() -> list[Published]:
    """Every published number that ships with the package, methods under the registry's names."""
    text = resources.files("reports").joinpath("published.csv").read_text(encoding="utf-8")
    return [_published(record) for record in csv.DictReader(text.splitlines())]


def _published(record: Mapping[str, Any]) -> Published:
    names = ("paper", "table", "task", "dataset", "condition", "method", "variant", "metric")
    return Published(
        **{name: record[name] for name in names},
        value=_number(record["value"]),
        std=_number(record["std"]),
        note=record["note"],
    )


def _number(text: str) -> float | None:
    """None for an empty cell, and for the words of a qualitative table."""
    try:
        return float(text)
    except ValueError:
        return None
