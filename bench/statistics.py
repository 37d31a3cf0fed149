"""Means over subjects. Subjects are the independent units: their slices are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MIN_SUBJECTS = 8
"""With fewer, a spread says more about who was scanned than about the method: values are listed."""


@dataclass(frozen=True)
class Summary:
    """A metric over the subjects of a test set, in the metric's unit.

    Attributes:
        mean: over subjects.
        std: sample standard deviation (n - 1) over subjects; None below ``MIN_SUBJECTS``.
        n: number of subjects.
        subjects: each subject's own mean, in the order given.
    """

    mean: float
    std: float | None
    n: int
    subjects: Mapping[str, float]


def summarise(values: Mapping[str, Sequence[float]]) -> Summary:
    """Mean over each subject's values first, then over subjects, all subjects weighing the same.

    Args:
        values: by subject, one for each of its samples (and of the training seeds, if several).

    Raises:
        ValueError: for no subject, a subject without values, or a value that is not finite.
    """
    if not values:
        raise ValueError("no subjects")
    subjects = {}
    for subject, samples in values.items():
        if not samples or not all(math.isfinite(value) for value in samples):
            raise ValueError(f"subject {subject!r} has no values or one that is not finite")
        subjects[subject] = float(np.mean(samples))
    means = np.array(list(subjects.values()))
    std = float(means.std(ddof=1)) if len(means) >= MIN_SUBJECTS else None
    return Summary(float(means.mean()), std, len(means), subjects)
