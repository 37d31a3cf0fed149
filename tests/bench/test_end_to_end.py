"""The program as its user meets it: a process, a folder of results, an exit code."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import bench
from bench.store import load_suites
from tests.program import refused, run, start

FAULTY = '''
from bench.reconstructor import Reconstruction, Reconstructor


class Faulty(Reconstructor):
    """Fails in a way that its name says."""

    family = "test"
    paper = "-"

    def reconstruct(self, y, physics, x0=None):
        return Reconstruction(self.fail(physics.A_adjoint(y)))


class Raises(Faulty):
    name = "raises"

    def fail(self, image):
        raise RuntimeError("on purpose")


class Dies(Faulty):
    name = "dies"

    def fail(self, image):
        import os
        os.kill(os.getpid(), 9)


class RunsOut(Faulty):
    name = "runs-out"

    def fail(self, image):
        return image.new_empty(2**50)


class Greedy(Faulty):
    name = "greedy"

    def fail(self, image):
        return image.new_zeros(2**31)  # 8 GiB, of an address space of 6


'''


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny):
    """One run of the tiny suite that all tests here look at."""
    folder = tmp_path_factory.mktemp("undisturbed")
    suite = folder / "tiny.yaml"
    suite.write_text(yaml.safe_dump(tiny))
    output, _ = run("run", suite, "--out", folder / "out")
    return suite, folder / "out", output


def test_one_command_gives_rows_table_and_figures(undisturbed):
    _, folder, output = undisturbed
    rows, jobs = bench.load_rows(folder), bench.load_jobs(folder)
    assert set(jobs.status) == {"ok"} and len(jobs) == 12
    scores = rows[(rows.metric == "psnr") & (rows.condition == "{}")]
    assert scores.groupby("job").size().eq(3).all() and scores.value.between(5, 60).all()
    assert not rows.flag.astype(bool).any(), "a trace disagrees with the hooks' count"
    # only methods with a solver have a fixed point besides their stop
    assert set(rows[rows.condition != "{}"].method) == {"mol-lr"}
    nfe = rows[(rows.metric == "nfe") & (rows.condition == "{}")].groupby("method").value
    assert nfe.max()["modl"] == nfe.min()["modl"] == 2 and nfe.max()["sense"] == 0
    written = [Path(line) for line in output.splitlines() if line.startswith(str(folder))]
    assert [path.name for path in written] == ["index.html", "table.md", "figures"]
    pictures = list(written[-1].glob("*.png"))
    assert pictures and all(p.stat().st_size > 10_000 for p in pictures)


def test_second_call_repeats_nothing(undisturbed):
    suite, folder, _ = undisturbed
    before = {p: p.stat().st_mtime_ns for p in folder.glob("jobs/*/*")}
    output, _ = run("run", suite, "--out", folder)
    assert "12 there already" in output
    assert before == {p: p.stat().st_mtime_ns for p in folder.glob("jobs/*/*")}
    output, _ = run("plan", suite, "--out", folder)
    assert "to do" not in output
    assert output.splitlines()[-1] == f"{folder}: 12 ok"


def test_programs_read_a_line_an_event(undisturbed, tmp_path):
    suite, folder, _ = undisturbed
    output, _ = run("run", suite, "--out", tmp_path, "--only", "zero-filled", "--json")
    events = [json.loads(line) for line in output.splitlines()]
    assert [e["event"] for e in events if e["event"] != "progress"] == [
        *["job"] * 3,
        "summary",
        "report",
    ]
    assert {e["status"] for e in events if e["event"] == "job"} == {"ok"}
    assert events[-2]["jobs"] == {"ok": 3} and events[-2]["ok"]
    output, _ = run("run", suite, "--out", folder, "--json")
    first, last = map(json.loads, output.splitlines())
    assert first["jobs"] == {"cached": 12} and Path(last["paths"][0]).is_file()
    output, _ = run("status", folder)
    assert output == "tiny: 12 ok\n"
    states = json.loads(run("status", folder, "--json")[0])["tiny"]
    assert len(states) == 12 and {"job", "name", "state", "detail"} == set(states[0])


def test_a_part_of_a_suite_keeps_the_rest_of_its_table(undisturbed, tmp_path):
    suite, folder, _ = undisturbed
    before = load_suites(folder)["tiny"]
    run("run", suite, "--out", folder, "--only", "sense", "--quiet")
    assert load_suites(folder)["tiny"] == before


def restore_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_interrupted(write_suite, tmp_path):
    # a shell starts what it puts in the background with interrupts ignored, and that is inherited
    options = {"start_new_session": True, "preexec_fn": restore_interrupts}
    process = start("run", write_suite(), "--out", tmp_path / "out", **options)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("jobs/*/log.txt")) and time.monotonic() < deadline:
        time.sleep(0.2)  # until a job runs, however slow the machine is
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 130 and "goes on from there" in errors and "Trace" not in errors


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, resource.RLIM_INFINITY))


def test_a_failing_job_is_a_row_and_its_siblings_run(write_suite, tmp_path, repo_root):
    plugin, example = tmp_path / "faulty.py", tmp_path / "example.py"
    plugin.write_text(FAULTY)
    # README's own example: one file is all that a method takes
    blocks = (repo_root / "README.md").read_text().split("```python\n")
    example.write_text(next(b for b in blocks if "class Wiener" in b).split("```")[0])

    def faulty(content):
        content["methods"] = ["raises", "dies", "runs-out", "greedy", "zero-filled"]
        content["test_on"] = ["small"]

    suite, folder = write_suite(faulty), tmp_path / "out"
    options = ("--plugin", plugin, "--plugin", example, "--add-method", "wiener")
    _, errors = run("run", suite, "--out", folder, *options, code=1, preexec_fn=limit_memory)
    jobs = bench.load_jobs(folder)
    jobs = jobs[jobs.kind == "evaluate"].set_index("method")
    assert jobs.status.to_dict() == {
        "raises": "error",
        "dies": "killed",
        "runs-out": "out-of-memory",
        "greedy": "out-of-memory",
        "wiener": "ok",
        "zero-filled": "ok",
    }
    assert jobs.error["raises"] == "RuntimeError: on purpose"
    assert "Traceback" not in errors and "on purpose" in errors
    log = folder / "jobs" / jobs.job["raises"] / "log.txt"
    assert "Traceback" in log.read_text()
    rows = bench.load_rows(folder)
    psnr = rows[rows.metric == "psnr"].groupby("method").value.mean()
    assert psnr["wiener"] > psnr["zero-filled"] + 1


def test_a_job_that_takes_too_long_is_stopped(write_suite, tmp_path):
    def one(content):
        content["methods"], content["test_on"] = ["sense"], ["small"]

    # a process needs longer than this to import torch, whatever it does then
    run("run", write_suite(one), "--out", tmp_path / "out", "--timeout", 1, code=1)
    jobs = bench.load_jobs(tmp_path / "out").set_index("kind")
    assert jobs.status.to_dict() == {"fit": "timeout", "evaluate": "blocked"}
    assert jobs.error["fit"] == "stopped after 1 s"


def test_children_of_a_failed_fit_are_blocked(write_suite, tmp_path):
    def explode(content):
        content["methods"] = [content["methods"][2], "zero-filled"]
        content["methods"][0]["recipe"] = {"learning_rate": 1e30, "clip_value": None}
        content["training"] = {**content["training"], "log_every": 1}

    run("run", write_suite(explode), "--out", tmp_path / "out", code=1)
    jobs = bench.load_jobs(tmp_path / "out")
    statuses = jobs.groupby("method").status.apply(list).to_dict()
    assert sorted(statuses["modl"]) == ["blocked", "blocked", "diverged"]
    assert set(statuses["zero-filled"]) == {"ok"}
    rows = bench.load_rows(tmp_path / "out")  # the curve up to where it diverged
    losses = rows[rows.job.isin(jobs.job[jobs.status == "diverged"])]
    assert list(losses[losses.metric == "train_loss"].step) == [1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "quik"], "unknown suite 'quik' (expected one of quick"),
        (["run", "quick", "--data", "/nowhere"], "/nowhere: no such folder"),
        (["run", "quick", "--only", "nothing"], "no method is left"),
        (["run", "quick", "--axis", "m"], "--axis: unknown axis 'm' (expected a suite with axes"),
        (["run", "quick", "--add-method", "sens"], "unknown name 'sens' (expected one of sense"),
        (["run", "quick", "--seeds", "a"], "--seeds: 'a' (expected non-negative integers"),
        (["run", "quick", "--device", "tpu"], "--device: 'tpu' (expected cpu"),
        (["run", "quick", "--plugin", "none.py"], "plugin none.py: no such file"),
        (["run", "real-brain", "--data", "{tmp}"], "no such file or folder"),
        (["run", "quick", "--out", "{file}/x"], "cannot be written"),
        (["report", "{tmp}"], "no results here"),
        (["list", "method"], "expected one of methods"),
        (["doctor", "{tmp}"], "no results here"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, expected, tmp_path, monkeypatch, capsys):
    file = tmp_path / "file"
    file.write_text("")
    filled = [a.format(tmp=tmp_path, file=file) for a in arguments]
    assert expected in refused(filled, monkeypatch, capsys)
    assert list(tmp_path.iterdir()) == [file]


def _nan(kspace, path):
    kspace[0, 0, 0] = np.nan
    np.savez(path.with_suffix(".npz"), kspace=kspace)


def _no_coils(kspace, path):
    np.savez(path.with_suffix(".npz"), kspace=kspace[:0])


def _truncated(kspace, path):
    path.with_suffix(".hdr").write_text("# Dimensions\n1 40 40 3\n")
    path.with_suffix(".cfl").write_bytes(kspace.tobytes()[:-16])


def _another_size(kspace, path):
    path.with_suffix(".hdr").write_text("# Dimensions\n1 40 40 4\n")
    path.with_suffix(".cfl").write_bytes(kspace.tobytes())


@pytest.mark.parametrize("fault", [_nan, _no_coils, _truncated, _another_size])
def test_bad_data_is_refused_and_results_stay(fault, write_suite, tmp_path, monkeypatch, capsys):
    def acquired(content):
        config = {"dataset": "kspace", "file": "slices", "noise": 0.0, "coils": 3}
        config["split"] = str(tmp_path / "split.json")
        content["tasks"]["real"] = {"task": "mri-multicoil", "config": config}
        content["test_on"] = ["small", "real"]

    (tmp_path / "split.json").write_text(json.dumps({"test": ["brain"]}))
    (tmp_path / "slices").mkdir()
    kspace = np.random.default_rng(0).standard_normal((3, 40, 40, 2)).astype(np.float32)
    fault(kspace.view(np.complex64)[..., 0].copy(), tmp_path / "slices" / "brain")
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["run", write_suite(acquired), "--data", tmp_path, "--out", out]
    message = refused(arguments, monkeypatch, capsys)
    assert str(tmp_path / "slices" / "brain") in message and "expected" in message, message
    assert not list(out.iterdir())


def test_lists_and_help():
    names = {m["name"] for m in json.loads(run("list", "methods", "--json")[0])}
    assert {"zero-filled", "sense", "modl", "mol-lr"} <= names
    assert "quick" in run("list", "suites")[0]
    assert "mri-multicoil" in run("list", "tasks")[0]
    assert "SUITE" in run("run", "--help")[0]


def test_import_is_quick():
    code = "import sys, bench; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_bad_subjects_are_left_out_counted_and_part_of_the_key(write_suite, tmp_path):
    data, names = tmp_path / "data", ["a", "b", "c"]
    (data / "photos").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(data / f"photos/{name}.png")
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"test": names}))

    def blurred(content):
        config = {"dataset": "image-folder", "file": "photos", "split": str(split), "size": 32}
        content["tasks"] = {"photos": {"task": "deblur", "config": config}}
        content["methods"], content["train_on"] = ["zero-filled"], ["photos"]
        del content["test_on"]

    suite, folder = write_suite(blurred), tmp_path / "out"
    run("run", suite, "--data", data, "--out", folder, "--quiet")
    (data / "photos/b.png").write_bytes(b"")
    _, errors = run("run", suite, "--data", data, "--out", tmp_path / "no", code=2)
    assert "b.png" in errors and errors.count("\n") == 1
    _, errors = run("run", suite, "--data", data, "--out", folder, "--skip-bad", "--quiet")
    assert "left out of photos: b: " in errors
    rows = bench.load_rows(folder).query("metric == 'psnr'")
    assert rows.groupby("split_hash").subject.unique().map(sorted).tolist() in (
        [["a", "b", "c"], ["a", "c"]],
        [["a", "c"], ["a", "b", "c"]],
    )
    table = (folder / "report/tiny/table.md").read_text()
    assert "1 subject left out" in table
    for name in names:
        (data / f"photos/{name}.png").write_bytes(b"")
    _, errors = run("run", suite, "--data", data, "--out", tmp_path / "no", "--skip-bad", code=2)
    assert "'test' is empty" in errors
