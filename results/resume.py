"""A results folder that goes on where the committed results stop.

    python results/resume.py reference-phantom --out results/runs/reference-cpu
    equibench run reference-phantom --out results/runs/reference-cpu

Committed jobs are done there, and the committed checkpoints are in their trainings' places, so that
only what nobody has run yet is run. Other trainings (later seeds, and those on data without stated
terms) are done there as well, without a checkpoint: what else is asked of them fails, until
`equibench doctor DIR --fix` has put them aside, to be trained again.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.errors import InputError
from bench.planning.pretrained import FOLDER
from bench.storage.merging import merge
from bench.store import Store
from bench.weights import CHECKPOINTS

REFERENCE = Path(__file__).resolve().parent / "reference"


def main() -> None:
    """Merge the suites that are named into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="+", choices=sorted(p.name for p in REFERENCE.glob("*/")))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    try:
        done = merge(given.out, [REFERENCE / suite for suite in given.suites])
    except InputError as error:
        parser.error(str(error))
    store, kept = Store(given.out), 0
    known = set(store.jobs())
    for key, file in committed():
        if key in known and not store.checkpoint(key).exists():
            shutil.copyfile(file, store.checkpoint(key))
            kept += 1
    print(f"{given.out}: {len(done.copied)} jobs, {kept} checkpoints")


def committed() -> Iterator[tuple[str, Path]]:
    """Committed checkpoints, each with the key of its training, which its card tells."""
    for card in sorted((CHECKPOINTS / FOLDER).glob("*.md")):
        found = re.search(r"^- \*\*Job:\*\* (\w+)$", card.read_text(), re.MULTILINE)
        if found:
            yield found[1], card.with_suffix(".safetensors")


if __name__ == "__main__":
    main()
