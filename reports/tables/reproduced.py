"""What a suite has measured of what the papers' tables report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.measure.batch_size import parse_size
from bench.statistics import means_by_seed, stability
from reports.measurements import Answer, answers, largest
from reports.published import Published
from reports.suite_results import Line, SuiteResults
from reports.tables.lines import reservation
from reports.tables.memory import smallest_batch, training_peak
from reports.tables.table import number, seconds, size

Show = Callable[[float | None], str]


@dataclass(frozen=True)
class Found:
    """Ours for one of a paper's cells.

    Attributes:
        value: None without a number.
        low, high: 95 % interval over subjects, where there are enough.
        text: in the number's place, where there is more to say.
        note: what the number leaves out.
        status: how the job ended that left no number.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""
    note: str = ""
    status: str = ""
    subjects: int = 0
    samples: int = 0
    seeds: int = 0


@dataclass(frozen=True)
class Metric:
    """A column of a paper.

    Attributes:
        heading: ``{}`` stands for the condition, where that is a setting and no kind of data.
        find: ours for a line on a task; None: not asked for.
        show: None: with as many decimals as the paper.
        about: what ours is, where the heading does not say it.
    """

    heading: str
    find: Callable[[Reproduced, Published, Line, str], Found | None]
    show: Show | None = None
    about: str = ""

    @property
    def has_setting(self) -> bool:
        """Whether the paper's condition is a setting of the measurement."""
        return "{}" in self.heading


class Reproduced:
    """The numbers of a suite, by the papers' words for them."""

    def __init__(self, results: SuiteResults) -> None:
        self.results = results
        self._answers: dict[str, dict[tuple[Line, str], Answer]] = {}

    def find(self, item: Published, line: Line, task: str) -> Found | None:
        """Ours for a cell; None: not asked for."""
        return METRICS[item.metric].find(self, item, line, task) if item.metric in METRICS else None

    def answers(self, question: str) -> Mapping[tuple[Line, str], Answer]:
        """What a measurement has found, by line and task."""
        if question not in self._answers:
            found = answers(self.results, question)
            self._answers[question] = {(answer.line, answer.task): answer for answer in found}
        return self._answers[question]

    def fits(self, line: Line, task: str) -> list[str]:
        """The line's trainings behind its numbers on a task."""
        label = self.results.trained_for.get(task, line.train_task)
        return (self.results if label is None else self.results.trained_on(label)).fits(line)


def _tested(metric: str) -> Callable[[Reproduced, Published, Line, str], Found | None]:
    """A metric of the test images, at the method's own stop."""

    def find(ours: Reproduced, _: Published, line: Line, task: str) -> Found | None:
        outcome = ours.results.outcome(line, task, metric)
        if not outcome.seeds_expected:
            return None
        summary = outcome.summary
        if summary is None:
            return Found(status=outcome.status)
        return Found(
            value=summary.mean,
            low=summary.low,
            high=summary.high,
            note=reservation(outcome),
            subjects=summary.n,
            samples=outcome.samples,
            seeds=outcome.seeds,
        )

    return find


def _mean(values: list[float], statuses: list[str], note: str = "") -> Found | None:
    """Over the trainings that have a number; None where nothing was run."""
    if values:
        return Found(value=sum(values) / len(values), note=note, seeds=len(values))
    bad = [status for status in statuses if status != "ok"]
    return Found(status=next(iter(bad), "")) if statuses else None


def _parameters(ours: Reproduced, _: Published, line: Line, task: str) -> Found | None:
    results = ours.results
    keys = dict.fromkeys(ours.fits(line, task))
    keys |= dict.fromkeys(
        e.job for e in results.entries if results.line_of(e) == line and e.test_task == task
    )
    jobs = [results.job(key) for key in keys]
    known = [float(job["parameters"]) for job in jobs if "parameters" in job]
    return _mean(known, [results.status(key) for key in keys])


def _training_time(ours: Reproduced, _: Published, line: Line, task: str) -> Found | None:
    statuses = {key: ours.results.status(key) for key in ours.fits(line, task)}
    finals = ours.results.folder.finals
    places = [(key, "train_seconds") for key, status in statuses.items() if status == "ok"]
    return _mean([finals[place] for place in places if place in finals], list(statuses.values()))


def _stability(ours: Reproduced, _: Published, line: Line, task: str) -> Found | None:
    statuses = ours.results.fit_statuses(line, task)
    if not statuses:
        return None
    scores = ours.results.scores(line, task, "psnr")
    finite = {place: value for place, value in scores.items() if math.isfinite(value)}
    found = stability(statuses, means_by_seed(finite))
    if found.diverged is None:
        return Found(status=next(iter(statuses.values())))
    text = f"{100 * found.diverged:.0f} % of {found.seeds} diverged"
    text += "" if found.std is None else f"; SD {number(found.std, 2)} dB"
    return Found(value=found.diverged, text=text, seeds=found.seeds)


def _batch(ours: Reproduced, item: Published, line: Line, task: str) -> Found | None:
    answer = ours.answers("batch-size").get((line, task))
    if answer is None:
        return None
    gpu = parse_size(item.condition)
    of_gpu = [
        one
        for one in answer.of("largest_even_batch", "fit", how="predicted")
        if parse_size(str(one.condition["gpu"])) == gpu
    ]
    readings = [one for one in of_gpu if one.condition.get("penalty")] or of_gpu
    value = largest(readings)
    if value is None:
        return Found(status=answer.status)
    capped = any(value >= one.condition.get("most", math.inf) for one in readings)
    return Found(value=value, note=" or more" if capped else "", seeds=len(answer.seeds))


def _memory(ours: Reproduced, _: Published, line: Line, task: str) -> Found | None:
    found = ours.answers("memory")
    answer = found.get((line, task))
    if answer is None:
        return None
    peak = training_peak(answer, smallest_batch([*found.values()]))
    return Found(value=peak, status=answer.status, seeds=len(answer.seeds))


def _memory_ratio(ours: Reproduced, item: Published, line: Line, task: str) -> Found | None:
    found = _memory(ours, item, line, task)
    if found is None or found.value is None:
        return found
    lines = [other for other, where in ours.answers("memory") if where == task]
    modl = next((other for other in lines if ours.results.method_name(other) == "modl"), None)
    reference = None if modl is None else _memory(ours, item, modl, task)
    if reference is None or not reference.value:
        return Found()
    return Found(value=found.value / reference.value, seeds=found.seeds)


def _nothing(_: Reproduced, __: Published, ___: Line, ____: str) -> Found | None:
    return None


def _whole(value: float | None) -> str:
    return number(value, 0)


def _hundredths(value: float | None) -> str:
    return number(value, 2)


def _exponent(value: float | None) -> str:
    return "–" if value is None else f"{value:.4e}"


_PARAMETERS = "the trainable ones of the method, without those it builds on"
_SECONDS = "seconds; the machine is in the table “cost”"
METRICS: Mapping[str, Metric] = {
    "psnr": Metric("PSNR [dB]", _tested("psnr")),
    "ssim": Metric("SSIM", _tested("ssim")),
    "data fidelity": Metric(
        "‖A x − y‖", _tested("data_fidelity"), _exponent, "in the scale of the measurements"
    ),
    "parameters": Metric("parameters", _parameters, _whole, _PARAMETERS),
    "max batch": Metric(
        "batch in {}",
        _batch,
        _whole,
        "largest even batch, or 1, whose predicted peak of a training step fits; what is kept "
        "free of each GPU is told at the table “batches”",
    ),
    "training time": Metric("training time", _training_time, seconds, _SECONDS),
    "evaluation time": Metric(
        "evaluation time", _tested("seconds"), seconds, "seconds an image, likewise"
    ),
    "training stability": Metric(
        "training stability",
        _stability,
        None,
        "share of the training seeds that diverged, and standard deviation of the others' PSNR",
    ),
    "network size": Metric("network size", _parameters, _whole, "trainable parameters"),
    "training memory": Metric(
        "training memory", _memory, size, "predicted peak of a training step, the smallest batch"
    ),
    "expressiveness": Metric("expressiveness", _nothing, None, "nothing is measured"),
    "memory ratio to modl": Metric(
        "memory, of MoDL's", _memory_ratio, _hundredths, "predicted peaks of a training step"
    ),
    "lipschitz estimate": Metric(
        "Lipschitz estimate",
        _tested("lipschitz_sphere"),
        _hundredths,
        "on a sphere, as the authors'",
    ),
}
"""Columns by the words of published.csv."""
