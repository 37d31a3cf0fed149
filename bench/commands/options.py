"""What options of several commands mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.errors import InputError

Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="EQUIBENCH_DATA", help="Folder that datasets are found in."),
]
Plugins = Annotated[list[Path], typer.Option("--plugin", help="Python file with more methods.")]


def check_data(data: Path | None) -> None:
    """Raise InputError for a data folder that is not there."""
    if data is not None and not data.is_dir():
        raise InputError("no such folder", where=f"--data {data}", expected="a folder of datasets")


def check_device(device: str, here: bool = True) -> None:
    """Raise InputError for an unknown device, or one that is not ``here``."""
    import torch

    known = ("cpu", "cuda") if not here or torch.cuda.is_available() else ("cpu",)
    if device not in known:
        expected = " or ".join(known) if "cuda" in known else "cpu: there is no CUDA device here"
        raise InputError(f"{device!r}", where="--device", expected=expected)


def add_plugins(plugins: list[Path]) -> None:
    """Register what these files hold. Raises InputError for one that cannot be imported."""
    from bench.registry import add_plugin

    for plugin in plugins:
        add_plugin(plugin)
