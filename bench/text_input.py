"""Text and JSON from outside: bounded, and every fault is an InputError of one line."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from bench.errors import InputError

LARGEST = 256 * 2**20  # bytes: rows of many thousand jobs, and not more than memory holds
# control characters but tab and line ends: no text file that the program reads has any
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def read_text(path: Path, expected: str, most: int = LARGEST) -> str:
    """A text file, whole.

    Raises:
        InputError: no such file, not a regular one (a pipe would never end), larger than ``most``
            bytes, or not UTF-8 text.
    """
    where = str(path)
    try:
        if path.exists() and not path.is_file():
            raise InputError("cannot be read: not a file", where=where, expected=expected)
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if isinstance(error, InputError):
            raise
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot be read: {why}", where=where, expected=expected) from error
    if len(content) > most:
        size = f"{most / 2**20:g} MiB"
        raise InputError(f"is larger than {size}", where=where, expected=expected)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not text in UTF-8", where=where, expected=expected) from error
    control = _CONTROL.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        what = f"is not text: {control[0]!a} in line {line}"
        raise InputError(what, where=where, expected=expected)
    return text


def parse_json(text: str | bytes, where: str, expected: str) -> Any:
    """What a JSON text holds.

    Raises:
        InputError: not JSON, a key twice in an object, NaN or Infinity, an integer beyond 64 bits,
            text that is no Unicode, or nested deeper than Python follows.
    """
    try:
        content = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refused,
            parse_float=_finite,
            parse_int=_bounded,
        )
        json.dumps(content, ensure_ascii=False).encode()  # refuses halves of surrogate pairs
    except UnicodeEncodeError as error:
        raise InputError("holds text that is no Unicode", where=where, expected=expected) from error
    except (ValueError, RecursionError, MemoryError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"is not JSON: {why}", where=where, expected=expected) from error
    return content


def read_json_object(path: Path, expected: str) -> dict[str, Any]:
    """A JSON file that holds an object. Raises InputError for another one."""
    content = parse_json(read_text(path, expected), str(path), expected)
    if not isinstance(content, dict):
        raise InputError("is not an object", where=str(path), expected=expected)
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"{key!r} a second time")
        content[key] = value
    return content


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is out of range")
    return value


def _bounded(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text[:40]} is an integer beyond 64 bits")
    return int(text)
