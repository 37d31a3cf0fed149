"""The commands on results folders as they lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.commands.options import Data
from bench.errors import InputError
from bench.printable import printable

out = Console()
err = Console(stderr=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]


def doctor(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="A results folder to look through.")
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Remove what is left behind, and put damaged jobs aside, to be repeated."
        ),
    ] = False,
    data: Data = None,
) -> None:
    """Say what is installed, what shadows us, and what is wrong with a results folder."""
    from bench.doctor import inspect_environment, inspect_results

    if fix and directory is None:
        raise InputError("nothing to mend", where="--fix", expected="a results folder")
    findings = inspect_environment(data)
    if directory is not None:
        findings += inspect_results(directory, fix)
    for finding in findings:
        _line(f"{'ok ' if finding.ok else 'BAD'}  {finding.text}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def compact(
    directory: Folder,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Remove the small files of finished jobs, which it holds from then on."
        ),
    ] = False,
) -> None:
    """Put all jobs and rows of a results folder into two Parquet files, which load faster."""
    from bench.storage.compaction import compact as compact_folder

    done = compact_folder(directory, prune)
    pruned = f", small files of {done.pruned} removed" if prune else ""
    _line(f"{directory / 'compact'}: {done.jobs} jobs, {done.rows} rows, {done.size} bytes{pruned}")


def merge(
    into: Annotated[Path, typer.Argument(metavar="INTO", help="A results folder, or a new one.")],
    others: Annotated[list[Path], typer.Argument(metavar="FROM...", help="Results folders.")],
) -> None:
    """Add the jobs of other results folders to one."""
    from bench.storage.merging import merge as merge_folders

    done = merge_folders(into, others)
    counts = f"{len(done.copied)} jobs copied, {len(done.replaced)} replaced, {len(done.kept)} kept"
    _line(f"{into}: {counts}; suites: {', '.join(done.suites)}")
    for key in done.different:
        text = f"warning: job {key} has other rows elsewhere: those of {into} are kept"
        err.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def _line(text: str) -> None:
    out.print(printable(text), highlight=False, markup=False, soft_wrap=True)
