"""A compacted folder says what the folder said, and loses nothing on the way."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import bench
from bench.doctor import inspect_results
from bench.errors import InputError
from bench.labelled import read_results
from bench.runner import run_suite
from bench.storage import compaction
from bench.storage.compacted import Entry, row_table, write_entries, write_rows
from bench.storage.compaction import compact, unpack
from bench.store import Result, Store
from reports import write_report
from reports.compare import compare_folders
from tests.bench.folders import Folder, contents, job

JOBS, ROWS, SECONDS = 10_000, 30, 3.0  # of one processor, to load so many jobs with so many rows


@pytest.fixture
def folder(tmp_path) -> Folder:
    made = Folder(tmp_path / "out")
    for method in ("modl", "mol-lr", "sense"):
        made.pair(method)
    made.add(job("fit", "mol"), "diverged")
    made.add(job("fit", "de-prox"), None)
    made.add(job("fit", "mnm-mol"), "killed")
    made.suite()
    return made


def everything(root: Path):
    """What readers see: frames, and every job on its own."""
    store = Store(root)
    jobs = {
        key: (store.read_job(key), store.result(key), store.finished(key)) for key in store.jobs()
    }
    rows = {
        key: store.records(key)
        for key, (_, result, _) in jobs.items()
        if result and result.status in ("ok", "diverged")
    }
    return bench.load_rows(root), bench.load_jobs(root), jobs, rows, store.suites()


def same(a, b) -> bool:
    bits = [x[0].value.to_numpy().view("int64").tolist() for x in (a, b)]
    frames = a[0].equals(b[0]) and a[0].dtypes.equals(b[0].dtypes) and a[1].equals(b[1])
    return bits[0] == bits[1] and frames and a[2:] == b[2:]


def test_a_copy_says_the_same_and_changes_no_file(folder):
    before, files = everything(folder.root), contents(folder.root)
    made = compact(folder.root)
    assert (made.jobs, made.rows, made.pruned) == (9, 7 * 6, 0)
    assert same(everything(folder.root), before)
    after = contents(folder.root)
    assert {k: after.pop(k) for k in list(after) if k.startswith("compact/")}
    assert after == files
    # and is what was read: with the rows of the copy gone, nothing is left to read
    (folder.root / "compact" / "rows.parquet").unlink()
    with pytest.raises(InputError, match=r"rows\.parquet: unreadable"):
        bench.load_rows(folder.root)


def test_a_pruned_folder_says_the_same_without_its_small_files(folder):
    before = everything(folder.root)
    given = read_results(folder.root)
    compact(folder.root)
    made = compact(folder.root, prune=True)
    assert made.pruned == 7  # what has not ended, or may end otherwise, stays as it is
    assert same(everything(folder.root), before)
    assert read_results(folder.root) == given
    names = {Path(name).name for name in contents(folder.root / "jobs")}
    kept = {"checkpoint.safetensors", "s--0.npz"}
    unfinished = {"job.json", "progress.json", "log.txt", ".lock", "result.json"}
    assert names == kept | unfinished
    logs = {path.parent.name for path in folder.root.glob("jobs/*/log.txt")}
    failed = [
        key for key, (_, result, _) in before[2].items() if not result or result.status != "ok"
    ]
    assert logs == set(failed)
    # again, and without pruning, and moved: nothing gets lost by what is called later
    compact(folder.root, prune=True)
    compact(folder.root)
    moved = folder.root.rename(folder.root.with_name("moved"))
    assert same(everything(moved), before)
    # and back
    unpack(Store(moved), before[2])
    assert (moved / "jobs" / folder.lines[0]["job"] / "job.json").exists()
    assert same(everything(moved), before)
    for path in (moved / "compact").iterdir():
        path.unlink()
    assert same(everything(moved), before)


def test_a_job_that_ran_again_speaks_for_itself(folder):
    compact(folder.root, prune=True)
    fit, _ = folder.pair("modl", shift=1.0)  # under the same key, as after --fix
    new = folder.add(job("fit", "modl", 5))
    rows = bench.load_rows(folder.root)
    again = rows[(rows.job == fit) & (rows.metric == "train_loss")].value.tolist()
    assert again[0] == 1 / 3
    evaluated = rows[rows.job == folder.lines[1]["job"]].value.tolist()
    assert evaluated[0] == 1 / 3 + 1.0
    # in the order of jobs, and in each of them as they were written, wherever they came from
    assert rows.job.is_monotonic_increasing and new in set(rows.job)
    for _, group in rows.groupby("job"):
        assert group.metric.tolist()[:2] == ["train_loss"] * 2
    before = everything(folder.root)
    assert compact(folder.root, prune=True).pruned == 8
    assert same(everything(folder.root), before)


def test_an_unpruned_copy_is_not_believed_over_its_folder(folder):
    fit = folder.lines[0]["job"]
    compact(folder.root)
    folder.store.write_result(fit, Result("killed", "by SIGKILL"))
    assert bench.load_jobs(folder.root).set_index("job").status[fit] == "killed"
    path = folder.store.folder(fit) / "rows.jsonl"
    path.write_text(path.read_text().replace("odd", "odds"))
    assert "odds" in set(bench.load_rows(folder.root).flag)
    # whoever removes a job by hand wants it run again
    for path in sorted(folder.store.folder(fit).rglob("*"), reverse=True):
        path.unlink()
    folder.store.folder(fit).rmdir()
    assert fit not in folder.store.jobs() and folder.store.result(fit) is None
    assert fit not in set(bench.load_rows(folder.root).job)


def test_killed_at_any_moment_it_loses_nothing(folder, monkeypatch):
    """Every call that changes a file fails in turn; after each, all is there, and goes on."""
    before = everything(folder.root)

    class Killed(BaseException):
        pass

    for planned in range(200):
        left = planned

        def counted(real):
            def call(*arguments, **options):
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                return real(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", counted(os.replace))
            patch.setattr(Path, "unlink", counted(Path.unlink))
            patch.setattr(Path, "rmdir", counted(Path.rmdir))
            try:
                compact(folder.root, prune=True)
            except Killed:
                pass
            else:
                break
        assert same(everything(folder.root), before), planned
        assert bench.load_jobs(folder.root).status.eq("ok").sum() == 6
    assert 0 < planned < 199
    assert same(everything(folder.root), before)
    names = {Path(name).name for name in contents(folder.root / "jobs")}
    assert "rows.jsonl" not in names


def test_what_changes_while_it_reads_is_not_pruned(folder, monkeypatch):
    fit = folder.lines[0]["job"]
    real = compaction.write_entries

    def slowly(*arguments):
        real(*arguments)
        folder.store.write_result(fit, Result("ok", "", 1.0))

    monkeypatch.setattr(compaction, "write_entries", slowly)
    compact(folder.root, prune=True)
    assert folder.store.result(fit) == Result("ok", "", 1.0)
    assert (folder.store.folder(fit) / "rows.jsonl").exists()


def test_what_cannot_be_compacted_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no results here"):
        compact(tmp_path)
    with folder.store.lock(), pytest.raises(InputError, match="another run is writing"):
        compact(folder.root)
    fit = folder.lines[0]["job"]
    path = folder.store.folder(fit) / "rows.jsonl"
    path.write_text("{")
    before = contents(folder.root)
    with pytest.raises(InputError, match=r"rows\.jsonl, line 1: damaged"):
        compact(folder.root, prune=True)
    assert contents(folder.root) == before


@pytest.mark.parametrize("name", ["jobs.parquet", "rows.parquet"])
def test_a_damaged_or_newer_copy_is_named(name, folder):
    compact(folder.root, prune=True)
    path = folder.root / "compact" / name
    table = pq.read_table(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError) as caught:
        bench.load_rows(folder.root)
    assert str(caught.value).startswith(f"{path}: unreadable")
    pq.write_table(table.replace_schema_metadata({"equibench.schema": "2"}), path)
    with pytest.raises(InputError) as caught:
        bench.load_rows(folder.root)
    assert str(caught.value) == f"{path}: schema 2 (expected schema 1)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"key": "../../x"}, "job '../../x'"),
        ({"job": None}, "unreadable"),
        ({"job": "{"}, "unreadable"),
        ({"job": '{"schema": 2}'}, "schema 2"),
        ({"result": '{"schema": 2}'}, "schema 2"),
    ],
)
def test_a_copy_may_come_from_somebody_else(change, expected, folder):
    compact(folder.root, prune=True)
    path = folder.root / "compact" / "jobs.parquet"
    table = pq.read_table(path)
    lines = table.to_pylist()
    lines[0] |= change
    pq.write_table(table.from_pylist(lines, schema=table.schema), path)
    with pytest.raises(InputError) as caught:
        bench.load_jobs(folder.root)
    assert expected in str(caught.value)


@pytest.mark.alone
def test_ten_thousand_compacted_jobs_load_in_seconds(tmp_path):
    """Written as `compact` does, without the small files that were there before."""
    small = Folder(tmp_path / "small")
    key, _ = small.pair("modl")
    compact(small.root)
    bench.load_rows(small.root), bench.load_jobs(small.root)  # imports are of the process
    record = small.store.records(key)[0]
    versions = {f"bench.module_{number}": "v1" for number in range(40)}
    text = json.dumps({**small.store.read_job(key), "definitions": versions})
    result = (small.store.folder(key) / "result.json").read_text()
    large = Folder(tmp_path / "large")
    (large.root / "compact").mkdir()
    names = [f"{number:016x}" for number in range(JOBS)]
    rows = [{**record, "job": name, "value": 1 / (n + 1)} for name in names for n in range(ROWS)]
    write_rows(large.root, row_table(rows))
    write_entries(large.root, [Entry(name, text, result, "- - -", True) for name in names])
    started = time.process_time()
    found, jobs = bench.load_rows(large.root), bench.load_jobs(large.root)
    taken = time.process_time() - started
    assert (len(jobs), len(found)) == (JOBS, JOBS * ROWS)
    assert found.value.tolist()[:ROWS] == [1 / (n + 1) for n in range(ROWS)]
    assert jobs.status.eq("ok").all() and taken < SECONDS


def test_a_real_run_goes_on_from_its_compacted_form(write_suite, tmp_path):
    """Run, plan, report, compare and doctor, with nothing left but the two files."""

    def one(content):
        content["methods"], content["test_on"] = ["sense"], ["small"]

    suite, out = str(write_suite(one)), tmp_path / "out"
    first = run_suite(suite, out)
    assert first.ok and not first.cached
    # nothing of it says where it is, so that it can be moved
    assert not [name for name, text in contents(out).items() if str(tmp_path).encode() in text]
    shutil.copytree(out, tmp_path / "as it was")
    # a training that is done leaves it a checkpoint, an evaluation its images; nothing says more
    tables = {path.name: path.read_bytes() for path in write_report(out, ["markdown", "csv"]).paths}
    compact(out, prune=True)
    assert not list(out.glob("jobs/*/*.json*"))
    before = contents(out / "jobs")
    again = run_suite(suite, out)
    assert again.ok and again.cached == set(first.statuses)
    assert contents(out / "jobs") == before
    after = {path.name: path.read_bytes() for path in write_report(out, ["markdown", "csv"]).paths}
    assert after == tables and "table.md" in tables
    copy = tmp_path / "as it was"
    compared = [compare_folders(a, copy, [], None) for a in (out, copy)]
    assert len({repr(replace(table, caption=[])) for table in compared}) == 1
    assert all(finding.ok for finding in inspect_results(out))
