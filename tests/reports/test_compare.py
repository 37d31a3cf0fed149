"""Two results folders compared, against differences computed by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import cli
from bench.statistics import bootstrap_interval
from bench.store import Result, Row, Store
from reports.compare import compare_folders
from reports.tables import Table
from reports.tables.render import tidy_csv

Quality = Callable[[int, int, int], float]  # subject, sample, seed -> PSNR


@dataclass
class Made:
    """A folder with one suite, trained on `4x` and tested there.

    ``methods``: label -> PSNR of its images; ``job``, ``environment``: what every job says.
    """

    root: Path
    methods: Mapping[str, Quality]
    subjects: range = range(9)
    seeds: tuple[int, ...] = (0,)
    suite: str = "made"
    diverged: tuple[str, ...] = ()
    steps: int = 100
    parameters: int = 1000
    job: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def write(self) -> Path:
        store = Store(self.root)
        store.create()
        entries = []
        for label in (*self.methods, *self.diverged):
            for seed in self.seeds:
                bad = label in self.diverged
                kinds = {"fit": "diverged" if bad else "ok", "evaluate": "blocked" if bad else "ok"}
                kinds |= {} if bad else {"measure": "ok"}
                for kind, status in kinds.items():
                    key = f"{kind}-{label}-{seed}-{self.suite}"
                    self._job(store, key, kind, label, seed, status)
                    test = None if kind == "fit" else "4x"
                    entry = {"job": key, "kind": kind, "method": label, "variant": ""}
                    entry |= {"train_task": "4x", "test_task": test, "train_seed": seed}
                    entries.append(entry | ({"question": "memory"} if kind == "measure" else {}))
        tasks = {"4x": {"name": "mri-multicoil", "config": {}}}
        store.write_suite(self.suite, {"tasks": tasks, "jobs": entries})
        return self.root

    def _job(self, store: Store, key: str, kind: str, label: str, seed: int, status: str) -> None:
        settings = {"training": {"steps": self.steps}} if kind == "fit" else {"samples": None}
        trained = seed if label != "sense" else 0  # what is not trained has no seed
        job = {"kind": kind, "method": label, "train_seed": trained, "settings": settings}
        shared = {"content": "c", "split": "s", "protocol": "magnitude", "data_seed": 0}
        store.write_job(key, {**job, **shared, **self.job})
        rows = list(self._rows(key, kind, label, seed)) if status == "ok" else []
        store.write_rows(key, rows)
        versions = {"versions": {"torch": "2.13.0"}, "commit": "c697da7"}
        environment = {"device": "cpu", "processor": "A", "threads": 1, **versions}
        environment |= dict(self.environment)
        store.write_result(key, Result(status, "", 1.0, self.parameters, environment))

    def _rows(self, key: str, kind: str, label: str, seed: int) -> list[Row]:
        def row(metric: str, value: float, unit: str = "", **more: Any) -> Row:
            given = {"job": key, "method": label, "variant": "", "task": "mri-multicoil"}
            given |= {"dataset": "d", "split": "test", "split_hash": "s", "data_seed": 0}
            given |= {"train_seed": seed, "subject": None, "sample": None, "step": None}
            given |= {"phase": "fit", "condition": "{}", "protocol": "magnitude"}
            return Row(**{**given, "metric": metric, "value": value, "unit": unit, **more})

        if kind == "fit":
            return [row("train_seconds", 0.5 * self.steps, "s")]
        if kind == "measure":
            how = '{"batch": 1, "iterations": 3}'
            peaks = {"fit": 2e6 * self.parameters / 1000, "evaluate": 1e6}
            return [
                row("predicted_peak", peak, "bytes", phase=phase, condition=how)
                for phase, peak in peaks.items()
            ]
        found = []
        for subject in self.subjects:
            for sample in range(2):
                where = {"subject": f"s{subject}", "sample": str(sample), "phase": "evaluate"}
                psnr = self.methods[label](subject, sample, seed)
                found += [row("psnr", psnr, "dB", **where), row("seconds", 0.1, "s", **where)]
        return found


def before(subject: int, sample: int, seed: int) -> float:
    return 30.0 + subject + 0.5 * sample + 0.1 * seed


def after(subject: int, sample: int, seed: int) -> float:
    return before(subject, sample, seed) + 0.3 + 0.01 * subject**2 - 0.2 * sample * (seed == 1)


def record(table: Table, **wanted: str) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO(tidy_csv(table)))
    (found,) = [row for row in rows if wanted.items() <= row.items()]
    return found


def cells(table: Table, method: str, metric: str) -> dict[str, str]:
    rows = [
        {name: cell.text for name, cell in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]
    (found,) = [row for row in rows if (row["method"], row["metric"]) == (method, metric)]
    return found


def test_what_both_have_is_paired(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"mol": before}, range(10), seeds=(0, 1)).write()
    b = Made(tmp_path / "b", {"mol": after}, range(1, 12), seeds=(1, 2)).write()
    table = compare_folders(a, b, ["psnr"])
    found = record(table, method="mol", metric="psnr")
    # subjects 1 to 9, both images, seed 1
    means = {
        name: np.array([[np.mean([f(s, i, 1) for i in range(2)])] for s in range(1, 10)])
        for name, f in (("a", before), ("b", after))
    }
    difference = means["b"] - means["a"]
    assert float(found["mean_a"]) == pytest.approx(means["a"].mean(), rel=1e-14)
    assert float(found["mean_b"]) == pytest.approx(means["b"].mean(), rel=1e-14)
    assert float(found["difference"]) == pytest.approx(difference.mean(), rel=1e-12)
    interval = float(found["low"]), float(found["high"])
    assert interval == pytest.approx(bootstrap_interval(difference), rel=1e-12)
    assert (found["subjects"], found["pairs"]) == ("9", "18")
    assert (found["only_a"], found["only_b"]) == ("22", "26")  # 40 and 44 in all
    shown = cells(table, "mol", "psnr")
    low, high = interval
    assert shown["B − A"] == f"{difference.mean():+.2f} ({low:+.2f} to {high:+.2f})"
    assert shown["n"] == "9 (18)"
    assert {"a: 22 only in A.", "b: 26 only in B."} <= set(table.caption)


def test_other_seeds_and_few_subjects(tmp_path: Path) -> None:
    methods = {"mol": before, "sense": before}
    a = Made(tmp_path / "a", methods, range(4)).write()
    b = Made(tmp_path / "b", {**methods, "mol": after}, range(4), seeds=(1, 2)).write()
    table = compare_folders(a, b, ["psnr"])
    found = record(table, method="mol")
    expected = np.mean(
        [
            np.mean([after(s, i, seed) for i in range(2) for seed in (1, 2)])
            - np.mean([before(s, i, 0) for i in range(2)])
            for s in range(4)
        ]
    )
    assert float(found["difference"]) == pytest.approx(expected, rel=1e-12)
    assert (found["pairs"], found["low"]) == ("8", "")
    assert found["notes"].endswith("other training seeds: images alone are paired")
    assert "Fewer than 8 subjects: no interval." in table.caption
    assert "seeds" not in record(table, method="sense")["notes"]  # it has none


def test_scalars_are_plain_and_times_say_the_machine(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"mol": before}).write()
    other = {"processor": "B"}
    b = Made(tmp_path / "b", {"mol": before}, parameters=1500, environment=other).write()
    table = compare_folders(a, b)
    parameters = cells(table, "mol", "parameters")
    assert (parameters["B − A"], parameters["n"]) == ("+500 (×1.50)", "– (1)")
    peak = cells(table, "mol", "memory: predicted_peak (phase fit)")
    assert (peak["A"], peak["B"], peak["B − A"]) == ("2.00 MB", "3.00 MB", "+1.00 MB (×1.50)")
    assert cells(table, "mol", "memory: predicted_peak (phase evaluate)")["B − A"] == "0 B"
    noted = {row["metric"]: row["notes"] for row in csv.DictReader(io.StringIO(tidy_csv(table)))}
    assert noted["seconds"] == noted["train_seconds"] == "other machine"
    assert noted["psnr"] == noted["predicted_peak"] == ""
    assert record(table, metric="seconds")["low"] == ""
    assert "Environment (A / B): processor A / B." in table.caption


def test_what_else_differs_is_told_with_both_values(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"mol": before, "modl": before}).write()
    job = {"split": "f" * 64, "protocol": "magnitude; crop 2"}
    newer = {"versions": {"torch": "2.14.0"}, "commit": "0a1b2c3"}
    b = Made(
        tmp_path / "b", {"mol": after, "modl": after}, steps=200, job=job, environment=newer
    ).write()
    table = compare_folders(a, b, ["psnr"])
    notes = "other data; other protocol; other training"
    assert {row["notes"] for row in csv.DictReader(io.StringIO(tidy_csv(table)))} == {notes}
    told = [
        "Environment (A / B): torch 2.13.0 / 2.14.0; commit c697da7 / 0a1b2c3.",
        "Other data: split s / ffffffffffff… (4x).",
        "Other protocol: protocol magnitude / magnitude; crop 2 (4x).",
        "Other training: settings.training.steps 100 / 200; split s / ffffffffffff… (mol, modl).",
    ]
    assert set(told) <= set(table.caption)


def test_what_only_one_has_is_told_with_the_reason(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"mol": before, "tv": before, "deq": before}).write()
    b = Made(tmp_path / "b", {"mol": before, "unet": before}, diverged=("deq",)).write()
    Made(tmp_path / "b", {"mol": before}, suite="more").write()
    table = compare_folders(a, b, ["psnr"])
    assert {row[1].text for row in table.rows} == {"mol"}
    wanted = {"Only in A: tv, deq (4x, blocked there).", "Only in B: unet."}
    assert {*wanted, "Only in B: suite more."} <= set(table.caption)


def test_suites_are_matched_by_name_or_are_the_only_ones(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"mol": before}, suite="first").write()
    b = Made(tmp_path / "b", {"mol": after}, suite="second").write()
    assert compare_folders(a, b, ["psnr"]).title == "B less A: first / second"
    Made(a, {"mol": before}, suite="second").write()
    assert compare_folders(a, b, ["psnr"]).title == "B less A: second"
    Made(b, {"mol": after}, suite="first").write()
    table = compare_folders(a, b, ["psnr"])
    assert [row[0].text for row in table.rows] == ["first", "second"]
    assert len(compare_folders(a, b, ["psnr"], suite="first").rows) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{a}", "{root}/nothing"], "nothing: no results here (expected a folder written by"),
        (["{a}", "{b}", "--metric", "pnsr"], "no metric 'pnsr' (expected one of psnr"),
        (["{a}", "{b}", "--suite", "mad"], "/a: no suite 'mad' (expected one of made)"),
        (["{a}", "{c}"], "no suite in common (expected one of made and of x, y with the same"),
        (["{a}", "{d}"], "nothing in common (expected a method and task of both with results)"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    folders = {name: tmp_path / name for name in "abcd"}
    for name in "ab":
        Made(folders[name], {"mol": before}, range(2)).write()
    for suite in "xy":
        Made(folders["c"], {"mol": before}, range(2), suite=suite).write()
    Made(folders["d"], {"unet": before}, range(2)).write()
    filled = [text.format(root=tmp_path, **folders) for text in arguments]
    monkeypatch.setattr("sys.argv", ["equibench", "compare", *filled])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    written = capsys.readouterr().err
    assert message in written
    assert written.count("\n") == 1


def test_the_command_prints_the_table_and_writes_every_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = Made(tmp_path / "a", {"mol": before}).write()
    b = Made(tmp_path / "b", {"mol": after}).write()
    file = tmp_path / "differences.csv"
    monkeypatch.setattr("sys.argv", ["equibench", "compare", str(a), str(b), "--csv", str(file)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    assert "B less A: made" in capsys.readouterr().out
    with file.open() as content:
        found = {row["metric"]: row for row in csv.DictReader(content)}
    assert found["psnr"]["pairs"] == "18"
