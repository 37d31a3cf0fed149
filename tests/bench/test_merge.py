"""Folders are merged by what jobs are, and nothing is mixed that means different things."""

import json
import os
import shutil
from pathlib import Path

import pytest

import bench
from bench.doctor import inspect_results
from bench.errors import InputError
from bench.storage import merging
from bench.storage.compaction import compact
from bench.storage.merging import merge
from bench.store import Store, load_suites
from tests.bench.folders import Folder, contents, job


@pytest.fixture
def two(tmp_path) -> tuple[Folder, Folder]:
    """Both have modl; the first one has sense, which failed there; the second one mol-lr."""
    first, second = Folder(tmp_path / "first"), Folder(tmp_path / "second")
    for folder, seconds in ((first, 0.5), (second, 0.7)):
        folder.pair("modl", seconds=seconds)
    first.add(job("fit", "sense"), "killed")
    second.add(job("fit", "sense"))
    second.pair("mol-lr", 3)
    for folder in (first, second):
        folder.suite()
    second.suite("other")
    return first, second


def well(root) -> None:
    found = inspect_results(root)
    assert all(finding.ok for finding in found), found


@pytest.mark.parametrize("pruned", [(), (0,), (1,), (0, 1)])
def test_jobs_by_key_and_suites_by_label(two, pruned, tmp_path):
    first, second = two
    theirs = bench.load_rows(second.root).set_index("job")
    for number in pruned:
        compact(two[number].root, prune=True)
    ours, given = bench.load_rows(first.root).set_index("job"), contents(second.root)
    done = merge(first.root, [second.root])
    fit, evaluation, sense = (line["job"] for line in first.lines)
    new = {line["job"] for line in second.lines[3:]}
    assert set(done.copied) == new and done.replaced == [sense]
    assert set(done.kept) == {fit, evaluation} and not done.different
    assert done.suites == ["small", "other"]
    rows = bench.load_rows(first.root).set_index("job")
    assert set(rows.index) == {fit, evaluation, sense} | new
    for key in rows.index.unique():  # the first one's where it had ended well
        source = ours if key in (fit, evaluation) else theirs
        assert rows.loc[key].equals(source.loc[key])
    table = load_suites(first.root)["small"]
    assert table["methods"] == ["modl", "sense", "mol-lr"]
    listed = [line["job"] for line in table["jobs"]]
    assert listed == list(dict.fromkeys(listed)) and set(listed) == set(rows.index)
    assert bench.load_jobs(first.root).status.eq("ok").all()
    well(first.root)
    assert given == {k: v for k, v in contents(second.root).items() if k in given}
    # again, it has nothing to do
    before = contents(first.root)
    again = merge(first.root, [second.root, second.root])
    assert not again.copied and not again.replaced and not again.suites
    assert contents(first.root) == before
    # and into a new folder, in one go
    merge(tmp_path / "new", [first.root, second.root])
    assert bench.load_rows(tmp_path / "new").set_index("job").equals(rows)
    assert load_suites(tmp_path / "new")["small"]["jobs"] == table["jobs"]
    well(tmp_path / "new")


def test_different_rows_of_the_same_job_are_reported_and_the_first_kept(two):
    first, second = two
    _, evaluation = second.pair("modl", shift=1.0)
    before = bench.load_rows(first.root).set_index("job").loc[evaluation]
    assert merge(first.root, [second.root]).different == [evaluation]
    assert bench.load_rows(first.root).set_index("job").loc[evaluation].equals(before)


def test_a_better_end_wins_and_a_worse_one_never_does(tmp_path):
    ends = [None, "killed", "diverged", "ok"]
    for a, ours in enumerate(ends):
        for b, theirs in enumerate(ends):
            root = tmp_path / f"{a}{b}"
            first, second = Folder(root / "a"), Folder(root / "b")
            key = first.add(job("fit"), ours)
            second.add(job("fit"), theirs)
            (second.store.folder(key) / "resume.safetensors").write_bytes(b"save")
            done = merge(first.root, [second.root])
            assert (done.replaced == [key]) == (b > a)
            result = first.store.result(key)
            assert (result.status if result else None) == ends[max(a, b)]
    # a training that has not ended goes on elsewhere, and one that has leaves no save
    for status, saved in ((None, True), ("ok", False)):
        second = Folder(tmp_path / f"from {status}")
        key = second.add(job("fit"), status)
        (second.store.folder(key) / "resume.safetensors").write_bytes(b"save")
        merge(tmp_path / f"to {status}", [second.root])
        to = Store(tmp_path / f"to {status}").folder(key)
        assert (to / "resume.safetensors").exists() == saved
        assert not (to / "progress.json").exists() and not (to / ".lock").exists()


def _task(table):
    table["tasks"]["4x"]["config"]["size"] = 64


def _job(table):
    table["jobs"][0]["job"] = "f" * 16


def _scale(table):
    table["scale"] = "paper"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_task, "task '4x' is another one: its config differs"),
        (_job, "another job under the same label (kind fit, method modl, train_task 4x)"),
        (_scale, "scale paper (expected None, as elsewhere)"),
    ],
)
def test_a_label_that_means_different_things_is_refused(change, expected, two):
    first, second = two
    path = second.root / "suites" / "small.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    before = contents(first.root)
    with pytest.raises(InputError) as caught:
        merge(first.root, [second.root])
    message = str(caught.value)
    assert message.startswith(f"{second.root}: suite small: {expected}") and "\n" not in message
    assert contents(first.root) == {**before, ".lock": b""} or contents(first.root) == before


@pytest.mark.parametrize(
    "change",
    [{"tasks": []}, {"jobs": [{}]}, {"jobs": [{"job": "../x"}]}, {"axes": 1, "tasks": {"4x": 5}}],
)
def test_a_damaged_table_is_refused(change, two):
    first, second = two
    path = second.root / "suites" / "small.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError) as caught:
        merge(first.root, [second.root])
    assert str(caught.value).startswith(f"{second.root}: suite small: ")


def test_links_are_not_followed(two, tmp_path):
    first, second = two
    key = second.lines[-1]["job"]
    second.store.folder(key).rename(tmp_path / "elsewhere")
    second.store.folder(key).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a link"):
        merge(first.root, [second.root])


def test_what_is_unavailable_here_and_not_there_is_the_job(two):
    first, second = two
    absent = {**first.lines[0], "kind": "evaluate", "test_task": "4x", "method": "released"}
    key = second.add(job("evaluate", "released"))
    first.suite(jobs=[*first.lines, {**absent, "job": "unavailable"}])
    second.suite()
    for into, other in ((first, second), (second, first)):
        target = into.root.with_name(f"copy of {into.root.name}")
        shutil.copytree(into.root, target)
        merge(target, [other.root])
        lines = load_suites(target)["small"]["jobs"]
        assert [line["job"] for line in lines if line["method"] == "released"] == [key]


def test_nothing_is_merged_while_a_run_is_at_work(two, tmp_path):
    first, second = two
    for folder in two:
        with folder.store.lock(), pytest.raises(InputError) as caught:
            merge(first.root, [second.root])
        assert f"{folder.root}: another run is writing" in str(caught.value)
    with pytest.raises(InputError, match="merged into itself"):
        merge(first.root, [first.root / ".." / "first"])
    with pytest.raises(InputError, match="no results here"):
        merge(first.root, [tmp_path])


def test_interrupted_anywhere_it_leaves_no_half_job_and_goes_on(two, monkeypatch):
    first, second = two
    whole = first.root.with_name("whole")
    shutil.copytree(first.root, whole)
    merge(whole, [second.root])
    wanted = bench.load_rows(whole), load_suites(whole)

    class Killed(BaseException):
        pass

    for planned in range(200):
        left = planned

        def counted(real):
            def call(*arguments, **options):
                nonlocal left
                if left <= 0:  # and nothing is cleaned up after a kill
                    raise Killed
                left -= 1
                return real(*arguments, **options)

            return call

        target = first.root.with_name(f"target {planned}")
        shutil.copytree(first.root, target)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", counted(os.replace))
            patch.setattr(Path, "rename", counted(Path.rename))
            patch.setattr(Path, "unlink", counted(Path.unlink))
            patch.setattr(merging.shutil, "rmtree", counted(shutil.rmtree))
            try:
                merge(target, [second.root])
            except Killed:
                pass
            else:
                break
        # every job that is there is whole; at most the one that was being replaced is not there
        damaged = [f.text for f in inspect_results(target) if "damaged" in f.text]
        assert not damaged, planned
        merge(target, [second.root])
        assert bench.load_rows(target).equals(wanted[0]) and load_suites(target) == wanted[1]
        shutil.rmtree(target)
    assert 10 < planned < 199
