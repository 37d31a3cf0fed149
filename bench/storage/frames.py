"""A results folder as tables: of all rows, and of all jobs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.errors import InputError
from bench.storage.compacted import row_table
from bench.storage.files import parsed_json
from bench.storage.schema import SCHEMA, Result, checked_job, parsed_result
from bench.store import Store, existing


def load_rows(directory: str | Path) -> pd.DataFrame:
    """Every row of the finished jobs in a results folder, in long form.

    Raises:
        InputError: if the folder holds no results.
    """
    # seeds and steps are integers, also where some are missing
    integers = {pa.int64(): pd.Int64Dtype()}
    frame: pd.DataFrame = rows_table(existing(directory)).to_pandas(types_mapper=integers.get)
    return frame


def load_jobs(directory: str | Path) -> pd.DataFrame:
    """One row a job: configuration, status, error, environment, wall time, parameter count."""
    store = existing(directory)
    keys, compacted = store.jobs(), store.compacted()
    current = compacted.current(keys) if compacted else set()
    records = []
    for key in keys:
        job: dict[str, Any]
        result: Result | None
        if compacted and key in current:
            entry, path = compacted.entries[key], store.folder(key)
            job = checked_job(parsed_json(entry.job, path), path / "job.json")
            result = parsed_result(parsed_json(entry.result or "null", path), path / "result.json")
        else:
            job, result = store.read_job(key), store.result(key)
        ended = asdict(result) if result else {"status": "not finished"}
        records.append({"job": key, **job, **ended})
    return pd.DataFrame.from_records(records)


def rows_table(store: Store) -> pa.Table:
    """The same rows, by job; of those that are compacted, the copy.

    Raises:
        InputError: for a file that cannot be read, or a row of another schema.
    """
    keys, compacted = store.jobs(), store.compacted()
    current = compacted.current(keys) if compacted else set()
    found: dict[str, list[dict[str, Any]]] = {}
    for key in keys:
        if key in current or store.result(key) is None:
            continue
        if (store.folder(key) / "rows.jsonl").exists():
            found[key] = store.records(key)
    read = _table(store, found)
    if compacted is None or not current:
        return read
    copied = compacted.rows_of(current)
    if not len(read):
        return copied
    both = pa.concat_tables([copied, read])
    return both.take(pc.sort_indices(both, [("job", "ascending")]))  # stable: as they were written


def _table(store: Store, found: dict[str, list[dict[str, Any]]]) -> pa.Table:
    try:
        return row_table([record for records in found.values() for record in records])
    except (pa.ArrowException, TypeError):
        for key, records in found.items():
            require_types(records, store, key)
        raise


def require_types(records: list[dict[str, Any]], store: Store, key: str) -> None:
    """Refuse rows with values of another type than their column's, by the job's file."""
    try:
        row_table(records)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        where = str(store.folder(key) / "rows.jsonl")
        expected = f"rows of schema {SCHEMA}"
        raise InputError(f"damaged ({error})", where=where, expected=expected) from error
