"""The table of jobs in a results folder's suite, which may come from somebody else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bench.errors import InputError

# a key is the name of a folder: it cannot lead out of the one that it is in
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_TEXTS = ("method", "kind", "train_task", "test_task", "question")


def checked_jobs(table: Any, where: str) -> list[Mapping[str, Any]]:
    """Its lines. Raises InputError for one without a key, or whose labels are no labels."""
    lines = table.get("jobs") if isinstance(table, dict) else None
    if not isinstance(lines, list):
        raise InputError("no table of jobs", where=where, expected="a suite's table")
    for number, line in enumerate(lines):
        _require_line(line, f"{where}: jobs.{number}")
    return lines


def require_key(key: Any, where: str) -> None:
    """Refuse what cannot be the name of a job's folder."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InputError(f"job {key!r}", where=where, expected="letters, digits, . _ and -")


def _require_line(line: Any, where: str) -> None:
    if not isinstance(line, dict):
        raise InputError(f"{line!r}", where=where, expected="an object")
    require_key(line.get("job"), where)
    for name in _TEXTS:
        value = line.get(name)
        if not isinstance(value, str | None) or (value is None and name in ("method", "kind")):
            raise InputError(f"{name} {value!r}", where=where, expected="text")
    seed = line.get("train_seed")
    if isinstance(seed, bool) or not isinstance(seed, int | None):
        raise InputError(f"train_seed {seed!r}", where=where, expected="an integer")
