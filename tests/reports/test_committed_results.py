"""Committed results: tables and pages follow from rows, learning rates from the search."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import bench
from bench.planning.pretrained import FOLDER
from bench.planning.suite_files import load
from bench.store import Store, load_suites
from bench.weights import CHECKPOINTS
from reports import write_report

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference"
CONVERGED = '{"stop": "converged"}'
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


def test_what_readme_says_was_found_follows_from_the_tables():
    """Its paragraphs are typed; their numbers are these."""
    text = " ".join((ROOT / "README.md").read_text().split())
    phantom, brain = means("reference-phantom", "4x"), means("reference-brain", "4x")
    acquired = means("reference-brain", "acquired")
    step = {name: peak("reference-phantom", "4x", name) / 1e6 for name in ("modl", "mol-lr")}
    lost = attacked("mol-lr"), attacked("modl")
    unseen, seen = coverage("unseen_error") * 100, coverage("psnr_seen")
    below = [name for name in acquired.index if acquired[name] < acquired["sense"]]
    assert sorted(below) == ["de-prox", "luser-dw", "luser-sw", "mcnet", "mol-sn", "zero-filled"]
    timed = means("reference-seconds", "4x")
    far = means("reference-phantom", "8x")
    ended = means("reference-phantom", "8x", "stopping", CONVERGED)
    norms = {name: measured("jacobian_norm", name).max() for name in ("mol-lr", "mnm-mol")}
    assert norms["mol-lr"] > 2
    for claim in (
        f"MOL-LR {brain['mol-lr']:.1f} dB and MoDL {brain['modl']:.1f},",
        f"MOL-SN {brain['mol-sn']:.1f}, SENSE {brain['sense']:.1f}.",
        f"level with MoDL, as in its paper ({brain['mnm-mol']:.1f})",
        f"MOL-LR (both {acquired['mol-lr']:.1f} dB) and MnM-MOL",
        f"MnM-MOL ({acquired['mnm-mol']:.1f}) carry over,",
        f"fall below SENSE ({acquired['sense']:.1f})",
        f"in {100 * coverage('unseen_pixels')['sense']:.0f} % of the pixels",
        f"{unseen['mcnet']:.0f} % of MCNet's squared error ({acquired['mcnet']:.1f} dB)",
        f"{unseen['mol-sn']:.0f} % of MOL-SN's",
        f"MCNet has {seen['mcnet']:.1f} dB and MOL-SN {seen['mol-sn']:.1f},",
        f"SENSE {seen['sense']:.1f}. On the phantom",
        f"MnM-MOL and MOL-LR both have {phantom['mnm-mol']:.1f} dB,",
        f"both have {phantom['mol-lr']:.1f} dB,",
        f"one of its three trainings then loses {seed_lost():.1f} dB.",
        f"MoDL (ten unrolled iterations) {phantom['modl']:.1f};",
        f"three are {phantom['modl'] - phantom['sense']:.1f} dB or more above SENSE",
        f"early, {far['modl'] - far['mnm-mol']:.1f} dB below MoDL;",
        f"on it is {far['modl'] - ended['mnm-mol']:.1f} below, and at 4x",
        f"MnM-MOL's is {norms['mnm-mol']:.2f} where 0.98",
        f"MOL-LR takes {step['mol-lr']:.0f} MB where MoDL's takes {step['modl']:.0f}",
        f"gains {phantom['mol-sn'] - phantom['sense']:.0f} dB on SENSE",
        f"1 % cost it {lost[0]:.1f} dB and MoDL {lost[1]:.1f},",
        f"are level, {timed['modl']:.1f} and {timed['mol-lr']:.1f} dB (one seed)",
    ):
        assert claim in text


def test_what_results_say_of_the_open_questions_follows_from_the_tables():
    text = " ".join((ROOT / "docs" / "results.md").read_text().split())
    far, near = means("reference-phantom", "8x"), means("reference-phantom", "4x")
    end = {"table": "stopping", "condition": CONVERGED}
    lost = near - means("reference-phantom", "4x", **end)
    gained = means("reference-phantom", "8x", **end) - far
    brain = means("reference-brain", "4x") - means("reference-brain", "4x", **end)
    capped = means("reference-brain", "8x", **end) - means("reference-brain", "8x")
    ended = means("reference-phantom", "8x", **end)
    rows = bench.load_rows(REFERENCE / "reference-phantom")
    rows = rows[(rows.metric == "train_seconds") & (rows.train_seed == 0)]
    seconds = rows.set_index("method").value
    claims = pd.read_csv(REFERENCE / "reference-phantom" / "tables" / "claims.csv")
    acts = claims[(claims.method == "mnm-mol") & (claims.metric == "penalty_acts")]["mean"].item()
    assert acts == 0.25  # "a quarter of the training images"
    ours, papers = ("reference-phantom", "4x"), ("memory", "brain")
    bounds = {json.loads(c)["formula"]: v for c, v in measured("bound").items()}
    for claim in (
        f"it is {near['mnm-mol'] - near['modl']:.1f} dB above MoDL at 4x",
        f"and {far['modl'] - far['mnm-mol']:.1f} below at 8x",
        f"it is {far['modl'] - ended['mnm-mol']:.1f} below at 8x.",
        f"threshold, is {near['mol-lr'] - near['mol-sn']:.1f} dB below MOL-LR",
        f"whose norm is {measured('jacobian_norm', 'mol-lr').max():.1f}.",
        f"MOL-LR loses {lost['mol-lr']:.1f} dB when it is iterated",
        f"and MnM-MOL {lost['mnm-mol']:.1f} (its third training {seed_lost():.1f});",
        f"at 8x MnM-MOL gains {gained['mnm-mol']:.1f},",
        f"1/{peak(*ours, 'modl') / peak(*ours, 'mol-lr'):.1f} of MoDL's bytes at this size",
        f"1/{peak(*papers, 'modl (K = 10)') / peak(*papers, 'mol-lr'):.1f} at the papers'",
        f"but {seconds['mol-lr'] / seconds['modl']:.1f} times the seconds (seed 0;",
        f"({peak(*papers, 'modl, checkpointed (K = 10)') / 1e6:.0f} MB",
        f"against {peak(*papers, 'mol-lr') / 1e6:.0f})",
        f"found {measured('worst_gain').max():.1f} for MOL-SN,",
        f"where the bound is {bounds['½√(λ/m)']:.1f};",
        f"λ/m is {bounds['λ/m']:.0f}",
        f"MCNet loses {brain['mcnet']:.1f} there",
        f"and {capped['mnm-mol']:.1f} on the brain images,",
        f"cap costs {capped['mol-lr']:.1f}.",
    ):
        assert claim in text


def test_what_results_say_of_the_other_suites_follows_from_the_tables():
    text = " ".join((ROOT / "docs" / "results.md").read_text().split())
    ct, deblurring = means("reference-imaging", "CT"), means("reference-imaging", "deblurring")
    assert ct.idxmax() == "sense"
    table = pd.read_csv(REFERENCE / "reference-imaging" / "tables" / "table.csv")
    ssim = table[(table.test_task == "CT") & (table.metric == "ssim")].set_index("method")["mean"]
    assert {name for name in ssim.index if ssim[name] > ssim["sense"]} == {"de-prox", "luser-sw"}
    assert deblurring.idxmax() == "de-prox"
    rows = bench.load_rows(REFERENCE / "reference-imaging")
    rows = rows[(rows.metric == "best_validation_psnr") & (rows.task == "ct")]
    best = rows.set_index("method").value
    assert 4 < best.drop("lu-dncnn").min() - best["lu-dncnn"] < best.max() - best["lu-dncnn"] < 6
    stops = pd.read_csv(REFERENCE / "reference-ablations" / "tables" / "ablation.csv")
    stops = stops[stops.metric == "psnr"]
    assert stops[stops.axis == "test-start"].difference.abs().max() < 0.2
    later = stops[(stops.axis == "stop") & (stops.of == "de-prox") & (stops.setting == "32")]
    ours = pd.read_csv(REFERENCE / "released-weights" / "tables" / "table.csv")
    ours = ours[ours.metric == "psnr"].set_index(["method", "test_task"])["mean"]
    assert abs(ours["mcnet (released, x2)", "set5-x2"] - 37.23) < 0.01
    published = {"x2": (36.65, 33.69), "x3": (33.36, 30.89), "x4": (30.32, 28.43)}
    for scale, (srcnn, bicubic) in published.items():
        assert abs(ours[f"srcnn (released, {scale})", f"set5-{scale}"] - srcnn) < 0.005
        assert -0.005 < bicubic - ours["bicubic", f"set5-{scale}"] < 0.045
    for claim in (
        f"least squares ({ct['sense']:.1f} dB)",
        f"DE-Prox gains {deblurring['de-prox'] - deblurring['sense']:.1f} dB.",
        f"32 evaluations give DE-Prox {later.difference.item():.1f} dB more",
        "Training seeds 0, 2; of zero-filled, sense only 0; of mnm-mol only 2.",
    ):
        assert claim in text


def test_what_results_say_of_ablations_is_more_than_trainings_differ():
    text = " ".join((ROOT / "docs" / "results.md").read_text().split())
    own = means("reference-ablations", "4x")
    end = means("reference-ablations", "4x", "stopping", CONVERGED)
    own_lr, end_lr = trainings("mol-lr"), trainings("mol-lr", CONVERGED)
    own_mnm, end_mnm = trainings("mnm-mol"), trainings("mnm-mol", CONVERGED)
    free, unrolled = "mol-lr, gradient = jacobian-free", "mol-lr, gradient = unrolled"
    for line in (free, unrolled, "mol-lr, start = adjoint"):
        assert own_lr.min() < own[line] < own_lr.max()
    for delta in ("0.2", "0.5"):
        line = f"mnm-mol, delta = {delta}"
        assert own_mnm.min() < own[line] < own_mnm.max()
        assert end_mnm.min() < end[line] < end_mnm.max()
    rows = phantom_rows("4x")
    rows = rows[(rows.method == "mol-lr") & (rows.metric == "nfe_backward")]
    assert rows.groupby("train_seed").value.mean().min() > 5.9  # "nearly always at its cap"
    small, picard = "mnm-mol, delta = 0.1", "mol-lr, solver = Picard"
    for claim in (
        f"as it is lie {spread(own_lr):.1f} dB apart, of MnM-MOL {spread(own_mnm):.1f} "
        f"({spread(end_mnm):.1f} at convergence)",
        f"lose {own[free] - end[free]:.1f} and {own[unrolled] - end[unrolled]:.1f} dB when",
        f"those at most {(own_lr - end_lr).max():.1f}:",
        f"by {own_mnm.min() - own[small]:.1f} dB at its own stop and at convergence",
        f"by {end_mnm.min() - end[small]:.1f} dB at its own stop and at convergence",
        f"at its cap, {own_lr.min() - own[picard]:.1f} dB below the lowest",
        f"at convergence {end_lr.min() - end[picard]:.1f} below it",
    ):
        assert claim in text


def test_what_results_say_of_equal_seconds_follows_from_the_tables():
    text = " ".join((ROOT / "docs" / "results.md").read_text().split())
    timed, rows = means("reference-seconds", "4x"), phantom_rows("4x")
    rows = rows[(rows.metric == "psnr") & (rows.train_seed == 0)]
    lost = rows.groupby("method").value.mean()[timed.index] - timed
    assert set(lost.index[lost > 0.2]) == {"luser-sw", "luser-dw"} and lost.min() > -0.2
    assert timed[["luser-sw", "luser-dw"]].max() < timed["mol-sn"]
    for claim in (
        f"MoDL ({timed['modl']:.1f} dB) and MOL-LR ({timed['mol-lr']:.1f}) stay level",
        f"LUSER-SW loses {lost['luser-sw']:.1f} dB and LUSER-DW {lost['luser-dw']:.1f}, which puts",
    ):
        assert claim in text


def seed_lost():
    """What MnM-MOL's third training loses at 4x when it is iterated to convergence."""
    rows = bench.load_rows(REFERENCE / "reference-phantom")
    rows = rows[(rows.method == "mnm-mol") & (rows.train_seed == 2) & (rows.phase == "evaluate")]
    rows = rows[(rows.metric == "psnr") & rows.condition.isin(["{}", CONVERGED])]
    by = rows.groupby(["job", "condition"]).value.mean().unstack()
    near = by["{}"].idxmax()  # 4x: the least undersampled
    return by["{}"][near] - by[CONVERGED][near]


def trainings(method, condition="{}"):
    """PSNR of each training of a method on the phantom, at 4x."""
    rows = phantom_rows("4x", condition)
    rows = rows[(rows.method == method) & (rows.metric == "psnr")]
    return rows.groupby("train_seed").value.mean()


def spread(values):
    return values.max() - values.min()


def phantom_rows(task, condition="{}"):
    """Rows of trainings on the phantom, and of their tests on a task."""
    folder = REFERENCE / "reference-phantom"
    jobs = load_suites(folder)["reference-phantom"]["jobs"]
    kinds = ("fit", "evaluate")
    kept = {j["job"] for j in jobs if j["test_task"] in (None, task) and j["kind"] in kinds}
    rows = bench.load_rows(folder)
    return rows[rows.job.isin(kept) & (rows.condition == condition)]


def means(suite, task, table="table", condition="{}"):
    """PSNR by method, as a table has it."""
    found = pd.read_csv(REFERENCE / suite / "tables" / f"{table}.csv")
    chosen = found[(found.test_task == task) & (found.metric == "psnr")]
    return chosen[chosen.condition == condition].set_index("method")["mean"]


def peak(suite, task, method):
    """Predicted bytes of a training step, its penalty included."""
    table = pd.read_csv(REFERENCE / suite / "tables" / "memory.csv")
    chosen = (table.test_task == task) & (table.method == method) & (table.phase == "fit")
    return table[chosen & (table.metric == "predicted_peak")]["mean"].max()


def measured(metric, method="mol-sn"):
    """Of a method's guarantees on the phantom: the largest, by condition."""
    table = pd.read_csv(REFERENCE / "reference-phantom" / "tables" / "claims.csv")
    chosen = table[(table.method == method) & (table.metric == metric)]
    return chosen.set_index("condition")["largest"]


def coverage(metric):
    """By method, on the acquired slices."""
    table = pd.read_csv(REFERENCE / "reference-brain" / "tables" / "coverage.csv")
    return table[table.metric == metric].set_index("method")["mean"]


def attacked(method):
    """What the worst perturbation of 1 % costs in PSNR."""
    table = pd.read_csv(REFERENCE / "reference-phantom" / "tables" / "robustness.csv")
    table = table[(table.method == method) & (table.metric == "psnr")]
    condition = table.condition.map(json.loads)
    kind = condition.map(lambda one: (one["kind"], one.get("epsilon")))
    found = dict(zip(kind, table["mean"], strict=True))
    return found["clean", None] - found["pgd", 0.01]


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
