"""One HTML page a suite: self-contained, nothing is fetched."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.store import UNAVAILABLE
from reports.licences import licences
from reports.suite_results import PENDING, Entry, SuiteResults
from reports.tables.measured import reasons
from reports.tables.table import Table, seconds

IDLE = ("blocked", *PENDING)  # nothing has gone wrong in the job itself
LOG_TAIL = 4000  # characters of a log that the page has
# colours and other orders to a terminal, lines that were written over, and signs that show nothing
_UNSEEN = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[^\n]*\r(?!\n)|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Picture:
    """A figure on the page; ``png`` are the file's bytes."""

    name: str
    caption: str
    png: bytes

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    @property
    def wide(self) -> bool:
        """Whether it was drawn for both columns of a page."""
        # a PNG has its width in pixels there
        return int.from_bytes(self.png[16:20], "big") > 900


def render_page(results: SuiteResults, tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    """The page as text. Whatever comes from a results folder is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jobs = _jobs(results)
    failed = [jobs[entry.job] for entry in results.failed()]
    return environment.get_template("page.html.j2").render(
        results=results,
        tables=tables,
        pictures=pictures,
        jobs=list(jobs.values()),
        failed=[job for job in failed if job["status"] not in IDLE],
        idle=[job for job in failed if job["status"] in IDLE],
        flagged=[(jobs[key], why) for key, why in _flagged(results).items()],
        counts=_counts(jobs.values()),
        licences=licences(results),
        bibtex=_bibtex(results),
    )


def _jobs(results: SuiteResults) -> dict[str, dict[str, Any]]:
    """Every job of the suite once, by key, in its order."""
    entries: dict[str, list[Entry]] = {}
    for entry in results.entries:
        if entry.job != UNAVAILABLE:
            entries.setdefault(entry.job, []).append(entry)
    return {key: _job(results, key, named) for key, named in entries.items()}


def _job(results: SuiteResults, key: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """What the page says of a job; a job under several labels is told by all of them."""
    job = results.job(key)
    places = [results.label(results.line_of(entry)) + _where(entry) for entry in entries]
    wall = job.get("wall_seconds")
    names = {
        "configuration": "config",
        "task": "task",
        "task configuration": "task_config",
        "settings": "settings",
        "environment": "environment",
    }
    details = {shown: job.get(name) for shown, name in names.items()}
    details["log"] = log_tail(results.folder.directory / "jobs" / key / "log.txt")
    return {
        "key": key,
        "kind": " ".join(filter(None, (entries[0].kind, entries[0].question))),
        "label": "; ".join(dict.fromkeys(places)),
        "status": results.status(key),
        "error": str(job.get("error") or ""),
        "wall": f"{seconds(float(wall))} s" if wall else "",
        "details": {name: _pretty(value) for name, value in details.items() if value},
    }


def _where(entry: Entry) -> str:
    parts = []
    if entry.train_task:
        parts.append(f"trained on {entry.train_task}")
    if entry.test_task:
        parts.append(f"tested on {entry.test_task}")
    if entry.train_seed is not None:
        parts.append(f"seed {entry.train_seed}")
    return f" ({', '.join(parts)})" if parts else ""


def log_tail(path: Path, most: int = LOG_TAIL) -> str:
    """The end of a job's log, as it would look in a terminal; empty if there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        # a sign has four bytes at most
        skipped = file.seek(max(0, path.stat().st_size - 4 * most))
        text = file.read().decode(errors="replace")
    shown = _UNSEEN.sub("", text).rstrip()
    return ("…" if skipped or len(shown) > most else "") + shown[-most:]


def _pretty(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, indent=2, sort_keys=True, default=str, ensure_ascii=False)
    )


def _flagged(results: SuiteResults) -> dict[str, list[tuple[str, int]]]:
    """What the run itself found odd, by job: why, and of how many rows it says so."""
    rows = results.folder.rows
    order = dict.fromkeys(entry.job for entry in results.entries)
    marked = rows[(rows["flag"] != "") & rows["job"].isin(set(order))]
    flags: dict[str, list[str]] = {}
    for job, flag in zip(marked["job"], marked["flag"], strict=True):
        flags.setdefault(job, []).append(str(flag))
    return {job: reasons(flags[job]) for job in order if job in flags}


def _counts(jobs: Iterable[Mapping[str, Any]]) -> str:
    """Such as ``9 jobs: 8 ok, 1 diverged``."""
    statuses = [job["status"] for job in jobs]
    order = sorted(set(statuses), key=lambda status: (status != "ok", status))
    parts = ", ".join(f"{statuses.count(status)} {status}" for status in order)
    return f"{len(statuses)} job{'' if len(statuses) == 1 else 's'}: {parts}"


def _bibtex(results: SuiteResults) -> list[str]:
    found = [str(results.job(entry.job).get("bibtex") or "") for entry in results.entries]
    return [text.strip() for text in dict.fromkeys(found) if text.strip()]
