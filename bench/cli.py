"""The command line. Thin: it reads arguments, calls one function, and prints what came back."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.commands import data, measure, regression, store, suites
from bench.commands.options import Data, Plugins, add_plugins, check_device
from bench.commands.run import (
    Account,
    AsJson,
    Deterministic,
    EngineName,
    MemorySize,
    Minutes,
    Partition,
    Placing,
    Profile,
    Quiet,
    Workers,
    engine_for,
    run_plans,
)
from bench.commands.suites import (
    AddMethod,
    Asked,
    Axes,
    Device,
    Exclude,
    Only,
    Out,
    Pretrained,
    Scale,
    Seeds,
    SkipBad,
    SuiteName,
    Threads,
    planned,
)
from bench.errors import InputError
from bench.printable import printable

app = typer.Typer(
    name="equibench",
    help="Benchmark equilibrium and unrolled image reconstruction on the same data.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)


@app.command()
def run(
    suite: SuiteName,
    directory: Out = None,
    data: Data = None,
    only: Only = [],  # noqa: B006 (typer copies it)
    exclude: Exclude = [],  # noqa: B006
    axis: Axes = [],  # noqa: B006
    add_method: AddMethod = [],  # noqa: B006
    seeds: Seeds = None,
    device: Device = "cpu",
    threads: Threads = 1,
    timeout: Annotated[float | None, typer.Option(help="Seconds a job.", min=1)] = None,
    plugin: Plugins = [],  # noqa: B006
    skip_bad: SkipBad = False,
    scale: Scale = None,
    pretrained: Pretrained = False,
    engine: EngineName = "local",
    workers: Workers = None,
    memory: MemorySize = None,
    partition: Partition = None,
    account: Account = None,
    minutes: Minutes = None,
    profile: Profile = None,
    deterministic: Deterministic = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a suite: fit, evaluate, and report. What is done already is not repeated."""
    from bench.engines.process import Placement
    from bench.storage.frames import load_rows
    from bench.store import Store

    placing = Placing(engine, workers, memory, partition, account, minutes, profile)
    check_device(device, here=engine == "local")  # a login node may have no GPU
    chosen = (suite, data, only, exclude, axis, add_method, seeds, plugin, skip_bad)
    asked = Asked(*chosen, device, threads, scale, pretrained)
    folder, plans = planned(asked)
    store = Store(directory or folder)
    placement = Placement(data, device, threads, timeout, tuple(plugin), deterministic)
    ok = run_plans(
        plans, store, engine_for(placing, store, placement), quiet=quiet, as_json=as_json
    )
    if not load_rows(store.root).empty:
        _report(store.root, [plan.suite.name for plan in plans], as_json=as_json)
    raise typer.Exit(0 if ok else 1)


app.command()(suites.plan)
app.command()(suites.status)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")],
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME,...",
            help="html: one page a suite, with everything; pdf, png: figures; markdown, latex: "
            "tables; csv: tables in long form, and every row (rows.csv). [default: all]",
        ),
    ] = None,
) -> None:
    """Make tables, figures and the page of every suite in a results folder."""
    from bench.store import load_suites

    suites = load_suites(directory)
    if not suites:
        raise InputError("no suite was run into it", where=str(directory), expected="results")
    _report(directory, suites, formats)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A results folder.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    suite: Annotated[
        str | None, typer.Option(metavar="NAME", help="[default: all that both have]")
    ] = None,
    metric: Annotated[
        list[str], typer.Option(metavar="NAME", help="Of rows, as psnr; repeatable.")
    ] = [],  # noqa: B006
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all digits too.")] = None,
) -> None:
    """Compare two results folders on what both have, and say what else differs."""
    from bench.store import write_atomic
    from reports.compare import compare_folders
    from reports.tables.render import terminal, tidy_csv

    table = compare_folders(a, b, metric, suite)
    out.print(terminal(table))
    if csv is not None:
        try:
            write_atomic(csv, tidy_csv(table).encode())
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", where=str(csv)) from error


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="methods|tasks|suites")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """List what there is."""
    from bench import listing
    from bench.config import nearest

    listings = {
        "methods": listing.methods,
        "tasks": listing.tasks,
        "suites": listing.suites,
    }
    if what not in listings:
        raise InputError(f"{what!r}", where="list", expected=nearest(what, listings))
    add_plugins(plugin)
    entries = listings[what]()
    if as_json:
        print(json.dumps(entries, indent=1))
        return
    table = Table(show_lines=True)
    for number, heading in enumerate(entries[0]):
        # a name is to be copied whole
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    for entry in entries:
        table.add_row(*(_cell(value) for value in entry.values()))
    out.print(table)


@app.command("import-weights")
def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A released checkpoint.")],
    layout: Annotated[str, typer.Option("--from", metavar="LAYOUT", help="How it names tensors.")],
    method: Annotated[str, typer.Option(metavar="NAME", help="The method it is of.")],
    output: Annotated[Path, typer.Option("--out", metavar="FILE", help="Safetensors to write.")],
    backbone: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Imported weights of its backbone.")
    ] = None,
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Convert other authors' weights; bench.weights.load_method and suites read the result."""
    from bench.weights import convert

    add_plugins(plugin)
    created = convert(file, layout, method, output, backbone)
    count = sum(tensor.numel() for tensor in created.state_dict().values())
    out.print(f"{output}: {created.name}, {count:,} numbers", highlight=False, markup=False)


app.add_typer(data.data, name="data")
app.command()(data.evaluate)
app.command()(measure.memory)
app.command()(measure.profile)
app.command()(regression.check)


@app.command()
def new(
    what: Annotated[str, typer.Argument(metavar="method")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="As it will stand in suites.")],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR")] = Path(),
) -> None:
    """Write a file with a method that works, to be changed."""
    from bench.skeleton import write_method

    if what != "method":
        raise InputError(f"{what!r}", where="new", expected="method")
    path = write_method(name, folder)
    out.print(str(path), highlight=False, markup=False, soft_wrap=True)
    out.print(
        f"try it: equibench run quick --plugin {path} --add-method {name}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


for command in (store.doctor, store.compact, store.merge):
    app.command()(command)


def main() -> None:
    """The console script. Exit codes: 0 done, 1 a job failed, 2 bad input."""
    try:
        app()
    except InputError as error:
        err.print(f"error: {error}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:  # `equibench list methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


# ---------------------------------------------------------------------- pieces


def _report(
    directory: Path, suites: Iterable[str], formats: str | None = None, as_json: bool = False
) -> None:
    from reports import FORMATS, summary_for_terminal, write_report

    wanted = FORMATS if formats is None else [name.strip() for name in formats.split(",")]
    written = write_report(directory, wanted)
    for name in suites:
        paths = [str(path) for path in written.summary(name)]
        if as_json:
            print(json.dumps({"event": "report", "suite": name, "paths": paths}))
            continue
        out.print(summary_for_terminal(directory, name))
        for path in paths:
            out.print(printable(path), highlight=False, markup=False, soft_wrap=True)


def _cell(value: Any) -> str:
    return printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))


if __name__ == "__main__":
    main()
