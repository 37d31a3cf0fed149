"""One HTML page a suite: self-contained, nothing is fetched."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.store import UNAVAILABLE
from reports.suite_results import Entry, SuiteResults
from reports.tables.table import Table, seconds


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
    return environment.get_template("page.html.j2").render(
        results=results,
        tables=tables,
        pictures=pictures,
        jobs=jobs,
        failed=[_job(results, entry.job) for entry in results.failed()],
        counts=_counts(jobs),
        bibtex=_bibtex(results),
    )


def _jobs(results: SuiteResults) -> list[dict[str, Any]]:
    """Every job of the suite once, in its order."""
    keys = dict.fromkeys(entry.job for entry in results.entries)
    return [_job(results, key) for key in keys if key != UNAVAILABLE]


def _job(results: SuiteResults, key: str) -> dict[str, Any]:
    """What the page says of a job; a job under several labels is told by all of them."""
    job = results.job(key)
    entries = [entry for entry in results.entries if entry.job == key]
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


def _pretty(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, indent=2, sort_keys=True, default=str, ensure_ascii=False)
    )


def _counts(jobs: Sequence[Mapping[str, Any]]) -> str:
    """Such as ``9 jobs: 8 ok, 1 diverged``."""
    statuses = [job["status"] for job in jobs]
    order = sorted(set(statuses), key=lambda status: (status != "ok", status))
    parts = ", ".join(f"{statuses.count(status)} {status}" for status in order)
    return f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}: {parts}"


def _bibtex(results: SuiteResults) -> list[str]:
    found = [str(results.job(entry.job).get("bibtex") or "") for entry in results.entries]
    return [text.strip() for text in dict.fromkeys(found) if text.strip()]
