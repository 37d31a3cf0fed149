"""A results folder in two Parquet files, as `compact` leaves them: how they are read.

    DIR/compact/jobs.parquet    a line a job: job.json and result.json as text, and the stamp
    DIR/compact/rows.parquet    the rows of all of them, by job

They are a copy. A job whose folder has a job.json is read from there unless its stamp still is what
it was; a job whose small files were pruned is read from here. The rows hold at least those of every
job that is listed, whichever of the two files was written last.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import InputError
from bench.storage.files import write_atomic
from bench.storage.job_table import require_key
from bench.storage.schema import COLUMNS, SCHEMA, OtherSchema

JOBS, ROWS = "jobs.parquet", "rows.parquet"
STAMPED = ("job.json", "result.json", "rows.jsonl")
_ABOUT = {b"equibench.schema": str(SCHEMA).encode()}
_TYPES = {"data_seed": pa.int64(), "train_seed": pa.int64(), "step": pa.int64()}
_TYPES["value"] = pa.float64()
ROW_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in COLUMNS], _ABOUT)
_TEXTS = [(name, pa.string()) for name in ("key", "job", "result", "stamp")]
JOB_SCHEMA = pa.schema([*_TEXTS, ("pruned", pa.bool_())], _ABOUT)


@dataclass(frozen=True)
class Entry:
    """A job: its files as text, their stamp, and whether this is all that is left of them."""

    key: str
    job: str
    result: str | None
    stamp: str
    pruned: bool


class Compacted:
    """Both files, read when asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        found = _read(root / "compact" / JOBS, JOB_SCHEMA).to_pylist()
        for line in found:
            require_key(line["key"], f"{root / 'compact' / JOBS}")
        self.entries = {line["key"]: Entry(**line) for line in found}
        self.pruned = {key for key, entry in self.entries.items() if entry.pruned}

    def current(self, keys: Iterable[str]) -> set[str]:
        """Those of these jobs whose entry is what their folder would say."""
        return {key for key in keys if key in self.entries and self._is_current(key)}

    def _is_current(self, key: str) -> bool:
        entry = self.entries[key]
        if entry.pruned and not os.path.exists(f"{self.root}/jobs/{key}/job.json"):
            return True
        return stamp(f"{self.root}/jobs/{key}") == entry.stamp

    @functools.cached_property
    def rows(self) -> pa.Table:
        """Every row, by job."""
        return _read(self.root / "compact" / ROWS, ROW_SCHEMA)

    def rows_of(self, keys: set[str]) -> pa.Table:
        """The rows of these jobs."""
        if set(pc.unique(self.rows["job"]).to_pylist()) <= keys:
            return self.rows
        return self.rows.filter(pc.is_in(self.rows["job"], pa.array(sorted(keys), pa.string())))

    def records(self, key: str) -> list[dict[str, Any]]:
        """The rows of a job, each by column."""
        first, count = self._places.get(key, (0, 0))
        records: list[dict[str, Any]] = self.rows.slice(first, count).to_pylist()
        return records

    @functools.cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        places, first = {}, 0
        for key, group in itertools.groupby(self.rows["job"].to_pylist()):
            count = sum(1 for _ in group)
            places[key] = (first, count)
            first += count
        return places


def opened(root: Path) -> Compacted:
    """The files of a results folder, read once for as long as they stay as they are."""
    return _opened(root, *(_written(root / "compact" / name) for name in (JOBS, ROWS)))


@functools.lru_cache(maxsize=4)
def _opened(root: Path, *written: tuple[int, int]) -> Compacted:
    return Compacted(root)


def stamp(folder: str) -> str:
    """When the small files of a job were written, and how large they are."""
    parts = []
    for name in STAMPED:
        try:
            status = os.stat(f"{folder}/{name}")
        except OSError:
            parts.append("-")
        else:
            parts.append(f"{status.st_mtime_ns}/{status.st_size}")
    return " ".join(parts)


def row_table(records: list[dict[str, Any]]) -> pa.Table:
    """Rows as columns. Raises ArrowException where one has a value of another type."""
    return pa.Table.from_pylist(records, schema=ROW_SCHEMA)


def write_entries(root: Path, entries: Iterable[Entry]) -> None:
    """Replace the file of jobs; that of rows must have those of every one of them."""
    table = pa.Table.from_pylist([asdict(entry) for entry in entries], schema=JOB_SCHEMA)
    _write(root / "compact" / JOBS, table)


def write_rows(root: Path, rows: pa.Table) -> None:
    """Replace the file of rows."""
    _write(root / "compact" / ROWS, rows)


def _write(path: Path, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        expected = "Parquet that `compact` has written"
        raise InputError(f"unreadable ({error})", where=str(path), expected=expected) from error
    given = (table.schema.metadata or {}).get(b"equibench.schema", b"unknown").decode()
    if given != str(SCHEMA):
        raise OtherSchema(int(given) if given.isdecimal() else given, path)
    if table.schema.remove_metadata() != schema.remove_metadata():
        raise InputError("other columns", where=str(path), expected=", ".join(schema.names))
    return table


def _written(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
