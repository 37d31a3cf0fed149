"""Golden rows: what a suite's numbers were when somebody last looked at them.

    GOLDEN/rows.csv           a number a line, sorted, so that a diff of it can be read
    GOLDEN/tolerances.yaml    how far each metric may be from them

Jobs stand under the labels of the suite's table. Their keys would change with every version of a
definition, which is when the comparison is wanted.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import yaml

from bench import safe_yaml
from bench.errors import InputError
from bench.labelled import Labels, Place, Section, Values
from bench.store import write_atomic
from bench.text_input import read_text

ROWS, TOLERANCES = "rows.csv", "tolerances.yaml"
DEFAULTS = Path(__file__).with_name("templates") / TOLERANCES

COLUMNS = (*Labels._fields, *Place._fields[1:], "value")
INTEGERS = ("train_seed", "step")


@dataclass(frozen=True)
class Tolerance:
    """How far a metric may move: the larger of the two; ``compared`` is false for ``never``."""

    absolute: float = 0.0
    relative: float = 0.0
    compared: bool = True

    def margin(self, golden: float) -> float:
        """The largest difference that counts as none."""
        return max(self.absolute, self.relative * abs(golden))


WORDS = {"exact": Tolerance(), "never": Tolerance(compared=False)}


class Tolerances:
    """Tolerances by section and metric."""

    def __init__(self, path: Path, sections: Mapping[str, Mapping[str, Tolerance]]) -> None:
        self.path, self.sections = path, sections

    def of(self, section: Section, metric: str) -> Tolerance:
        """The metric's, or the section's default. Raises InputError where there is neither."""
        known = self.sections.get(section, {})
        if metric not in known and "default" not in known:
            raise InputError(
                f"no tolerance for {metric} in {section}",
                where=str(self.path),
                expected=f"{section}.{metric} or {section}.default",
            )
        return known[metric] if metric in known else known["default"]


# ---------------------------------------------------------------------- rows


def as_stored(value: float) -> float:
    """A number as :func:`write_rows` keeps it."""
    return float(_text(value))


def add_defaults(folder: Path) -> None:
    """Make the folder, with the usual tolerances if it has none."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / TOLERANCES).exists():
        write_atomic(folder / TOLERANCES, DEFAULTS.read_bytes())


def write_rows(folder: Path, values: Values) -> None:
    """Write ``rows.csv`` whole or not at all."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for place in sorted(values, key=lambda place: place.order):
        cells = (*place.job, *place[1:])
        writer.writerow(["" if cell is None else cell for cell in cells] + [_text(values[place])])
    write_atomic(folder / ROWS, buffer.getvalue().encode())


def read_rows(folder: Path) -> Values:
    """The golden rows. Raises InputError naming the first line that is wrong."""
    path = folder / ROWS
    lines = read_text(path, "golden rows: `check --update` makes them").splitlines()
    reader = csv.reader(lines, strict=True)
    values: Values = {}
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise _bad(path, 1, f"columns {', '.join(header)}", ", ".join(COLUMNS))
        for cells in reader:
            place, value = _parsed(cells, path, reader.line_num)
            if place in values:
                raise _bad(path, reader.line_num, f"{place.metric} a second time", "each row once")
            values[place] = value
    except csv.Error as error:
        raise _bad(path, reader.line_num, str(error), "CSV") from error
    return values


def _parsed(cells: list[str], path: Path, line: int) -> tuple[Place, float]:
    if len(cells) != len(COLUMNS):
        raise _bad(path, line, f"{len(cells)} cells", f"{len(COLUMNS)}")
    named = dict(zip(COLUMNS, cells, strict=True))
    numbers: dict[str, int | None] = {}
    for name in INTEGERS:
        try:
            numbers[name] = int(named[name]) if named[name] or name == "train_seed" else None
        except ValueError:
            raise _bad(path, line, f"{name} {named[name]!r}", "an integer") from None
    try:
        value = float(named["value"])
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise _bad(path, line, f"value {named['value']!r}", "a number, or nan")
    fields: dict[str, str | int | None] = {**named, **numbers}
    job = Labels(*(fields[name] for name in Labels._fields))  # type: ignore[arg-type]
    return Place(job, *(fields[name] for name in Place._fields[1:])), value  # type: ignore[arg-type]


def _text(value: float) -> str:
    """Integers whole (bytes are exact), others with more digits than float32 has."""
    if math.isfinite(value) and float(value).is_integer():
        return str(int(value))
    return f"{value:.9g}"


# ---------------------------------------------------------------------- tolerances


def read_tolerances(folder: Path) -> Tolerances:
    """The tolerances. Raises InputError naming the first line that is wrong.

    Read node by node: a loaded mapping has no lines.
    """
    path = folder / TOLERANCES
    root = safe_yaml.compose(read_text(path, "tolerances", safe_yaml.LARGEST), str(path))
    if root is None:
        raise InputError("empty", where=str(path), expected="sections given and trained")
    sections: dict[str, dict[str, Tolerance]] = {}
    for section, line, content in _items(root, path):
        if section not in get_args(Section):
            raise _bad(path, line, f"unknown section {section!r}", "given or trained")
        metrics = _items(content, path)
        sections[section] = {metric: _tolerance(node, path) for metric, _, node in metrics}
    return Tolerances(path, sections)


def _tolerance(node: yaml.Node, path: Path) -> Tolerance:
    expected = "exact, never, or {absolute: NUMBER, relative: NUMBER}"
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode) and node.value in WORDS:
        return WORDS[node.value]
    if not isinstance(node, yaml.MappingNode) or not node.value:
        what = repr(node.value) if isinstance(node, yaml.ScalarNode) else "no tolerance"
        raise _bad(path, line, what, expected)
    amounts: dict[str, float] = {}
    for name, line, amount in _items(node, path):
        if name not in ("absolute", "relative"):
            raise _bad(path, line, f"unknown key {name!r}", expected)
        amounts[name] = _amount(amount, path, f"{name}: ")
    return Tolerance(amounts.get("absolute", 0.0), amounts.get("relative", 0.0))


def _amount(node: yaml.Node, path: Path, name: str) -> float:
    try:
        value = float(node.value)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        what = repr(node.value) if isinstance(node, yaml.ScalarNode) else "no number"
        raise _bad(path, node.start_mark.line + 1, name + what, "a number, 0 or more")
    return value


def _items(node: yaml.Node, path: Path) -> Iterator[tuple[str, int, yaml.Node]]:
    """Keys with their lines, and what stands under them."""
    if not isinstance(node, yaml.MappingNode):
        raise _bad(path, node.start_mark.line + 1, "no mapping", "keys with values")
    for key, value in node.value:
        yield key.value, key.start_mark.line + 1, value


def _bad(path: Path, line: int, what: str, expected: str) -> InputError:
    return InputError(what, where=f"{path}, line {line}", expected=expected)
