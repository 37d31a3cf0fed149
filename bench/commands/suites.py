"""Suites on the command line: their options, the plan command, and how a run ended."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.options import Data, Plugins, add_plugins, check_data, check_device
from bench.errors import InputError
from bench.planning.suite import ScaleName
from bench.printable import printable

out = Console()
err = Console(stderr=True)

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A shipped name, or a YAML file.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Results folder. [default: results/runs/SUITE]")
]
Only = Annotated[list[str], typer.Option("--only", help="Methods to run, by pattern; repeatable.")]
Exclude = Annotated[list[str], typer.Option("--exclude", help="Methods to leave out, by pattern.")]
Axes = Annotated[
    list[str],
    typer.Option(
        "--axis", metavar="NAME", help="Axis of an ablation to vary; repeatable. [default: all]"
    ),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Threads = Annotated[int, typer.Option(help="Threads a job.", min=1)]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Training seeds, as 0,1,2.")]
AddMethod = Annotated[
    list[str], typer.Option("--add-method", help="Method to add to the suite, by name; repeatable.")
]
Scale = Annotated[
    str | None,
    typer.Option("--scale", help="smoke, small, reference or paper. [default: the suite's]"),
]
Pretrained = Annotated[
    bool,
    typer.Option(
        "--pretrained", help="Load the package's checkpoints instead of training those methods."
    ),
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
    axis: Axes = [],  # noqa: B006
    add_method: AddMethod = [],  # noqa: B006
    seeds: Seeds = None,
    device: Device = "cpu",
    threads: Threads = 1,
    plugin: Plugins = [],  # noqa: B006
    skip_bad: SkipBad = False,
    scale: Scale = None,
    pretrained: Pretrained = False,
) -> None:
    """Show the jobs of a suite, and which are done."""
    from bench.store import UNAVAILABLE, Store

    chosen = (suite, data, only, exclude, axis, add_method, seeds, plugin, skip_bad)
    asked = Asked(*chosen, device, threads, scale, pretrained)
    folder, plans = planned(asked)
    store = Store(directory or folder)
    table = Table("job", "kind", "method", "trained on", "tested on", "seed", "status")
    states: Counter[str] = Counter()
    rows = [row for found in plans for row in found.table["jobs"]]
    # suites share jobs; what is unavailable has no key of its own
    for row in {_identity(row): row for row in rows}.values():
        result = store.result(row["job"])
        state = "unavailable" if row["job"] == UNAVAILABLE else "to do"
        states[state := result.status if result else state] += 1
        cells = (
            row["job"],
            f"measure {row['question']}" if row["kind"] == "measure" else row["kind"],
            row["method"],
            row["train_task"],
            row["test_task"] or "",
            str(row["train_seed"]),
            state,
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)
    _line(f"{store.root}: " + ", ".join(f"{n} {state}" for state, n in states.items()))


def _identity(row: dict[str, Any]) -> tuple[Any, ...]:
    from bench.store import UNAVAILABLE

    if row["job"] != UNAVAILABLE:
        return (row["job"],)
    return tuple(row[k] for k in ("kind", "method", "train_task", "test_task", "train_seed"))


def status(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show where the suites of a results folder stand, while they run or after."""
    from bench.status import RUNNING, TO_DO, counts, suites_of

    suites = suites_of(directory)
    if as_json:
        print(json.dumps({name: [asdict(job) for job in jobs] for name, jobs in suites.items()}))
        return
    for name, jobs in suites.items():
        _line(f"{name}: " + ", ".join(f"{n} {state}" for state, n in counts(jobs).items()))
        for job in jobs:
            if job.state == RUNNING or (job.state not in ("ok", TO_DO) and job.detail):
                _line(f"  {job.state}: {job.name}  {job.detail}".rstrip())


# ---------------------------------------------------------------------- pieces


def _line(text: str) -> None:
    out.print(printable(text), highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Asked:
    """What the options say."""

    suite: str
    data: Path | None
    only: list[str]
    exclude: list[str]
    axes: list[str]
    added: list[str]
    seeds: str | None
    plugins: list[Path]
    skip_bad: bool
    device: str
    threads: int
    scale: str | None
    pretrained: bool


def planned(asked: Asked) -> tuple[Path, list[Any]]:
    """The usual results folder and a plan for each suite. Raises InputError for wrong options."""
    from bench.environment import device_class
    from bench.planning.measurements import Machine
    from bench.planning.plan import expand
    from bench.planning.suite_files import load_all
    from bench.runner import DEFAULT_ROOT

    check_device(asked.device, here=False)  # jobs may be placed elsewhere
    check_data(asked.data)
    add_plugins(asked.plugins)
    machine = Machine(device_class(asked.device), asked.threads)
    scale, seeds = _scale(asked.scale), _seeds(asked.seeds)
    name, suites = load_all(asked.suite)
    # nothing is shared between scales, and a suite's page shows one
    words = (name, scale or "", "pretrained" if asked.pretrained else "")
    folder = DEFAULT_ROOT / "-".join(word for word in words if word)
    lines = (asked.only, asked.exclude, asked.axes)
    chosen = (asked.data, seeds, *lines, asked.skip_bad, machine, scale, asked.pretrained)
    return folder, [expand(suite.with_methods(asked.added), *chosen) for suite in suites]


def _scale(text: str | None) -> ScaleName | None:
    if text is None:
        return None
    known: dict[str, ScaleName] = {name: name for name in get_args(ScaleName)}
    if text not in known:
        raise InputError(f"{text!r}", where="--scale", expected="one of " + ", ".join(known))
    return known[text]


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


def print_left_out(plan: Any) -> None:
    """Subjects whose files could not be used."""
    for label, task in plan.table["tasks"].items():
        for subject, why in task["left_out"].items():
            text = printable(f"left out of {label}: {subject}: {why}")
            err.print(text, highlight=False, markup=False, soft_wrap=True)
