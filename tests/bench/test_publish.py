"""results/publish.py: what is committed of a run, and what is left out."""

import copy
import hashlib
import importlib.util
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

import bench
from bench.store import Store, load_suites
from bench.weights import load_method
from tests.conftest import REPO_ROOT
from tests.program import run

SIAT = "images/brain_t2_complex_siat200.npz"  # whose licence nobody stated


@pytest.fixture(scope="module")
def publish():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("publish", REPO_ROOT / "results" / "publish.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source(tmp_path_factory, tiny):
    """Two seeds, a training that diverges, pictures that may be shown and such that may not."""
    folder = tmp_path_factory.mktemp("publish")
    suite = copy.deepcopy(tiny)
    suite["tasks"]["fast"]["config"] |= {"dataset": "complex-images", "file": SIAT}
    modl = suite["methods"][2]
    diverging = {**modl, "label": "fast modl", "changes": {"recipe.learning_rate": 1e30}}
    suite["methods"], suite["seeds"] = [modl, {**diverging, "seeds": [0]}], [0, 1]
    suite["evaluate"]["samples"] = 1
    data = folder / "data"
    (data / "images").mkdir(parents=True)
    images = np.random.default_rng(0).integers(-999, 999, (200, 32, 32, 2), np.int16)
    np.savez(data / SIAT, data=images, scale=np.full(200, 1e-3))
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(suite))
    run("run", file, "--out", folder / "out", "--data", data, code=1)
    return Store(folder / "out")


@pytest.fixture
def published(source, publish, tmp_path):
    publish.publish(source, "tiny", tmp_path / "tiny")
    return tmp_path / "tiny"


def test_all_numbers_and_the_failure_are_there(source, published):
    def sorted_rows(folder):
        rows = bench.load_rows(folder)
        return rows.sort_values(list(rows.columns)).reset_index(drop=True)

    pd.testing.assert_frame_equal(sorted_rows(published), sorted_rows(source.root))
    jobs = bench.load_jobs(published)
    assert set(jobs.status) == {"ok", "diverged", "blocked"}
    assert jobs.environment.notna().all()
    table = (published / "tables" / "table.csv").read_text()
    assert "blocked: fit diverged" in table
    assert load_suites(published).keys() == {"tiny"}


def test_pictures_are_of_open_data_and_the_first_seed(source, published):
    wanted = {
        line["job"]
        for line in source.suites()["tiny"]["jobs"]
        if line["test_task"] == "small" and line["train_seed"] == 0
    }
    shown = {path.parts[-3] for path in published.glob("jobs/*/artifacts/*")}
    assert shown and shown <= wanted
    assert {path.suffix for path in published.rglob("*") if path.is_file()} <= {
        *("", ".csv", ".json", ".npz", ".parquet")
    }


def test_what_has_not_finished_is_left_out_only_on_request(source, publish, tmp_path):
    shutil.copytree(source.root, tmp_path / "part")
    part = Store(tmp_path / "part")
    lines = part.suites()["tiny"]["jobs"]
    missing = next(line["job"] for line in lines if line["test_task"] == "fast")
    (part.folder(missing) / "result.json").unlink()
    with pytest.raises(SystemExit, match="1 jobs have not finished"):
        publish.publish(part, "tiny", tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()
    publish.publish(part, "tiny", tmp_path / "tiny", finished=True)
    kept = {line["job"] for line in load_suites(tmp_path / "tiny")["tiny"]["jobs"]}
    assert kept == {line["job"] for line in lines} - {missing}
    assert missing not in set(bench.load_rows(tmp_path / "tiny").job)


def test_checkpoints_are_of_the_first_seed_and_have_cards(source, publish, tmp_path):
    publish.publish_checkpoints(source, "tiny", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"modl.safetensors", "modl.md"}
    lines = source.suites()["tiny"]["jobs"]
    (fit,) = (
        line["job"]
        for line in lines
        if (line["kind"], line["method"], line["train_seed"]) == ("fit", "modl", 0)
    )
    weights = tmp_path / "modl.safetensors"
    assert weights.read_bytes() == source.checkpoint(fit).read_bytes()
    assert load_method(weights).config.width == 4
    card = (tmp_path / "modl.md").read_text()
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    rows = bench.load_rows(source.root)
    best = rows[(rows.job == fit) & (rows.metric == "best_validation_psnr")].value.item()
    said = [f"**Job:** {fit}", f"**SHA-256:** {digest}", f"PSNR:** {best:.2f} dB", "6 steps"]
    assert all(part in card for part in said), card


def test_two_trainings_of_one_method_are_not_one_checkpoint(source, publish, tmp_path):
    shutil.copytree(source.root, tmp_path / "two")
    two = Store(tmp_path / "two")
    table = two.suites()["tiny"]
    line = next(e for e in table["jobs"] if e["kind"] == "fit" and e["train_seed"] == 1)
    table["jobs"].append({**line, "method": "modl again", "train_seed": 0})
    two.write_suite("tiny", table)
    with pytest.raises(SystemExit, match="two trainings of modl"):
        publish.publish_checkpoints(two, "tiny", tmp_path / "checkpoints")
    assert not list((tmp_path / "checkpoints").glob("*"))
