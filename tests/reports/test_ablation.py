"""Ablations: the table against plain numpy, and what the figures draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.statistics import Floats, bootstrap_interval
from reports import write_report
from reports.ablations import in_order, main_lines, studies
from reports.figures import all_figures
from reports.figures.ablation import ablation_figures
from reports.figures.grid import grid_figures
from reports.figures.style import line_styles
from reports.folder import load_folder
from reports.suite_results import SuiteResults
from reports.tables import Table, ablation_table, all_tables

if TYPE_CHECKING:
    from conftest import Synthetic

HOSTILE = "<script>alert(1)</script>"
# the label in the made-up folder -> what it is a setting of modl by
SETTINGS = {"mol_lr 100%": "0.1", HOSTILE: "10", "mol (no constraint)": "100"}
AXES = {"m": {"title": "monotonicity m", "field": "config.m", "base": {"modl": "0.02"}}}


def vary(synthetic: Synthetic, root: Path, settings: dict[str, dict[str, str]], axes: Any) -> Path:
    """The made-up folder, its methods relabelled as settings of MoDL; SENSE stays as it is."""
    type(synthetic)(root).write()
    path = root / "suites" / "small.json"
    table = json.loads(path.read_text())
    for job in table["jobs"]:
        mine = settings.get(job["method"], {})
        job |= {"base": "modl" if mine else job["method"], "settings": mine}
        if mine:
            words = ", ".join(f"{name} = {value}" for name, value in mine.items())
            job["method"] = f"modl, {words}"
    path.write_text(json.dumps({**table, "axes": axes}))
    (root / "suites" / "one.json").unlink()
    return root


@pytest.fixture(scope="module")
def results(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> SuiteResults:
    settings = {label: {"m": value} for label, value in SETTINGS.items()}
    root = vary(synthetic, tmp_path_factory.mktemp("ablation"), settings, AXES)
    return SuiteResults(load_folder(root), "small")


def section(table: Table, task: str) -> dict[str, list[str]]:
    """Cells after the stub, by setting."""
    return {r[3].text: [c.text for c in r[4:]] for r in table.rows if r[0].text == task}


def psnr(synthetic: Synthetic, label: str) -> Floats:
    return np.array(list(synthetic.evaluated[label, "4x", "{}", "psnr"].values()))


def test_settings_are_paired_with_the_method_as_it_is(
    synthetic: Synthetic, results: SuiteResults
) -> None:
    table = ablation_table(results)
    found = section(table, "4x")
    assert list(found) == ["0.02 (as it is)", "0.1", "10", "100"]  # by size, not as strings
    for label, setting in list(SETTINGS.items())[:2]:
        own, base = psnr(synthetic, label), psnr(synthetic, "modl")
        low, high = bootstrap_interval((own - base)[:, None])
        cells = found[setting]
        assert cells[0] == f"{own.mean():.2f} ± {own.std(ddof=1):.2f}"
        assert cells[3:] == [
            f"{np.mean(own - base):+.2f}",
            f"{low:+.2f} to {high:+.2f}",
            f"{np.sum(own > base)} of 30",
        ]
    assert found["0.02 (as it is)"][3:] == ["–"] * 3
    assert found["100"] == ["blocked: fit diverged", *["–"] * 5]
    assert {row[1].text for row in table.rows} == {"monotonicity m"}
    assert section(table, "acquired")["0.1"][4] == "–"  # one subject has no interval
    assert table.name in {other.name for other in all_tables(results)}


def test_settings_have_the_colour_of_their_method_and_no_figures_of_their_own(
    results: SuiteResults,
) -> None:
    styles = line_styles(results)
    colours = {line.method: style["color"] for line, style in styles.items()}
    assert len({colours[m] for m in colours if m.startswith("modl")}) == 1
    assert colours["sense"] != colours["modl"]
    assert [line.method for line in main_lines(results)] == ["sense", "modl"]
    captions = {name: figure for name, _, figure in all_figures(results)}
    titles = [axis.get_title() for axis in captions["reconstruction-4x"].axes]
    assert titles.count("modl") == 1 and not any("m =" in title for title in titles)


def test_numbers_are_to_scale_and_the_method_as_it_is_has_a_ring(
    synthetic: Synthetic, results: SuiteResults
) -> None:
    ((name, caption, figure),) = ablation_figures(results, results.test_tasks[0])
    assert name == "ablation-4x"
    quality, evaluations = figure.axes
    assert quality.get_xscale() == "log"  # 0.02 to 100
    curve = next(line for line in quality.get_lines() if len(line.get_xdata()) == 4)
    assert list(curve.get_xdata()) == [0.02, 0.1, 10, 100]
    means = [psnr(synthetic, label).mean() for label in ("modl", *list(SETTINGS)[:2])]
    assert list(curve.get_ydata())[:3] == pytest.approx(means)
    assert np.isnan(curve.get_ydata()[3])
    rings = [line for line in quality.get_lines() if line.get_markerfacecolor() == "none"]
    assert [tuple(ring.get_xdata()) for ring in rings] == [(0.02,)]
    assert [line.get_xdata()[0] for line in quality.get_lines() if line.get_marker() == "x"] == [
        100
    ]
    assert evaluations.get_xlabel() == "monotonicity m"
    for part in ("interval of the difference", "Cross: no number"):
        assert part in caption


def test_only_numbers_are_joined_and_what_was_not_run_has_not_failed(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    settings = {
        "mol_lr 100%": {"stop": "4"},
        HOSTILE: {"stop": "8"},
        "mol (no constraint)": {"solver": "picard"},
    }
    base = {"stop": {"base": {"modl": "own stop"}}, "solver": {"base": {"modl": "anderson"}}}
    root = vary(synthetic, tmp_path, settings, base)
    path = root / "suites" / "small.json"
    table = json.loads(path.read_text())
    waiting = [job for job in table["jobs"] if job["method"] == "modl, solver = picard"]
    for number, job in enumerate(waiting):
        job["job"] = f"{number:016x}"  # a job that there is not yet
    path.write_text(json.dumps(table))
    results = SuiteResults(load_folder(root), "small")
    ((_, caption, figure),) = ablation_figures(results, results.test_tasks[0])
    stop, _, solver, _ = figure.axes
    joined = [
        line for line in stop.get_lines() if line.get_marker() == "o" and len(line.get_xdata()) > 1
    ]
    assert [list(line.get_xdata()) for line in joined] == [[0, 1]]  # 4 and 8, not the own stop
    means = [psnr(synthetic, label).mean() for label in list(SETTINGS)[:2]]
    assert list(joined[0].get_ydata()) == pytest.approx(means)
    markers = [line.get_marker() for line in solver.get_lines()]
    assert "x" not in markers and "Cross" not in caption
    assert "One training" in caption


def test_two_axes_make_a_map_and_names_keep_their_order(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    settings = {
        "mol_lr 100%": {"m": "0.1", "solver": "picard"},
        HOSTILE: {"m": "0.02", "solver": "anderson"},
        "mol (no constraint)": {"gradient": "unrolled"},
    }
    axes = AXES | {"solver": {"base": {"modl": "picard"}}}
    root = vary(synthetic, tmp_path, settings, axes)
    results = SuiteResults(load_folder(root), "small")
    found = {study.axes[0].name: study for study in studies(results, "4x")}
    assert found["gradient"].places[0].values == ()  # nobody says how the method takes it
    ((name, caption, figure),) = grid_figures(results, results.test_tasks[0])
    (axis,) = figure.axes
    assert name == "ablation-m-solver-4x"
    assert "Framed" in caption
    columns = [text.get_text() for text in axis.get_xticklabels()]
    rows = [text.get_text() for text in axis.get_yticklabels()]
    assert (rows, columns) == (["0.02", "0.1"], ["picard", "anderson"])
    cells = {tuple(map(int, text.get_position())): text.get_text() for text in axis.texts}
    labels = {(0, 0): "modl", (0, 1): "mol_lr 100%", (1, 0): HOSTILE}
    assert cells == {place: f"{psnr(synthetic, m).mean():.2f}" for place, m in labels.items()}
    ((_, caption, figure),) = ablation_figures(results, results.test_tasks[0])
    assert "Dotted: a method as it is, whose setting is not known." in caption
    assert any(line.get_linestyle() == ":" for line in figure.axes[0].get_lines())
    assert "ablation.tex" in {path.name for path in write_report(root, ["latex"]).paths}


def test_numbers_come_by_size_and_names_after_them() -> None:
    assert in_order(["all", "8", "32", "8", "2"]) == ["2", "8", "32", "all"]
    assert in_order(["1", "1e-06", "0.5"]) == ["1e-06", "0.5", "1"]
    assert in_order(["sense", "adjoint"]) == ["sense", "adjoint"]


def test_tables_of_older_runs_have_no_ablations(synthetic: Synthetic) -> None:
    results = SuiteResults(load_folder(synthetic.root), "small")
    assert not ablation_table(results).rows
    assert main_lines(results) == results.lines
    assert not any(name.startswith("ablation") for name, *_ in all_figures(results))
