"""Means, intervals and stability against numbers worked out by hand, by theory, and by scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.statistics import (
    MIN_SUBJECTS,
    Floats,
    bootstrap_interval,
    means_by_seed,
    percentile_interval,
    resampled_means,
    stability,
    summarise,
    summarise_scores,
)


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


def test_no_spread_and_no_interval_below_eight_subjects() -> None:
    few = summarise({str(i): [float(i)] for i in range(MIN_SUBJECTS - 1)})
    assert (few.std, few.low, few.high) == (None, None, None)
    enough = summarise({str(i): [float(i)] for i in range(MIN_SUBJECTS)})
    assert enough.low is not None and enough.high is not None
    assert 0 < enough.low < enough.mean < enough.high < MIN_SUBJECTS - 1


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [math.nan]}, {"a": [math.inf]}])
def test_refuses_what_has_no_mean(values: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError):
        summarise(values)


# ---------------------------------------------------------------------- bootstrap


@pytest.mark.parametrize("n", [8, 30, 100])
def test_coverage_on_normal_data(n: int) -> None:
    trials = 2000
    draws = np.random.default_rng(n).normal(30.0, 2.0, (trials, n, 1))
    intervals = [bootstrap_interval(draw, resamples=2000) for draw in draws]
    covered = np.mean([low < 30.0 < high for low, high in intervals if low and high])
    # standard errors of a coverage: 0.5 % from 2000 trials, and 0.7 % from the ends, which 2000
    # resamples leave uncertain, most of all far out, where 8 subjects have them; three times both
    assert covered == pytest.approx(0.95, abs=3 * math.hypot(0.005, 0.007))


def test_one_seed_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).lognormal(3.0, 0.3, 25)  # skewed, so the ends are not alike
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile")
    ours = percentile_interval(resampled_means(values[:, None]), 10**6)  # not expanded
    # an end of 10,000 resamples has a standard error of 2.7 % of the mean's; two, of 3.8 %; times 4
    tolerance = 0.15 * values.std() / math.sqrt(25)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=tolerance)
    wider = bootstrap_interval(values[:, None])
    assert wider[0] < ours[0] < ours[1] < wider[1]
    assert wider == bootstrap_interval(values[:, None])  # the same rows, the same report


def crossed(seed_effect: float, subjects: int = 20, seeds: int = 6) -> Floats:
    """Means of subjects and seeds that differ by both, and by noise."""
    rng = np.random.default_rng(2)
    means = 30 + rng.normal(0, 1.0, (subjects, 1)) + rng.normal(0, 0.5, (subjects, seeds))
    return np.asarray(means + seed_effect * rng.normal(0, 1.0, (1, seeds)))


def test_subjects_and_seeds_are_resampled_independently() -> None:
    means = crossed(seed_effect=1.0)
    of_subjects, of_seeds = means.mean(axis=1), means.mean(axis=0)
    rest = means - of_subjects[:, None] - of_seeds + means.mean()
    # exact for the pigeonhole bootstrap: main effects and interaction are uncorrelated
    expected = of_subjects.var() / 20 + of_seeds.var() / 6 + rest.var() / (20 * 6)
    resampled = resampled_means(means)
    # a variance of 10,000 draws is known to 1.4 %; times 4
    assert resampled.var() == pytest.approx(expected, rel=0.06)
    assert resampled.mean() == pytest.approx(means.mean(), abs=4 * math.sqrt(expected / 10_000))


def test_seeds_that_differ_widen_the_interval() -> None:
    def width(means: Floats) -> float:
        low, high = bootstrap_interval(means)
        assert low is not None and high is not None
        return high - low

    alike, apart = crossed(seed_effect=0.0), crossed(seed_effect=2.0)
    assert width(apart) > 2 * width(alike)
    averaged = apart.mean(axis=1, keepdims=True)  # as if the seeds were part of the subject
    assert width(apart) > 2 * width(averaged)


def test_slices_are_no_subjects() -> None:
    means = crossed(seed_effect=1.0)
    few = {(f"{s:02d}", "0", k): means[s, k] for s, k in np.ndindex(*means.shape)}
    many = {(s, f"{i}", k): value for (s, _, k), value in few.items() for i in range(16)}
    one, other = summarise_scores(few), summarise_scores(many)
    assert (one.low, one.high) == pytest.approx(bootstrap_interval(means), rel=1e-12)
    assert (one.low, one.high, one.std) == pytest.approx((other.low, other.high, other.std))


def test_no_interval_where_a_seed_lacks_a_sample() -> None:
    scores = {(f"{s}", "0", k): float(s + k) for s in range(9) for k in range(2)}
    del scores["3", "0", 1]
    summary = summarise_scores(scores)
    assert (summary.n, summary.low, summary.high) == (9, None, None)


# ---------------------------------------------------------------------- training seeds


def test_stability_by_hand() -> None:
    statuses = {0: "ok", 1: "diverged", 2: "ok", 3: "killed"}
    scores = {("a", "0", 0): 1.0, ("a", "1", 0): 3.0, ("b", "0", 0): 6.0, ("b", "0", 2): 7.0}
    means = means_by_seed(scores)
    assert means == {0: 4.0, 2: 7.0}
    found = stability(statuses, means)
    assert (found.seeds, found.diverged, found.mean) == (3, pytest.approx(1 / 3), 5.5)
    assert found.std == pytest.approx(3 / math.sqrt(2))


def test_no_spread_over_one_seed_and_no_share_of_none() -> None:
    assert stability({0: "ok"}, {0: 4.0}).std is None
    none = stability({0: "killed"}, {})
    assert (none.seeds, none.diverged, none.mean, none.std) == (0, None, None, None)
