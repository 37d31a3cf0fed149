"""Suites: what determines a job's key, what does not, and what is refused."""

from pathlib import Path

import pytest

from bench.definitions import changed
from bench.errors import InputError
from bench.planning.plan import expand
from bench.planning.suite_files import load, load_all, shipped


def keys(path, **options):
    return set(expand(load(str(path)), **options).jobs)


@pytest.mark.parametrize("name", [name for name in shipped() if len(load_all(name)[1]) == 1])
def test_every_shipped_suite_is_planned(name, data_root):
    assert expand(load(name), data_root).jobs


def test_key_ignores_what_changes_no_number(write_suite):
    def relabel(content):
        content["name"], content["note"], content["tasks"]["small"]["title"] = "other", "n", "t"
        content["methods"].reverse()
        content["methods"][1]["label"] = "My MoDL"

    assert keys(write_suite()) == keys(write_suite(relabel, "other"))


def test_key_holds_what_changes_numbers(write_suite):
    base = expand(load(str(write_suite())))

    def new_jobs(change, **options):
        other = expand(load(str(write_suite(change, "other"))), **options)
        new = [job for key, job in other.jobs.items() if key not in base.jobs]
        return sorted((job.kind, job.method) for job in new)

    def steps(content):
        content["training"]["steps"] = 7

    def width(content):
        content["methods"][2]["config"]["width"] = 5

    def acceleration(content):
        content["tasks"]["fast"]["config"]["acceleration"] = 5

    trained = [("fit", "modl"), ("fit", "mol-lr")]
    # another length of training concerns what is trained, and nothing else
    assert [job for job in new_jobs(steps) if job[0] == "fit"] == trained
    assert new_jobs(width) == [("evaluate", "modl")] * 2 + [("fit", "modl")]
    # another test acceleration evaluates anew and retrains nothing
    assert {kind for kind, _ in new_jobs(acceleration)} == {"evaluate"}
    assert [job for job in new_jobs(None, seeds=[1]) if job[0] == "fit"] == trained


def test_only_and_exclude(write_suite):
    plan = expand(load(str(write_suite())), only=["mo*"], exclude=["mol-*"])
    assert {job.method for job in plan.jobs.values()} == {"modl"}
    with pytest.raises(InputError, match="no method is left"):
        expand(load(str(write_suite())), only=["nothing"])


def test_no_definition_changed_without_its_version():
    """CI's guard: run `python -m bench.definitions --check` to see and mend what is listed."""
    assert changed() == []


def _set(*path_and_value):
    *path, last, value = path_and_value

    def change(content):
        for part in path:
            content = content[part]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_set("metods", []), "unknown key 'metods'"),
        (_set("seeds", "two"), "seeds:"),
        (_set("name", "../escape"), "name:"),
        (_set("methods", ["modll"]), "unknown name 'modll' (expected one of modl"),
        (_set("methods", []), "methods:"),
        (_set("tasks", "small", "task", "mri-multicol"), "expected one of mri-multicoil"),
        (_set("tasks", "small", "config", {"acceleration": 0.5}), "acceleration = 0.5"),
        (_set("tasks", "small", "config", {"acceleration": 20}), "at most 1 / acceleration = 0.05"),
        (_set("tasks", "small", "config", {"size": 8}), "size = 8 (expected 32 to 512 pixels)"),
        (_set("tasks", "small", "config", {"size": "big"}), "size: 'big' (expected int)"),
        (_set("tasks", "small", "config", {"coils": 0}), "coils = 0"),
        (_set("tasks", "small", "config", {"split": "mine"}), "mine"),
        (_set("tasks", "small", "config", {"dataset": "kspace", "file": "x"}), "--data DIR"),
        (_set("test_on", ["smal"]), "unknown task label 'smal'"),
        (_set("training", {"steps": 0}), "steps = 0"),
        (_set("training", {"batch_size": 200}), "150 train samples (expected at least 200"),
        (_set("seeds", [-1]), "seeds.0:"),
        (_set("evaluate", {"artefacts": 2}), "unknown key 'artefacts'"),
        (_set("methods", 2, "recipe", {"los": 1}), "unknown key 'los'"),
        (_set("methods", 3, "variant", "fast"), "has no variant 'fast'"),
    ],
)
def test_bad_suites_are_refused_before_any_work(write_suite, change, expected):
    with pytest.raises(InputError) as caught:
        expand(load(str(write_suite(change))))
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_not_yaml(tmp_path: Path):
    path = tmp_path / "broken.yaml"
    path.write_text("methods: [sense")
    with pytest.raises(InputError, match="not YAML"):
        load(str(path))
    with pytest.raises(InputError, match=r"unknown suite 'quik' .expected one of quick"):
        load("quik")


def with_backbone(content):
    content["methods"] = [
        {"name": "unet", "config": {"width": 4, "pools": 1}, "training": {"steps": 3}},
        {
            "name": "mcnet",
            "backbone": {
                "name": "unet",
                "config": {"width": 4, "pools": 1},
                "training": {"steps": 3},
            },
            "config": {"width": 4, "depth": 3},
        },
        {"name": "mcnet", "label": "mcnet (default backbone)", "config": {"width": 4}},
    ]


def test_a_backbone_is_a_job_of_its_own_that_suites_share(write_suite):
    plan = expand(load(str(write_suite(with_backbone))))
    by_label = {(row["method"], row["kind"]): row["job"] for row in plan.table["jobs"]}
    backbone = by_label["mcnet", "backbone"]
    assert backbone == by_label["unet", "fit"]
    assert plan.jobs[by_label["mcnet", "fit"]].requires == (backbone,)
    other = by_label["mcnet (default backbone)", "backbone"]
    assert other != backbone
    assert plan.jobs[other].method == "unet"
    order = list(plan.jobs)
    assert order.index(backbone) < order.index(by_label["mcnet", "fit"])


def test_methods_can_have_tasks_of_their_own(write_suite):
    def change(content):
        content["tasks"]["photographs"] = {"task": "superres", "config": {"scale": 3}}
        only = {"train_on": ["photographs"], "test_on": ["photographs"]}
        content["methods"] = ["zero-filled", {"name": "rcan", "config": {"groups": 1}, **only}]

    plan = expand(load(str(write_suite(change))))
    (fit,) = [job for job in plan.jobs.values() if (job.method, job.kind) == ("rcan", "fit")]
    # what the task says is filled in
    assert fit.config["channels"] == 1
    assert fit.config["scale"] == 3


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"name": "mcnet", "backbone": "unett"}, "unet"),
        ({"name": "mcnet", "backbone": "srcnn"}, "mri-multicoil"),
        ({"name": "modl", "backbone": "unet"}, "not built on"),
        ({"name": "srcnn"}, "superres"),
        ({"name": "modl", "test_on": ["smal"]}, "small"),
        ({"name": "mol", "weights": {"file": "/nowhere.pth", "layout": "mol"}}, "no such file"),
        ({"name": "deepinv:Nothing"}, "unknown name"),
        (
            {"name": "deepinv:PGD", "config": {"arguments": {"prior": {"deepinv": "TVPriorr"}}}},
            "TVPrior",
        ),
        ({"name": "mnm-mol", "config": {"delta": 0.0}}, "delta = 0.0"),
        ({"name": "mol", "config": {"alpha": 1.2}}, "alpha = 1.2"),
        ({"name": "mol-sn", "config": {"m": 1.0}}, "m = 1.0"),
        ({"name": "luser-dw", "config": {"stages": 0}}, "stages = 0"),
    ],
)
def test_a_method_outside_its_domain_is_refused_before_any_work(write_suite, entry, named):
    def change(content):
        content["methods"] = [entry]

    with pytest.raises(InputError) as error:
        expand(load(str(write_suite(change))))
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_unavailable_has_lines_and_no_jobs(write_suite):
    def change(content):
        content["methods"] = ["zero-filled", {"name": "varnet", "unavailable": "no weights"}]

    plan = expand(load(str(write_suite(change))))
    assert {job.method for job in plan.jobs.values()} == {"zero-filled"}
    lines = [row for row in plan.table["jobs"] if row["method"] == "varnet"]
    assert [(row["job"], row["test_task"]) for row in lines] == [
        ("unavailable", "small"),
        ("unavailable", "fast"),
    ]
