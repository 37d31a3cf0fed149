"""The files of a report: figures, page, and that a second run writes the same."""

from __future__ import annotations

import html.parser
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from reports import Report, write_report

if TYPE_CHECKING:
    from conftest import Synthetic

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def report(synthetic: Synthetic) -> Report:
    return write_report(synthetic.root)


def test_every_file_is_there(synthetic: Synthetic, report: Report) -> None:
    small = synthetic.root / "report" / "small"
    names = {str(path.relative_to(small)) for path in report.paths if small in path.parents}
    tables = {f"{t}.{e}" for t in ("table", "stopping", "cost") for e in ("md", "tex", "csv")}
    figures = {
        f"figures/{name}.{kind}"
        for name in ("reconstruction-4x", "reconstruction-acquired", "training")
        for kind in ("pdf", "png")
    }
    assert tables | figures | {"index.html", "rows.csv"} <= names
    assert all(path.is_file() for path in report.paths)
    assert set(report.pages) == {"small", "one"}
    assert not [*report.directory.rglob("*.tmp")]


def test_a_second_report_is_the_same_to_the_byte(report: Report) -> None:
    before = {path: path.read_bytes() for path in report.paths}
    again = write_report(report.directory.parent)
    assert [path for path in again.paths if path.read_bytes() != before[path]] == []


def test_figures_show_something_at_200_dpi(report: Report) -> None:
    pictures = [path for path in report.paths if path.suffix == ".png"]
    assert pictures
    for path in pictures:
        with Image.open(path) as image:
            assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
            assert image.width >= 690  # one column at least
            assert len(np.unique(np.asarray(image.convert("L")))) > 50
    for path in report.paths:
        if path.suffix == ".pdf":
            content = path.read_bytes()
            assert content.startswith(b"%PDF")
            assert b"CreationDate" not in content


class Page(html.parser.HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(report.pages["small"].read_text())


def test_page_fetches_nothing(report: Report, page: Page) -> None:
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name in LINKS]
    assert links
    assert all(value and value.startswith("data:image/png;base64,") for value in links)
    assert not re.search(r"url\(|@import", report.pages["small"].read_text())


LINKS = {"src", "href", "srcset", "action", "data", "poster"}


def test_a_method_named_script_is_text(report: Report, page: Page) -> None:
    assert sum(tag == "script" for tag, _ in page.tags) == 1  # our own, which sorts
    assert "<script>alert" not in report.pages["small"].read_text()
    assert any(HOSTILE in text for text in page.text)
    assert not any(tag == "b" and "no more" in str(attrs) for tag, attrs in page.tags)


def test_failed_jobs_come_first_with_their_errors(report: Report) -> None:
    text = report.pages["small"].read_text()
    assert text.index('id="failed"') < text.index('id="table"') < text.index('id="figures"')
    assert "the loss is nan at step 173 &amp; &lt;b&gt;no more&lt;/b&gt;" in text
    assert "15 jobs: 12 ok, 2 blocked, 1 diverged" in text
    assert 'id="failed"' not in report.pages["one"].read_text()


def test_page_has_note_configurations_and_bibtex(page: Page) -> None:
    text = " ".join(page.text)
    assert "Does not claim a ranking" in text
    assert '"width": 32' in text
    assert '"torch": "2.13.0"' in text
    assert "@article{modl," in text


def test_rows_keep_every_digit(report: Report, rows_on_disk: list[dict[str, Any]]) -> None:
    import csv

    path = next(p for p in report.paths if p.name == "rows.csv" and p.parent.name == "small")
    with path.open() as file:
        written = list(csv.DictReader(file))
    # every job stands in this suite once
    assert sorted(float(r["value"]) for r in written) == sorted(r["value"] for r in rows_on_disk)
    assert {row["method_label"] for row in written} >= {HOSTILE, "modl"}


def test_an_evaluation_without_artifacts_or_traces_has_no_figures(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    bare = type(synthetic)(tmp_path).write()
    for path in tmp_path.glob("jobs/*/artifacts/*.npz"):
        path.unlink()
    for path in tmp_path.glob("jobs/fit*/rows.jsonl"):
        path.unlink()
    report = write_report(bare.root, ["html", "png"])
    assert {path.name for path in report.paths} == {"index.html"}


def test_the_zoom_is_inside_the_object() -> None:
    from reports.figures.scene import zoom_window

    y, x = np.mgrid[:80, :100]
    image = ((y - 45) ** 2 + (x - 40) ** 2 < 30**2).astype(np.float32) * 0.5
    image[:2] = 1  # a bright border
    image[50:58, 30:38] -= np.random.default_rng(0).random((8, 8)).astype(np.float32) * 0.2
    top, left, side = zoom_window(image)
    assert top <= 50
    assert top + side >= 58
    assert left <= 30
    assert left + side >= 38


def test_a_threshold_is_read_from_the_configuration(synthetic: Synthetic) -> None:
    from reports.figures.lipschitz import threshold
    from reports.folder import load_folder
    from reports.suite_results import SuiteResults

    results = SuiteResults(load_folder(synthetic.root), "small")
    found = {line.method: threshold(results, line) for line in results.lines}
    assert found["mol (no constraint)"] == 0.98  # 1 - m
    assert found["modl"] is None  # logs no estimate


def test_figures_of_an_earlier_report_go(report: Report, synthetic: Synthetic) -> None:
    figures = synthetic.root / "report" / "small" / "figures"
    (figures / "training-of-before.png").write_bytes(b"old")
    (figures / "notes.txt").write_text("mine")
    write_report(synthetic.root)
    assert not (figures / "training-of-before.png").exists()
    assert (figures / "training.png").exists() and (figures / "notes.txt").exists()
