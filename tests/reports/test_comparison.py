"""Paired comparisons, and the tables of comparison and of training seeds, against plain numpy."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.comparison import Comparison, compare, compare_rows
from bench.errors import InputError
from bench.statistics import Floats, bootstrap_interval, summarise_scores
from bench.storage.frames import load_rows
from bench.store import Result
from reports.folder import load_folder
from reports.suite_results import SuiteResults
from reports.tables import all_tables, comparison_table, stability_table, summary_table
from reports.tables.render import tidy_csv

if TYPE_CHECKING:
    from conftest import Synthetic

Scores = dict[tuple[str, str, int], float]


def scores(means: Floats, seeds: list[int] | None = None) -> Scores:
    """One sample for each subject (row) and training seed (column)."""
    names = seeds or list(range(means.shape[1]))
    return {(f"{s:02d}", "0", names[k]): float(means[s, k]) for s, k in np.ndindex(*means.shape)}


def draw(subjects: int = 20, seeds: int = 1) -> tuple[Floats, Floats]:
    """Two methods that find the same subjects hard and differ by 0.2, give or take 0.1."""
    rng = np.random.default_rng(0)
    b = 30 + rng.normal(0, 3.0, (subjects, 1)) + rng.normal(0, 1.0, (1, seeds))
    return b + 0.2 + rng.normal(0, 0.1, b.shape), b


def test_pairing_takes_out_what_methods_have_in_common() -> None:
    a, b = draw()
    found = compare(scores(a), scores(b))
    alone = summarise_scores(scores(a))
    assert found.low is not None and found.high is not None
    assert alone.low is not None and alone.high is not None
    assert found.high - found.low < (alone.high - alone.low) / 10
    assert 0 < found.low < 0.2 < found.high
    assert found.difference == pytest.approx(np.mean(a - b), rel=1e-12)
    assert found.better == np.mean(a > b)
    back = compare(scores(b), scores(a))
    assert (back.difference, back.n) == (pytest.approx(-found.difference), 20)


def test_seeds_are_paired_only_where_both_have_the_same() -> None:
    a, b = draw(seeds=4)
    paired = compare(scores(a), scores(b))
    assert (paired.low, paired.high) == pytest.approx(bootstrap_interval(a - b))
    apart = compare(scores(a, seeds=[4, 5, 6, 7]), scores(b))
    assert apart.difference == pytest.approx(paired.difference)
    assert apart.low is not None and apart.high is not None
    # seeds of SD 1 that no longer cancel; the subjects, whose SD is 3, still do
    variance = a.mean(axis=0).var() / 4 + b.mean(axis=0).var() / 4
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.15)


def test_no_interval_below_eight_subjects() -> None:
    a, b = draw(subjects=7, seeds=2)
    for seeds in ([0, 1], [2, 3]):
        found = compare(scores(a, seeds), scores(b))
        assert (found.low, found.high, found.n) == (None, None, 7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.clear(), "no samples of the first method"),
        (lambda a: a.pop(("03", "0", 0)), "training seeds of the first method differ"),
        (lambda a: [a.pop(("03", "0", seed)) for seed in (0, 1)], "subject 03, sample 0"),
        (lambda a: a.update({("03", "1", s): 1.0 for s in (0, 1)}), "subject 03, sample 1"),
        (lambda a: a.update({("03", "0", 0): math.nan}), "not finite"),
    ],
)
def test_what_is_not_the_same_samples_is_refused(change: Any, said: str) -> None:
    a, b = (scores(means) for means in draw(seeds=2))
    change(a)
    with pytest.raises(InputError, match=said):
        compare(a, b)


def test_rows_alone_are_enough(synthetic: Synthetic) -> None:
    rows = load_rows(synthetic.root)
    found = compare_rows(rows, ["evaluate2s04x"], ["evaluate1s04x"], metric="ssim")
    a, b = (
        np.array(list(synthetic.evaluated[method, "4x", "{}", "ssim"].values()))
        for method in ("mol_lr 100%", "modl")
    )
    assert found.difference == pytest.approx(np.mean(a - b), rel=1e-12)
    assert (found.low, found.high) == pytest.approx(bootstrap_interval((a - b)[:, None]))
    stop = '{"stop":"converged"}'
    assert compare_rows(rows, "evaluate2s04x", "evaluate3s04x", condition=stop).n == 30
    for a_jobs, b_jobs, said in (
        (["evaluate1s04x"], ["nowhere"], "job nowhere has no test rows"),
        ([], ["evaluate1s04x"], "no jobs"),
        (["evaluate1s04x"], ["evaluate2s0acquired"], "of one method only"),
        (["evaluate1s04x", "evaluate2s04x"], ["evaluate0s04x"], "scored twice"),
    ):
        with pytest.raises(InputError, match=said):
            compare_rows(rows, a_jobs, b_jobs)
    rows.loc[rows["job"] == "evaluate2s04x", "split_hash"] = "another"
    with pytest.raises(InputError, match="differ in split_hash"):
        compare_rows(rows, "evaluate1s04x", "evaluate2s04x")


# ---------------------------------------------------------------------- tables


def cells(table: Any, task: str, method: str) -> list[str]:
    """What the row of a method on a task shows, without its stub."""
    row = next(r for r in table.rows if (r[0].text, r[1].text) == (task, method))
    return [cell.text for cell in row[len(table.stub) :]]


def records(table: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(tidy_csv(table))))


def test_every_line_is_compared_with_the_best(synthetic: Synthetic) -> None:
    results = SuiteResults(load_folder(synthetic.root), "small")
    table = comparison_table(results)
    best, sense = (
        np.array(list(synthetic.evaluated[method, "4x", "{}", "psnr"].values()))
        for method in ("modl", "sense")
    )
    difference = sense - best
    record = next(r for r in records(table) if (r["method"], r["test_task"]) == ("sense", "4x"))
    assert float(record["difference"]) == pytest.approx(np.mean(difference), rel=1e-12)
    assert record["compared_with"] == "modl"
    low, high = (float(record[name]) for name in ("low", "high"))
    assert (low, high) == pytest.approx(bootstrap_interval(difference[:, None]))
    shown = [f"{np.mean(difference):+.2f}", f"{low:+.2f} to {high:+.2f}"]
    said = "no" if high < -0.3 or low > 0.3 else "yes" if low >= -0.3 and high <= 0.3 else "–"
    assert cells(table, "4x", "sense") == [*shown, f"{np.sum(difference > 0)} of 30", said]
    assert cells(table, "4x", "modl")[0] == "best"
    assert cells(table, "4x", "mol (no constraint)")[0] == "blocked: fit diverged"
    assert {row[-3].text for row in table.rows if row[0].text == "acquired"} == {"–"}  # 1 subject
    text = " ".join(table.caption)
    for part in ("contains 0", "not corrected for multiple comparisons", "Fewer than 8 subjects"):
        assert part in text
    assert table.name in {other.name for other in all_tables(results)}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.3, 0.2, True),
        (-0.31, 0.2, None),
        (0.31, 0.5, False),
        (0.3, 0.5, None),
        (None, None, None),
    ],
)
def test_equivalence_is_of_the_whole_interval(
    low: float | None, high: float | None, expected: bool | None
) -> None:
    assert Comparison(0.0, low, high, 30, 0.5).equivalent() is expected


def test_other_samples_and_values_that_are_not_finite_are_told(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    type(synthetic)(tmp_path).write()
    for number, change in ((0, lambda rows: rows.pop(0)), (2, _break)):
        path = tmp_path / "jobs" / f"evaluate{number}s04x" / "rows.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        change(rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = comparison_table(SuiteResults(load_folder(tmp_path), "small"))
    assert cells(table, "4x", "sense")[0] == "other samples"
    assert cells(table, "4x", "mol_lr 100%")[0] == "1 not finite"


def _break(rows: list[dict[str, Any]]) -> None:
    next(row for row in rows if row["metric"] == "psnr")["value"] = None


def test_stability_tells_seeds_that_diverge_and_the_spread(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    seeds = type(synthetic)(tmp_path, seeds=(0, 1, 2)).write()
    seeds.store.write_result("fit1s1", Result("diverged", "nan"))
    for task in ("4x", "acquired"):
        seeds.store.write_result(f"evaluate1s1{task}", Result("blocked"))
    seeds.store.write_result("fit2s0", Result("killed"))
    results = SuiteResults(load_folder(tmp_path), "small")
    table = stability_table(results)
    rows = load_rows(tmp_path)
    psnr = rows[(rows["metric"] == "psnr") & (rows["condition"] == "{}")]
    means = [psnr[psnr["job"] == f"evaluate1s{seed}4x"]["value"].mean() for seed in (0, 2)]
    assert cells(table, "4x", "modl") == [
        "3",
        "33",
        f"{np.mean(means):.2f} (2 of 3 seeds; blocked: fit diverged)",
        f"{np.std(means, ddof=1):.2f}",
    ]
    assert cells(table, "4x", "mol_lr 100%")[:2] == ["2 of 3 (killed)", "0"]
    assert cells(table, "4x", "mol (no constraint)")[1:3] == ["100", "blocked: fit diverged"]
    # MoDL has two seeds left, the best line three: seeds are not paired, samples are
    assert cells(comparison_table(results), "4x", "modl")[0].endswith("blocked: fit diverged)")


def test_one_training_seed_has_no_stability(synthetic: Synthetic) -> None:
    results = SuiteResults(load_folder(synthetic.root), "small")
    assert not stability_table(results).rows
    assert "stability" not in {table.name for table in all_tables(results)}


def test_the_summary_csv_has_the_interval(synthetic: Synthetic, tmp_path: Path) -> None:
    type(synthetic)(tmp_path, seeds=(0, 1, 2)).write()
    found = records(summary_table(SuiteResults(load_folder(tmp_path), "small")))
    psnr = [r for r in found if (r["method"], r["metric"]) == ("modl", "psnr")]
    interval = {r["test_task"]: (r["low"], r["high"]) for r in psnr}
    rows = load_rows(tmp_path)
    rows = rows[(rows["metric"] == "psnr") & (rows["condition"] == "{}")]
    rows = rows[rows["job"].isin([f"evaluate1s{seed}4x" for seed in range(3)])]
    matrix = rows.pivot(index="subject", columns="train_seed", values="value").to_numpy()
    assert tuple(map(float, interval["4x"])) == pytest.approx(bootstrap_interval(matrix))
    assert interval["acquired"] == ("", "")  # one subject
