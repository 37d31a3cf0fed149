"""What is wrong with a job's files: whether they open, and say the same of each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from bench.errors import InputError
from bench.jobs.spec import Job
from bench.storage.frames import require_types
from bench.storage.schema import OtherSchema
from bench.store import Store


def damage(store: Store, key: str) -> Iterator[str]:
    """Everything that is wrong with a job.

    Raises:
        OtherSchema: it was written by another version.
    """
    folder = store.folder(key)
    kind = ""
    try:
        job = Job.read(store.read_job(key))
        kind = job.kind
        if job.key != key:
            yield f"job.json is of {job.key}"
    except InputError as error:
        if isinstance(error, OtherSchema) and error.numbered:
            raise
        yield f"job.json: {_inner(error, folder)}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield f"job.json is no job: {type(error).__name__} {error}"
    result = store.result(key)
    if result is None and (folder / "result.json").exists():
        yield "result.json is no result"
    well = result is not None and result.status == "ok"
    yield from _rows(store, key, well)
    yield from _tensors(folder / "checkpoint.safetensors", key, well and kind == "fit")
    for path in sorted((folder / "artifacts").glob("[!.]*.npz")):
        yield from _arrays(path)


def _rows(store: Store, key: str, needed: bool) -> Iterator[str]:
    folder = store.folder(key)
    if not needed and not (folder / "rows.jsonl").exists():
        return
    try:
        records = store.records(key)
        require_types(records, store, key)
    except InputError as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        yield "it ended well and has no rows" if missing else _inner(error, folder)
        return
    strangers = sorted({record["job"] for record in records} - {key})
    if strangers:
        yield f"rows.jsonl has rows of {', '.join(strangers)}"


def _tensors(path: Path, key: str, needed: bool) -> Iterator[str]:
    if not path.exists():
        if needed:
            yield "it ended well and has no checkpoint"
        return
    try:
        with safe_open(path, "np") as opened:
            of = (opened.metadata() or {}).get("job", key)
    except (SafetensorError, OSError, ValueError) as error:
        yield f"{path.name} does not open ({' '.join(str(error).split())})"
        return
    if of != key:
        yield f"{path.name} is of {of}"


def _arrays(path: Path) -> Iterator[str]:
    try:
        with np.load(path, allow_pickle=False) as opened:
            for name in opened.files:
                _ = opened[name]
    # whatever a damaged archive makes of itself: of zipfile, zlib and numpy, each has its own
    except Exception as error:
        yield f"artifacts/{path.name} does not open ({' '.join(str(error).split())})"


def _inner(error: InputError, folder: Path) -> str:
    """The message without the folder, which is said once."""
    return str(error).replace(f"{folder}/", "")
