"""From a suite as it is written to the lines that are run: selection, axes, data, scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.config import merged
from bench.errors import InputError
from bench.planning.plan import expand
from bench.planning.resolve import resolved, with_named_methods
from bench.planning.suite import Suite
from bench.planning.suite_files import load, load_all, shipped
from bench.registry import method_class, methods

TASK = {"task": "mri-multicoil", "config": {"size": 64, "coils": 4}}


def suite(**fields: Any) -> Suite:
    content = {"name": "a", "tasks": {"4x": TASK}, "train_on": ["4x"], "methods": ["mol-lr"]}
    return Suite(**(content | fields))


def lines(resolved_suite: Suite) -> list[str]:
    return [entry.shown_as for entry in resolved_suite.methods]


# ---------------------------------------------------------------------- methods by family and task


def test_a_family_is_all_of_it_and_named_lines_go_first() -> None:
    named = {"name": "mol-lr", "config": {"width": 8}}
    found = with_named_methods(suite(methods=[{"family": "mol"}, named])).methods
    family = {name for name, cls in methods().items() if cls.family == "mol"}
    assert {entry.name for entry in found} == family
    (line,) = [entry for entry in found if entry.name == "mol-lr"]
    assert line.config == {"width": 8}


def test_what_supports_a_task_joins_without_an_edit() -> None:
    found = with_named_methods(suite(methods=[{"supports": ["mri-cine", "mri-3d"]}])).methods
    wanted = [n for n, cls in methods().items() if {"mri-cine", "mri-3d"} <= set(cls.tasks)]
    assert [entry.name for entry in found] == wanted and "modl" in wanted


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"family": "mool"}, "unknown family 'mool'.*expected one of mol"),
        ({"supports": "mri"}, "unknown supports 'mri'"),
    ],
)
def test_an_unknown_family_or_task_is_refused(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        with_named_methods(suite(methods=[entry]))


# ---------------------------------------------------------------------- axes

M = {"field": "config.m", "values": [0.1, 0.2]}
SOLVER = {
    "settings": {
        "Picard": {"config.equilibrium.forward.method": "picard"},
        "Anderson": {"config.equilibrium.forward.method": "anderson"},
    }
}


def test_one_axis_at_a_time_and_a_grid() -> None:
    axes = {"m": M, "solver": SOLVER}
    alone = resolved(suite(axes=axes, ablate=["m", "solver"]))
    assert lines(alone) == [
        "mol-lr",
        "mol-lr, m = 0.1",
        "mol-lr, m = 0.2",
        "mol-lr, solver = Picard",
        "mol-lr, solver = Anderson",
    ]
    assert {entry.base for entry in alone.methods} == {"mol-lr"}
    grid = resolved(suite(axes=axes, grid=[["m", "solver"]]))
    assert [entry.settings for entry in grid.methods] == [
        {"m": m, "solver": solver} for m in ("0.1", "0.2") for solver in ("Picard", "Anderson")
    ]


def test_chosen_axes_are_what_they_vary_beside_the_methods_as_they_are() -> None:
    axes = {"m": M | {"methods": ["mnm-mol"]}, "solver": SOLVER | {"methods": ["mol-lr"]}}
    methods = ["mnm-mol", "mol-lr", "mol-sn"]
    whole = suite(methods=methods, axes=axes, ablate=["m", "solver"])
    chosen = expand(whole, axes=["m"])
    assert list(dict.fromkeys(row["method"] for row in chosen.table["jobs"])) == [
        "mnm-mol",
        "mnm-mol, m = 0.1",
        "mnm-mol, m = 0.2",
    ]
    assert {**chosen.jobs, **expand(whole, axes=["solver"]).jobs}.items() <= expand(
        whole
    ).jobs.items()  # the same jobs: the others may follow in the same folder
    both = {"m": M, "solver": SOLVER}
    grid = suite(axes=both, ablate=["m"], grid=[["m", "solver"]])
    assert len(expand(grid, axes=["m"]).jobs) == 2 * 3
    assert len(expand(grid, axes=["m", "solver"]).jobs) == len(expand(grid).jobs)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"axes": {"m": M}, "ablate": ["m"]}, "--axis: unknown axis 'mm'.*m"),
        ({}, "--axis: unknown axis 'mm'.*varies none"),
        ({"axes": {"mm": M}}, "--axis: unknown axis 'mm'.*varies none"),
    ],
)
def test_an_axis_that_the_suite_does_not_vary_is_refused(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        expand(suite(**fields), axes=["mm"])


def test_an_axis_changes_one_field_and_leaves_the_rest_of_the_variant() -> None:
    line = {"name": "mol-lr", "variant": "stable"}
    plan = expand(suite(methods=[line], axes={"solver": SOLVER}, ablate=["solver"]))
    fits = [job for job in plan.jobs.values() if job.kind == "fit"]
    assert len(fits) == 2  # what is set to what it is already is the same job
    solvers = [fit.config["equilibrium"]["forward"] for fit in fits]
    changed = {name for name in solvers[0] if solvers[0][name] != solvers[1][name]}
    assert changed == {"method"}
    axis = plan.table["axes"]["solver"]
    assert axis["base"] == {"mol-lr (stable)": "Anderson"}
    shown = [(row["base"], row["settings"]) for row in plan.table["jobs"] if row["kind"] == "fit"]
    assert ("mol-lr (stable)", {"solver": "Picard"}) in shown


def test_an_axis_of_the_training_task_trains_elsewhere_and_tests_in_place() -> None:
    axes = {"noise": {"field": "train.noise", "values": [0.0, 0.03]}}
    plan = expand(suite(axes=axes, ablate=["noise"]))
    rows = [row for row in plan.table["jobs"] if row["kind"] == "evaluate"]
    assert {row["test_task"] for row in rows} == {"4x"}
    noises = {row["train_task"]: plan.jobs[row["job"]] for row in plan.table["jobs"]}
    assert set(noises) == {"4x", "4x, noise = 0", "4x, noise = 0.03"}
    fits = [job for job in plan.jobs.values() if job.kind == "fit"]
    assert sorted(job.task_config["noise"] for job in fits) == [0.0, 0.01, 0.03]


def test_a_setting_at_test_time_retrains_nothing() -> None:
    axes = {"stop": {"field": "evaluate.inference.fixed_iterations", "values": [2, 4]}}
    plan = expand(suite(axes=axes, ablate=["stop"]))
    kinds = [job.kind for job in plan.jobs.values()]
    assert kinds.count("fit") == 1 and kinds.count("evaluate") == 3


def test_what_a_line_changes_holds_at_every_scale_and_below_an_axis() -> None:
    line = {"name": "mol-lr", "changes": {"training.steps": 77, "config.m": 0.5}}
    for scale in ("smoke", "small", "reference", "paper"):
        assert resolved(suite(methods=[line]), scale=scale).methods[0].training["steps"] == 77
    found = resolved(suite(methods=[line], axes={"m": M}, ablate=["m"]))
    varied = [entry.config["m"] for entry in found.methods]
    assert varied == [0.5, *M["values"]]
    assert {entry.training["steps"] for entry in found.methods} == {77}


def test_another_method_may_be_a_setting() -> None:
    axes = {"weights": {"settings": {"shared": {"name": "luser-sw"}, "own": {"name": "luser-dw"}}}}
    found = resolved(suite(methods=["luser-sw"], axes=axes, ablate=["weights"]))
    assert [entry.name for entry in found.methods] == ["luser-sw", "luser-sw", "luser-dw"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ablate": ["mm"], "axes": {"m": M}}, "unknown axis 'mm'.*one of m"),
        ({"grid": [["m"]]}, "unknown axis 'm'"),
        ({"axes": {"m": {"field": "confg.m", "values": [1]}}}, "'confg.m' is no field of a line"),
        ({"axes": {"m": {"field": "config", "values": [1]}}}, "'config' is no field of a line"),
        ({"axes": {"m": {"field": "config.mm", "values": [1]}}, "ablate": ["m"]}, "unknown key"),
        ({"methods": [{"name": "modl", "changes": {"x.y": 1}}]}, "changes of modl: 'x.y' is no"),
        ({"methods": [{"name": "modl", "changes": {"name": "mol-lr"}}]}, "'name' is no field"),
        ({"methods": [{"name": "modl", "changes": {"training.steps.x": 1}}]}, "training.steps"),
        ({"methods": [{"name": "modl", "changes": {"evaluate.samples": "x"}}]}, "samples: 'x'"),
        (
            {"methods": [{"name": "modl", "config": {"a": 1}, "changes": {"config.a.b": 1}}]},
            "changes of modl: 'a' in 'config.a.b' has no fields",
        ),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        expand(suite(**fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("axes: {m: {field: config.m, values: []}}", "an empty axis"),
        ("axes: {m: {title: nothing}}", "an empty axis"),
        ("grid: [[]]", "grid.0"),
        ("axes: {m: {field: config.m, values: [1], settings: {a: {config.m: 2}}}}", "or settings"),
        ("scale: tiny", "scale"),
        ("methods: [{label: nameless}]", "a method has a name"),
    ],
)
def test_a_file_with_an_empty_axis_is_refused(tmp_path: Path, fields: str, words: str) -> None:
    head = "name: a\ntasks: {t: {task: ct}}\ntrain_on: [t]\n"
    body = fields if fields.startswith("methods") else "methods: [sense]\n" + fields
    (tmp_path / "a.yaml").write_text(head + body)
    with pytest.raises(InputError, match=words) as refused:
        load(str(tmp_path / "a.yaml"))
    assert "\n" not in str(refused.value)


# ---------------------------------------------------------------------- data by role


def test_a_role_takes_the_papers_data_or_says_what_stands_in(tmp_path: Path) -> None:
    wanted = suite(tasks={"4x": {**TASK, "data": "brain"}})
    (embedded,) = resolved(wanted).tasks.values()
    assert embedded.config["dataset"] == "brain-phantom"
    assert embedded.fallback.startswith("the embedded brain phantom in place of")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "brain_t2_complex_siat200.npz").touch()
    (open_data,) = resolved(wanted, tmp_path).tasks.values()
    assert open_data.config["dataset"] == "complex-images"
    assert "calgary-campinas is not in the data folder" in open_data.fallback
    (tmp_path / "calgary-campinas").mkdir()
    (papers,) = resolved(wanted, tmp_path).tasks.values()
    assert papers.config["dataset"] == "prepared" and papers.fallback == ""
    assert papers.config["size"] == 64  # the suite's own fields stay


@pytest.mark.parametrize(("task", "role"), [("mri-multicoil", "brian"), ("ct", "brain")])
def test_a_role_that_is_none_is_refused(task: str, role: str) -> None:
    with pytest.raises(InputError, match=r"suite a: tasks\.t\.data"):
        resolved(suite(tasks={"t": {"task": task, "data": role}}, train_on=["t"]))


# ---------------------------------------------------------------------- scales


def test_a_scale_goes_before_the_suite_and_an_axis_before_the_scale() -> None:
    axes = {"width": {"field": "config.width", "values": [48]}}
    wanted = suite(axes=axes, ablate=["width"], training={"steps": 999}, seeds=[3, 4])
    written = resolved(wanted)
    assert written.training == {"steps": 999} and written.tasks["4x"].config["size"] == 64
    smoke = resolved(wanted, scale="smoke")
    base, varied = smoke.methods
    assert smoke.training["steps"] < 10 and smoke.seeds == [3]
    assert smoke.tasks["4x"].config["size"] == 48
    assert base.variant == varied.variant == "stable"
    assert base.config["width"] == 8 and varied.config["width"] == 48
    assert smoke.note.startswith("Scale smoke")
    assert base.shown_as == "mol-lr" and varied.shown_as == "mol-lr, width = 48"


def test_released_weights_keep_their_size() -> None:
    entry = {"name": "mol-lr", "weights": {"file": "x.pth"}}
    (line,) = resolved(suite(methods=[entry]), scale="smoke").methods
    assert line.config == {} and line.variant is None


def test_every_scale_knows_every_method_that_has_a_width() -> None:
    """A new method joins every suite: at its full width it would take hours there."""
    from bench.planning.scales import scaled

    wide = [n for n, c in methods().items() if "width" in c.Config.__dataclass_fields__]
    for scale in ("smoke", "small"):
        found = scaled(suite(methods=wide), scale)
        narrow = [entry.name for entry in found.methods if "width" in entry.config]
        assert narrow == wide, set(wide) - set(narrow)


# ---------------------------------------------------------------------- shipped suites


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_suite_is_resolved_at_every_scale(name: str) -> None:
    for one in load_all(name)[1]:
        for scale in ("smoke", "small", "paper"):
            found = resolved(one, scale=scale)
            labels = [
                (entry.shown_as, entry.variant, *(entry.train_on or ())) for entry in found.methods
            ]
            assert len(labels) == len(set(labels))
            for entry in found.methods:
                method_class(entry.name)


def test_a_collection_is_its_suites_and_nothing_else(tmp_path: Path) -> None:
    name, suites = load_all("full")
    assert name == "full" and "quick" in [one.name for one in suites]
    with pytest.raises(InputError, match="several suites"):
        load("full")
    (tmp_path / "a.yaml").write_text("name: a\nsuites: [full]\n")
    with pytest.raises(InputError, match="is a collection itself"):
        load_all(str(tmp_path / "a.yaml"))


def test_merging_goes_into_mappings_and_replaces_the_rest() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merged(base, {"a": {"c": [3]}, "d": {"e": 2}}) == {
        "a": {"b": 1, "c": [3]},
        "d": {"e": 2},
    }
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}
