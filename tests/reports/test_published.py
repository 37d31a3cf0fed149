"""The papers' numbers that stand below ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reports.folder import load_folder
from reports.published import load_published
from reports.suite_results import SuiteResults
from reports.tables.published import LABEL, published_table

if TYPE_CHECKING:
    from conftest import Synthetic


def test_every_cell_is_read() -> None:
    published = load_published()
    mol = {
        (item.condition, item.method): item.value
        for item in published
        if item.paper == "arXiv:2111.11380" and item.metric == "psnr"
    }
    assert mol["4x", "sense"] == 37.39
    assert mol["6x", "mol-lr"] == 37.71
    words = [item for item in published if item.metric == "training time"]
    assert words
    assert all(item.value is None for item in words)


def test_methods_match_by_registry_name_and_tasks_by_acceleration(synthetic: Synthetic) -> None:
    table = published_table(SuiteResults(load_folder(synthetic.root), "small"))
    found = {(row[0].text, row[2].text) for row in table.rows}
    assert found == {(m, c) for m in ("sense", "modl", "mol-lr") for c in ("4x", "6x")}
    assert table.caption[0] == LABEL


def test_a_suite_without_a_match_has_none(synthetic: Synthetic, tmp_path: Path) -> None:
    other = type(synthetic)(tmp_path).write()
    table = other.store.suites()["one"]
    table["tasks"]["4x"]["config"]["acceleration"] = 5
    other.store.write_suite("one", table)
    assert not published_table(SuiteResults(load_folder(tmp_path), "one")).rows
