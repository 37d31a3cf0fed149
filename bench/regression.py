"""The rows of a results folder against golden rows: what moved, what is gone, what is new.

A golden row guards against change, and says nothing about truth.
"""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import golden
from bench.config import nearest
from bench.errors import InputError
from bench.golden import Tolerances
from bench.labelled import Labels, Place, Results, Section, Values, group, job_text, read_results

# What is in neither has no good direction: fewer operator applications may be a solve that is cut
# short, and a smaller distance to the measurements noise that is fitted.
HIGHER_IS_BETTER = ("psnr", "ssim", "largest_batch", "largest_even_batch")
LOWER_IS_BETTER = ("nmse", "residual", "nfe", "predicted_peak")


@dataclass(frozen=True)
class Moved:
    """A number that is further from its golden one than it may be."""

    place: Place
    golden: float
    now: float
    margin: float

    @property
    def better(self) -> bool:
        """Whether the metric has a good direction, and moved in it."""
        if self.place.metric in HIGHER_IS_BETTER:
            return self.now > self.golden
        return self.place.metric in LOWER_IS_BETTER and self.now < self.golden

    @property
    def distance(self) -> float:
        """From the golden number; infinite where one of the two is not finite."""
        difference = abs(self.now - self.golden)
        return math.inf if math.isnan(difference) else difference

    def __str__(self) -> str:
        """Where, from what to what, and by how much it might have moved."""
        where = [part for part in (self.place.subject, self.place.sample) if part]
        where += [] if self.place.step is None else [f"step {self.place.step}"]
        change = f"({self.now - self.golden:+.3g}, may be {self.margin:.3g})"
        text = f"{self.golden:.7g} -> {self.now:.7g} {self.place.unit}".rstrip()
        return " ".join([*where, text, change])


@dataclass(frozen=True)
class Report:
    """What came out.

    Attributes:
        compared: numbers in each group of samples.
        moved, missing, new: numbers, in order.
        apart: jobs that only one side has.
        failed: jobs that did not end well, and how they did.
    """

    compared: Counter[str]
    moved: list[Moved]
    missing: list[Place]
    new: list[Place]
    apart: set[Labels]
    failed: dict[Labels, str]

    @property
    def ok(self) -> bool:
        """Whether nothing moved but for the better."""
        worse = any(not one.better for one in self.moved)
        return not (worse or self.missing or self.new or self.failed)

    def lines(self) -> Iterator[str]:
        """A line for each job, or metric of a job, that has something to say; then the sum."""
        for job, how in self.failed.items():
            yield f"failed: {job_text(job)}: {how}"
        for better, title in ((False, "regression"), (True, "improvement")):
            for name, members in _grouped(m for m in self.moved if m.better is better).items():
                worst = max(members, key=lambda one: one.distance)
                of = f"{len(members)} of {self.compared[name]} moved, worst"
                yield f"{title}: {name}: {of if len(members) > 1 else 'moved,'} {worst}"
        for title, places in (("missing", self.missing), ("new", self.new)):
            for name, count in Counter(map(self._name, places)).items():
                yield f"{title}: {name}: {count} {'rows' if count > 1 else 'row'}"
        yield self._sum()

    def _name(self, place: Place) -> str:
        return job_text(place.job) if place.job in self.apart else group(place)

    def _sum(self) -> str:
        better = sum(one.better for one in self.moved)
        counts = {"worse or different": len(self.moved) - better, "better": better}
        counts |= {"missing": len(self.missing), "new": len(self.new)}
        counts["failed jobs"] = len(self.failed)
        found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return f"{self.compared.total()} rows compared: {found or 'nothing moved'}"


def check(
    directory: Path, folder: Path, suite: str | None = None, only: Sequence[str] = ()
) -> Report:
    """Compare a results folder with the golden rows of ``folder``.

    Args:
        suite: which one, where several were run into the results folder.
        only: patterns of method labels and names, as of ``run``; the others are not looked at.

    Raises:
        InputError: nothing to compare, or a golden folder that cannot be read.
    """
    tolerances = golden.read_tolerances(folder)
    results, known = read_results(directory, suite), golden.read_rows(folder)
    wanted = _selected(results, known, only)
    failed = {job: how for job, how in results.failed.items() if job.method in wanted}
    values, known = (
        {
            place: value
            for place, value in _compared(side, results.sections, tolerances).items()
            if place.job.method in wanted and place.job not in failed
        }
        for side in (results.values, known)
    )
    moved = []
    for place in _ordered(values.keys() & known.keys()):
        margin = tolerances.of(results.sections[place.job], place.metric).margin(known[place])
        if not _within(known[place], values[place], margin):
            moved.append(Moved(place, known[place], values[place], margin))
    return Report(
        compared=Counter(group(place) for place in values if place in known),
        moved=moved,
        missing=_ordered(known.keys() - values.keys()),
        new=_ordered(values.keys() - known.keys()),
        apart={place.job for place in values} ^ {place.job for place in known},
        failed=failed,
    )


def update(
    directory: Path, folder: Path, suite: str | None = None, only: Sequence[str] = ()
) -> int:
    """Make the results' rows the golden ones; with ``only``, those of other methods stay.

    A folder without tolerances gets the usual ones.

    Returns:
        How many golden rows there are.

    Raises:
        InputError: as :func:`check`, and where a job did not end well.
    """
    results = read_results(directory, suite)
    there = (folder / golden.ROWS).exists()
    known = golden.read_rows(folder) if only and there else {}
    wanted = _selected(results, known, only)
    for job, how in results.failed.items():
        if job.method in wanted:
            what = f"{job_text(job)}: {how}"
            raise InputError(what, where=str(directory), expected="jobs that ended well")
    golden.add_defaults(folder)
    values = _compared(results.values, results.sections, golden.read_tolerances(folder))
    values = {place: value for place, value in values.items() if place.job.method in wanted}
    values |= {place: value for place, value in known.items() if place.job.method not in wanted}
    golden.write_rows(folder, values)
    return len(values)


def _compared(values: Values, sections: Mapping[Labels, Section], tolerances: Tolerances) -> Values:
    """As they are stored, without what is never compared; of jobs that are not there, all."""
    return {
        place: golden.as_stored(value)
        for place, value in values.items()
        if place.job not in sections or tolerances.of(sections[place.job], place.metric).compared
    }


def _within(old: float, now: float, margin: float) -> bool:
    if math.isnan(old) or math.isnan(now):
        return math.isnan(old) and math.isnan(now)
    return abs(now - old) <= margin


def _selected(results: Results, known: Values, only: Sequence[str]) -> Collection[str]:
    """Labels of the methods that are looked at.

    A golden row has no name beside its label; where the label is made of name and variant, as in
    ``mol-lr (stable)``, the name is what it begins with.
    """
    there = {job.method for job in (*results.sections, *results.failed)}
    labels = there | {place.job.method for place in known}
    if not only:
        return labels
    chosen = set()
    for label in labels:
        names = {label, label.partition(" (")[0], *results.names.get(label, ())}
        if any(fnmatch.fnmatch(name, pattern) for name in names for pattern in only):
            chosen.add(label)
    if not there & chosen:
        expected = nearest(only[0], there)
        raise InputError(
            "no such method in the results", where=f"--only {only[0]}", expected=expected
        )
    return chosen


def _ordered(places: Iterable[Place]) -> list[Place]:
    return sorted(places, key=lambda place: place.order)


def _grouped(moved: Iterable[Moved]) -> dict[str, list[Moved]]:
    groups: dict[str, list[Moved]] = {}
    for one in moved:
        groups.setdefault(group(one.place), []).append(one)
    return groups
