"""Two results folders: what both have, sample by sample, and what else is different."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

from bench.config import nearest
from bench.errors import InputError
from bench.statistics import MIN_SUBJECTS
from reports.compared import Compared
from reports.folder import Folder, load_folder
from reports.sides import PARAMETERS
from reports.tables.table import Cell, Table

QUALITY = ("psnr", "ssim", "nfe")
COST = (PARAMETERS, "predicted_peak", "largest_batch")
TIMES = ("train_seconds", "seconds", "step_seconds", "slice_seconds")
CAPTION = [
    "A, B: means over what both have (each subject's images and training seeds first). B − A: "
    "paired over the same subject, image and training seed; in brackets its 95 % interval "
    "(bootstrap over subjects and seeds; of one seed it says nothing of others), and of trainings, "
    "memory and times B over A. n: subjects (pairs).",
    "Settings that are the same in all rows of a measurement are not shown.",
]


def compare_folders(
    a: Path, b: Path, metrics: Sequence[str] = (), suite: str | None = None
) -> Table:
    """Differences B less A of everything that two results folders have under the same labels.

    Args:
        metrics: of rows; quality, cost and times by default.
        suite: only this one. By default all of the same name, or the only suite of each.

    Raises:
        InputError: a folder without results, no suite or nothing else in common, an unknown metric.
    """
    folders = load_folder(Path(a)), load_folder(Path(b))
    _require_known(folders, metrics)
    names = _suites(*folders, suite)
    wanted = tuple(metrics) or (*QUALITY, *COST, *TIMES)
    found = [Compared(folders, both, wanted) for both in names]
    if not any(one.places for one in found):
        raise InputError(
            "nothing in common",
            where=f"{a} and {b}",
            expected=f"a method and task of both with {' or '.join(metrics) or 'results'}",
        )
    several, rows = len(found) > 1, []
    notes: dict[str, str] = {}
    for one in found:
        for cells, said in one.rows():
            letters = [notes.setdefault(note, _letter(len(notes))) for note in said]
            first = [Cell(one.names[0])] if several else []
            rows.append([*first, *cells, Cell(" ".join(letters))])
    caption = [f"A: {a}. B: {b}.", *_unmatched(folders, names, suite), *CAPTION]
    if any(one.has_few_subjects for one in found):
        caption.append(f"Fewer than {MIN_SUBJECTS} subjects: no interval.")
    caption += [f"{letter}: {note}." for note, letter in notes.items()]
    for one in found:
        caption += [f"{one.names[0]}: {line}" if several else line for line in one.caption()]
    return Table(
        name="compare",
        title="B less A: " + ", ".join(" / ".join(dict.fromkeys(both)) for both in names),
        caption=caption,
        stub=[*(["suite"] if several else []), "task", "method", "metric"],
        groups=[("", (name,)) for name in ("A", "B", "B − A", "n", "note")],
        rows=rows,
        tidy=[record for one in found for record in one.records()],
    )


def _letter(number: int) -> str:
    """a to z, then numbers."""
    return string.ascii_lowercase[number] if number < 26 else str(number)


def _require_known(folders: Sequence[Folder], metrics: Sequence[str]) -> None:
    known = {PARAMETERS, *(str(name) for folder in folders for name in set(folder.rows["metric"]))}
    for name in metrics:
        if name not in known:
            where = " and ".join(str(folder.directory) for folder in folders)
            raise InputError(
                f"no metric {name!r}", where=where, expected=nearest(name, sorted(known))
            )


def _suites(a: Folder, b: Folder, suite: str | None) -> list[tuple[str, str]]:
    """Suites to compare, each with its partner."""
    if suite is not None:
        for folder in (a, b):
            if suite not in folder.suites:
                raise InputError(
                    f"no suite {suite!r}",
                    where=str(folder.directory),
                    expected="one of " + ", ".join(folder.suites),
                )
        return [(suite, suite)]
    common = [(name, name) for name in a.suites if name in b.suites]
    if common:
        return common
    if len(a.suites) == len(b.suites) == 1:
        return [(next(iter(a.suites)), next(iter(b.suites)))]
    raise InputError(
        "no suite in common",
        where=f"{a.directory} and {b.directory}",
        expected=f"one of {', '.join(a.suites)} and of {', '.join(b.suites)} with the same name, "
        "or a single suite in each",
    )


def _unmatched(
    folders: Sequence[Folder], names: Sequence[tuple[str, str]], suite: str | None
) -> list[str]:
    """Suites that only one folder has, unless one was asked for."""
    lines = []
    for which, folder in enumerate(folders):
        rest = [name for name in folder.suites if name not in {both[which] for both in names}]
        if rest and suite is None:
            lines.append(f"Only in {'AB'[which]}: suite {', '.join(rest)}.")
    return lines
