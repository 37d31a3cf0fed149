"""Put several results folders into one: jobs by key, suites by name and label.

A job's key is of everything that determines its numbers, so that the same key is the same job
wherever it ran. Jobs are copied under another name and renamed, and suites' tables are written
last: an interrupted merge leaves no half job, and the same call goes on from there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.storage.files import Unwritable, sync_folder, temporary, write_atomic
from bench.storage.merged_tables import merged_tables
from bench.store import FINISHED, Row, Store, existing

# small files that a job may come with; of one that has ended, what it would go on from stays behind
SMALL = ("job.json", "rows.jsonl", "result.json", "log.txt")
CHECKPOINT, RESUME = "checkpoint.safetensors", "resume.safetensors"


@dataclass
class Merged:
    """What was done.

    Attributes:
        copied: keys of jobs that were not there.
        replaced: of those that were, and had ended worse.
        kept: of those that were there already.
        different: of jobs that ended well twice, and not with the same rows: the first one stays.
        suites: names of the tables that were written.
    """

    copied: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    suites: list[str] = field(default_factory=list)


def merge(into: str | Path, others: Sequence[str | Path]) -> Merged:
    """Add the jobs and suites of other results folders to a folder, which may be a new one.

    Raises:
        InputError: no results, a label that means different things, or a run at work on any of
            them. No job and no suite was changed then.
    """
    store = Store(Path(into))
    places = {Path(other).resolve(): other for other in others}
    sources = [existing(other) for other in places.values()]
    for source in sources:
        if source.root.resolve() == store.root.resolve():
            expected = "other folders"
            raise InputError("merged into itself", where=str(source.root), expected=expected)
    store.create()
    with contextlib.ExitStack() as locks:
        for each in (store, *sources):
            locks.enter_context(_held(each))
        tables = merged_tables([store, *sources])
        done, there = Merged(), set(store.jobs())
        for source in sources:
            for key in source.jobs():
                _merge_job(store, source, key, done, there)
        known = store.suites()
        for name, table in tables.items():
            if known.get(name) != table:
                store.write_suite(name, {k: v for k, v in table.items() if k != "schema"})
                done.suites.append(name)
    return done


@contextlib.contextmanager
def _held(store: Store) -> Iterator[None]:
    """Hold a folder, unless it cannot be written to, and so has no run at work."""
    with store.lock() if os.access(store.root, os.W_OK) else contextlib.nullcontext():
        yield


def _merge_job(store: Store, source: Store, key: str, done: Merged, there: set[str]) -> None:
    folder = source.folder(key)
    if folder.is_symlink() or (folder / "artifacts").is_symlink():
        raise InputError("a link", where=str(folder), expected="a job's own files")
    if key not in there:
        _copy(store, source, key)
        there.add(key)
        done.copied.append(key)
    elif _rank(source, key) > _rank(store, key):
        _copy(store, source, key)
        done.replaced.append(key)
    else:
        done.kept.append(key)
        both_well = _rank(source, key) == _rank(store, key) == 3
        if both_well and _numbers(source, key) != _numbers(store, key):
            done.different.append(key)


def _rank(store: Store, key: str) -> int:
    """How much a job's end is worth."""
    result = store.result(key)
    if result is None:
        return 0
    return 3 if result.status == "ok" else 2 if result.status in FINISHED else 1


def _numbers(store: Store, key: str) -> list[dict[str, Any]]:
    """Rows but for times, which no two runs share."""
    return [record for record in store.records(key) if record["unit"] != "s"]


def _copy(store: Store, source: Store, key: str) -> None:
    """Copy a job under another name, and rename it; what it replaces goes aside until then."""
    folder = store.folder(key)
    made = temporary(folder)
    aside = made.with_name(f".{key}-replaced.{os.getpid()}.tmp")
    try:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        _fill(made, source, key)
        if folder.exists():
            folder.rename(aside)
        made.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise Unwritable(error, folder) from error
    finally:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        for path in (made, aside):
            shutil.rmtree(path, ignore_errors=True)


def _fill(made: Path, source: Store, key: str) -> None:
    given = source.folder(key)
    names = [*SMALL, CHECKPOINT, *([] if source.finished(key) else [RESUME])]
    files = [given / name for name in names]
    files += sorted((given / "artifacts").glob("[!.]*.npz"))
    for path in files:
        if path.is_file() and not path.is_symlink():
            to = made / path.relative_to(given)
            to.parent.mkdir(exist_ok=True)
            write_atomic(to, path.read_bytes())
    if not (made / "job.json").exists():  # its small files were pruned
        _unpack(made, source, key)


def _unpack(made: Path, source: Store, key: str) -> None:
    """What the compacted files say of the job, as the files that it had."""
    target = Store(made.parent.parent)
    name = made.name
    job, result = source.read_job(key), source.result(key)
    target.write_job(name, {k: v for k, v in job.items() if k != "schema"})
    target.write_rows(name, [Row(**record) for record in source.records(key)])
    if result is not None:
        target.write_result(name, result)
