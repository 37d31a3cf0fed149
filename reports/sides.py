"""The numbers of a suite under its labels, as another folder's can be paired with them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.comparison import Comparison, compare
from bench.statistics import Scores, summarise_scores
from reports.suite_results import Entry, SuiteResults

PARAMETERS = "parameters"
Value = tuple[str, str, str, str, str, float]  # phase, metric, condition, subject, sample, value


@dataclass(frozen=True)
class Asked:
    """What a suite asks of a method, by its labels; without a test task: of its training."""

    method: str
    variant: str
    train_task: str
    test_task: str = ""
    question: str = ""


@dataclass(frozen=True)
class Place:
    """Where a number stands; ``condition``: canonical JSON."""

    asked: Asked
    phase: str
    metric: str
    condition: str


class Side:
    """A suite of one of two folders.

    Attributes:
        numbers: (subject, sample, training seed) -> value; what has neither subject nor sample has
            empty ones.
        jobs: that numbers come from; fits: trainings behind them, by label.
        statuses: how the first job that did not end well ended.
    """

    def __init__(self, results: SuiteResults, metrics: Collection[str]) -> None:
        self.results = results
        self.numbers: dict[Place, dict[tuple[str, str, int], float]] = {}
        self.jobs: dict[Place, dict[str, Mapping[str, Any]]] = {}
        self.fits: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
        self.asked: set[Asked] = set()
        self.statuses: dict[Asked, str] = {}
        self._tested: dict[str, list[Value]] = {}
        for (job, condition, metric), points in results.folder.evaluations.items():
            values = [("evaluate", metric, condition, *point) for point in points]
            self._tested.setdefault(job, []).extend(values)
        for (job, metric), value in results.folder.finals.items():
            self._tested.setdefault(job, []).append(("fit", metric, "{}", "", "", value))
        for entry in results.entries:
            self._add(entry, metrics)

    def _add(self, entry: Entry, metrics: Collection[str]) -> None:
        labels = entry.method, entry.variant, entry.train_task or ""
        asked = Asked(*labels, entry.test_task or "", entry.question)
        job = self.results.job(entry.job)
        if entry.kind in ("fit", "backbone"):
            self.fits.setdefault(labels, {})[entry.job] = job
        self.asked.add(asked)
        if entry.kind == "backbone":
            return
        if self.results.status(entry.job) != "ok":
            self.statuses.setdefault(asked, self.results.status(entry.job))
            return
        # what is not trained is the same for every training seed
        seed = int(job.get("train_seed", self.results.seed(entry.job)))
        for phase, metric, condition, subject, sample, value in self._values(entry):
            if metric in metrics:
                place = Place(asked, phase, metric, condition)
                self._put(place, (subject, sample, seed), value, job)
        if PARAMETERS in job and PARAMETERS in metrics and entry.kind != "evaluate":
            place = Place(Asked(*labels), "fit", PARAMETERS, "{}")
            self._put(place, ("", "", seed), float(job[PARAMETERS]), job)

    def _put(
        self, place: Place, where: tuple[str, str, int], value: float, job: Mapping[str, Any]
    ) -> None:
        self.numbers.setdefault(place, {})[where] = value
        self.jobs.setdefault(place, {})[str(job["job"])] = job

    def _values(self, entry: Entry) -> Iterator[Value]:
        yield from self._tested.get(entry.job, ())
        for one in self.results.folder.readings.get(entry.job, ()):
            condition = json.dumps(one.condition, sort_keys=True)
            where = one.subject or "", one.sample or ""
            yield one.phase, one.metric, condition, *where, one.value


@dataclass(frozen=True)
class Pair:
    """What stands at a place in both folders.

    Attributes:
        a, b: means over what is paired, each subject's first; over everything if nothing is.
        between: B less A; None if no sample is in both.
        pairs: numbers that were paired.
        seeds: whether training seeds are paired, and not only samples.
        alone: numbers without a partner, and whose.
        lost: numbers that are not finite.
    """

    a: float | None
    b: float | None
    between: Comparison | None
    pairs: int
    seeds: bool
    alone: tuple[tuple[int, str], tuple[int, str]]
    lost: int


def pair(a: Scores, b: Scores) -> Pair:
    """Both sides over the samples and training seeds that both have.

    Without a common training seed samples are paired, and each side keeps its seeds.
    """
    sides = [{p: v for p, v in side.items() if math.isfinite(v)} for side in (a, b)]
    lost = len(a) + len(b) - sum(map(len, sides))
    seeds = [{place[2] for place in side} for side in sides]
    common = seeds[0] & seeds[1]
    kept = [common or own for own in seeds]
    whole = [_with_all(side, wanted) for side, wanted in zip(sides, kept, strict=True)]
    shared = whole[0] & whole[1]
    paired = [
        {p: v for p, v in side.items() if p[:2] in shared and p[2] in wanted}
        for side, wanted in zip(sides, kept, strict=True)
    ]
    first, second = (
        summarise_scores(chosen or side).mean if side else None
        for chosen, side in zip(paired, sides, strict=True)
    )
    alone = [len(side) - len(chosen) for side, chosen in zip(sides, paired, strict=True)]
    return Pair(
        a=first,
        b=second,
        between=compare(paired[1], paired[0]) if shared else None,
        pairs=len(shared) * max(1, len(common)),
        seeds=bool(common),
        alone=((alone[0], "A"), (alone[1], "B")),
        lost=lost,
    )


def _with_all(scores: Scores, seeds: Collection[int]) -> set[tuple[str, str]]:
    """Samples that were scored under each of the seeds."""
    found: dict[tuple[str, str], set[int]] = {}
    for subject, sample, seed in scores:
        found.setdefault((subject, sample), set()).add(seed)
    return {sample for sample, known in found.items() if known >= set(seeds)}
