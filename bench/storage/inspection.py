"""Look through a results folder: what is damaged, what is nobody's, what is not ours.

Nothing is changed unless it is asked for. Then what no process needs is removed, and what is
damaged is put aside, so that the next run repeats it; nothing with numbers in it is ever deleted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.errors import InputError
from bench.storage.compaction import unpack
from bench.storage.files import TEMPORARY, alive, read_json, sync_folder
from bench.storage.job_damage import damage
from bench.storage.job_table import checked_jobs
from bench.storage.schema import OtherSchema, checked_suite
from bench.store import UNAVAILABLE, Store, existing

JOB_FILES = ("job.json", "rows.jsonl", "result.json", "log.txt", "progress.json", ".lock")
TENSORS = ("checkpoint.safetensors", "resume.safetensors", "resume.previous.safetensors")
# made by others of our commands, and not looked into
OTHERS = ("report", "slurm", "damaged")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    text: str


@dataclass(frozen=True)
class _Problem:
    """Something that is wrong, and what would put it right."""

    text: str
    path: Path
    cure: Literal["", "remove", "put aside"] = ""


def inspect_results(directory: str | Path, fix: bool = False) -> list[Finding]:
    """Every job that did not end well, and damaged, foreign and orphaned files, each by name.

    Args:
        fix: remove temporaries and the saves of trainings that are done, and move what is damaged
            into ``damaged``. What was put right is ok.

    Raises:
        InputError: no results, or (to fix them) another run at work.
    """
    store = existing(directory)
    with store.lock() if fix else contextlib.nullcontext():
        found = []
        for look in (_copies, _suites, _jobs, _walk):
            problems = list(look(store))
            found += [_treated(store, p) if fix else Finding(False, p.text) for p in problems]
            if look is _copies and problems and not fix:
                return [*found, Finding(False, "nothing else can be looked at")]
        return [*found, *_listed(store), *_ended(store)]


def _treated(store: Store, problem: _Problem) -> Finding:
    if not problem.cure:
        return Finding(False, problem.text)
    if problem.cure == "remove":
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(problem.path) if problem.path.is_dir() else problem.path.unlink()
        return Finding(True, f"{problem.text}: removed")
    if problem.path.parent.name == "jobs":
        unpack(store, [problem.path.name])  # what was pruned goes along
    aside = _free(store.root / "damaged" / problem.path.name)
    aside.parent.mkdir(exist_ok=True)
    problem.path.rename(aside)
    sync_folder(aside.parent)
    sync_folder(problem.path.parent)
    return Finding(True, f"{problem.text}: moved to {aside}, and the next run repeats it")


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.{number}") for number in range(1, 1_000_000))
    return path if not path.exists() else next(name for name in names if not name.exists())


# ---------------------------------------------------------------------- damaged


def _copies(store: Store) -> Iterator[_Problem]:
    """The compacted files: nothing can be read past damaged ones."""
    try:
        compacted = store.compacted()
        if compacted is not None:
            _ = compacted.rows
    except OtherSchema as error:
        yield _Problem(str(error), store.root / "compact")
    except InputError as error:
        yield _Problem(str(error), store.root / "compact", "put aside")


def _suites(store: Store) -> Iterator[_Problem]:
    for path in sorted((store.root / "suites").glob("[!.]*.json")):
        try:
            checked_jobs(checked_suite(read_json(path), path), str(path))
        except OtherSchema as error:
            yield _Problem(str(error), path)
        except InputError as error:
            yield _Problem(str(error), path, "put aside")


def _jobs(store: Store) -> Iterator[_Problem]:
    """Jobs that are not what they should be, and saves of those that are done."""
    for key in store.jobs():
        folder = store.folder(key)
        busy = store.held(key, unknown=True)
        try:
            reasons = list(damage(store, key))
            done = store.finished(key)
        except OtherSchema as error:  # whole, and nothing that this version may judge
            yield _Problem(str(error), folder)
            continue
        if reasons:
            text = f"{folder} is damaged: {'; '.join(reasons)}"
            yield _Problem(text, folder, "" if busy else "put aside")
            continue
        for name in TENSORS[1:]:
            if done and (folder / name).exists():
                text = f"of a training that is done: {folder / name}"
                yield _Problem(text, folder / name, "" if busy else "remove")


# ---------------------------------------------------------------------- files that should not be


def _walk(store: Store) -> Iterator[_Problem]:
    """Files of processes that are gone, and whatever is not ours."""
    keys = set(store.jobs())
    root = store.root
    for place, folders, files in os.walk(root):
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            parts = path.relative_to(root).parts
            problem = _problem_of(store, path, parts, keys)
            if problem is not None:
                yield problem
            if name in folders and (problem is not None or parts[0] == "damaged"):
                folders.remove(name)  # said once, for all that is in it


def _problem_of(
    store: Store, path: Path, parts: tuple[str, ...], keys: set[str]
) -> _Problem | None:
    if path.is_symlink():
        out = "" if path.resolve().is_relative_to(store.root.resolve()) else ", which is outside"
        return _Problem(f"not ours: {path} is a link to {os.readlink(path)}{out}", path)
    written = TEMPORARY.match(path.name)
    if written:
        in_job = parts[0] == "jobs" and len(parts) > 2
        if (in_job and store.held(parts[1], unknown=True)) or alive(int(written["pid"])):
            return None
        return _Problem(f"left behind by a killed process: {path}", path, "remove")
    if _is_ours(parts, path.is_dir(), keys):
        return None
    what = "not a job" if parts[0] == "jobs" and len(parts) == 2 else "not ours"
    return _Problem(f"{what}: {path}", path)


def _is_ours(parts: tuple[str, ...], is_folder: bool, keys: set[str]) -> bool:
    match parts:
        case [name] if is_folder:
            return name in ("jobs", "suites", "compact", *OTHERS)
        case [name]:
            return name == ".lock"
        case ["suites", name]:
            return not is_folder and name.endswith(".json") and not name.startswith(".")
        case ["compact", name]:
            return name in ("jobs.parquet", "rows.parquet")
        case ["jobs", name]:
            return is_folder and name in keys
        case ["jobs", _, name]:
            return name == "artifacts" if is_folder else name in (*JOB_FILES, *TENSORS)
        case ["jobs", _, "artifacts", name]:
            return not is_folder and name.endswith(".npz")
    return parts[0] in OTHERS


# ---------------------------------------------------------------------- what is whole


def _listed(store: Store) -> Iterator[Finding]:
    """Jobs that no suite lists, and suites that list jobs which are not there."""
    keys, listed = set(store.jobs()), set()
    try:
        lines = {name: checked_jobs(table, name) for name, table in store.suites().items()}
    except InputError:  # said already
        return
    for name, jobs in lines.items():
        wanted = {line["job"] for line in jobs} - {UNAVAILABLE}
        listed |= wanted
        if wanted - keys:
            missing = ", ".join(sorted(wanted - keys))
            yield Finding(False, f"suite {name} lists jobs that are not there: {missing}")
    for key in sorted(keys - listed):
        yield Finding(False, f"listed by no suite: {store.folder(key)}")


def _ended(store: Store) -> Iterator[Finding]:
    """How jobs ended: one line for those that did well, one for each of the others."""
    well = 0
    for key in store.jobs():
        try:
            job, result = store.read_job(key), store.result(key)
        except InputError:  # said already
            continue
        if result is not None and result.status == "ok":
            well += 1
            continue
        how = "not finished" if result is None else f"{result.status} {result.error}".strip()
        yield Finding(False, f"{key} {job.get('kind')} of {job.get('method')}: {how}")
    yield Finding(True, f"{well} jobs ended well")
