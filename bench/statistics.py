"""Statistics over subjects. Subjects are the independent units: their slices are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.store import FINISHED

MIN_SUBJECTS = 8
"""With fewer, a spread says more about who was scanned than about the method: values are listed."""
RESAMPLES = 10_000
RNG_SEED = 0  # fixed: a report of the same rows is the same to the last digit

Floats = NDArray[np.float64]
Scores = Mapping[tuple[str, str, int], float]
"""(subject, sample, training seed) -> value of a metric."""


@dataclass(frozen=True)
class Summary:
    """A metric over the subjects of a test set, in the metric's unit.

    Attributes:
        mean: over subjects.
        std: sample standard deviation (n - 1) over subjects; None below ``MIN_SUBJECTS``.
        n: number of subjects.
        subjects: each subject's own mean, in the order given.
        low, high: 95 % interval of the mean (``bootstrap_interval``); None below ``MIN_SUBJECTS``
            and where the training seeds were not all scored on the same samples.
    """

    mean: float
    std: float | None
    n: int
    subjects: Mapping[str, float]
    low: float | None = None
    high: float | None = None


def summarise(values: Mapping[str, Sequence[float]]) -> Summary:
    """Mean over each subject's values first, then over subjects, all subjects weighing the same.

    Args:
        values: by subject, one for each of its samples. The interval takes them for those of one
            training seed; ``summarise_scores`` tells seeds apart.

    Raises:
        ValueError: for no subject, a subject without values, or a value that is not finite.
    """
    subjects = _subject_means(values)
    return _summary(subjects, np.array(list(subjects.values()))[:, None])


def summarise_scores(scores: Scores) -> Summary:
    """The same of values that may come from several training seeds.

    Raises:
        ValueError: for no score, or one that is not finite.
    """
    values: dict[str, list[float]] = {}
    for (subject, _, _), value in scores.items():
        values.setdefault(subject, []).append(value)
    return _summary(_subject_means(values), seed_matrix(scores))


def means_by_seed(scores: Scores) -> dict[int, float]:
    """Each training seed's mean over subjects, ordered by seed.

    Raises:
        ValueError: for a score that is not finite.
    """
    seeds: dict[int, dict[str, list[float]]] = {}
    for (subject, _, seed), value in scores.items():
        seeds.setdefault(seed, {}).setdefault(subject, []).append(value)
    return {
        seed: float(np.mean(list(_subject_means(values).values())))
        for seed, values in sorted(seeds.items())
    }


def seed_matrix(scores: Scores) -> Floats | None:
    """Means over samples, (subjects, seeds), both sorted; None where a seed lacks samples."""
    subjects = {name: row for row, name in enumerate(sorted({place[0] for place in scores}))}
    seeds = {seed: column for column, seed in enumerate(sorted({place[2] for place in scores}))}
    samples = {place[:2] for place in scores}
    if not scores or len(scores) != len(samples) * len(seeds):
        return None
    totals, counts = np.zeros((2, len(subjects), len(seeds)))
    for (subject, _, seed), value in scores.items():
        totals[subjects[subject], seeds[seed]] += value
        counts[subjects[subject], seeds[seed]] += 1
    return np.asarray(totals / counts)


def _subject_means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    if not values:
        raise ValueError("no subjects")
    subjects = {}
    for subject, samples in values.items():
        if not samples or not all(math.isfinite(value) for value in samples):
            raise ValueError(f"subject {subject!r} has no values or one that is not finite")
        subjects[subject] = float(np.mean(samples))
    return subjects


def _summary(subjects: Mapping[str, float], matrix: Floats | None) -> Summary:
    means = np.array(list(subjects.values()))
    std = float(means.std(ddof=1)) if len(means) >= MIN_SUBJECTS else None
    low, high = (None, None) if matrix is None else bootstrap_interval(matrix)
    return Summary(float(means.mean()), std, len(means), subjects, low, high)


# ---------------------------------------------------------------------- bootstrap


def bootstrap_interval(
    means: Floats, resamples: int = RESAMPLES
) -> tuple[float, float] | tuple[None, None]:
    """95 % interval of the mean of a (subjects, seeds) matrix; None below ``MIN_SUBJECTS``.

    A percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
    Every seed is scored on every subject, so that the two are crossed: both are resampled with
    replacement, independently (the pigeonhole bootstrap: Owen, Ann. Appl. Stat. 1, 2007). Of a
    single seed only subjects are resampled; the interval then says nothing about other seeds.
    The random numbers are fixed (``RNG_SEED``); the ends vary by about 3 % of the mean's standard
    error with 10,000 resamples.

    Percentile intervals are too narrow for few subjects (of normal data, 8 would give a coverage of
    89 %): their levels are moved outwards as Student's t asks for (the expanded percentile
    interval: Hesterberg, Am. Stat. 69, 2015). A few seeds still understate how much seeds differ.
    """
    if len(means) < MIN_SUBJECTS:
        return None, None
    return percentile_interval(resampled_means(means, resamples), len(means))


def resampled_means(means: Floats, resamples: int = RESAMPLES, stream: int = 1) -> Floats:
    """Means of a (subjects, seeds) matrix, resampled: (resamples,).

    Matrices of the same subjects share the draws of subjects, which pairs them. They share the
    draws of seeds under the same ``stream`` (1 or more) only.
    """
    centre = means.mean()  # resampled deviations: exact where all values are the same
    by_seed = _weights(len(means), resamples, 0) @ (means - centre)
    seeds = _weights(means.shape[1], resamples, stream)
    return np.asarray(centre + np.einsum("rs,rs->r", by_seed, seeds))


def percentile_interval(resampled: Floats, n: int) -> tuple[float, float]:
    """The 95 % interval by means of n subjects, resampled: between expanded percentiles."""
    from scipy import stats

    # the resampled means have the spread of the sample, over n and not n - 1, and a normal's tails
    reach = stats.t.ppf(0.975, n - 1) * math.sqrt(n / (n - 1))
    below = 100 * float(stats.norm.cdf(-reach))
    low, high = np.percentile(resampled, [below, 100 - below])
    return float(low), float(high)


@lru_cache(maxsize=16)  # every line and metric of a task has the same number of subjects
def _weights(n: int, resamples: int, stream: int) -> Floats:
    """How often each of n is drawn in n draws, over n: (resamples, n), rows add up to 1."""
    rng = np.random.default_rng([RNG_SEED, stream])
    weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    weights.setflags(write=False)
    return np.asarray(weights)


# ---------------------------------------------------------------------- training seeds


@dataclass(frozen=True)
class Stability:
    """What depends on the training seed.

    Attributes:
        seeds: trainings that ended by themselves, well or not; others tell nothing.
        diverged: share of these that diverged; None without any.
        mean: over the seeds that have a mean, in the metric's unit; None without any.
        std: sample standard deviation (n - 1) over them; None below two.
    """

    seeds: int
    diverged: float | None
    mean: float | None
    std: float | None


def stability(statuses: Mapping[int, str], means: Mapping[int, float]) -> Stability:
    """Share of the training seeds that diverge, and spread over those that do not.

    Args:
        statuses: how the training of each seed ended, as in the jobs table.
        means: of each seed that was scored (``means_by_seed``).
    """
    ended = [status for status in statuses.values() if status in FINISHED]
    values = list(means.values())
    return Stability(
        seeds=len(ended),
        diverged=ended.count("diverged") / len(ended) if ended else None,
        mean=float(np.mean(values)) if values else None,
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
    )
