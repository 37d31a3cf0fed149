"""Print the table of comparisons: `make peers`.

python -m tests.peers [GROUP...]    operators, sense, fixed_points, training, harness,
                            choices
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.peers.comparison import Comparison

GROUPS = ("operators", "sense", "fixed_points", "training", "harness", "choices")


def comparisons(group: str) -> Iterator[Comparison]:
    """Of one group; what needs acquired data is said to be unavailable without it."""
    rows = importlib.import_module(f"tests.peers.{group}").rows
    if not inspect.signature(rows).parameters:
        yield from rows()
        return
    data = Path(os.environ.get("EQUIBENCH_DATA", "../shared/data"))
    if not data.is_dir():
        print(f"{group}: left out, no acquired data in {data} (set EQUIBENCH_DATA)")
        return
    yield from rows(data)


def main() -> None:
    """A line as soon as it is known."""
    asked = sys.argv[1:] or GROUPS
    unknown = [name for name in asked if name not in GROUPS]
    if unknown:
        sys.exit(f"unknown group {unknown[0]!r}: expected {', '.join(GROUPS)}")
    torch.set_num_threads(1)
    print("| Work | Against | Goal | Measured | Met | |\n|---|---|---|---|---|---|")
    for group in asked:
        for one in comparisons(group):
            print(line(one), flush=True)


def line(one: Comparison) -> str:
    """A row of Markdown."""
    sign, unit = (">=" if one.sense == "at least" else "<="), " s" if one.unit == "s" else "x"
    measured = "-" if one.measured is None else f"{one.measured:.2f}{unit}"
    met = {True: "yes", False: "**no**", None: "-"}[one.met]
    return (
        f"| {one.work} | {one.against} | {sign} {one.goal:g}{unit} | {measured} | {met} "
        f"| {one.detail} |"
    )


if __name__ == "__main__":
    main()
