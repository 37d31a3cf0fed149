"""One suite of two folders: rows of what both have, and everything else that differs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.statistics import MIN_SUBJECTS
from reports import provenance
from reports.folder import Folder
from reports.sides import PARAMETERS, Asked, Pair, Place, Side, pair
from reports.suite_results import SuiteResults
from reports.tables.lines import METRICS
from reports.tables.reproduced import Show
from reports.tables.table import NONE, Cell, count, number, seconds, signed, significant, size

BY_UNIT: Mapping[str, Show] = {
    **{"s": seconds, "bytes": size},
    **{"samples": count, "evaluations": count},
}
TRAINING = ("method", "config", "settings", *provenance.DATA)


class Compared:
    """A suite of A and one of B; ``places``: where both have numbers, in reading order."""

    def __init__(
        self, folders: Sequence[Folder], names: tuple[str, str], metrics: Sequence[str]
    ) -> None:
        self.names = names
        self.a, self.b = (
            Side(SuiteResults(folder, name), metrics)
            for folder, name in zip(folders, names, strict=True)
        )
        self.units = {
            str(metric): str(unit)
            for folder in folders
            for metric, unit in folder.rows[["metric", "unit"]].drop_duplicates().to_numpy()
        }
        both = [place for place in self.a.numbers if place in self.b.numbers]
        self.places = sorted(both, key=lambda place: self._order(place, metrics))
        self.pairs = {p: pair(self.a.numbers[p], self.b.numbers[p]) for p in self.places}
        self.other = {place: self._other(place) for place in self.places}

    def _order(self, place: Place, metrics: Sequence[str]) -> tuple[Any, ...]:
        results, asked = self.a.results, place.asked
        methods = [line.method for line in results.lines]
        tasks = [task.label for task in results.test_tasks]
        task = asked.test_task or asked.train_task
        return (
            tasks.index(task) if task in tasks else len(tasks),
            methods.index(asked.method) if asked.method in methods else len(methods),
            (asked.variant, asked.train_task, asked.question),
            (metrics.index(place.metric), place.phase, place.condition),
        )

    # ------------------------------------------------------------------ rows

    def rows(self) -> Iterator[tuple[list[Cell], list[str]]]:
        """A row for each place, and what is to be noted of it."""
        constant = _constant_settings(self.places)
        for place, found in self.pairs.items():
            show, asked, between = self._show(place.metric), place.asked, found.between
            subjects = self._subjects(place, found)
            cells = [
                Cell(asked.test_task or asked.train_task or NONE),
                Cell(self.method(asked)),
                Cell(_metric(place, constant)),
                Cell(show(found.a), sort=found.a),
                Cell(show(found.b), sort=found.b),
                Cell(self._difference(place, found), sort=between.difference if between else None),
                Cell(f"{subjects or NONE} ({found.pairs})", sort=found.pairs),
            ]
            yield cells, self._notes(place)

    def _difference(self, place: Place, found: Pair) -> str:
        between, show = found.between, self._show(place.metric)
        if between is None:
            return NONE
        text = signed(between.difference, show)
        if between.difference == 0:
            return text
        if self._is_plain(place):
            return f"{text} (×{significant(found.b / found.a)})" if found.a and found.b else text
        if between.low is None or between.high is None:
            return text
        return f"{text} ({signed(between.low, show)} to {signed(between.high, show)})"

    def _notes(self, place: Place) -> list[str]:
        found = self.pairs[place]
        notes = [] if found.pairs else ["no image in common, so nothing is paired"]
        notes += [f"{n} only in {name}" for n, name in found.alone if n]
        notes += [f"{found.lost} not finite"] if found.lost else []
        notes += (
            []
            if found.seeds or not found.pairs
            else ["other training seeds: images alone are paired"]
        )
        return notes + [what for what, _ in self.other[place]]

    def _show(self, metric: str) -> Show:
        if metric in METRICS:
            return METRICS[metric][2]
        if metric == PARAMETERS:
            return lambda value: number(value, 0)
        return BY_UNIT.get(self.units.get(metric, ""), significant)

    def _is_scalar(self, place: Place) -> bool:
        return all(not subject for subject, *_ in self.a.numbers[place])

    def _is_plain(self, place: Place) -> bool:
        """Times vary with the machine more than with subjects: no interval over these."""
        return self._is_scalar(place) or self.units.get(place.metric) == "s"

    def _subjects(self, place: Place, found: Pair) -> int:
        return 0 if found.between is None or self._is_scalar(place) else found.between.n

    def method(self, asked: Asked) -> str:
        """The label, with the variant and the training task where it has several."""
        known = [one for one in (*self.a.asked, *self.b.asked) if one.method == asked.method]
        several = len({one.variant for one in known}) > 1
        name = f"{asked.method}, {asked.variant}" if several else asked.method
        several = len({one.train_task for one in known}) > 1
        elsewhere = asked.test_task not in ("", asked.train_task)
        return f"{name} (trained on {asked.train_task})" if several and elsewhere else name

    # ------------------------------------------------------------------ what else differs

    def _other(self, place: Place) -> list[tuple[str, list[str]]]:
        """In two words, and field by field."""
        asked = place.asked
        labels = asked.method, asked.variant, asked.train_task
        a, b = ([*side.jobs[place].values()] for side in (self.a, self.b))
        fit_a, fit_b = ([*side.fits.get(labels, {}).values()] for side in (self.a, self.b))
        # where nothing is trained the method's configuration is the measurement's
        settings = ["settings"] if fit_a or fit_b else ["method", "config", "settings"]
        found = {
            "other data": provenance.differing(a, b, provenance.DATA),
            "other protocol": provenance.differing(a, b, ["protocol"]),
            "other training": provenance.differing(fit_a, fit_b, TRAINING),
            "other settings": provenance.differing(a, b, settings) if asked.test_task else [],
            "other code": provenance.differing([*a, *fit_a], [*b, *fit_b], ["definitions"]),
        }
        if self.units.get(place.metric) == "s":
            found["other machine"] = provenance.ran_differently(a, b, provenance.MACHINE)
        return [(what, fields) for what, fields in found.items() if fields]

    def caption(self) -> list[str]:
        """Field by field what differs, the environment, and what only one folder has."""
        told = [
            (f"O{what[1:]}: {'; '.join(fields)}", self._where(place.asked, what))
            for place in self.places
            for what, fields in self.other[place]
            if what != "other machine"  # the environment says which
        ]
        a, b = (
            {key: job for found in side.jobs.values() for key, job in found.items()}
            for side in (self.a, self.b)
        )
        shared = len(a.keys() & b.keys())
        lines = [f"Jobs: {len(a)} in A, {len(b)} in B, the same in both: {shared}."]
        differing = provenance.ran_differently(a.values(), b.values())
        same = f"the same {', '.join(provenance.ENVIRONMENT)}"
        lines += [f"Environment (A / B): {'; '.join(differing) or same}."]
        lines += provenance.gathered(told)
        return [*lines, *self._only("A", self.a, self.b), *self._only("B", self.b, self.a)]

    def _where(self, asked: Asked, what: str) -> str:
        by_task = what in ("other data", "other protocol")
        return asked.test_task or asked.train_task if by_task else self.method(asked)

    def _only(self, name: str, has: Side, lacks: Side) -> list[str]:
        """What one side alone has numbers of, and why the other has none if a job says so."""
        missing: dict[Asked, list[Place]] = {}
        for place in has.numbers:
            if place not in lacks.numbers:
                missing.setdefault(place.asked, []).append(place)
        there = {place.asked for place in lacks.numbers}
        known = {asked.method for asked in (*there, *lacks.statuses)}
        found: dict[str, list[str]] = {}
        for asked, places in missing.items():
            where = " ".join(filter(None, (asked.test_task or "training", asked.question)))
            if asked in there:
                constant = _constant_settings(places)
                where += f": {', '.join(dict.fromkeys(_metric(p, constant) for p in places))}"
            elif status := lacks.statuses.get(asked):
                where += f", {status} there"
            found.setdefault(self.method(asked), [])
            found[self.method(asked)] += [where] if asked.method in known else []
        parts = [
            name + (f" ({'; '.join(where)})" if where else "") for name, where in found.items()
        ]
        return [f"Only in {name}: {', '.join(parts)}."] if parts else []

    @property
    def has_few_subjects(self) -> bool:
        """Whether some row has too few for an interval."""
        found = [self._subjects(p, one) for p, one in self.pairs.items() if not self._is_plain(p)]
        return any(0 < n < MIN_SUBJECTS for n in found)

    def records(self) -> Iterator[dict[str, Any]]:
        """In long form, not rounded."""
        for place, found in self.pairs.items():
            between = found.between
            interval = between is not None and not self._is_plain(place)
            yield {
                **{"suite_a": self.names[0], "suite_b": self.names[1], **vars(place.asked)},
                **{name: getattr(place, name) for name in ("phase", "metric", "condition")},
                "unit": self.units.get(place.metric, ""),
                "mean_a": found.a,
                "mean_b": found.b,
                "difference": between.difference if between else None,
                "low": between.low if between and interval else None,
                "high": between.high if between and interval else None,
                "ratio": found.b / found.a if found.a and found.b is not None else None,
                "subjects": self._subjects(place, found),
                "pairs": found.pairs,
                **{f"only_{name.lower()}": n for n, name in found.alone},
                "not_finite": found.lost,
                "notes": "; ".join(self._notes(place)),
            }


def _metric(place: Place, constant: Mapping[str, set[str]]) -> str:
    """The metric with its question and the settings that tell it from the question's others."""
    question = place.asked.question
    told = [
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in _settings(place).items()
        if name not in constant.get(question, ())
    ]
    text = f"{question}: {place.metric}" if question else place.metric
    return f"{text} ({', '.join(told)})" if told else text


def _settings(place: Place) -> dict[str, Any]:
    """What a number was measured under; of measurements the phase too."""
    condition: dict[str, Any] = json.loads(place.condition)
    return {"phase": place.phase, **condition} if place.asked.question else condition


def _constant_settings(places: Iterable[Place]) -> dict[str, set[str]]:
    """Settings with the same value in every row of a question, by question."""
    values: dict[tuple[str, str], set[str]] = {}
    for place in places:
        for name, value in _settings(place).items() if place.asked.question else ():
            values.setdefault((place.asked.question, name), set()).add(json.dumps(value))
    constant: dict[str, set[str]] = {}
    for (question, name), found in values.items():
        if len(found) == 1:
            constant.setdefault(question, set()).add(name)
    return constant
