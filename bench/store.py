"""Results on disk: one folder a job, written so that a reader never sees half of anything.

    DIR/suites/NAME.json           which jobs a suite asked for, under which labels
    DIR/jobs/KEY/job.json          what the job is
    DIR/jobs/KEY/rows.jsonl        its numbers
    DIR/jobs/KEY/checkpoint.safetensors, artifacts/*.npz
    DIR/jobs/KEY/result.json       how it ended; written last, so a job with it is whole
    DIR/jobs/KEY/log.txt, progress.json, resume.safetensors    while it runs
    DIR/compact/jobs.parquet, rows.parquet                     all jobs in two files, if asked for

Files are written under a dot-prefixed name in the same folder, synced, and renamed. Nothing in them
says where the folder is. A job with a `job.json` is what its folder says; one without it is what
`compact` says of it, if it was pruned (bench/storage/compacted.py).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.errors import InputError
from bench.storage.files import Unwritable as Unwritable
from bench.storage.files import parsed_json
from bench.storage.files import read_json as read_json
from bench.storage.files import write_atomic as write_atomic
from bench.storage.files import write_json as write_json
from bench.storage.schema import COLUMNS as COLUMNS
from bench.storage.schema import SCHEMA as SCHEMA
from bench.storage.schema import Result as Result
from bench.storage.schema import Row as Row
from bench.storage.schema import checked_job, checked_suite, parsed_result, parsed_rows

if TYPE_CHECKING:
    from bench.storage.compacted import Compacted, Entry

# stands for a job's key in the table of a suite where there can be no job
UNAVAILABLE = "unavailable"
FINISHED = ("ok", "diverged")  # outcomes that running again would only repeat


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Make the folders. Raises InputError where they cannot be written."""
        try:
            for folder in (self.root / "jobs", self.root / "suites"):
                folder.mkdir(parents=True, exist_ok=True)
            with (self.root / ".lock").open("a"):  # not held yet: another run may be at work
                pass
        except OSError as error:
            raise InputError(
                f"cannot be written ({error.strerror})",
                where=f"output folder {self.root}",
                expected="a folder this user can write to",
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one coordinator. Raises InputError if another has it."""
        import fcntl

        with _lock_file(self.root / ".lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(
                    "another run is writing to it",
                    where=f"output folder {self.root}",
                    expected="one run at a time",
                ) from error
            yield

    @contextlib.contextmanager
    def lock_job(self, key: str) -> Iterator[None]:
        """Hold a job for one process; waits where an orphan of a killed run still has it."""
        import fcntl

        with _lock_file(self.folder(key) / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def held(self, key: str, unknown: bool = False) -> bool:
        """Whether a process works on a job: its lock goes with it, however it ends.

        Args:
            unknown: what to say where the file system cannot tell.
        """
        import fcntl

        try:
            with (self.folder(key) / ".lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        except OSError:
            return unknown
        return False

    def progress(self, key: str) -> tuple[float, str]:
        """The share of a running job that is done, and its own words; 0 before it says."""
        try:
            content = read_json(self.folder(key) / "progress.json")
            return float(content["share"]), str(content["text"])
        except (InputError, KeyError, TypeError, ValueError):
            return 0.0, ""

    # ------------------------------------------------------------------ one job

    def folder(self, key: str) -> Path:
        """The folder of a job."""
        return self.root / "jobs" / key

    def checkpoint(self, key: str) -> Path:
        """The checkpoint of a fit."""
        return self.folder(key) / "checkpoint.safetensors"

    def write_job(self, key: str, description: Mapping[str, Any]) -> None:
        """Describe a job before it runs."""
        folder = self.folder(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unwritable(error, folder) from error
        write_json(folder / "job.json", {"schema": SCHEMA, **description})

    def read_job(self, key: str) -> dict[str, Any]:
        """The description of a job. Raises InputError if it was written by another schema."""
        path = self.folder(key) / "job.json"
        pruned = self._pruned(key)
        return checked_job(
            read_json(path) if pruned is None else parsed_json(pruned.job, path), path
        )

    def write_rows(self, key: str, rows: Iterable[Row]) -> None:
        """All rows of a job at once; a value that is not finite becomes null and is flagged."""
        lines = []
        for row in rows:
            record = asdict(row)
            if row.value is not None and not math.isfinite(row.value):
                record |= {"value": None, "flag": row.flag or "non-finite"}
            lines.append(json.dumps(record, allow_nan=False))
        write_atomic(self.folder(key) / "rows.jsonl", "\n".join([*lines, ""]).encode())

    def records(self, key: str) -> list[dict[str, Any]]:
        """The rows of a job, each by column.

        Raises:
            InputError: no such file, or a line that is no row of this schema.
        """
        compacted = self.compacted()
        if compacted is not None and self._pruned(key) is not None:
            return compacted.records(key)
        path = self.folder(key) / "rows.jsonl"
        try:
            return parsed_rows(path.read_bytes(), path)
        except OSError as error:
            expected = "the rows of a job"
            raise InputError(f"unreadable ({error})", where=str(path), expected=expected) from error

    def write_result(self, key: str, result: Result) -> None:
        """How the job ended. The last thing that is written of it."""
        write_json(self.folder(key) / "result.json", {"schema": SCHEMA, **asdict(result)})

    def result(self, key: str) -> Result | None:
        """How the job ended, or None if it did not (a damaged file counts as not).

        Raises:
            InputError: if it was written by another schema: run again, it would be overwritten.
        """
        path = self.folder(key) / "result.json"
        pruned = self._pruned(key)
        if pruned is not None:
            return parsed_result(parsed_json(pruned.result or "null", path), path)
        if not path.exists():
            return None
        try:
            content = read_json(path)
        except InputError:
            return None
        return parsed_result(content, path)

    def finished(self, key: str) -> bool:
        """Whether running the job again would only repeat what is there."""
        result = self.result(key)
        return result is not None and result.status in FINISHED

    # ------------------------------------------------------------------ a suite

    def write_suite(self, name: str, table: Mapping[str, Any]) -> None:
        """The suite's title, tasks and job table."""
        write_json(self.root / "suites" / f"{name}.json", {"schema": SCHEMA, **table})

    def suites(self) -> dict[str, dict[str, Any]]:
        """Every suite that was run into this folder, by name."""
        paths = sorted((self.root / "suites").glob("[!.]*.json"))
        return {path.stem: checked_suite(read_json(path), path) for path in paths}

    def jobs(self) -> list[str]:
        """Every job of the folder, finished or not."""
        folder, compacted = self.root / "jobs", self.compacted()
        names = os.listdir(folder) if folder.is_dir() else []
        found = {n for n in names if n[0] != "." and os.path.exists(folder / n / "job.json")}
        pruned = set() if compacted is None else compacted.pruned
        return sorted(found | pruned)

    # ------------------------------------------------------------------ compacted

    def compacted(self) -> Compacted | None:
        """What `compact` has made of the folder, if it has. Raises InputError if it is damaged."""
        if not (self.root / "compact" / "jobs.parquet").exists():
            return None
        from bench.storage.compacted import opened

        return opened(self.root)

    def _pruned(self, key: str) -> Entry | None:
        """The compacted job, where its small files are gone."""
        if (self.folder(key) / "job.json").exists():
            return None
        compacted = self.compacted()
        return compacted.entries[key] if compacted and key in compacted.pruned else None


# ---------------------------------------------------------------------- a whole folder


def load_suites(directory: str | Path) -> dict[str, dict[str, Any]]:
    """The suites that were run into a results folder, each with its job table."""
    return existing(directory).suites()


def existing(directory: str | Path) -> Store:
    """The store of a folder that has results. Raises InputError if there are none."""
    root = Path(directory)
    if not (root / "jobs").is_dir():
        raise InputError("no results here", where=str(root), expected="a folder written by `run`")
    return Store(root)


def _lock_file(path: Path) -> TextIO:
    try:
        return path.open("w")
    except OSError as error:
        raise Unwritable(error, path) from error
