"""What the store writes is whole or not there, and what it reads is its own."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import bench
from bench.errors import InputError
from bench.storage.files import remove_leftovers
from bench.store import Result, Row, Store, write_atomic
from tests.bench.folders import Folder, contents, job, rows_of


@pytest.fixture
def folder(tmp_path) -> Folder:
    made = Folder(tmp_path / "out")
    made.pair("modl")
    made.add(job("fit", "mol"), "diverged")
    made.add(job("fit", "de-prox"), None)
    made.suite()
    return made


def test_rows_have_fixed_columns_and_types(folder):
    rows = bench.load_rows(folder.root)
    assert tuple(rows.columns) == tuple(Row.__dataclass_fields__)
    types = rows.dtypes.astype(str)
    assert types["value"] == "float64"
    assert types[["step", "data_seed", "train_seed"]].tolist() == ["Int64"] * 3
    assert rows.step.dropna().tolist() == [10, 2**53 + 1] * 3  # in full, beyond a float's digits
    assert rows.value.isna().sum() == 3 and set(rows[rows.value.isna()].flag) == {"non-finite"}
    assert rows.subject.isna().sum() == 4 * 3
    assert rows.value.dropna().tolist() == [1 / 3, 0.1 + 0.2, 5e-324, 113155, 0.5] * 3
    # of a folder without rows too, and where a column has nothing in it
    empty = bench.load_rows(Folder(folder.root / "empty").root)
    assert empty.dtypes.equals(rows.dtypes) and empty.empty


def test_a_folder_can_be_moved(folder, tmp_path):
    before = bench.load_rows(folder.root), bench.load_jobs(folder.root)
    # in no file, whatever its kind
    assert not [n for n, c in contents(folder.root).items() if str(tmp_path).encode() in c]
    moved = folder.root.rename(tmp_path / "moved ü")
    after = bench.load_rows(moved), bench.load_jobs(moved)
    assert all(a.equals(b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_file_that_cannot_be_written_leaves_the_old_one(call, number, tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_atomic(path, b"old")

    def fails(*arguments, **options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(Path if call == "open" else os, call, fails)
        with pytest.raises(InputError) as caught:
            write_atomic(path, b"new")
    message = str(caught.value)
    assert message.startswith(f"{path}: cannot be written ({os.strerror(number)})")
    assert "\n" not in message
    # it also is what it was before, for whoever catches that
    assert isinstance(caught.value, OSError) and caught.value.errno == number
    assert contents(tmp_path) == {"result.json": b"old"}


def test_a_limit_on_file_sizes_is_one_line_too(tmp_path):
    """A real one, in a process of its own: the signal must not end it."""
    program = f"""
        import resource
        from pathlib import Path
        from bench.store import write_atomic
        path = Path({str(tmp_path / "rows.jsonl")!r})
        write_atomic(path, b"old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            write_atomic(path, bytes(100_000))
        except ValueError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path / 'rows.jsonl'}: cannot be written (File too large)")
    assert done.stdout.count("\n") == 1
    assert contents(tmp_path) == {"rows.jsonl": b"old"}


@pytest.mark.skipif(os.getuid() != 0, reason="gives up its rights, and needs some for that")
def test_a_read_only_folder_is_one_line(tmp_path):
    program = """
        import os, sys
        from pathlib import Path
        import bench.storage.files, bench.store
        os.setuid(65534)
        for make in (lambda: bench.store.write_atomic(Path("x.json"), b""), lambda:
                     bench.store.Store(Path("out")).create()):
            try:
                make()
            except ValueError as error:
                print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert [line.partition(" (expected")[0] for line in lines] == [
        "x.json: cannot be written (Permission denied)",
        "output folder out: cannot be written (Permission denied)",
    ]


def test_the_folder_is_synced_after_the_rename(tmp_path, monkeypatch):
    calls = []
    real = {"fsync": os.fsync, "replace": os.replace}

    def fsync(handle):
        calls.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        real["fsync"](handle)

    def replace(old, new):
        calls.append("replace")
        real["replace"](old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomic(tmp_path / "a", b"1")
    assert calls == [f"fsync .a.{os.getpid()}.tmp", "replace", f"fsync {tmp_path.name}"]


def test_what_a_killed_process_leaves_is_never_read(folder):
    before = bench.load_rows(folder.root), bench.load_jobs(folder.root), folder.store.suites()
    key = folder.store.jobs()[0]
    for path in (
        folder.store.folder(key) / ".rows.jsonl.999999.tmp",
        folder.store.folder(key) / ".result.json.999999.tmp",
        folder.root / "suites" / ".small.json.999999.tmp",
    ):
        path.write_text("{")
    half = folder.root / "jobs" / f".{key}.999999.tmp"
    half.mkdir()
    (half / "job.json").write_text("{}")
    after = bench.load_rows(folder.root), bench.load_jobs(folder.root), folder.store.suites()
    assert before[0].equals(after[0]) and before[1].equals(after[1]) and before[2] == after[2]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"status": 5}', '{"stat": "ok"}', "\0"]
)
def test_a_damaged_result_counts_as_not_finished(content, folder):
    fit = folder.lines[0]["job"]
    (folder.store.folder(fit) / "result.json").write_text(content)
    assert folder.store.result(fit) is None and not folder.store.finished(fit)
    assert bench.load_jobs(folder.root).set_index("job").status[fit] == "not finished"
    assert fit not in set(bench.load_rows(folder.root).job)


@pytest.mark.parametrize("version", [0, 2, "1", None])
@pytest.mark.parametrize("file", ["job.json", "result.json", "suite"])
def test_another_schema_is_refused_by_its_number(version, file, folder):
    fit = folder.lines[0]["job"]
    suite = folder.root / "suites" / "small.json"
    path = suite if file == "suite" else folder.store.folder(fit) / file
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": version}))
    read = {
        "job.json": lambda: bench.load_jobs(folder.root),
        "result.json": lambda: bench.load_rows(folder.root),
        "suite": folder.store.suites,
    }
    expected = f"{path}: schema {version!r} (expected schema 1)"
    with pytest.raises(InputError) as caught:
        read[file]()
    assert str(caught.value) == expected
    if file == "result.json":  # or the next run would overwrite what a newer one has found
        with pytest.raises(InputError):
            folder.store.finished(fit)


def test_results_from_before_they_named_their_schema_are_read(folder):
    fit = folder.lines[0]["job"]
    path = folder.store.folder(fit) / "result.json"
    old = {k: v for k, v in json.loads(path.read_text()).items() if k != "schema"}
    path.write_text(json.dumps(old))
    assert folder.store.result(fit) == Result("ok", "", 61.5, 7, {"device": "cpu"})
    rows = folder.store.folder(fit) / "rows.jsonl"
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    for line in lines:
        if not line["flag"]:
            del line["flag"]  # the one column with a default
    before = bench.load_rows(folder.root)
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert bench.load_rows(folder.root).equals(before)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"extra": 1}, "unknown columns ['extra'], missing columns []"),
        ({"unit": ...}, "unknown columns [], missing columns ['unit']"),
        ({"value": "high"}, "value 'high'"),
        ({"value": float("nan")}, "value nan"),
        ({"step": "ten"}, "rows.jsonl: damaged"),
        ({"subject": 5}, "rows.jsonl: damaged"),
    ],
)
def test_a_row_of_another_schema_is_refused_with_its_line(change, expected, folder):
    fit = folder.lines[0]["job"]
    path = folder.store.folder(fit) / "rows.jsonl"
    first, *others = path.read_text().splitlines()
    record = {k: v for k, v in (json.loads(first) | change).items() if v is not ...}
    path.write_text("\n".join([*others, json.dumps(record), ""]))
    with pytest.raises(InputError) as caught:
        bench.load_rows(folder.root)
    assert expected in str(caught.value) and str(path) in str(caught.value)
    if "columns" in expected:
        assert f"rows.jsonl, line {len(others) + 1}" in str(caught.value)


def test_needs_only_the_standard_library():
    heavy = "('torch', 'numpy', 'pandas', 'pyarrow', 'pydantic', 'yaml')"
    code = f"import sys, bench.store; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_rows_come_back_as_they_were_given(folder):
    one = job("fit", "modl")
    rows = [Row(**record) for record in folder.store.records(one.key)]
    given = rows_of(one)
    assert rows[1] == Row(**{**given[1].__dict__, "value": None, "flag": "non-finite"})
    del rows[1], given[1]
    assert rows == given
    assert not Store(folder.root).finished("0" * 16)


def test_leftovers_of_a_killed_process_go(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    at_work = f".job.json.{os.getpid()}.tmp"
    kept = ["rows.jsonl", ".lock", ".notes.tmp", ".rows.jsonl.12.bak", at_work]
    for name in (*kept, f".rows.jsonl.{gone.pid}.tmp", f".result.json.{gone.pid}.tmp"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    remove_leftovers(tmp_path / "nowhere")
