"""What a run looks like: a line a finished job and a bar, nothing at all, or JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from types import TracebackType
from typing import Any, Literal, Self

import rich.progress
from rich.console import Console

from bench.planning.plan import Plan
from bench.printable import printable
from bench.runner import Outcome, State
from bench.status import shown_name

Mode = Literal["lines", "quiet", "json"]


class Progress:
    """Shows the states of a run, and how it ended.

    Args:
        mode: ``lines``, with a bar where there is a terminal; ``quiet``: what went wrong, and the
            counts; ``json``: one object a line, with the key ``event``.
    """

    def __init__(self, plan: Plan, console: Console, errors: Console, mode: Mode) -> None:
        self.plan, self.console, self.errors, self.mode = plan, console, errors, mode
        self.names = {row["job"]: shown_name(row) for row in reversed(plan.table["jobs"])}
        self.bar = rich.progress.Progress(
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[left]}"),
            rich.progress.TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=mode != "lines" or not console.is_terminal,
        )
        self.total = self.bar.add_task("starting", total=1.0, left="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def show(self, state: State) -> None:
        """Say which jobs ended, and move the bar."""
        left = _clock(state.seconds_left) if state.seconds_left is not None else ""
        for key, result in state.ended:
            if self.mode == "json":
                self._event("job", **self._described(key, result.status, result.error))
            elif self.mode == "lines":
                after = f", {left}" if left else ""
                name, done = self.names[key], f"{state.done:.0%} of the work{after}"
                text = f"{result.status:<9} {name}  {result.wall_seconds:.0f} s  [{done}]"
                _print(self.console, text)
        if self.mode == "json" and state.ended:
            seconds = state.seconds_left
            self._event("progress", done=round(state.done, 4), seconds_left=seconds)
        running = " + ".join(self.names[key] for key in state.running[:4])
        more = len(state.running) - 4
        shown = f"{running} and {more} more" if more > 0 else running
        self.bar.update(self.total, completed=state.done, description=shown, left=left)

    def summary(self, outcome: Outcome) -> None:
        """How many jobs ended how, and what went wrong."""
        counts = Counter(
            "cached" if key in outcome.cached and status == "ok" else status
            for key, status in outcome.statuses.items()
        )
        if self.mode == "json":
            self._event("summary", suite=self.plan.suite.name, jobs=dict(counts), ok=outcome.ok)
            return
        words = {"cached": "there already"}
        listed = (f"{count} {words.get(name, name)}" for name, count in counts.items())
        _print(self.console, "jobs: " + ", ".join(listed))
        for key, message in outcome.errors.items():
            job, log = self.plan.jobs[key], outcome.directory / "jobs" / key / "log.txt"
            kind = job.settings["question"] if job.kind == "measure" else job.kind
            status = outcome.statuses[key]
            _print(self.errors, f"{status}: {kind} of {job.method}: {message} (log: {log})")

    def _described(self, key: str, status: str, error: str) -> dict[str, Any]:
        return {"job": key, "name": self.names[key], "status": status, "error": error}

    def _event(self, event: str, **content: Any) -> None:
        print(json.dumps({"event": event, **content}), flush=True)


def _print(console: Console, text: str) -> None:
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"about {hours}:{minutes:02d}:{rest:02d} left"
        if hours
        else f"about {minutes}:{rest:02d} left"
    )
