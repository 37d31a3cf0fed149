"""What is stored of a job: rows, how it ended, and what is refused because it is neither.

A column that is added must have a default, and rows without it are read by that; any other change
is a new schema. Files of another one are refused by its number, for they cannot be understood, and
running again would overwrite them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.errors import InputError

SCHEMA = 1  # of jobs, rows, results and suites


class OtherSchema(InputError):
    """Written by an older or a newer version of this: whole, as far as one can tell."""

    def __init__(self, given: object, path: Path) -> None:
        super().__init__(f"schema {given!r}", where=str(path), expected=f"schema {SCHEMA}")
        self.numbered = isinstance(given, int)


@dataclass(frozen=True)
class Row:
    """One number in long form; the fields are the columns, in this order.

    Attributes:
        job: key of the job that it comes from; the jobs table has everything else about it.
        task, dataset, split, split_hash: the data; ``protocol`` is how an image was scored.
        subject, sample: null where the number is about a training and not about an image.
        phase: ``fit`` or ``evaluate``.
        step: optimiser step of a logged number, else null.
        condition: canonical JSON. ``{}`` is the method's own stop; ``{"stop": "converged"}`` is its
            fixed point, iterated to a tight tolerance.
        value: null where it was not finite, and flagged so.
        flag: empty, or what is wrong with the number.
    """

    job: str
    method: str
    variant: str
    task: str
    dataset: str
    split: str
    split_hash: str
    data_seed: int
    train_seed: int
    subject: str | None
    sample: str | None
    phase: str
    step: int | None
    condition: str
    metric: str
    value: float | None
    unit: str
    protocol: str
    flag: str = ""


COLUMNS = tuple(Row.__dataclass_fields__)
_ALL = dict.fromkeys(COLUMNS).keys()
_DEFAULTS = {c.name: c.default for c in fields(Row) if c.default is not MISSING}
_REQUIRED = _ALL - _DEFAULTS.keys()


@dataclass(frozen=True)
class Result:
    """How a job ended: ok, diverged, out-of-memory, timeout, killed, error or blocked."""

    status: str
    error: str = ""
    wall_seconds: float = 0.0
    parameters: int | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)


def parsed_rows(content: bytes, path: Path) -> list[dict[str, Any]]:
    """Rows by column, in full. Raises InputError for a line that is no row, by its number."""
    records = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            record = json.loads(line)
            names = record.keys()
            if names != _ALL:
                unknown, missing = sorted(names - _ALL), sorted(_REQUIRED - names)
                if unknown or missing:
                    raise ValueError(f"unknown columns {unknown}, missing columns {missing}")
                record = _DEFAULTS | record
            value = record["value"]
            if not isinstance(value, int | float | None) or value != value:
                raise ValueError(f"value {value!r}")
        except (ValueError, AttributeError, RecursionError) as error:
            where, expected = f"{path}, line {number}", f"a row of schema {SCHEMA}"
            raise InputError(f"damaged ({error})", where=where, expected=expected) from error
        records.append(record)
    return records


def checked_job(content: Any, path: Path) -> dict[str, Any]:
    """A description of this schema. Raises InputError for one that is not."""
    given = content.get("schema") if isinstance(content, dict) else None
    if given != SCHEMA:
        raise OtherSchema(given, path)
    job: dict[str, Any] = content
    return job


def parsed_result(content: Any, path: Path) -> Result | None:
    """How a job ended, None if that cannot be made out. Raises InputError for another schema."""
    if not isinstance(content, dict):
        return None
    _require_schema(content, path)
    known = {name: value for name, value in content.items() if name != "schema"}
    try:
        result = Result(**known)
    except TypeError:
        return None
    return result if isinstance(result.status, str) else None


def checked_suite(content: Any, path: Path) -> dict[str, Any]:
    """A suite's table. Raises InputError for what is none, or of another schema."""
    if not isinstance(content, dict) or not isinstance(content.get("jobs"), list):
        raise InputError("no table of jobs", where=str(path), expected="a suite's table")
    _require_schema(content, path)
    return content


def _require_schema(content: Mapping[str, Any], path: Path) -> None:
    given = content.get("schema", SCHEMA)  # the first one did not say so everywhere
    if given != SCHEMA:
        raise OtherSchema(given, path)
