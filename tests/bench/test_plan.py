"""Plans of many jobs: fast, and under the keys that results are stored under."""

import hashlib
import json
import time
from dataclasses import asdict, replace

import pytest

from bench.engines.local import LocalEngine
from bench.engines.process import Placement
from bench.jobs.spec import NOT_IN_KEY, Job, Settled
from bench.planning.plan import expand
from bench.planning.suite import Suite
from bench.runner import run
from bench.store import Result, Store

SECONDS = 2.0  # of one processor, for ten thousand jobs

SMALL = {"task": "mri-multicoil", "config": {"size": 32, "coils": 3}}
FAST = {**SMALL, "config": {**SMALL["config"], "acceleration": 6, "center_fraction": 0.1}}
MOL = {"name": "mol-lr", "variant": "stable", "config": {"width": 4, "depth": 2}}
TASKS = {
    "name": "large",
    "tasks": {"a": SMALL, "b": FAST},
    "train_on": ["a"],
    "test_on": ["a", "b"],
}
AXES = {
    "m": {"field": "config.m", "values": [0.01 * n for n in range(1, 21)]},
    "alpha": {"field": "config.alpha", "values": [0.001 * n for n in range(1, 18)]},
}


@pytest.mark.alone
@pytest.mark.parametrize(
    "more",
    [
        {"methods": ["modl", MOL], "seeds": list(range(1667))},
        {"methods": [MOL], "axes": AXES, "grid": [["m", "alpha"]], "seeds": list(range(10))},
    ],
    ids=["seeds", "grid"],
)
def test_ten_thousand_jobs_are_planned_in_seconds(more):
    suite = Suite(**TASKS, **more)
    expand(suite, seeds=[0], only=["modl", "mol-lr*m = 0.01*"])  # imports are of the process
    started = time.process_time()
    plan = expand(suite)
    taken = time.process_time() - started
    assert len(plan.jobs) > 10_000 and taken < SECONDS
    # every job is there with what it needs, and parents go first
    before: set[str] = set()
    for key, job in plan.jobs.items():
        assert set(job.requires) <= before
        before.add(key)


def test_a_key_is_what_it_always_was():
    job = Job(
        kind="fit",
        method="modl",
        config={"width": 4, "stages": [{"name": "unrolled", "share": 1.0}], "none": None},
        task="mri-multicoil",
        task_config={"size": 32, "exclude": ["a"]},
        data_seed=0,
        train_seed=1,
        content="c",
        split="s",
        settings={"recipe": {"learning_rate": 1e-3}, "training": {"steps": 6}},
        definitions={"bench.training": "v2"},
        requires=("0123456789abcdef",),
        variant="stable",
        bibtex="@article{}",
    )
    assert job.key == KEY
    assert Job.read(json.loads(json.dumps(job.describe()))).key == job.key
    settled = replace(job, config=Settled(job.config), definitions=Settled(job.definitions))
    assert settled.key == KEY and settled.describe() == job.describe()
    # by the definition, written another way
    content = {name: value for name, value in asdict(job).items() if name not in NOT_IN_KEY}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest().startswith(KEY)


KEY = "1b8cc844ffec035b"


def test_a_line_may_have_seeds_of_its_own():
    lines = ["sense", "modl", {"name": "mol-lr", "seeds": [4]}]
    suite = Suite(**TASKS, methods=lines, seeds=[0, 1])
    for given, expected in (
        (None, {"modl": {0, 1}, "mol-lr": {4}}),
        ([7], {"modl": {7}, "mol-lr": {7}}),
    ):
        rows = expand(suite, seeds=given).table["jobs"]
        for name, seeds in expected.items():
            assert {row["train_seed"] for row in rows if row["method"] == name} == seeds


VARIED = {
    "weight": {"field": "config.weight", "values": [0.01, 0.1], "methods": ["sense"]},
    "m": {"field": "config.m", "values": [0.1, 0.2], "methods": ["mol-lr*"]},
    "width": {"field": "config.width", "values": [2, 4], "methods": ["mol-lr*"]},
}


def table_of_runs(folder, *runs, **config):
    """The suite's table after runs of these axes, as if every job had ended well."""
    mol = {**MOL, "config": MOL["config"] | config}
    suite = Suite(**TASKS, methods=["sense", mol], axes=VARIED, ablate=list(VARIED))
    store = Store(folder)
    for axes in runs:
        plan = expand(suite, axes=axes)
        for key, job in plan.jobs.items():
            store.write_job(key, job.describe())
            store.write_result(key, Result("ok"))
        run(plan, store, LocalEngine(store, Placement(), 1))
    return store.suites()["large"]


def test_axes_that_are_run_one_after_the_other_are_those_of_one_run(tmp_path):
    whole = table_of_runs(tmp_path / "whole", list(VARIED))
    assert table_of_runs(tmp_path / "parts", *([name] for name in VARIED)) == whole
    assert {name: set(axis["base"]) for name, axis in whole["axes"].items()} == {
        "weight": {"sense"},
        "m": {"mol-lr (stable)"},
        "width": {"mol-lr (stable)"},
    }


def test_a_method_that_has_changed_stands_elsewhere_on_every_axis(tmp_path):
    table_of_runs(tmp_path, ["m"], ["weight"], m=0.1)
    axes = table_of_runs(tmp_path, ["width"], m=0.2)["axes"]
    assert axes["m"]["base"] == {"mol-lr (stable)": "0.2"}
    assert set(axes["weight"]["base"]) == {"sense"}  # of an earlier run
