"""Put all jobs of a results folder into two files: it loads faster, and may do without the rest.

The small files of a job stay authoritative until they are pruned; checkpoints and artifacts always
stay. Whatever is killed in between loses nothing: both files are in place, and safely on disk,
before the first small file goes, and a job's `job.json` goes before anything else of it, so that
its folder says nothing that it could get wrong.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.storage.compacted import JOBS, ROWS, Entry, stamp, write_entries, write_rows
from bench.storage.files import Unwritable, write_atomic
from bench.storage.frames import rows_table
from bench.store import FINISHED, Row, Store, existing

PRUNED = ("rows.jsonl", "result.json", "progress.json", ".lock")  # after job.json


@dataclass(frozen=True)
class Compaction:
    """What there is now: jobs and rows in the two files, their size, and jobs without the rest."""

    jobs: int
    rows: int
    size: int
    pruned: int


def compact(directory: str | Path, prune: bool = False) -> Compaction:
    """Write all rows into one Parquet file and all jobs into another.

    Args:
        prune: remove the small files of the jobs that have finished.

    Raises:
        InputError: no results, damaged ones, a disk that is full, or another run at work.
    """
    store = existing(directory)
    with store.lock():
        folder = store.root / "compact"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise Unwritable(error, folder) from error
        # before anything is read: what changes meanwhile is not taken for what was read
        stamps = {key: stamp(str(store.folder(key))) for key in store.jobs()}
        rows = rows_table(store)
        entries = [_entry(store, key, stamps[key], prune) for key in stamps]
        write_rows(store.root, rows)
        write_entries(store.root, entries)
        if prune:
            _prune(store, [entry for entry in entries if entry.pruned])
        size = sum((folder / name).stat().st_size for name in (JOBS, ROWS))
    return Compaction(len(entries), len(rows), size, sum(entry.pruned for entry in entries))


def unpack(store: Store, keys: Iterable[str]) -> None:
    """Give pruned jobs their small files back; the folder then is all that there is of them."""
    compacted = store.compacted()
    if compacted is None:
        return
    wanted = compacted.pruned & set(keys)
    for key in sorted(wanted):
        entry, folder = compacted.entries[key], store.folder(key)
        if (folder / "job.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        store.write_rows(key, [Row(**record) for record in compacted.records(key)])
        if entry.result is not None:
            write_atomic(folder / "result.json", entry.result.encode())
        write_atomic(folder / "job.json", entry.job.encode())  # last: from now on, it is believed
    entries = compacted.entries.values()
    left = [replace(entry, pruned=False) if entry.key in wanted else entry for entry in entries]
    write_entries(store.root, left)


def _entry(store: Store, key: str, stamped: str, prune: bool) -> Entry:
    compacted, folder = store.compacted(), store.folder(key)
    try:
        job = (folder / "job.json").read_text()
    except FileNotFoundError:
        if compacted is None or key not in compacted.pruned:
            raise
        return compacted.entries[key]
    store.read_job(key)  # refused if it is damaged: a copy would only hide that
    result = store.result(key)
    text = None if result is None else (folder / "result.json").read_text()
    finished = result is not None and result.status in FINISHED
    return Entry(key, job, text, stamped, prune and finished)


def _prune(store: Store, entries: Iterable[Entry]) -> None:
    chosen = []
    for entry in entries:
        path = store.folder(entry.key) / "job.json"
        if not path.exists():
            chosen.append(entry)  # pruned before, perhaps not to the end
        elif stamp(str(path.parent)) == entry.stamp:
            path.unlink()
            chosen.append(entry)
    os.sync()  # a folder that lost its result and kept its job.json would be run again
    for entry in chosen:
        folder, ok = store.folder(entry.key), _ended_well(store, entry.key)
        for name in (*PRUNED, *(["log.txt"] if ok else [])):
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what stays: a checkpoint, artifacts
            folder.rmdir()


def _ended_well(store: Store, key: str) -> bool:
    result = store.result(key)
    return result is not None and result.status == "ok"
