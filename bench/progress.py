"""What a run looks like on a terminal: a line a finished job, and a bar with the time left."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import rich.progress
from rich.console import Console

from bench.plan import Plan
from bench.runner import State


class Progress:
    """Shows the states of a run. Without a terminal, only the lines are printed."""

    def __init__(self, plan: Plan, console: Console, quiet: bool) -> None:
        self.plan, self.console = plan, console
        self.bar = rich.progress.Progress(
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[left]}"),
            rich.progress.TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self.total = self.bar.add_task("starting", total=1.0, left="")
        self.ended = 0

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
        """Print the jobs that ended and move the bar."""
        for key, result in state.ended:
            self.ended += 1
            left = f", {_clock(state.seconds_left)}" if state.seconds_left is not None else ""
            self.console.print(
                f"{result.status:<9} {self._name(key)}  {result.wall_seconds:.0f} s"
                f"  [{state.done:.0%} of the work{left}]",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        running = " + ".join(self._name(key) for key in state.running)
        left = _clock(state.seconds_left) if state.seconds_left is not None else ""
        self.bar.update(self.total, completed=state.done, description=running, left=left)

    def _name(self, key: str) -> str:
        rows: list[dict[str, Any]] = [r for r in self.plan.table["jobs"] if r["job"] == key]
        row = rows[0]
        target = row["test_task"] or row["train_task"]
        kind = row["question"] if row["kind"] == "measure" else row["kind"]
        return f"{kind} {row['method']} on {target}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"about {minutes}:{rest:02d} left"
