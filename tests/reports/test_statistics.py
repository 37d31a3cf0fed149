"""Subject-level means against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from bench.statistics import MIN_SUBJECTS, summarise


def test_subjects_weigh_the_same_however_many_slices_they_have() -> None:
    summary = summarise({"a": [1.0, 2.0, 3.0, 2.0], "b": [10.0]})
    assert (summary.mean, summary.n) == (6.0, 2)  # over slices it would be 3.6
    assert summary.subjects == {"a": 2.0, "b": 10.0}


def test_spread_is_the_sample_standard_deviation_over_subjects() -> None:
    values = {str(i): [float(i), float(i)] for i in range(MIN_SUBJECTS)}
    # of 0..n-1: variance (n^2 - 1)/12 for the population, times n/(n-1) for the sample
    n = MIN_SUBJECTS
    expected = math.sqrt((n**2 - 1) / 12 * n / (n - 1))
    assert summarise(values).std == pytest.approx(expected, rel=1e-12)


def test_no_spread_below_eight_subjects() -> None:
    assert summarise({str(i): [float(i)] for i in range(MIN_SUBJECTS - 1)}).std is None


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [math.nan]}, {"a": [math.inf]}])
def test_refuses_what_has_no_mean(values: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError):
        summarise(values)
