"""Results against golden rows, on folders made by hand: what is found, and what is refused."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import cli, golden, regression
from bench.errors import InputError
from bench.labelled import read_results
from bench.store import Result, Row, Store

TOLERANCES = """
given:
  psnr: {absolute: 0.005}
  nfe: {absolute: 1}
  data_fidelity: {relative: 0.01}
  predicted_peak: exact
  parameters: exact
  seconds: never
trained: {default: {absolute: 0.1}, seconds: never}
"""
ROW = Row(
    job="",
    method="net",
    variant="",
    task="mri",
    dataset="phantom",
    split="test",
    split_hash="",
    data_seed=0,
    train_seed=0,
    subject="a",
    sample="0",
    phase="evaluate",
    step=None,
    condition="{}",
    metric="psnr",
    value=30.0,
    unit="dB",
    protocol="",
)


def row(metric: str = "psnr", value: float | None = 30.0, **fields: Any) -> Row:
    return dataclasses.replace(ROW, metric=metric, value=value, **fields)


class Folder:
    """A results folder with a suite of its own making."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.lines = root, Store(root), list[dict[str, Any]]()
        self.store.create()

    def add(
        self,
        rows: list[Row],
        method: str = "net",
        kind: str = "evaluate",
        stages: tuple[str, ...] = (),
        requires: tuple[str, ...] = (),
        status: str = "ok",
        listed: bool = True,
    ) -> str:
        """A job with these rows; a name like ``net (small)`` is a label of the method ``net``."""
        key = f"key{len(self.store.jobs())}"
        settings = {"recipe": {"stages": stages}} if kind == "fit" else {}
        name = method.partition(" (")[0]
        described = {"kind": kind, "method": name, "settings": settings, "requires": requires}
        self.store.write_job(key, described)
        self.store.write_rows(key, rows)
        self.store.write_result(key, Result(status, "why" if status != "ok" else ""))
        line = {"job": key, "kind": kind, "question": None, "method": method, "train_task": "mri"}
        line |= {"train_seed": 0, "test_task": None if kind == "fit" else "mri"}
        self.lines += [line] if listed else []
        self.store.write_suite("own", {"jobs": self.lines})
        return key


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """A results folder with one evaluation of given weights that has these rows."""

    def make(*rows: Row, name: str = "out", **job: Any) -> Path:
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        folder = Folder(tmp_path / name)
        fit = folder.add([row("parameters", 7, unit="", phase="fit")], kind="fit")
        folder.add(list(rows), requires=(fit,), **job)
        return folder.root

    return make


@pytest.fixture
def accepted(tmp_path: Path) -> Callable[[Path], Path]:
    """A golden folder with the rows of a results folder."""

    def accept(results: Path) -> Path:
        folder = tmp_path / "golden"
        folder.mkdir(exist_ok=True)
        (folder / golden.TOLERANCES).write_text(TOLERANCES)
        regression.update(results, folder)
        return folder

    return accept


def lines(results: Path, folder: Path, **options: Any) -> list[str]:
    return list(regression.check(results, folder, **options).lines())


@pytest.mark.parametrize(
    ("metric", "old", "now", "found"),
    [
        ("psnr", 30.0, 29.9951, ""),
        ("psnr", 30.0, 29.9949, "regression"),
        ("psnr", 30.0, 30.0051, "improvement"),
        ("psnr", 30.0, None, "regression"),  # not finite any more
        ("psnr", None, None, ""),
        ("nfe", 12.0, 13.0, ""),
        ("nfe", 12.0, 14.0, "regression"),
        ("nfe", 12.0, 10.0, "improvement"),
        ("data_fidelity", 2.0, 1.97, "regression"),  # no good direction
        ("data_fidelity", 2.0, 2.019, ""),
        ("predicted_peak", 12_345_678_912.0, 12_345_678_912.0, ""),
        ("predicted_peak", 12_345_678_912.0, 12_345_678_913.0, "regression"),
        ("seconds", 1.0, 100.0, ""),
    ],
)
def test_what_a_move_is(
    made: Any, accepted: Any, metric: str, old: float | None, now: float | None, found: str
) -> None:
    folder = accepted(made(row(metric, old)))
    report = regression.check(made(row(metric, now)), folder)
    assert [line.partition(":")[0] for line in report.lines()][:-1] == ([found] if found else [])
    assert report.ok == (found != "regression")


def test_a_trained_method_has_more_room_and_so_has_what_builds_on_it(
    tmp_path: Path, accepted: Any
) -> None:
    def results(value: float) -> Path:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        folder = Folder(tmp_path / "out")
        backbone = folder.add([], "a", kind="fit", stages=("train",), listed=False)
        fit = folder.add([], "a", kind="fit", requires=(backbone,))
        folder.add([row(value=value)], "a", requires=(fit,))
        folder.add([row(value=value)], "given", requires=(folder.add([], "given", kind="fit"),))
        return folder.root

    folder = accepted(results(30.0))
    (one, _) = lines(results(29.95), folder)
    assert one == (
        "regression: given on mri, evaluate, evaluate: psnr: moved, "
        "a 0 30 -> 29.95 dB (-0.05, may be 0.005)"
    )


def test_many_samples_are_one_line_with_the_worst(made: Any, accepted: Any) -> None:
    def rows(change: float) -> list[Row]:
        return [row(value=30 - change * n, subject=f"s{n}") for n in range(200)]

    folder = accepted(made(*rows(0)))
    one, total = lines(made(*rows(0.001)), folder)
    assert "194 of 200 moved, worst s199 0 30 -> 29.801 dB (-0.199, may be 0.005)" in one
    assert total == "201 rows compared: 194 worse or different"


def test_what_is_missing_new_or_failed(tmp_path: Path, made: Any, accepted: Any) -> None:
    folder = accepted(made(row(), row("nfe", 5.0), row("nfe", 6.0, subject="b")))
    found = lines(made(row()), folder)
    assert found[0] == "missing: net on mri, evaluate, evaluate: nfe: 2 rows"
    found = lines(made(row(), row("nfe", 5.0), row("nfe", 6.0, subject="b", unit="calls")), folder)
    assert [line.partition(":")[0] for line in found[:-1]] == ["missing", "new"]
    # a job that is gone, or there for the first time, is one line whatever it has measured
    found = lines(made(row(), row("nfe", 5.0), method="other"), folder)
    assert found[0] == "missing: net on mri, evaluate: 3 rows"
    assert found[1] == "new: other on mri, evaluate: 2 rows"
    # a job that did not end well says so, and nothing of its rows
    report = regression.check(made(row(), status="diverged"), folder)
    assert next(report.lines()) == "failed: net on mri, evaluate: diverged: why"
    assert not report.ok and not report.missing
    with pytest.raises(InputError, match="diverged: why"):
        regression.update(made(row(), status="diverged"), folder)
    # so does one that was killed before it said anything
    results = made(row())
    (results / "jobs" / "key1" / "result.json").unlink()
    assert "failed: net on mri, evaluate: not finished" in lines(results, folder)


def test_only_is_that_of_run_and_leaves_other_golden_rows(tmp_path: Path, accepted: Any) -> None:
    def results(value: float, *methods: str) -> Path:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        folder = Folder(tmp_path / "out")
        for method in methods:
            fit = folder.add([], method, kind="fit")
            folder.add([row(value=value)], method, requires=(fit,))
        return folder.root

    folder = accepted(results(30.0, "net (small)", "net (large)", "other"))
    before = golden.read_rows(folder)
    part = results(31.0, "net (small)", "net (large)")
    assert any(line.startswith("missing: other") for line in lines(part, folder))
    for only in (["net"], ["n?t"], ["net (*)"]):
        report = regression.check(part, folder, only=only)
        assert report.ok and len(report.moved) == 2
    assert len(regression.check(part, folder, only=["*small)"]).moved) == 1
    with pytest.raises(InputError, match="--only nett: no such method"):
        regression.check(part, folder, only=["nett"])
    regression.update(part, folder, only=["*small)"])
    after = golden.read_rows(folder)
    assert [place.job.method for place in after if after[place] != before[place]] == ["net (small)"]


def test_the_file_is_sorted_whole_and_the_same_each_time(made: Any, accepted: Any) -> None:
    values = [("nfe", 3.0), ("psnr", 30.123456789123), ("data_fidelity", 1e-7 / 3)]
    rows = [row(m, v, subject=s) for m, v in values for s in ("b", "a")]
    rows += [row("psnr", 1.0, step=step, condition='{"a": 1, "b": ","}') for step in (100, 20)]
    results = made(*rows, row("seconds", 1.0))
    folder = accepted(results)
    assert golden.read_rows(folder).keys() == {
        place for place in read_results(results).values if place.metric != "seconds"
    }
    text = (folder / golden.ROWS).read_text()
    assert "30.1234568" in text and "3.33333333e-08" in text and "seconds" not in text
    assert "key" not in text
    body = text.splitlines()[1:]
    assert ['"{""a"": 1, ""b"": "",""}"' in line for line in body].count(True) == 2
    steps = [line for line in body if ',20,"' in line or ',100,"' in line]
    assert ",20," in steps[0] and ",100," in steps[1]  # as numbers, not as words
    accepted(made(*reversed(rows)))
    assert (folder / golden.ROWS).read_text() == text
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def edited(file: str, change: Callable[[str], str]) -> Callable[[Path, Path], None]:
    def edit(folder: Path, _: Path) -> None:
        (folder / file).write_text(change((folder / file).read_text()))

    return edit


def rows(change: Callable[[str], str]) -> Callable[[Path, Path], None]:
    return edited(golden.ROWS, change)


def tolerances(text: str) -> Callable[[Path, Path], None]:
    return edited(golden.TOLERANCES, lambda _: text)


def damaged(file: str, content: str) -> Callable[[Path, Path], None]:
    def damage(_: Path, results: Path) -> None:
        (results / file).write_text(content)

    return damage


BAD: Mapping[str, tuple[Callable[[Path, Path], None], str]] = {
    "no rows.csv": (lambda g, _: (g / golden.ROWS).unlink(), "rows.csv: cannot be read"),
    "no tolerances": (lambda g, _: (g / golden.TOLERANCES).unlink(), "yaml: cannot be read"),
    "another column": (rows(lambda t: t.replace("unit", "units", 1)), "rows.csv, line 1: columns"),
    "an empty file": (rows(lambda t: ""), "rows.csv, line 1: columns"),
    "a cell too many": (rows(lambda t: t.rstrip() + ",1\n"), "rows.csv, line 3: 16 cells"),
    "no number": (rows(lambda t: t.replace(",30\n", ",thirty\n")), "line 3: value 'thirty'"),
    "infinite": (rows(lambda t: t.replace(",30\n", ",inf\n")), "line 3: value 'inf'"),
    "no seed": (rows(lambda t: t.replace(",mri,0,", ",mri,,")), "line 3: train_seed ''"),
    "a row twice": (rows(lambda t: t + t.splitlines()[-1] + "\n"), "line 4: psnr a second time"),
    "not text": (lambda g, _: (g / golden.ROWS).write_bytes(b"\xff\xfe\xfa"), "not text"),
    "not YAML": (tolerances("given: {"), "tolerances.yaml: not YAML"),
    "no YAML": (tolerances(""), "tolerances.yaml: empty"),
    "no sections": (tolerances("7"), "line 1: no mapping"),
    "an unknown section": (tolerances("gven: {psnr: exact}"), "line 1: unknown section 'gven'"),
    "an unknown key": (tolerances("given:\n  psnr: {abs: 1}"), "line 2: unknown key 'abs'"),
    "negative": (tolerances("given:\n  psnr: {absolute: -1}"), "line 2: absolute: '-1'"),
    "a wrong type": (tolerances("given:\n  psnr: {relative: [1]}"), "line 2: relative: no number"),
    "a bare number": (tolerances("given:\n  psnr: 0.1"), "line 2: '0.1'"),
    "a metric twice": (tolerances("given:\n  a: exact\n  a: never"), "line 3: a a second time"),
    "no tolerance": (tolerances("given: {parameters: exact}"), "no tolerance for psnr in given"),
    "no results": (lambda _, r: shutil.rmtree(r), "no results here"),
    "no suite": (lambda _, r: (r / "suites/own.json").unlink(), "no suite was run into it"),
    "no rows": (damaged("suites/own.json", '{"jobs": []}'), "no rows"),
    "two suites": (damaged("suites/more.json", '{"jobs": []}'), "suites more, own"),
    "damaged rows": (damaged("jobs/key1/rows.jsonl", "{"), "rows.jsonl, line 1"),
    "other rows": (damaged("jobs/key1/rows.jsonl", '{"value": 1, "key": 2}'), "of schema 1"),
    "another schema": (damaged("jobs/key1/job.json", '{"schema": 99}'), "schema 99"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, made: Any, accepted: Any) -> None:
    results = made(row())
    folder = accepted(results)
    spoil, expected = BAD[case]
    spoil(folder, results)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    command = ["check", str(results), "--against", str(folder)]
    result = CliRunner().invoke(cli.app, command)
    assert isinstance(result.exception, InputError), result.output
    assert expected in str(result.exception) and "\n" not in str(result.exception)
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_two_methods_of_one_label_are_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    for _ in range(2):
        folder.add([row()], requires=(folder.add([], kind="fit"),))
    with pytest.raises(InputError, match="psnr stands for two numbers"):
        read_results(folder.root)


def test_the_command_accepts_only_when_told_to(tmp_path: Path, made: Any) -> None:
    folder = tmp_path / "new" / "golden"

    def check(value: float, *options: str, code: int) -> str:
        command = ["check", str(made(row(value=value))), "--against", str(folder), *options]
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == code, result.output
        return result.output

    assert "2 golden rows" in check(30.0, "--update", code=0)  # the first, with usual tolerances
    assert (folder / golden.TOLERANCES).read_text() == golden.DEFAULTS.read_text()
    assert "nothing moved" in check(30.0, code=0)
    text = (folder / golden.ROWS).read_text()
    assert "improvement" in check(31.0, code=0)
    assert (folder / golden.ROWS).read_text() == text
    assert "regression" in check(29.0, code=1)
    assert "regression" in check(29.0, "--update", code=0)
    assert "nothing moved" in check(29.0, code=0)
