"""A table before it has a format: text, what stands out in it, and the numbers behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NONE = "–"


@dataclass(frozen=True)
class Cell:
    """One cell: plain text, not yet escaped.

    Attributes:
        best: to be set in bold.
        failed: the text is a status.
        sort: what to order the column by; None sorts last.
    """

    text: str
    best: bool = False
    failed: bool = False
    sort: float | None = None


@dataclass(frozen=True)
class Table:
    """A table with grouped columns.

    Attributes:
        name: of its files.
        caption: sentences, plain text.
        stub: headings of the leading text columns.
        groups: (heading, columns below it); an empty heading spans nothing.
        rows: one cell a column, the stub's included.
        tidy: the numbers in long form, not rounded.
    """

    name: str
    title: str
    caption: Sequence[str]
    stub: Sequence[str]
    groups: Sequence[tuple[str, Sequence[str]]]
    rows: Sequence[Sequence[Cell]]
    tidy: Sequence[Mapping[str, Any]]

    @property
    def columns(self) -> list[str]:
        """Headings of all columns in one line: a group's stands before its columns'."""
        grouped = [
            f"{group}: {name}" if group else name for group, names in self.groups for name in names
        ]
        return [*self.stub, *grouped]


def number(value: float | None, decimals: int) -> str:
    """A number with fixed decimals, thousands separated; a dash for none."""
    return NONE if value is None or not math.isfinite(value) else f"{value:,.{decimals}f}"


def count(value: float | None) -> str:
    """A mean count: one decimal unless it is whole."""
    if value is None or not math.isfinite(value):
        return NONE
    return number(value, 0 if abs(value - round(value)) < 1e-9 else 1)


def scientific(value: float | None) -> str:
    """Two significant digits with an exponent."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.1e}"


def seconds(value: float | None) -> str:
    """Three significant digits, never with an exponent above a millisecond."""
    if value is None or not math.isfinite(value):
        return NONE
    if value >= 100:
        return number(value, 0)
    return f"{value:.3g}" if value >= 1e-3 or value == 0 else f"{value:.1e}"


def size(value: float | None) -> str:
    """Bytes with three significant digits and a decimal unit."""
    if value is None or not math.isfinite(value):
        return NONE
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= 0.9995 * unit:
            return f"{significant(value / unit)} {name}"
    return f"{value:.0f} B"


def significant(value: float | None) -> str:
    """Three significant digits, thousands separated, never with an exponent above 0.001."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0 or abs(value) < 1e-3:
        return f"{value:.3g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def signed(
    value: float | None, show: Callable[[float], str] = lambda value: number(value, 2)
) -> str:
    """A difference (two decimals unless ``show`` says how) and its sign, which zero has not."""
    if value is None or not math.isfinite(value):
        return NONE
    text = show(abs(value))
    zero = not any(digit in "123456789" for digit in text.partition("e")[0])
    return text if zero else f"{'+' if value > 0 else '-'}{text}"
