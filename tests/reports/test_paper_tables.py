"""The papers' tables beside ours: layout from published.csv, numbers against hand computation."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import InputError
from bench.statistics import bootstrap_interval
from bench.store import Result, Row, Store
from reports import write_report
from reports.folder import load_folder
from reports.published import load_published
from reports.suite_results import SuiteResults
from reports.tables import Table, batches_table, paper_tables
from reports.tables.render import tidy_csv

IOWA = "Iowa CUBE brain (12 coils, 30 test slices, 9 subjects 4/2/3)"
MOL, LUSER, MCNET = "arXiv:2111.11380", "arXiv:2210.04987", "SR-MCNet"
NINE = (40.0, 41.0, 40.5, 40.25, 41.5, 39.0, 40.0, 42.0, 40.0)


@dataclass(frozen=True)
class Run:
    """A method trained and tested on a task by hand; ``psnr``: of each subject.

    ``measured``: (question, metric, value, condition).
    """

    label: str
    method: str
    task: str
    psnr: Sequence[float] = ()
    published: str = ""
    seed: int = 0
    status: str = "ok"
    parameters: int = 1000
    backbone: str = ""
    measured: Sequence[tuple[str, str, float, Mapping[str, Any]]] = ()


@dataclass
class Suite:
    """Writes a results folder with one suite."""

    root: Path
    published: Sequence[tuple[str, str]]
    tasks: Mapping[str, Mapping[str, Any]]
    runs: Sequence[Run]
    more: Mapping[str, Any] = field(default_factory=dict)

    def results(self) -> SuiteResults:
        store = Store(self.root)
        store.create()
        jobs: list[dict[str, Any]] = []
        for number, run in enumerate(self.runs):
            labels = {"method": run.label, "variant": "short", "train_task": run.task}
            labels |= {"train_seed": run.seed, "published": run.published}
            questions = dict.fromkeys(question for question, *_ in run.measured)
            kinds = [("backbone", "")] if run.backbone else []
            kinds += [("fit", ""), *([("evaluate", "")] if run.psnr else [])]
            for kind, question in [*kinds, *(("measure", name) for name in questions)]:
                key = f"{kind}{question}{number}"
                status = "blocked" if kind == "evaluate" and run.status != "ok" else run.status
                name = run.backbone if kind == "backbone" else run.method
                store.write_job(key, {"kind": kind, "method": name})
                rows = self._rows(key, run, kind, question) if status == "ok" else []
                store.write_rows(key, rows)
                environment = {"device": "cpu", "threads": 1}
                store.write_result(key, Result(status, "", 1.0, run.parameters, environment))
                test = run.task if kind in ("evaluate", "measure") else None
                jobs.append({**labels, "job": key, "kind": kind, "test_task": test})
                jobs[-1]["question"] = question or None
        named = [{"paper": paper, "table": table} for paper, table in self.published]
        store.write_suite(
            "made", {"tasks": self.tasks, "jobs": jobs, "published": named, **self.more}
        )
        return SuiteResults(load_folder(self.root), "made")

    def _rows(self, key: str, run: Run, kind: str, question: str) -> list[Row]:
        def row(metric: str, value: float, **more: Any) -> Row:
            given = {"job": key, "method": run.method, "variant": "", "task": run.task}
            given |= {"dataset": "d", "split": "test", "split_hash": "0", "data_seed": 0}
            given |= {"train_seed": run.seed, "subject": None, "sample": None, "step": None}
            given |= {"phase": "fit", "condition": "{}", "unit": "", "protocol": "magnitude"}
            return Row(**{**given, "metric": metric, "value": value, **more})

        if kind in ("fit", "backbone"):
            return [row("train_seconds", 60.0 + run.seed)]
        if kind == "measure":
            return [
                row(metric, value, condition=json.dumps(condition))
                for asked, metric, value, condition in run.measured
                if asked == question
            ]
        found = []
        for subject, psnr in enumerate(run.psnr):
            where = {"subject": f"s{subject}", "sample": "0", "phase": "evaluate"}
            values = {"psnr": psnr, "ssim": psnr / 50, "seconds": 0.25, "data_fidelity": 1e-3}
            found += [row(metric, value, **where) for metric, value in values.items()]
        return found


def task(name: str, theirs: str | None, condition: str | None = None, **more: Any) -> Any:
    column = {"dataset": theirs, "condition": condition}
    return {"name": name, "dataset": "phantom", "config": {}, "published": column, **more}


def block(table: Table, method: str) -> dict[str, dict[str, str]]:
    """The lines of a method: what it is from -> heading -> text."""
    rows = [row for row in table.rows if row[0].text == method]
    return {
        row[1].text: {n: c.text for n, c in zip(table.columns, row, strict=True)} for row in rows
    }


@pytest.fixture(scope="module")
def mol(tmp_path_factory: pytest.TempPathFactory) -> Table:
    fallback = "embedded data in place of Iowa brains (not found in --data)"
    tasks = {
        "a": task("mri-multicoil", IOWA, "4x", fallback=fallback),
        "b": task("mri-multicoil", None, "6x", dataset="Iowa CUBE brain, prepared"),
        "c": task("mri-multicoil", None),
    }
    runs = [Run("sense", "sense", t, (30.0, 31.0)) for t in "abc"]
    runs += [Run("modl (K = 5)", "modl", t, NINE) for t in "ab"]
    runs += [Run("mol-lr", "mol-lr", "a", NINE, status="diverged")]
    runs += [Run("tv", "tv", "a", (29.0, 28.0)), Run("nowhere", "unet", "c", (20.0,))]
    root = tmp_path_factory.mktemp("mol")
    (table,) = paper_tables(Suite(root, [(MOL, "1")], tasks, runs, {"scale": "small"}).results())
    return table


def test_rows_and_columns_are_the_papers(mol: Table) -> None:
    assert mol.groups == [("4x", ["PSNR [dB]", "SSIM"]), ("6x", ["PSNR [dB]", "SSIM"])]
    order = list(dict.fromkeys(row[0].text for row in mol.rows))
    assert order == ["sense", "modl", "mol-sn", "mol-lr", "tv"]  # what is not theirs is below
    assert list(block(mol, "sense")) == ["paper", "ours", "difference"]
    assert list(block(mol, "tv")) == ["ours"]
    assert mol.name == "paper-arxiv-2111-11380-1"


def test_published_ours_and_difference_by_hand(mol: Table) -> None:
    found = block(mol, "sense")
    assert found["paper"]["4x: PSNR [dB]"] == "37.39"
    assert found["ours"]["4x: PSNR [dB]"] == "30.50"  # two subjects: no interval
    assert found["difference"]["4x: PSNR [dB]"] == "-6.89"
    assert found["difference"]["6x: SSIM"] == "-0.357"
    low, high = bootstrap_interval(np.array(NINE)[:, None])
    modl = block(mol, "modl")
    ours = modl["ours: modl (K = 5)"]  # the suite's label says more
    assert ours["4x: PSNR [dB]"] == f"{np.mean(NINE):.2f} ({low:.2f} to {high:.2f})"
    records = list(csv.DictReader(io.StringIO(tidy_csv(mol))))
    wanted = {"paper_method": "modl", "condition": "4x", "metric": "psnr"}
    (record,) = [r for r in records if wanted.items() <= r.items()]
    assert float(record["difference"]) == pytest.approx(np.mean(NINE) - 41.02, abs=1e-12)
    assert (record["method"], record["subjects"], record["status"]) == ("modl (K = 5)", "9", "ok")


def test_what_is_missing_on_either_side_is_shown(mol: Table) -> None:
    assert block(mol, "mol-sn").keys() == {"paper", "ours"}
    assert set(block(mol, "mol-sn")["ours"].values()) == {"mol-sn", "ours", "–"}
    assert block(mol, "mol-lr")["ours"]["4x: PSNR [dB]"] == "blocked: fit diverged"
    assert block(mol, "tv")["ours"]["6x: PSNR [dB]"] == "–"
    # the rows of a block sort by the same number, which leaves them together
    assert len({row[2].sort for row in mol.rows if row[0].text == "sense"}) == 1


def test_other_data_and_protocol_are_told(mol: Table) -> None:
    caption = list(mol.caption)
    assert any(
        text.startswith(f"Other data: published on {IOWA}, 4x; here a: phantom; embedded data in")
        and "in place of Iowa brains (not found in --data); 2 to 9 subjects" in text
        for text in caption
    )
    assert any(t.startswith(f"Published on {IOWA}, 6x; here b: Iowa CUBE brain") for t in caption)
    assert "Scale small: smaller and shorter than the paper's." in caption
    assert any(t.startswith("Protocol of the paper: SSIM without a data range") for t in caption)
    assert "Ours: scored on: magnitude." in caption
    assert "Fewer than 8 subjects: no interval." in caption
    assert "No columns of the paper: c." in caption


def test_losses_are_columns_and_a_task_of_two_columns_has_none(tmp_path: Path) -> None:
    tasks = {
        "faces": task("deblur", "CelebA"),
        "knees": task("mri-singlecoil", "fastMRI knee"),  # 4x or 8x?
    }
    runs = [
        Run("luser-sw (final)", "luser-sw", "faces", (30.0,), "final"),
        Run("luser-sw (aux)", "luser-sw", "faces", (31.0,), "aux"),
        Run("de-prox", "de-prox", "faces", (32.0,), "final"),
        Run("de-prox (aux)", "de-prox", "faces", (33.0,), "aux"),
        Run("luser-dw", "luser-dw", "faces", (34.0,)),
        Run("de-prox", "de-prox", "knees", (20.0,), "final"),
    ]
    (table,) = paper_tables(Suite(tmp_path, [(LUSER, "2")], tasks, runs).results())
    names = [name for name, _ in table.groups]
    assert names == [
        "CelebA",
        "LoDoPaB-CT, 200 of 1000 angles",
        *("fastMRI knee, 4x", "fastMRI knee, 8x"),
    ]
    assert table.groups[0][1] == ["final PSNR [dB]", "final SSIM", "aux PSNR [dB]", "aux SSIM"]
    sw = block(table, "luser-sw")
    ours = sw["ours: luser-sw (final) / luser-sw (aux)"]
    assert (ours["CelebA: final PSNR [dB]"], ours["CelebA: aux PSNR [dB]"]) == ("30.00", "31.00")
    assert sw["difference"]["CelebA: aux PSNR [dB]"] == "+0.35"
    # the paper's DE-Prox has no auxiliary loss, and which loss luser-dw has nobody said
    below = block(table, "de-prox (aux)")["ours"]
    assert below["CelebA: aux PSNR [dB]"] == "33.00"
    assert below["CelebA: final PSNR [dB]"] == "–"
    assert block(table, "luser-dw")["paper"]["CelebA: final PSNR [dB]"] == "31.40"
    assert "Left out, for several columns of the paper fit: knees." in table.caption
    assert any(text.startswith("Not run here: LoDoPaB-CT") for text in table.caption)


def test_parameters_and_batches_of_gpus(tmp_path: Path) -> None:
    def batches(*sizes: int) -> list[tuple[str, str, float, dict[str, Any]]]:
        how = {"how": "predicted", "penalty": False, "most": 64, "reserve": "0.5GB"}
        gpus = ("8GB", "24 GB")
        return [
            ("batch-size", "largest_even_batch", size, {**how, "gpu": gpu})
            for gpu, size in zip(gpus, sizes, strict=True)
        ]

    tasks = {"faces": task("deblur", "CelebA"), "ct": task("ct", "LoDoPaB-CT", "200 of 1000")}
    measured = batches(10, 64)
    runs = [
        Run("sw", "luser-sw", "faces", (), "final", parameters=96260, measured=measured),
        Run("sw (aux)", "luser-sw", "faces", (), "aux", parameters=96260, measured=measured),
        Run("lu-dncnn", "lu-dncnn", "ct", parameters=556033, measured=batches(0, 2)),
    ]
    results = Suite(tmp_path, [(LUSER, "3")], tasks, runs).results()
    (table,) = paper_tables(results)
    columns = ["parameters", "batch in 8 GB", "batch in 10 GB", "batch in 24 GB"]
    assert table.groups[0] == ("CelebA", columns)
    sw = block(table, "luser-sw")
    assert sw["ours: sw"]["CelebA: parameters"] == "96,260"
    assert sw["difference"]["CelebA: parameters"] == "-243"  # they count the blur kernel
    assert sw["difference"]["CelebA: batch in 8 GB"] == "0"
    assert sw["ours: sw"]["CelebA: batch in 10 GB"] == "–"
    assert sw["ours: sw"]["CelebA: batch in 24 GB"] == "64 or more"
    lu = block(table, "lu-dncnn")
    assert lu["paper"]["LoDoPaB-CT: batch in 8 GB"] == "does not fit"
    assert lu["ours"]["LoDoPaB-CT: batch in 8 GB"] == "0"
    assert lu["difference"]["LoDoPaB-CT: batch in 8 GB"] == "–"
    assert "sw (aux)" not in {row[0].text for row in table.rows}  # the same number again
    assert not any("paper" in name for name in batches_table(results).columns)


def test_words_stand_above_ours_task_by_task(tmp_path: Path) -> None:
    peak = ("memory", "predicted_peak", 2.5e9, {"batch": 1, "penalty": False, "iterations": 3})
    tasks = {"faces": task("deblur", None), "ct": task("ct", None)}
    runs = [
        Run("de-prox", "de-prox", "faces", (30.0,), parameters=558337, measured=[peak]),
        Run("de-prox", "de-prox", "faces", (31.0,), seed=1),
        Run("de-prox", "de-prox", "faces", (31.0,), seed=2, status="diverged"),
        Run("de-prox", "de-prox", "ct", (30.0,)),
    ]
    (table,) = paper_tables(Suite(tmp_path, [(LUSER, "4")], tasks, runs).results())
    found = block(table, "de-prox")
    assert list(found) == ["paper", "ours, faces", "ours, ct"]  # words have no difference
    assert found["paper"]["training stability"] == "unstable"
    ours = found["ours, faces"]
    assert ours["training stability"] == "33 % of 3 diverged; SD 0.71 dB"
    assert ours["training time"] == "60.5"
    assert ours["evaluation time"] == "0.25 (2 of 3 seeds; blocked: fit diverged)"
    assert (ours["training memory"], ours["expressiveness"]) == ("2.50 GB", "–")
    assert found["ours, ct"]["network size"] == "1,000"


def test_backbones_are_rows_and_a_damaged_number_has_no_difference(tmp_path: Path) -> None:
    tasks = {
        "set5": task("superres", "Set5", "x2", dataset="set5, x2"),
        "set14": task("superres", "Set14", "x2"),
    }
    runs = [
        Run("mcnet (srcnn)", "mcnet", "set5", (37.0, 37.5), "srcnn", backbone="srcnn"),
        Run("mcnet (rdn)", "mcnet", "set14", (33.5,), "rdn"),
        Run("bicubic", "bicubic", "set14", (30.0,)),
    ]
    suite = Suite(tmp_path, [(MCNET, "2"), (MCNET, "1")], tasks, runs)
    quality, fidelity = paper_tables(suite.results())
    headings = [name for name, _ in quality.groups]
    assert headings == [f"{name}, {x}" for x in ("x2", "x3", "x4") for name in ("Set5", "Set14")]
    rows = list(dict.fromkeys(row[0].text for row in quality.rows))
    assert rows[:5] == ["bicubic", "pnp-admm", "srcnn", "tv-tv (srcnn)", "mcnet (srcnn)"]
    assert rows[5:8] == ["rdn", "tv-tv (rdn)", "mcnet (rdn)"]
    srcnn, rdn = block(quality, "mcnet (srcnn)"), block(quality, "mcnet (rdn)")
    assert srcnn["ours"]["Set5, x2: PSNR [dB]"] == "37.2500"  # as many decimals as theirs
    assert srcnn["difference"]["Set5, x2: PSNR [dB]"] == "+0.0228"
    assert rdn["difference"]["Set14, x2: PSNR [dB]"] == "-0.3765"
    assert block(quality, "bicubic")["paper"]["Set5, x2: PSNR [dB]"] == "33.6890"
    assert any(text.startswith("Published on Set5, x2; here set5") for text in quality.caption)
    assert any(text.startswith("Other data: published on Set14, x2") for text in quality.caption)
    damaged = block(fidelity, "mcnet (srcnn)")
    assert damaged.keys() == {"paper", "ours"}
    assert damaged["paper"]["Set5, x2: ‖A x − y‖"] == "2.6276e-05 !"
    assert any(text.startswith("! mcnet (srcnn): exponent damaged") for text in fidelity.caption)


@pytest.mark.parametrize(
    "named", sorted({(item.paper, item.table) for item in load_published()}), ids=" ".join
)
def test_every_published_table_is_laid_out_whole(tmp_path: Path, named: tuple[str, str]) -> None:
    runs = [Run("sense", "sense", "a", (30.0,))]
    suite = Suite(tmp_path, [named], {"a": task("mri-multicoil", None)}, runs)
    (table,) = paper_tables(suite.results())
    items = [item for item in load_published() if (item.paper, item.table) == named]
    shown = [c.text for r in table.rows if r[1].text == "paper" for c in r[2:] if c.text != "–"]
    assert len(shown) == len(items)
    assert len(shown[0]) <= len(items[0].text) + 20
    stds = sum(item.std is not None for item in items)
    assert sum("±" in text for text in shown) == stds


def test_the_report_has_them_in_place_of_the_short_list(tmp_path: Path) -> None:
    tasks = {"a": task("mri-multicoil", IOWA, "4x", config={"acceleration": 4.0})}
    suite = Suite(tmp_path, [(MOL, "1")], tasks, [Run("sense", "sense", "a", (30.0,))])
    suite.results()
    written = {path.name for path in write_report(tmp_path, ["markdown", "latex", "csv"]).paths}
    assert {f"paper-arxiv-2111-11380-1.{kind}" for kind in ("md", "tex", "csv")} <= written
    assert "published.csv" not in written


def test_an_unknown_table_is_bad_input(tmp_path: Path) -> None:
    results = Suite(tmp_path, [(MOL, "7")], {"a": task("ct", None)}, [Run("s", "s", "a", (1.0,))])
    with pytest.raises(InputError, match=r"arXiv:2111.11380, table 7 \(expected one of: arXiv"):
        paper_tables(results.results())
