"""Doctor names what is wrong with a results folder, and puts right what can be."""

import os
import subprocess
import sys

import pytest

import bench
from bench.doctor import inspect_results
from bench.errors import InputError
from bench.storage.compaction import compact
from bench.store import Store
from tests.bench.folders import Folder, contents, job


@pytest.fixture
def folder(tmp_path) -> Folder:
    made = Folder(tmp_path / "out")
    for method in ("modl", "mol-lr"):
        made.pair(method)
    made.suite()
    return made


def bad(folder, **options) -> list[str]:
    return [f.text for f in inspect_results(folder.root, **options) if not f.ok]


@pytest.mark.parametrize("prune", [None, False, True])
def test_a_whole_folder_is_well(prune, folder):
    if prune is not None:
        compact(folder.root, prune)
    found = inspect_results(folder.root)
    assert [(f.ok, f.text) for f in found] == [(True, "4 jobs ended well")]


def test_how_jobs_ended(folder):
    diverged = folder.add(job("fit", "mol"), "diverged")
    open_ = folder.add(job("fit", "de-prox"), None)
    folder.suite()
    assert sorted(bad(folder)) == sorted(
        [
            f"{diverged} fit of mol: diverged the loss is nan",
            f"{open_} fit of de-prox: not finished",
        ]
    )


def _cut(name):
    def change(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-9])

    return change


def _write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def _replace(name, old, new):
    def change(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def _flip(folder):
    """A bit of the compressed array, behind 63 bytes of its header."""
    path = next((folder / "artifacts").glob("*.npz"))
    content = bytearray(path.read_bytes())
    content[75] ^= 1
    path.write_bytes(content)


FIT, EVALUATION = 0, 1
DAMAGES = {
    "half a description": (FIT, _cut("job.json"), "job.json: unreadable"),
    "no description": (FIT, _write("job.json", b"{}"), "job.json: schema None"),
    "no job": (FIT, _write("job.json", b'{"schema": 1}'), "job.json is no job: KeyError 'kind'"),
    "another job": (FIT, _replace("job.json", '"width": 4', '"width": 5'), "job.json is of "),
    "half a result": (FIT, _cut("result.json"), "result.json is no result"),
    "no rows": (FIT, lambda f: (f / "rows.jsonl").unlink(), "it ended well and has no rows"),
    "half a row": (FIT, _cut("rows.jsonl"), "rows.jsonl, line 6: damaged"),
    "binary rows": (FIT, _write("rows.jsonl", b"\xff\0\n"), "rows.jsonl, line 1: damaged"),
    "a column too many": (
        EVALUATION,
        _replace("rows.jsonl", '"unit": "s"', '"unit": "s", "x": 1'),
        "unknown columns ['x']",
    ),
    "a column too few": (
        EVALUATION,
        _replace("rows.jsonl", '"unit": "s", ', ""),
        "missing columns ['unit']",
    ),
    "a word for a number": (
        EVALUATION,
        _replace("rows.jsonl", "10,", '"a",'),
        "rows.jsonl: damaged",
    ),
    "others' rows": (EVALUATION, _replace("rows.jsonl", '"job": "', '"job": "0'), "has rows of 0"),
    "half a checkpoint": (FIT, _cut("checkpoint.safetensors"), "checkpoint.safetensors does not"),
    "no checkpoint": (
        FIT,
        lambda f: (f / "checkpoint.safetensors").unlink(),
        "it ended well and has no checkpoint",
    ),
    "another's checkpoint": (
        FIT,
        lambda f: os.replace(_other(f) / "checkpoint.safetensors", f / "checkpoint.safetensors"),
        "checkpoint.safetensors is of ",
    ),
    "half an array": (EVALUATION, _cut("artifacts/s--0.npz"), "artifacts/s--0.npz does not open"),
    "a flipped bit": (EVALUATION, _flip, "artifacts/s--0.npz does not open"),
}


def _other(folder):
    key = job("fit", "mol-lr").key
    return folder.with_name(key)


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_jobs_are_named_and_put_aside(name, folder):
    number, change, expected = DAMAGES[name]
    key = folder.lines[number]["job"]
    place = folder.store.folder(key)
    change(place)
    before = contents(folder.root)
    found = [text for text in bad(folder) if "is damaged" in text]
    assert any(str(place) in text and expected in text for text in found), found
    assert contents(folder.root) == before, "repaired without being asked"
    inspect_results(folder.root, fix=True)
    assert not folder.store.finished(key) and key not in folder.store.jobs()
    moved = contents(folder.root / "damaged" / key)
    assert moved == {
        n.split("/", 2)[2]: c for n, c in before.items() if n.startswith(f"jobs/{key}/")
    }
    # what is left is that the job is missing, until the next run has repeated it
    assert any(f"suite small lists jobs that are not there: {key}" in text for text in bad(folder))
    folder.pair("modl")
    assert not [text for text in bad(folder) if key in text]


def test_a_damaged_job_is_put_aside_from_a_pruned_folder(folder):
    fit, other = folder.lines[0]["job"], folder.lines[2]["job"]
    rows = bench.load_rows(folder.root)
    compact(folder.root, prune=True)
    _cut("checkpoint.safetensors")(folder.store.folder(fit))
    inspect_results(folder.root, fix=True)
    assert fit not in folder.store.jobs() and other in folder.store.jobs()
    aside = contents(folder.root / "damaged" / fit)
    assert {"job.json", "rows.jsonl", "result.json", "checkpoint.safetensors"} <= set(aside)
    assert bench.load_rows(folder.root).equals(rows[rows.job != fit].reset_index(drop=True))


def test_a_second_damage_of_a_job_does_not_overwrite_the_first(folder):
    fit = folder.lines[0]["job"]
    for _ in range(2):
        _cut("rows.jsonl")(folder.store.folder(fit))
        inspect_results(folder.root, fix=True)
        folder.add(job("fit", "modl"))
    assert {p.name for p in (folder.root / "damaged").iterdir()} == {fit, f"{fit}.1"}


def test_damaged_tables_and_copies_are_named_and_put_aside(folder):
    compact(folder.root)
    (folder.root / "suites" / "small.json").write_text("{")
    (folder.root / "compact" / "jobs.parquet").write_bytes(b"PAR1")
    found = bad(folder)
    assert "jobs.parquet: unreadable" in found[0] and "nothing else" in found[1]
    inspect_results(folder.root, fix=True)
    names = {p.name for p in (folder.root / "damaged").iterdir()}
    assert names == {"compact", "small.json"}
    folder.suite()
    assert bad(folder) == []


def test_another_schema_is_left_alone(folder):
    fit = folder.lines[0]["job"]
    _replace("job.json", '"schema": 1', '"schema": 2')(folder.store.folder(fit))
    before = contents(folder.root)
    found = [f.text for f in inspect_results(folder.root, fix=True) if not f.ok]
    assert len(found) == 1 and "job.json: schema 2 (expected schema 1)" in found[0]
    del before[next(iter(before))]
    after = contents(folder.root)
    assert before.items() <= after.items() and not (folder.root / "damaged").exists()


def test_foreign_and_orphaned_files(folder, tmp_path):
    root, fit = folder.root, folder.lines[0]["job"]
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    pid = int(dead.stdout)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_text("precious")
    (root / "report").mkdir()
    (root / "report" / "index.html").write_text("ours")
    foreign = [root / "notes.txt", root / "jobs" / "readme", root / "jobs" / fit / "core"]
    foreign += [root / "suites" / "small.yaml", root / "jobs" / fit / "artifacts" / "x.png"]
    (root / "jobs" / fit / "artifacts").mkdir()
    for path in foreign:
        path.write_text("?")
    (root / "jobs" / ("0" * 16)).mkdir()
    (root / "jobs" / ("0" * 16) / "checkpoint.safetensors").write_bytes(b"")
    (root / "jobs" / "link").symlink_to(tmp_path / "elsewhere")
    stale = [
        root / "suites" / f".small.json.{pid}.tmp",
        root / "jobs" / fit / f".log.txt.{pid}.tmp",
    ]
    stale += [root / "jobs" / fit / "resume.safetensors"]
    stale += [root / "report" / f".index.html.{pid}.tmp"]
    for path in stale:
        path.write_text("")
    half = root / "jobs" / f".{'1' * 16}.{pid}.tmp"
    half.mkdir()
    (half / "job.json").write_text("{}")
    alive = root / "suites" / f".other.json.{os.getpid()}.tmp"
    alive.write_text("")
    orphan = folder.add(job("fit", "mol"))  # after the table was written
    lines = [*folder.lines[:-1], {**folder.lines[0], "job": "f" * 16}]
    folder.suite("small", jobs=lines)
    link = f"{root / 'jobs' / 'link'} is a link to {tmp_path / 'elsewhere'}"
    expected = {
        *(f"not ours: {path}" for path in foreign if path.name != "readme"),
        f"not a job: {root / 'jobs' / 'readme'}",
        f"not a job: {root / 'jobs' / ('0' * 16)}",
        f"not ours: {link}, which is outside",
        *(
            f"left behind by a killed process: {p}"
            for p in [*stale, half]
            if p.suffix != ".safetensors"
        ),
        f"of a training that is done: {stale[2]}",
        f"listed by no suite: {root / 'jobs' / orphan}",
        f"suite small lists jobs that are not there: {'f' * 16}",
    }
    before = contents(root)
    assert set(bad(folder)) == expected
    assert contents(root) == before, "repaired without being asked"
    left = bad(folder, fix=True)
    cured = {text for text in expected if text.startswith(("left behind", "of a training"))}
    assert set(left) == expected - cured
    gone = {str(path.relative_to(root)) for path in [*stale, half / "job.json"]}
    assert contents(root) == {k: v for k, v in before.items() if k not in gone} | {".lock": b""}
    assert (tmp_path / "elsewhere" / "x").read_text() == "precious" and alive.exists()


def test_what_a_process_works_on_is_left_alone(folder):
    fit = folder.lines[0]["job"]
    left = folder.store.folder(fit) / ".rows.jsonl.999999.tmp"
    left.write_text("")
    _cut("rows.jsonl")(folder.store.folder(fit))
    with folder.store.lock_job(fit):
        inspect_results(folder.root, fix=True)
    assert left.exists() and not (folder.root / "damaged").exists()
    with folder.store.lock(), pytest.raises(InputError, match="another run is writing"):
        inspect_results(folder.root, fix=True)
    assert bad(folder)  # to look, nobody need wait


def test_only_results_are_looked_through(tmp_path):
    with pytest.raises(InputError, match="no results here"):
        inspect_results(tmp_path)
    Store(tmp_path).create()
    assert [f.text for f in inspect_results(tmp_path)] == ["0 jobs ended well"]
