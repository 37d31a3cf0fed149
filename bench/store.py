"""Results on disk: one folder a job, written so that a reader never sees half of anything.

    DIR/suites/NAME.json           which jobs a suite asked for, under which labels
    DIR/jobs/KEY/job.json          what the job is
    DIR/jobs/KEY/rows.jsonl        its numbers
    DIR/jobs/KEY/checkpoint.safetensors, artifacts/*.npz
    DIR/jobs/KEY/result.json       how it ended; written last, so a job with it is whole
    DIR/jobs/KEY/log.txt, progress.json, resume.safetensors    while it runs

Files are written under a dot-prefixed name in the same folder, synced, and renamed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# stands for a job's key in the table of a suite where there can be no job
UNAVAILABLE = "unavailable"
SCHEMA = 1
FINISHED = ("ok", "diverged")  # outcomes that running again would only repeat


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


@dataclass(frozen=True)
class Result:
    """How a job ended: ok, diverged, out-of-memory, timeout, killed, error or blocked."""

    status: str
    error: str = ""
    wall_seconds: float = 0.0
    parameters: int | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, keys sorted; non-finite numbers are refused."""
    text = json.dumps(content, sort_keys=True, indent=1, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a results folder. Raises InputError if it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"unreadable ({error})", where=str(path), expected="JSON") from error


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Make the folders. Raises InputError where they cannot be written."""
        try:
            for folder in (self.root / "jobs", self.root / "suites"):
                folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self.root / ".writable", b"")
            (self.root / ".writable").unlink()
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

        with (self.root / ".lock").open("w") as file:
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

        with (self.folder(key) / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # ------------------------------------------------------------------ one job

    def folder(self, key: str) -> Path:
        """The folder of a job."""
        return self.root / "jobs" / key

    def checkpoint(self, key: str) -> Path:
        """The checkpoint of a fit."""
        return self.folder(key) / "checkpoint.safetensors"

    def write_job(self, key: str, description: Mapping[str, Any]) -> None:
        """Describe a job before it runs."""
        self.folder(key).mkdir(parents=True, exist_ok=True)
        write_json(self.folder(key) / "job.json", {"schema": SCHEMA, **description})

    def read_job(self, key: str) -> dict[str, Any]:
        """The description of a job. Raises InputError if it was written by another schema."""
        path = self.folder(key) / "job.json"
        job: dict[str, Any] = read_json(path)
        if job.get("schema") != SCHEMA:
            raise InputError(
                f"schema {job.get('schema')!r}", where=str(path), expected=f"schema {SCHEMA}"
            )
        return job

    def write_rows(self, key: str, rows: Iterable[Row]) -> None:
        """All rows of a job at once; a value that is not finite becomes null and is flagged."""
        lines = []
        for row in rows:
            record = asdict(row)
            if row.value is not None and not math.isfinite(row.value):
                record |= {"value": None, "flag": row.flag or "non-finite"}
            lines.append(json.dumps(record, allow_nan=False))
        write_atomic(self.folder(key) / "rows.jsonl", "\n".join([*lines, ""]).encode())

    def write_result(self, key: str, result: Result) -> None:
        """How the job ended. The last thing that is written of it."""
        write_json(self.folder(key) / "result.json", asdict(result))

    def result(self, key: str) -> Result | None:
        """How the job ended, or None if it did not (a damaged file counts as not)."""
        path = self.folder(key) / "result.json"
        if not path.exists():
            return None
        try:
            return Result(**read_json(path))
        except (InputError, TypeError):
            return None

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
        return {path.stem: read_json(path) for path in paths}

    def jobs(self) -> list[str]:
        """Every job of the folder, finished or not."""
        return sorted(path.parent.name for path in (self.root / "jobs").glob("*/job.json"))


def load_rows(directory: str | Path) -> pd.DataFrame:
    """Every row of the finished jobs in a results folder, in long form.

    Raises:
        InputError: if the folder holds no results.
    """
    import pandas as pd

    store = _existing(directory)
    records: list[dict[str, Any]] = []
    for key in store.jobs():
        path = store.folder(key) / "rows.jsonl"
        if store.result(key) is None or not path.exists():
            continue
        try:
            records += [json.loads(line) for line in path.read_text().splitlines()]
        except ValueError as error:
            raise InputError(
                f"damaged ({error})", where=str(path), expected="JSON lines"
            ) from error
    frame = pd.DataFrame.from_records(records, columns=list(Row.__dataclass_fields__))
    frame["value"] = frame["value"].astype(float)
    return frame.astype({"step": "Int64", "data_seed": "Int64", "train_seed": "Int64"})


def load_jobs(directory: str | Path) -> pd.DataFrame:
    """One row a job: configuration, status, error, environment, wall time, parameter count."""
    import pandas as pd

    store = _existing(directory)
    records = []
    for key in store.jobs():
        job, result = store.read_job(key), store.result(key)
        ended = asdict(result) if result else {"status": "not finished"}
        records.append({"job": key, **job, **ended})
    return pd.DataFrame.from_records(records)


def load_suites(directory: str | Path) -> dict[str, dict[str, Any]]:
    """The suites that were run into a results folder, each with its job table."""
    return _existing(directory).suites()


def _existing(directory: str | Path) -> Store:
    root = Path(directory)
    if not (root / "jobs").is_dir():
        raise InputError("no results here", where=str(root), expected="a folder written by `run`")
    return Store(root)
