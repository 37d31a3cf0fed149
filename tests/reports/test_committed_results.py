"""Committed results: tables and pages follow from rows, learning rates from the search."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import bench
from bench.pretrained import FOLDER
from bench.store import Store, load_suites
from bench.suite_files import load
from bench.weights import CHECKPOINTS
from reports import write_report

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference"
SCALE = ROOT / "bench" / "suites" / "shared" / "reference.yaml"


@pytest.mark.parametrize("folder", sorted(REFERENCE.glob("*/")), ids=lambda folder: folder.name)
def test_tables_follow_from_rows(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / folder.name)
    report = write_report(copy, ["csv"]).directory / folder.name
    committed = sorted(path.name for path in (folder / "tables").iterdir())
    assert committed == sorted(p.name for p in report.glob("*.csv") if p.name != "rows.csv")
    for name in committed:
        made, kept = (pd.read_csv(where / name) for where in (report, folder / "tables"))
        # processors add in different orders, which the last digits of intervals show
        pd.testing.assert_frame_equal(made, kept, check_exact=False, rtol=1e-9, obj=name)


def test_pages_follow_from_committed_results():
    command = [sys.executable, "docs/make_pages.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_learning_rates_are_those_that_the_search_found():
    table = load_suites(REFERENCE / "reference-search")["reference-search"]
    rows = bench.load_rows(REFERENCE / "reference-search")
    best = rows[rows.metric == "best_validation_psnr"].set_index("job").value
    found: dict[str, dict[float, float]] = {}
    for job in table["jobs"]:
        if job["kind"] == "fit":
            rate = float(job["settings"]["rate"])
            found.setdefault(job["base"], {})[rate] = best[job["job"]]
    methods = yaml.safe_load(SCALE.read_text())["methods"]  # what it changes of scale small
    for name, values in found.items():
        assert methods[name]["recipe"]["learning_rate"] == max(values, key=values.get), name


def test_equal_seconds_follow_from_the_committed_ones():
    """800 steps of MoDL take as long as a line's, a hundredth more or less."""
    phantom = load_suites(REFERENCE / "reference-phantom")["reference-phantom"]
    rows = bench.load_rows(REFERENCE / "reference-phantom")
    seconds = rows[rows.metric == "train_seconds"].set_index("job").value
    fits = {
        (job["method"].split(" ")[0], job["kind"]): seconds[job["job"]] / 800
        for job in phantom["jobs"]
        if job["kind"] in ("fit", "backbone") and job["train_seed"] == 0 and job["job"] in seconds
    }
    allowed = 800 * fits["modl", "fit"]
    for entry in load("reference-seconds").methods:
        steps = entry.changes.get("training.steps", 800)
        taken = steps * fits[entry.name, "fit"] + 800 * fits.get((entry.name, "backbone"), 0)
        assert taken == pytest.approx(allowed, rel=0.01), entry.name


def test_runs_go_on_from_what_is_committed(tmp_path):
    out = tmp_path / "runs"
    command = [sys.executable, "results/resume.py", "reference-phantom", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    committed, store = Store(REFERENCE / "reference-phantom"), Store(out)
    assert store.jobs() == committed.jobs()
    assert all(store.finished(key) for key in committed.jobs())
    cards = sorted((CHECKPOINTS / FOLDER).glob("*.md"))
    restored = {store.read_job(path.parent.name)["method"]: path for path in _checkpoints(store)}
    assert sorted(restored) == [card.stem for card in cards]
    for card in cards:
        digest = hashlib.sha256(restored[card.stem].read_bytes()).hexdigest()
        assert f"- **SHA-256:** {digest}" in card.read_text().splitlines()


def _checkpoints(store):
    return store.root.glob("jobs/*/checkpoint.safetensors")


def test_pandas_reads_the_rows_without_us():
    for folder in REFERENCE.glob("*/"):
        rows = pd.read_parquet(folder / "compact" / "rows.parquet")
        assert {"job", "metric", "value", "unit", "subject"} <= set(rows.columns)
        assert len(rows)
