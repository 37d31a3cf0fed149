"""The shipped suite of measurements: every question answered, for every method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bench
from bench import registry
from bench.errors import InputError
from bench.measure.questions import QUESTIONS
from bench.planning.measurements import Machine
from bench.planning.plan import expand
from bench.planning.suite import Suite
from bench.planning.suite_files import load
from reports import write_report

TABLES = ("memory", "batches", "evaluations", "claims", "robustness", "shift", "coverage", "time")
TABLES += ("stability", "comparison")


def check(folder: Path, outcome: Any, methods: set[str]) -> None:
    """Every question has rows of every method, and every table is there."""
    assert outcome.ok, outcome.errors
    rows, jobs = bench.load_rows(folder), bench.load_jobs(folder)
    asked = jobs[jobs.kind == "measure"].copy()
    asked["question"] = [settings["question"] for settings in asked.settings]
    with_rows = set(rows.job)
    for name in methods:
        answered = asked[asked.job.isin(with_rows) & (asked.method == name)]
        missing = {"memory", "evaluations", "guarantees", "robustness", "time"}
        assert not missing - set(answered.question), name
    for condition in rows[rows.phase == "attack"].condition:
        assert json.loads(condition), "a row that does not say how it was attacked"
    write_report(folder)
    for table in TABLES:
        assert (folder / f"report/measures/{table}.md").is_file(), table


def test_the_suite_of_measurements(tmp_path: Path) -> None:
    outcome = bench.run_suite("measures", tmp_path, only=["modl", "mol-lr"])
    check(tmp_path, outcome, {"modl", "mol-lr"})
    rows = bench.load_rows(tmp_path)
    peaks = rows[(rows.metric == "predicted_peak") & (rows.phase == "fit")]
    assert {json.loads(c)["batch"] for c in peaks.condition} == {1, 2}
    attacked = rows[(rows.metric == "psnr") & (rows.phase == "attack")]
    kinds = {json.loads(c)["kind"] for c in attacked[attacked.method == "mol-lr"].condition}
    assert kinds == {"pgd", "gaussian", "transfer"}
    again = bench.run_suite("measures", tmp_path, only=["modl", "mol-lr"])
    assert again.cached == set(again.statuses)  # nothing is measured twice


@pytest.mark.slow
def test_the_whole_suite_of_measurements(tmp_path: Path) -> None:
    """About an hour."""
    outcome = bench.run_suite("measures", tmp_path)
    check(tmp_path, outcome, set(registry.methods()))


def test_every_method_is_measured() -> None:
    suite = load("measures")
    assert {entry.name for entry in suite.methods} == set(registry.methods())
    assert {entry.question for entry in suite.measure} == set(QUESTIONS)


def small(**changes: Any) -> Suite:
    given = load("measures").model_dump()
    given |= {"methods": ["sense", "modl"], "measure": ["time", "memory"], "seeds": [0]}
    return Suite(**{**given, **changes})


def keys(suite: Suite, question: str, machine: Machine) -> set[str]:
    table = expand(suite, machine=machine).table["jobs"]
    return {row["job"] for row in table if row["question"] == question}


def test_keys_take_the_machine_and_nothing_of_other_questions() -> None:
    one, two = Machine("cpu", 1), Machine("cpu", 2)
    gpu = Machine("NVIDIA X", 1)
    found = [keys(small(), "memory", machine) for machine in (one, two, gpu)]
    assert not found[0] & found[1] and not found[0] & found[2]
    added = small(measure=["memory", "evaluations", "time"], title="another")
    assert keys(added, "memory", one) == found[0]
    plan, again = expand(small(), machine=one), expand(small(), machine=gpu)
    for kind in ("fit", "evaluate"):  # what is trained does not depend on it
        assert {k for k, job in plan.jobs.items() if job.kind == kind} == {
            k for k, job in again.jobs.items() if job.kind == kind
        }


def test_a_measurement_asks_the_first_seed_or_all() -> None:
    for every, expected in ((False, 2), (True, 3)):  # SENSE is the same for both seeds
        entry = {"question": "evaluations", "every_seed": every}
        suite = small(measure=[entry], seeds=[3, 4])
        assert len(keys(suite, "evaluations", Machine())) == expected


def test_a_transfer_waits_for_its_source_and_for_nothing_else() -> None:
    """Also where the question is not asked of the source: its job is planned all the same."""
    config = {"threat": "kspace-l2", "epsilon": [0.1], "transfer_from": "modl"}
    for patterns in ([], ["sense"]):
        entry = {"question": "robustness", "config": config, "methods": patterns}
        plan = expand(small(measure=[entry]))
        before: set[str] = set()
        for key, job in plan.jobs.items():
            assert set(job.requires) <= before  # a parent that is not planned would never end
            before.add(key)
        rows = [row["method"] for row in plan.table["jobs"] if row["question"]]
        assert sorted(rows) == ["modl", "sense"]
    elsewhere = {"name": "srcnn", "train_on": ["photographs"], "test_on": ["photographs"]}
    methods = ["sense", elsewhere]
    entry = {"question": "robustness", "config": {**config, "transfer_from": "srcnn"}}
    entry["tasks"] = ["phantom"]
    with pytest.raises(InputError, match="srcnn is not tested on phantom"):
        expand(small(methods=methods, measure=[entry]))


def test_what_is_timed_runs_alone() -> None:
    jobs = expand(small()).jobs.values()
    assert {job.settings["question"] for job in jobs if job.alone} == {"time"}


def test_memory_needs_no_training(tmp_path: Path) -> None:
    """A suite that trains nothing: only measurements run, and LUSER's batches stand beside ours."""
    given = {
        "name": "untrained",
        "tasks": {"sharp": {"task": "deblur", "config": {"size": 24}}},
        "train_on": ["sharp"],
        "methods": [
            {"name": "luser-sw", "config": {"width": 8, "groups": 2, "stages": 2}},
            {"name": "modl", "config": {"width": 8, "iterations": 2}},
        ],
        "measure": [
            {"question": "memory", "config": {"batches": [1]}},
            {"question": "batch-size", "config": {"gpus": ["8GB"], "most": 16}},
        ],
        "train": False,
    }
    path = tmp_path / "untrained.yaml"
    path.write_text(json.dumps(given))
    outcome = bench.run_suite(str(path), tmp_path / "out")
    assert outcome.ok, outcome.errors
    assert set(bench.load_jobs(tmp_path / "out").kind) == {"measure"}
    write_report(tmp_path / "out")
    folder = tmp_path / "out/report/untrained"
    batches = (folder / "batches.md").read_text()
    assert "2210.04987" in batches and "≥ 16" in batches
    luser = next(line for line in batches.splitlines() if line.startswith("| sharp | luser-sw"))
    assert luser.rstrip(" |").endswith("10")  # of 8 GB, in the paper
    assert "memory" in (folder / "memory.md").read_text().lower()
    with pytest.raises(InputError, match="needs a fit"):
        expand(Suite(**{**given, "measure": ["time"]}))


def test_the_shipped_memory_suite_is_planned() -> None:
    table = expand(load("memory")).table["jobs"]
    assert {row["kind"] for row in table} == {"measure"}
