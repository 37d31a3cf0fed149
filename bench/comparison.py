"""Two methods on the same samples: what they differ by, sample by sample."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import InputError
from bench.statistics import (
    MIN_SUBJECTS,
    RESAMPLES,
    Floats,
    Scores,
    bootstrap_interval,
    percentile_interval,
    resampled_means,
    seed_matrix,
)

if TYPE_CHECKING:
    import pandas as pd

# what two methods must share for their samples to be the same; the rows do not have the rest of
# the task's configuration
DATA = ("task", "dataset", "split", "split_hash", "data_seed", "protocol")


EQUIVALENT = 0.3  # dB of PSNR: declared before the reference results were made


@dataclass(frozen=True)
class Comparison:
    """What a first method has more of than a second on the same samples, in the metric's unit.

    Attributes:
        difference: mean over subjects.
        low, high: its 95 % interval; None below ``MIN_SUBJECTS``. Where it contains 0, the order
            of the two is not settled.
        n: number of subjects.
        better: share of subjects on which the first has the larger mean; ties do not count.
    """

    difference: float
    low: float | None
    high: float | None
    n: int
    better: float

    def equivalent(self, margin: float = EQUIVALENT) -> bool | None:
        """Whether the interval lies within ``margin`` of 0; None if that is open, or there is none.

        It is not where the interval lies beyond the margin altogether.
        """
        if self.low is None or self.high is None:
            return None
        if -margin <= self.low and self.high <= margin:
            return True
        return False if self.low > margin or self.high < -margin else None


def compare(a: Scores, b: Scores, resamples: int = RESAMPLES) -> Comparison:
    """Paired difference, a - b, over the same samples.

    Differences are averaged over each subject's samples and over training seeds, then over
    subjects. Subjects are resampled for both at once, as ``bootstrap_interval`` does. Where both
    have the same training seeds, seeds are paired; else each method's seeds are resampled by
    themselves, and those of a method with a single one are not.

    Raises:
        InputError: for no samples, different samples, a seed that lacks some of them, or a value
            that is not finite.
    """
    ours, theirs = _matrix(a, "first"), _matrix(b, "second")
    apart = {place[:2] for place in a} ^ {place[:2] for place in b}
    if apart:
        subject, sample = min(apart)
        raise InputError(
            f"{len(apart)} samples are of one method only, such as subject {subject}, "
            f"sample {sample}",
            expected="both methods scored on the same samples",
        )
    differences = ours.mean(axis=1) - theirs.mean(axis=1)
    low, high = None, None
    if {place[2] for place in a} == {place[2] for place in b}:
        low, high = bootstrap_interval(ours - theirs, resamples)
    elif len(differences) >= MIN_SUBJECTS:
        of_theirs = resampled_means(theirs, resamples, stream=2)
        low, high = percentile_interval(resampled_means(ours, resamples) - of_theirs, len(ours))
    better = float(np.mean(differences > 0))
    return Comparison(float(differences.mean()), low, high, len(differences), better)


def compare_rows(
    rows: pd.DataFrame,
    jobs_a: Iterable[str] | str,
    jobs_b: Iterable[str] | str,
    metric: str = "psnr",
    condition: str = "{}",
    resamples: int = RESAMPLES,
) -> Comparison:
    """The same from rows: ``compare_rows(load_rows(DIR), jobs_a, jobs_b)``.

    Rows do not have a task's whole configuration: whether both were tested at the same
    acceleration, say, is in the jobs table.

    Args:
        rows: of ``load_rows``.
        jobs_a, jobs_b: keys of a method's test jobs on one task, one for each training seed.
        condition: JSON; ``{}`` is each method's own stop.

    Raises:
        InputError: for jobs without such rows, of different data, or that score a sample twice,
            and whatever ``compare`` refuses.
    """
    wanted = json.loads(condition)
    conditions = [text for text in set(rows["condition"]) if json.loads(text or "{}") == wanted]
    kept = rows[
        (rows["phase"] == "evaluate")
        & (rows["metric"] == metric)
        & rows["condition"].isin(conditions)
    ]
    parts = [_of_jobs(kept, jobs, metric, condition) for jobs in (jobs_a, jobs_b)]
    for column in DATA:
        values = sorted({str(value) for part in parts for value in part[column]})
        if len(values) > 1:
            raise InputError(
                f"the jobs differ in {column}: {' / '.join(values)}",
                expected="methods tested on the same data",
            )
    a, b = (_scores(part) for part in parts)
    return compare(a, b, resamples)


def _of_jobs(
    rows: pd.DataFrame, jobs: Iterable[str] | str, metric: str, condition: str
) -> pd.DataFrame:
    keys = [jobs] if isinstance(jobs, str) else [str(key) for key in jobs]
    found = set(rows["job"])
    missing = [key for key in keys if key not in found]
    if missing or not keys:
        what = f"job {missing[0]} has" if missing else "no jobs, so"
        raise InputError(
            f"{what} no test rows of {metric} under {condition}",
            expected="keys of finished test jobs",
        )
    return rows[rows["job"].isin(keys)]


def _scores(rows: pd.DataFrame) -> Scores:
    columns = [rows[name].tolist() for name in ("subject", "sample", "train_seed", "value")]
    scores: dict[tuple[str, str, int], float] = {}
    for subject, sample, seed, value in zip(*columns, strict=True):
        place = (str(subject), str(sample), int(seed))
        if place in scores:
            raise InputError(
                f"subject {subject}, sample {sample}, seed {seed} is scored twice",
                expected="jobs of one method on one task, one for each training seed",
            )
        scores[place] = float(value)
    return scores


def _matrix(scores: Scores, which: str) -> Floats:
    """Means over samples, (subjects, seeds)."""
    if not scores:
        raise InputError(f"no samples of the {which} method", expected="at least one")
    broken = [place for place, value in scores.items() if not math.isfinite(value)]
    if broken:
        subject, sample, seed = broken[0]
        raise InputError(
            f"{len(broken)} values of the {which} method are not finite, such as subject "
            f"{subject}, sample {sample}, seed {seed}",
            expected="finite values",
        )
    matrix = seed_matrix(scores)
    if matrix is None:
        raise InputError(
            f"the training seeds of the {which} method differ in their samples",
            expected="every seed scored on every sample",
        )
    return matrix
