"""The command that compares a results folder with golden rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

out = Console()


def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")],
    folder: Annotated[
        Path, typer.Option("--against", metavar="GOLDEN", help="Folder of golden rows.")
    ],
    only: Annotated[
        list[str], typer.Option("--only", help="Methods to compare, by pattern; repeatable.")
    ] = [],  # noqa: B006 (typer copies it)
    suite: Annotated[
        str | None, typer.Option(help="Which, where several were run into DIR.")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--update", help="Make the results the golden rows.")
    ] = False,
) -> None:
    """Compare results with golden rows. Exit code 1 if a number moved that should not.

    What is better than its golden row is shown, and accepted by --update only.
    """
    from bench import golden, regression

    if not accept or (folder / golden.ROWS).exists():
        report = regression.check(directory, folder, suite, only)
        for line in report.lines():
            _line(line)
        if not accept:
            raise typer.Exit(0 if report.ok else 1)
    count = regression.update(directory, folder, suite, only)
    _line(f"{folder / golden.ROWS}: {count} golden rows")


def _line(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
