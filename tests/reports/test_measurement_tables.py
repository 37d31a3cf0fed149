"""Tables and figures of measurements, against rows made up by hand."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.store import Result, Row, Store
from reports import write_report
from reports.figures.batches import batches_figures
from reports.figures.memory import memory_figures
from reports.figures.robustness import DRAWN, robustness_figures
from reports.folder import load_folder
from reports.suite_results import SuiteResults
from reports.tables import (
    Table,
    all_tables,
    batches_table,
    bounds_table,
    claims_table,
    coverage_table,
    evaluations_table,
    memory_table,
    robustness_table,
    shift_table,
    summary_table,
    time_table,
)
from reports.tables.measured import merged
from reports.tables.render import latex, tidy_csv

LABELS = ("modl", "mol", "mol-lr", "mnm-mol")
QUESTIONS = ("memory", "batch-size", "evaluations", "guarantees", "robustness", "shift")
QUESTIONS += ("coverage", "time")
MASKED = "masking: gradient is 37% off finite differences, Gaussian noise does more"
UNSETTLED = "residual above 1 % of the displacement"
TASK = {
    "title": "Phantom, 4x",
    "name": "mri-multicoil",
    "config": {"dataset": "brain-phantom", "coils": 4, "noise": 0.01, "acceleration": 4.0},
    "dataset": "brain phantom",
    "protocol": "magnitude",
}
ATTACK = {
    **{"threat": "kspace-l2", "gradient": "autograd", "steps": 10, "restarts": 2},
    **{"step_size": 1.0, "tol": 1e-3, "max_iter": 50, "verify_tol": 1e-5, "verify_max_iter": 200},
}


@dataclass(frozen=True)
class Made:
    """A row by hand; ``sample``: number of the subject, None for none."""

    metric: str
    value: float
    phase: str
    condition: dict[str, Any]
    sample: int | None = None
    flag: str = ""


def memory(label: str) -> Iterator[Made]:
    for batch in (1, 2):
        how = {"batch": batch, "iterations": 3, "upper_bound": True}
        penalised = label != "modl"
        peak = {"modl": 8e6, "mol": 2e6, "mnm-mol": 2.5e6}[label] * batch
        yield Made("predicted_peak", peak, "fit", {**how, "penalty": penalised})
        if penalised:
            yield Made("predicted_peak", peak / 2, "fit", {**how, "penalty": False})
        flag = f"keeps {1000 * batch} bytes after the step" if label == "mol" else ""
        yield Made("predicted_peak", 1e6, "evaluate", {**how, "penalty": penalised}, flag=flag)
    if label == "modl":
        how = {"batch": 1, "iterations": 3, "penalty": False, "cudnn_benchmark": False}
        yield Made("allocated_peak", 7.6e6, "fit", how)
        yield Made("allocated_over_predicted", 0.95, "fit", how)


def batch_size(label: str) -> Iterator[Made]:
    if label == "mnm-mol":
        return  # has nothing to train
    for penalty, largest in ((True, 7), (False, 4096)) if label == "mol" else ((False, 1),):
        how = {"gpu": "8GB", "reserve": "0.5GB", "penalty": penalty, "iterations": 3, "most": 4096}
        even = largest - largest % 2 or 1
        predicted = {**how, "how": "predicted"}
        yield Made("largest_batch", largest, "fit", predicted)
        yield Made("largest_even_batch", even, "fit", {**predicted, "least": 1})


def evaluations(label: str) -> Iterator[Made]:
    for sample in range(2):
        own: dict[str, Any] = {"stop": "own"}
        yield Made("network", 10 + sample, "evaluate", own, sample)
        yield Made("flops", 2.5e9, "evaluate", own, sample)
        converged = {"stop": "converged", "tol": 1e-5, "max_iter": 200}
        yield Made("network", 40, "evaluate", converged, sample)
        yield Made("jacobian", 6, "backward", own, sample)
        flag = "no gradient reaches the measurements" if label == "modl" else ""
        yield Made("network", 3, "attack", own, sample, flag)


# label -> largest Jacobian norm, the authors' estimate; T is 0.9
NORMS = {"mol": (0.89, 0.88), "mol-lr": (0.93, 0.88), "mnm-mol": (0.95, 0.94)}


def guarantees(label: str) -> Iterator[Made]:
    for sample in range(2):
        how = {"epsilon": 0.01, "steps": 10, "restarts": 2}
        yield Made("worst_gain", 4.0 - sample, "attack", how, sample)
    if label not in NORMS:
        return
    norm, estimate = NORMS[label]
    yield Made("threshold", 0.9, "evaluate", {})
    vacuous = {"formula": "λ/m"}
    yield Made("bound", math.inf, "evaluate", vacuous, flag="vacuous: infinite")
    yield Made("bound", 8.0, "evaluate", {"formula": "½√(λ/m)"})
    for sample in range(2):
        stop = {"tol": 1e-5, "max_iter": 200}
        yield Made("jacobian_norm", norm - 0.1 * sample, "evaluate", stop, sample)
        yield Made("estimate", estimate, "evaluate", {**stop, "estimator": "sphere"}, sample)
    for sample in range(4):
        how = {"split": "train", "estimator": "sphere"}
        yield Made("training_estimate", 0.88 + 0.01 * sample, "fit", how, sample)
        yield Made("penalty_acts", float(sample == 0), "fit", {"split": "train"}, sample)


def robustness(label: str) -> Iterator[Made]:
    clean = 30.0 + LABELS.index(label) if label in LABELS else 30.0
    for sample in range(2):
        yield Made("psnr", clean + sample, "evaluate", {**ATTACK, "kind": "clean"}, sample)
        for epsilon in (0.01, 0.05):
            how = {**ATTACK, "epsilon": epsilon}
            flag = "; ".join((UNSETTLED, MASKED)) if label == "mol" and epsilon > 0.01 else ""
            drops = {"gaussian": 10, "pgd": 100, "transfer": 50}
            for kind, drop in drops.items():
                if kind == "transfer":
                    how = {**how, "transfer_from": "modl"}
                value = clean + sample - drop * epsilon
                kinds = {**how, "kind": kind, "objective": "error"}
                yield Made("psnr", value, "attack", kinds, sample, flag if kind == "pgd" else "")
            kinds = {**ATTACK, "epsilon": epsilon, "kind": "pgd", "objective": "displacement"}
            yield Made("gain", 3.0 + sample, "attack", kinds, sample)
            yield Made("psnr", 0.0, "attack", kinds, sample)  # of the other objective


def shift(label: str) -> Iterator[Made]:
    for sample in range(2):
        yield Made("psnr", 30.0 + 10 * sample, "evaluate", {"change": {}}, sample)
        yield Made("psnr", 28.0 + 10 * sample, "evaluate", {"change": {"map_error": 0.05}}, sample)
    if label == "mol":  # the other sample has no iterations to change
        how = {"change": {"iterations": 2.0}, "iterations": 20}
        yield Made("psnr", 40.5, "evaluate", how, 1)


def coverage(label: str) -> Iterator[Made]:
    for sample in range(2):
        yield Made("psnr", 28.0 + sample, "evaluate", {}, sample)
        yield Made("psnr_seen", 29.0 + sample, "evaluate", {}, sample)
        yield Made("unseen_error", 0.25 + 0.2 * sample, "evaluate", {}, sample)
        yield Made("unseen_pixels", 0.3, "evaluate", {}, sample)


def time(label: str) -> Iterator[Made]:
    for threads in (1, 4):
        for number, statistic in enumerate(("quartile 1", "median", "quartile 3")):
            how = {"threads": threads, "repeats": 7, "warm_up": 2, "statistic": statistic}
            value = (1 + number) / threads
            yield Made("step_seconds", value, "fit", {**how, "batch": 2})
            yield Made("slice_seconds", value / 10, "evaluate", {**how, "samples": 2})


MAKERS = {
    **{"memory": memory, "batch-size": batch_size, "evaluations": evaluations, "time": time},
    **{"guarantees": guarantees, "robustness": robustness, "shift": shift},
    **{"coverage": coverage},
}


def make(root: Path, labels: tuple[str, ...] = LABELS, asked: tuple[str, ...] = QUESTIONS) -> Path:
    """A results folder with one suite; the memory of mol-lr ended in an error."""
    store = Store(root)
    store.create()
    jobs = []
    for label in labels:
        wanted = [("fit", ""), ("evaluate", ""), *(("measure", q) for q in asked)]
        for kind, question in wanted:
            key = f"{label}-{kind}-{question}".replace(" ", "-")
            failed = (label, question) == ("mol-lr", "memory")
            made = [] if failed else list(MAKERS[question](label)) if question else []
            if kind == "evaluate":
                made = [Made("psnr", 30.0 + i, "evaluate", {}, i) for i in range(2)]
            device = {"device_class": "cpu", "threads": 1}
            description = {"kind": kind, "method": label, "settings": device if question else {}}
            store.write_job(key, description)
            store.write_rows(key, [row(key, label, one) for one in made])
            environment = {"device": "cpu", "processor": "A processor"}
            store.write_result(key, Result("error" if failed else "ok", "", 1.0, 1, environment))
            tests = None if kind == "fit" else "4x"
            entry = {"job": key, "kind": kind, "method": label, "variant": "", "train_seed": 0}
            entry |= {"train_task": "4x", "test_task": tests}
            jobs.append(entry | ({"question": question} if question else {}))
    suite = {"name": "made", "title": "Made", "note": "", "tasks": {"4x": TASK}, "jobs": jobs}
    store.write_suite("made", suite)
    return root


def row(key: str, label: str, made: Made) -> Row:
    return Row(
        job=key,
        **{"method": label, "variant": "", "task": "mri-multicoil", "dataset": "brain phantom"},
        **{"split": "test", "split_hash": "0", "data_seed": 0, "train_seed": 0, "step": None},
        subject=None if made.sample is None else f"subject-{made.sample}",
        sample=None if made.sample is None else "0",
        phase=made.phase,
        condition=json.dumps(made.condition, sort_keys=True),
        metric=made.metric,
        value=made.value,
        unit="",
        protocol="magnitude",
        flag=made.flag,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> SuiteResults:
    return SuiteResults(load_folder(make(tmp_path_factory.mktemp("made"))), "made")


def line(table: Table, method: str, *more: str) -> dict[str, str]:
    """The cells of a method by heading; ``more``: the other cells of the stub."""
    found = [r for r in table.rows if [c.text for c in r[1 : len(table.stub)]] == [method, *more]]
    (cells,) = found
    return {name: c.text for name, c in zip(table.columns, cells, strict=True)}


# ---------------------------------------------------------------------- numbers


def test_robustness_is_mean_psnr_and_worst_gain(results: SuiteResults) -> None:
    found = line(robustness_table(results), "modl")
    assert found["PSNR: clean [dB]"] == "30.50"
    wanted = {"noise [dB]": "30.00", "attack [dB]": "25.50", "transfer [dB]": "28.00"}
    assert {name: found[f"ε = 0.05: {name}"] for name in wanted} == wanted
    assert found["ε = 0.01: gain"] == "4.00"  # the larger of 3 and 4


def test_flagged_cells_are_marked_and_explained(results: SuiteResults) -> None:
    table = robustness_table(results)
    marked = {
        (r[1].text, name)
        for r in table.rows
        for name, c in zip(table.columns, r, strict=True)
        if c.text.endswith("!")
    }
    assert marked == {("mol", "ε = 0.05: attack [dB]")}
    told = [sentence for sentence in table.caption if sentence.startswith("! ")]
    where = "(2 samples; ε 0.05)"
    assert told == [
        f"! mol, 4x: {UNSETTLED} {where}.",
        f"! mol, 4x: masking: gradient is 37% off finite differences {where}.",
        f"! mol, 4x: masking: Gaussian noise does more {where}.",
    ]
    assert not any("Flagged" in sentence for sentence in summary_table(results).caption)
    texts = ["is 37% off", "is 4.5% off", "is 120% off"]
    assert merged(texts) == "is 4.5 to 120% off"


def test_the_threat_is_told(results: SuiteResults) -> None:
    caption = " ".join(robustness_table(results).caption)
    for part in ("kspace-l2", "10 steps of 1 radius", "2 random starts", "scored at 1e-05"):
        assert part in caption


@pytest.mark.parametrize(
    ("method", "state", "applies"),
    [
        ("mol", "holds", "yes"),
        ("mol-lr", "only by L̂", "does not apply"),
        ("mnm-mol", "violated", "does not apply"),
    ],
)
def test_bounds_apply_where_the_jacobian_norm_says_so(
    results: SuiteResults, method: str, state: str, applies: str
) -> None:
    found = line(claims_table(results), method)
    assert found["Lipschitz constant: constraint"] == state
    assert found["Lipschitz constant: Jacobian norm"] == f"{NORMS[method][0]:.3f}"
    assert found["Lipschitz constant: L̂ (by)"] == f"{NORMS[method][1]:.3f} (sphere)"
    note = "" if applies == "yes" else " (does not apply)"
    bounds = f"λ/m = vacuous (infinite); ½√(λ/m) = 8.00{note}"
    assert found["gain ‖Δx‖ / ‖Δy‖: bounds"] == bounds
    assert found["gain ‖Δx‖ / ‖Δy‖: worst found"] == "4.00"
    assert found["share of samples [%]: penalty acts"] == "25"
    assert found["share of samples [%]: L̂ ≤ T in training"] == "75"
    alone = line(bounds_table(results), method, "½√(λ/m)")
    assert alone["gain ‖Δx‖ / ‖Δy‖: applies"] == applies
    assert alone["gain ‖Δx‖ / ‖Δy‖: found / bound"] == "0.500"


def test_methods_without_a_claim_are_listed(results: SuiteResults) -> None:
    found = line(claims_table(results), "modl")
    assert found["Lipschitz constant: T"] == found["Lipschitz constant: constraint"] == "–"
    assert found["gain ‖Δx‖ / ‖Δy‖: worst found"] == "4.00"
    assert {row[1].text for row in bounds_table(results).rows} == {"mol", "mol-lr", "mnm-mol"}


def test_memory_is_of_the_smallest_batch_and_against_modl(results: SuiteResults) -> None:
    table = memory_table(results)
    modl, mol = line(table, "modl"), line(table, "mol")
    assert modl["predicted peak: training"] == "8.00 MB"
    assert modl["predicted peak: without penalty"] == "–"
    assert modl["allocated on the device: training"] == "7.60 MB"
    assert modl["allocated / predicted: training"] == "0.95"
    assert mol["predicted peak: without penalty"] == "1.00 MB"
    assert (modl["training: of reference"], mol["training: of reference"]) == ("1", "1/4.00")
    assert "! mol, 4x, reconstruction: keeps 1000 to 2000 bytes after the step." in table.caption


def test_a_failed_measurement_shows_its_status(results: SuiteResults) -> None:
    table = memory_table(results)
    cells = next(row for row in table.rows if row[1].text == "mol-lr")
    assert (cells[2].text, cells[2].failed, cells[3].text) == ("error", True, "–")
    records = list(csv.DictReader(io.StringIO(tidy_csv(table))))
    assert {r["status"] for r in records if r["method"] == "mol-lr"} == {"error"}


def test_batches_are_capped_and_told_with_and_without_penalty(results: SuiteResults) -> None:
    table = batches_table(results)
    capped = {"8GB: largest": "≥ 4,096", "8GB: even": "≥ 4,096"}
    assert capped.items() <= line(table, "mol", "without").items()
    assert {"8GB: largest": "7", "8GB: even": "6"}.items() <= line(table, "mol", "with").items()
    assert line(table, "modl", "–")["8GB: even"] == "1"
    assert "Without a training step: mnm-mol." in table.caption
    assert any("0.5GB" in sentence for sentence in table.caption)


def test_bars_are_the_largest_batches_with_the_penalty(results: SuiteResults) -> None:
    ((_, caption, figure),) = batches_figures(results)
    (axis,) = figure.axes
    names = [text.get_text() for text in axis.get_yticklabels()]
    assert dict(zip(names, (text.get_text() for text in axis.texts), strict=True)) == {
        "mol": "7",
        "modl": "1",
        "mol-lr": "1",
    }
    assert "penalty included" in caption and "≥" not in caption


def test_evaluations_shift_coverage_and_time(results: SuiteResults) -> None:
    found = line(evaluations_table(results), "modl")
    assert found["reconstruction, own stop: network"] == "10.5"
    assert found["reconstruction, own stop: GFLOP"] == "2.50"
    assert (found["converged: network"], found["training gradient: Jacobian"]) == ("40", "6")
    assert found["attack's gradient: network"] == "3 !"
    moved = line(shift_table(results), "mol")
    assert moved["PSNR [dB]: unchanged"] == "35.00"
    assert moved["change [dB]: map error 5 %"] == "-2.00"
    assert moved["change [dB]: iterations ×2"] == "+0.50"  # of 40, not of the mean 35
    assert line(shift_table(results), "modl")["change [dB]: iterations ×2"] == "–"
    holes = line(coverage_table(results), "modl")
    assert holes["PSNR [dB]: all pixels"] == "28.50"
    assert holes["PSNR [dB]: without them"] == "29.50"
    assert holes["not measured: share [%]: of the squared error"] == "35.0"
    table = time_table(results)
    assert line(table, "modl")["training step [s]: 1 thread"] == "2 (1 to 3)"
    assert line(table, "modl")["slice [s]: 4 threads"] == "0.05 (0.025 to 0.075)"
    assert "Device: A processor." in table.caption


def test_devices_never_share_a_column_unsaid(tmp_path: Path) -> None:
    root = make(tmp_path, ("modl", "mol"), ("memory",))
    path = root / "jobs" / "mol-measure-memory" / "job.json"
    job = json.loads(path.read_text())
    job["settings"]["device_class"] = "NVIDIA H100"
    path.write_text(json.dumps(job))
    table = memory_table(SuiteResults(load_folder(root), "made"))
    assert [row[-1].text for row in table.rows] == ["cpu, 1 thread", "NVIDIA H100, 1 thread"]
    assert not any(sentence.startswith("Device") for sentence in table.caption)


# ---------------------------------------------------------------------- what is written


def test_what_was_not_asked_has_no_table_and_no_figure(tmp_path: Path) -> None:
    results = SuiteResults(load_folder(make(tmp_path, ("modl", "mol"), ("shift",))), "made")
    names = {table.name for table in all_tables(results)}
    assert "shift" in names
    assert not names & {
        "robustness",
        "coverage",
        "claims",
        "bounds",
        "evaluations",
        "memory",
        "batches",
        "time",
    }
    assert not [*robustness_figures(results), *memory_figures(results)]
    # the measured PSNR of 30 and 40 is no part of the evaluation's 30 and 31
    assert summary_table(results).rows[0][1].text == "30.50"


def test_many_methods_are_cut_to_the_best(tmp_path: Path) -> None:
    labels = tuple(f"method {number}" for number in range(12))
    results = SuiteResults(load_folder(make(tmp_path, labels, ("robustness",))), "made")
    ((_, caption, figure),) = robustness_figures(results)
    assert f"the {DRAWN} with the highest clean PSNR" in caption
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert sum(name.startswith("method") for name in names) == DRAWN


def test_every_format_has_the_tables(tmp_path: Path) -> None:
    root = make(tmp_path)
    report = write_report(root)
    names = ("robustness", "shift", "coverage", "claims", "bounds", "evaluations", "memory")
    names += ("batches", "time")
    written = {path.name for path in report.paths}
    page = report.pages["made"].read_text()
    for name in names:
        assert {f"{name}.md", f"{name}.tex", f"{name}.csv"} <= written
        assert f'id="{name}"' in page
    assert {"robustness.png", "robustness.pdf", "memory.png", "memory.pdf"} <= written
    assert "measure memory" in page
    claims = claims_table(SuiteResults(load_folder(root), "made"))
    source = latex(claims, "claims")
    assert r"$\hat{L}$" in source
    assert all(ord(sign) < 128 for sign in source)
    with (root / "report" / "made" / "rows.csv").open() as file:
        assert {r["question"] for r in csv.DictReader(file)} == {"", *QUESTIONS}
