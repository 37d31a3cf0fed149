"""Tables against numbers computed from the rows on disk, without the package."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.errors import InputError
from bench.store import Result, Row, Store, load_suites
from reports import summary_for_terminal, write_report
from reports.folder import load_folder
from reports.suite_results import SuiteResults
from reports.tables import cost_table, stopping_table, subjects_table, summary_table
from reports.tables.render import latex, latex_escape, markdown, tidy_csv

if TYPE_CHECKING:
    from conftest import Synthetic

AWKWARD, HOSTILE = "mol_lr 100%", "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def results(synthetic: Synthetic) -> SuiteResults:
    return SuiteResults(load_folder(synthetic.root), "small")


def cells(table: Any, method: str) -> list[Any]:
    """The row of a method, without its stub."""
    row = next(row for row in table.rows if row[0].text == method)
    return list(row[len(table.stub) :])


@pytest.mark.parametrize("method", ["sense", "modl", AWKWARD, HOSTILE])
def test_mean_and_spread_equal_numpy_on_the_rows(
    results: SuiteResults, rows_on_disk: list[dict[str, Any]], method: str
) -> None:
    number = ["sense", "modl", AWKWARD, HOSTILE].index(method)
    values = [
        row["value"]
        for row in rows_on_disk
        if (row["job"], row["metric"], row["condition"]) == (f"evaluate{number}s04x", "psnr", "{}")
    ]
    assert len(values) == 30
    expected = f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
    assert cells(summary_table(results), method)[0].text == expected
    records = list(csv.DictReader(io.StringIO(tidy_csv(summary_table(results)))))
    record = next(
        r for r in records if (r["method"], r["test_task"], r["metric"]) == (method, "4x", "psnr")
    )
    assert float(record["mean"]) == pytest.approx(np.mean(values), rel=1e-14)
    assert float(record["std"]) == pytest.approx(np.std(values, ddof=1), rel=1e-14)
    assert (record["subjects"], record["unit"], record["status"]) == ("30", "dB", "ok")


def test_only_the_best_quality_is_bold(results: SuiteResults) -> None:
    table = summary_table(results)
    for column in range(6):
        found = {row[0].text: row[1 + column] for row in table.rows}
        means = {name: cell.sort for name, cell in found.items() if cell.sort is not None}
        best = max(means, key=lambda name: means[name])
        bold = {name for name, cell in found.items() if cell.best}
        assert bold == (set() if column in (2, 5) else {best}), column  # nFE is no ranking
    assert re.search(r"\*\*\d\d\.\d\d ± ", markdown(table))


def test_no_spread_for_one_subject(results: SuiteResults) -> None:
    for row in summary_table(results).rows:
        assert "±" not in "".join(cell.text for cell in row[4:])
    assert not subjects_table(results).rows  # one subject has no spread to list either


def test_few_subjects_are_listed(synthetic: Synthetic, tmp_path: Path) -> None:
    few = type(synthetic)(tmp_path, subjects={"4x": 5, "acquired": 1}).write()
    results = SuiteResults(load_folder(tmp_path), "small")
    assert "±" not in "".join(cell.text for row in summary_table(results).rows for cell in row)
    listed = [row for row in subjects_table(results).rows if row[1].text == "modl"]
    values = few.evaluated["modl", "4x", "{}", "psnr"]
    assert {row[2].text: row[3].text for row in listed} == {
        subject: f"{value:.2f}" for subject, value in values.items()
    }


def test_several_seeds_are_averaged_within_a_subject(synthetic: Synthetic, tmp_path: Path) -> None:
    seeds = type(synthetic)(tmp_path, seeds=(0, 1, 2)).write()
    results = SuiteResults(load_folder(tmp_path), "small")
    values = list(seeds.evaluated["modl", "4x", "{}", "psnr"].values())  # means over the seeds
    expected = f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
    assert cells(summary_table(results), "modl")[0].text == expected
    told = "\n".join(summary_table(results).caption)
    assert "Means over 3 training seeds (0, 1, 2); of mol (no constraint) only 0." in told


def test_lines_with_fewer_seeds_are_named(synthetic: Synthetic, tmp_path: Path) -> None:
    seeds = type(synthetic)(tmp_path, seeds=(0, 1, 2)).write()
    table = load_suites(tmp_path)["small"]
    modl = [row for row in table["jobs"] if row["method"] == "modl"]
    table["jobs"] = [row for row in table["jobs"] if row not in modl or row["train_seed"] == 0]
    seeds.store.write_suite("small", table)
    results = SuiteResults(load_folder(tmp_path), "small")
    said = "Means over 3 training seeds (0, 1, 2); of modl, mol (no constraint) only 0."
    assert said in summary_table(results).caption


def test_a_seed_that_failed_is_told_and_wins_nothing(synthetic: Synthetic, tmp_path: Path) -> None:
    seeds = type(synthetic)(tmp_path, seeds=(0, 1)).write()
    seeds.store.write_result("evaluate1s14x", Result("out-of-memory", "no room"))
    cell = cells(summary_table(SuiteResults(load_folder(tmp_path), "small")), "modl")[0]
    assert "(1 of 2 seeds; out-of-memory)" in cell.text
    assert not cell.best


def test_what_a_whole_line_leaves_out_is_said_once(synthetic: Synthetic, tmp_path: Path) -> None:
    seeds = type(synthetic)(tmp_path, seeds=(0, 1)).write()
    seeds.store.write_result("fit1s1", Result("diverged", "nan"))
    for task in ("4x", "acquired"):
        seeds.store.write_result(f"evaluate1s1{task}", Result("blocked"))
    table = summary_table(SuiteResults(load_folder(tmp_path), "small"))
    label = "modl (1 of 2 seeds; blocked: fit diverged)"
    assert all("seeds" not in cell.text and not cell.best for cell in cells(table, label))


def test_values_that_are_not_finite_are_counted(synthetic: Synthetic, tmp_path: Path) -> None:
    broken = type(synthetic)(tmp_path).write()
    path = broken.store.folder("evaluate1s04x") / "rows.jsonl"
    rows = [Row(**row) for row in map(json.loads, path.read_text().splitlines())]
    first = next(i for i, row in enumerate(rows) if row.metric == "psnr")
    rows[first] = dataclasses.replace(rows[first], value=float("nan"))
    broken.store.write_rows("evaluate1s04x", rows)
    table = summary_table(SuiteResults(load_folder(tmp_path), "small"))
    cell = cells(table, "modl")[0]
    assert "(1 not finite)" in cell.text
    assert not cell.best
    assert "Flagged: modl, psnr: non-finite (1 rows)." in table.caption


def test_a_failed_cell_shows_its_status(results: SuiteResults) -> None:
    cell = cells(summary_table(results), "mol (no constraint)")[0]
    assert (cell.text, cell.failed) == ("blocked: fit diverged", True)


@pytest.mark.parametrize(
    "status", ["diverged", "error", "blocked", "killed", "timeout", "out-of-memory", None]
)
def test_no_failure_stops_a_report(
    synthetic: Synthetic, tmp_path: Path, status: str | None
) -> None:
    broken = type(synthetic)(tmp_path).write()
    folder = broken.store.folder("evaluate1s04x")
    (folder / "rows.jsonl").unlink()
    if status is None:
        (folder / "result.json").unlink()
    else:
        broken.store.write_result("evaluate1s04x", Result(status, "what happened"))
    write_report(tmp_path, ["markdown", "latex", "csv"])
    cell = cells(summary_table(SuiteResults(load_folder(tmp_path), "small")), "modl")[0]
    assert (cell.text, cell.failed) == (status or "not finished", True)


def test_stopping_compares_own_stop_and_convergence(
    synthetic: Synthetic, results: SuiteResults
) -> None:
    table = stopping_table(results)
    assert {row[1].text for row in table.rows} == {AWKWARD, HOSTILE, "mol (no constraint)"}
    row = next(row for row in table.rows if (row[0].text, row[1].text) == ("4x", AWKWARD))
    for position, condition in ((2, "{}"), (3, '{"stop": "converged"}')):
        values = list(synthetic.evaluated[AWKWARD, "4x", condition, "psnr"].values())
        assert row[position].text == f"{np.mean(values):.2f}"
    assert row[5].text == "2.0e-07"
    assert any("sense, modl" in sentence for sentence in table.caption)


def test_cost_has_parameters_times_and_machine(results: SuiteResults) -> None:
    texts = [cell.text for cell in cells(cost_table(results), "modl")]
    assert texts == ["113,155", "61.5", "0.0143", "0.0143"]
    assert "All times on: CPU, 1 thread." in cost_table(results).caption


def test_times_of_several_machines_say_so(synthetic: Synthetic, tmp_path: Path) -> None:
    other = type(synthetic)(tmp_path).write()
    environment = {"device": "NVIDIA H200", "threads": 4}
    for key in ("fit1s0", "evaluate1s04x", "evaluate1s0acquired"):
        other.store.write_result(key, Result("ok", environment=environment))
    table = cost_table(SuiteResults(load_folder(tmp_path), "small"))
    assert cells(table, "modl")[-1].text == "NVIDIA H200, 4 threads"
    assert cells(table, "sense")[-1].text == "CPU, 1 thread"


def test_captions_say_what_a_number_is_worth(results: SuiteResults) -> None:
    text = " ".join(summary_table(results).caption)
    for part in (
        "8 simulated coils",
        "noise 0.01",
        "4x random mask",
        "the scan's own noise",
        "30 subjects",
        "1 subject,",
        "data range: volume maximum",
        "One training seed (0).",
        "Phantom subjects share one anatomy.",
        "Does not claim a ranking.",
        "Trained on 4x.",
    ):
        assert part in text, part


def test_training_task_is_a_column_where_a_suite_has_several(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    other = type(synthetic)(tmp_path).write()
    table = other.store.suites()["small"]
    for job in table["jobs"]:
        if job["method"] == "modl":
            job["train_task"] = "acquired"
    other.store.write_suite("small", table)
    summary = summary_table(SuiteResults(load_folder(tmp_path), "small"))
    assert summary.stub == ["method", "trained on"]
    assert [row[1].text for row in summary.rows] == ["4x", "acquired", "4x", "4x", "4x"]


def test_latex_is_escaped_and_its_columns_add_up(results: SuiteResults) -> None:
    text = latex(summary_table(results), "small-table")
    assert r"mol\_lr 100\%" in text
    assert AWKWARD not in text
    assert "<" not in text
    assert text.count("{") == text.count("}")
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {6}
    assert latex_escape("a_b^c~$1 & 50% #{}\\") == (
        r"a\_b\textasciicircum{}c\textasciitilde{}\$1 \& 50\% \#\{\}\textbackslash{}"
    )
    assert r"$2.0\times10^{-7}$" in latex(stopping_table(results), "x")


def test_markdown_is_escaped(results: SuiteResults) -> None:
    text = markdown(summary_table(results))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_terminal_table_takes_labels_as_text(synthetic: Synthetic) -> None:
    from rich.console import Console

    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(summary_for_terminal(synthetic.root, "small"))
    shown = console.export_text()
    assert HOSTILE in shown
    assert "PSNR [dB]" in shown  # square brackets are no markup


def test_unknown_suite_and_format_are_refused(synthetic: Synthetic) -> None:
    with pytest.raises(InputError, match="no suite 'big'"):
        summary_for_terminal(synthetic.root, "big")
    with pytest.raises(InputError, match="unknown format 'docx'"):
        write_report(synthetic.root, ["docx"])


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no results"):
        write_report(tmp_path / "nowhere")
    Store(tmp_path).create()
    with pytest.raises(InputError, match="no rows"):
        write_report(tmp_path)
