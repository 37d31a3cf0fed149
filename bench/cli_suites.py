"""Suites on the command line: their options, the plan command, and how a run ended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.cli_options import Data, Plugins, add_plugins, check_data, check_device
from bench.errors import InputError

out = Console()
err = Console(stderr=True)

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A shipped name, or a YAML file.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Results folder. [default: results/runs/SUITE]")
]
Only = Annotated[list[str], typer.Option("--only", help="Methods to run, by pattern; repeatable.")]
Exclude = Annotated[list[str], typer.Option("--exclude", help="Methods to leave out, by pattern.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Threads = Annotated[int, typer.Option(help="Threads a job.", min=1)]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Training seeds, as 0,1,2.")]
AddMethod = Annotated[
    list[str], typer.Option("--add-method", help="Method to add to the suite, by name; repeatable.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out subjects whose files cannot be used.")
]


def plan(
    suite: SuiteName,
    directory: Out = None,
    data: Data = None,
    only: Only = [],  # noqa: B006
    exclude: Exclude = [],  # noqa: B006
    add_method: AddMethod = [],  # noqa: B006
    seeds: Seeds = None,
    device: Device = "cpu",
    threads: Threads = 1,
    plugin: Plugins = [],  # noqa: B006
    skip_bad: SkipBad = False,
) -> None:
    """Show the jobs of a suite, and which are done."""
    from bench.runner import DEFAULT_ROOT
    from bench.store import UNAVAILABLE, Store

    found = planned(
        suite, data, only, exclude, add_method, seeds, plugin, skip_bad, device, threads
    )
    store = Store(directory or DEFAULT_ROOT / found.suite.name)
    table = Table("job", "kind", "method", "trained on", "tested on", "seed", "status")
    for row in found.table["jobs"]:
        result = store.result(row["job"])
        table.add_row(
            row["job"],
            f"measure {row['question']}" if row["kind"] == "measure" else row["kind"],
            row["method"],
            row["train_task"],
            row["test_task"] or "",
            str(row["train_seed"]),
            result.status if result else "unavailable" if row["job"] == UNAVAILABLE else "to do",
        )
    out.print(table)


# ---------------------------------------------------------------------- pieces


def planned(
    suite: str,
    data: Path | None,
    only: list[str],
    exclude: list[str],
    added: list[str],
    seeds: str | None,
    plugins: list[Path],
    skip_bad: bool,
    device: str,
    threads: int,
) -> Any:
    """The plan that the options ask for. Raises InputError for whatever is wrong with them."""
    from bench.environment import device_class
    from bench.plan import expand
    from bench.plan_measurements import Machine
    from bench.suite import load

    check_device(device)
    check_data(data)
    add_plugins(plugins)
    machine = Machine(device_class(device), threads)
    methods = load(suite).with_methods(added)
    return expand(methods, data, _seeds(seeds), only, exclude, skip_bad, machine)


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0:
        raise InputError(f"{text!r}", where="--seeds", expected="non-negative integers, as 0,1,2")
    return seeds


def print_outcome(outcome: Any, plan: Any) -> None:
    """How many jobs ended how, and what went wrong."""
    counts: dict[str, int] = {}
    for key, status in outcome.statuses.items():
        name = "there already" if key in outcome.cached and status == "ok" else status
        counts[name] = counts.get(name, 0) + 1
    out.print("jobs: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    for key, message in outcome.errors.items():
        job, log = plan.jobs[key], outcome.directory / "jobs" / key / "log.txt"
        kind = job.settings["question"] if job.kind == "measure" else job.kind
        text = f"{outcome.statuses[key]}: {kind} of {job.method}: {message} (log: {log})"
        err.print(text, highlight=False, markup=False, soft_wrap=True)


def print_left_out(plan: Any) -> None:
    """Subjects whose files could not be used."""
    for label, task in plan.table["tasks"].items():
        for subject, why in task["left_out"].items():
            err.print(
                f"left out of {label}: {subject}: {why}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
