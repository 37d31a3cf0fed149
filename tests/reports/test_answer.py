"""The figures that answer a suite's question, from rows whose numbers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.store import Result, Row, Store
from reports.figures.answer import answer_figures
from reports.folder import load_folder
from reports.quantities import place_on, points
from reports.suite_results import SuiteResults

TASKS = {"4x": 4.0, "8x": 8.0}


class Run:
    """A results folder with one method, as it is and at m = 0.1, on two tasks."""

    def __init__(self, root: Path) -> None:
        self.store, self.rows = Store(root), []
        self.store.create()

    def job(self, key: str, kind: str, numbers: list[dict[str, Any]], **labels: Any) -> None:
        self.store.write_job(key, {"kind": kind, "method": "mol-lr", "settings": {}})
        common = {"job": key, "method": "mol-lr", "variant": "", "task": "mri-multicoil"}
        common |= {"dataset": "d", "split": "test", "split_hash": "h", "data_seed": 0}
        common |= {"train_seed": 0, "subject": None, "sample": None, "step": None, "unit": ""}
        common |= {"condition": "{}", "protocol": "p", "phase": "evaluate"}
        self.store.write_rows(key, [Row(**(common | one)) for one in numbers])
        self.store.write_result(key, Result("ok"))
        self.rows.append({"job": key, "kind": kind, "train_seed": 0, "variant": "", **labels})

    def results(self, figures: list[dict[str, Any]]) -> SuiteResults:
        tasks = {
            label: {"name": "mri-multicoil", "config": {"acceleration": value}}
            for label, value in TASKS.items()
        }
        axes = {"m": {"title": "monotonicity m", "base": {"mol-lr": "0.02"}}}
        table = {"title": "t", "tasks": tasks, "axes": axes, "figures": figures, "jobs": self.rows}
        self.store.write_suite("s", table)
        return SuiteResults(load_folder(self.store.root), "s")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path)
    for m, settings in (("0.02", {}), ("0.1", {"m": "0.1"})):
        label = "mol-lr, m = 0.1" if settings else "mol-lr"
        labels = {"method": label, "base": "mol-lr", "settings": settings}
        seconds = {"metric": "train_seconds", "value": 100 * float(m), "phase": "fit"}
        fit = labels | {"train_task": "4x", "test_task": None, "question": None}
        made.job(f"f{m}", "fit", [seconds], **fit)
        for task, factor in TASKS.items():
            psnr = [
                {"metric": "psnr", "value": 30 - factor + 10 * float(m) + i, "subject": str(i)}
                for i in (0, 2)
            ]
            psnr = [one | {"sample": "0"} for one in psnr]
            place = labels | {"train_task": "4x", "test_task": task, "question": None}
            made.job(f"e{m}{task}", "evaluate", psnr, **place)
        basin = [
            {
                "metric": "end_distance",
                "value": distance * (1 + draw),
                "condition": json.dumps({"distance": distance, "draw": draw}),
                "subject": "0",
                "sample": "0",
            }
            for distance in (0.1, 1.0)
            for draw in (0, 1)
        ]
        place = labels | {"train_task": "4x", "test_task": "4x", "question": "basin"}
        made.job(f"b{m}", "measure", basin, **place)
    return made


def found(results: SuiteResults, x: str, y: str) -> set[tuple[str, str, Any, float]]:
    return {(p.line.method, p.task, p.x, round(p.y, 6)) for p in points(results, x, y)}


def test_a_metric_against_an_axis_has_the_base_in_its_place(run: Run) -> None:
    results = run.results([])
    assert [place_on(results, line, "m") for line in results.lines] == ["0.02", "0.1"]
    expected = {
        ("mol-lr", "4x", 0.02, 27.2),
        ("mol-lr", "8x", 0.02, 23.2),
        ("mol-lr, m = 0.1", "4x", 0.1, 28.0),
        ("mol-lr, m = 0.1", "8x", 0.1, 24.0),
    }
    assert found(results, "m", "psnr") == expected


def test_a_field_of_the_tasks_and_a_number_of_the_training(run: Run) -> None:
    results = run.results([])
    at = {(task, x) for _, task, x, _ in found(results, "task.acceleration", "psnr")}
    assert at == {("4x", 4.0), ("8x", 8.0)}
    seconds = {(method, x) for method, _, x, _ in found(results, "fit.train_seconds", "psnr")}
    assert seconds == {("mol-lr", 2.0), ("mol-lr, m = 0.1", 10.0)}


def test_a_condition_of_a_measurement_is_averaged_over_draws(run: Run) -> None:
    by = found(run.results([]), "condition.distance", "basin/end_distance")
    assert {(x, y) for _, _, x, y in by} == {(0.1, 0.15), (1.0, 1.5)}


def test_what_is_not_there_is_no_point(run: Run) -> None:
    results = run.results([])
    assert not found(results, "m", "guarantees/worst_gain")
    assert not found(results, "lipschitz_jacobian", "psnr")


def test_every_declared_figure_is_drawn_with_its_labels(run: Run) -> None:
    wanted = [
        {"title": "Does m cost?", "x": "m", "y": "psnr", "diagonal": False},
        {
            "title": "How far?",
            "x": "condition.distance",
            "y": "basin/end_distance",
            "diagonal": False,
        },
        {"title": "Never asked?", "x": "m", "y": "guarantees/worst_gain", "diagonal": True},
    ]
    drawn = list(answer_figures(run.results(wanted)))
    assert [name for name, *_ in drawn] == ["answer-1", "answer-2"]
    (_, caption, figure), _ = drawn
    assert caption.startswith("Does m cost? PSNR [dB] against monotonicity m")
    assert [axis.get_xlabel() for axis in figure.axes] == ["monotonicity m"] * 2
    (curve,) = figure.axes[0].lines
    assert list(curve.get_xdata()) == [0.02, 0.1]
    assert list(curve.get_ydata()) == pytest.approx([27.2, 28.0])
