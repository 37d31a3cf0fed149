"""The files of a report: figures, page, and that a second run writes the same."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from reports import FORMATS, Report, write_report

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
    drawn = ("reconstruction-4x", "quality-4x", "convergence-4x", "training")
    figures = {f"figures/{name}.{kind}" for name in drawn for kind in ("pdf", "png")}
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
    assert all(value and value.startswith(("data:image/png;base64,", "#")) for value in links)
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


def test_page_has_the_end_of_every_log(report: Report, page: Page) -> None:
    logs = [text for text in page.text if text.endswith("the last line")]
    assert len(logs) == 15
    assert all(4000 <= len(text) <= 4001 and text[0] == "…" for text in logs)
    assert f"<i>{HOSTILE}</i>" in logs[0]
    assert "<i>" not in report.pages["small"].read_text()


def test_a_log_is_shown_as_in_a_terminal(synthetic: Synthetic) -> None:
    from reports.folder import load_folder
    from reports.page import log_tail

    folder = load_folder(synthetic.root).directory / "jobs" / "fit0s0"
    assert log_tail(folder / "log.txt", most=10**6).startswith("100 %\nstep 1")
    assert log_tail(folder / "nothing.txt") == ""


def test_flagged_jobs_are_told_with_counts(synthetic: Synthetic, tmp_path: Path) -> None:
    root = type(synthetic)(tmp_path).write().root
    path = root / "jobs" / "evaluate1s04x" / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, row in enumerate(row for row in rows if row["metric"] == "nfe"):
        row["flag"] = f"trace claims {number} evaluations"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = write_report(root, ["html"]).pages["small"].read_text()
    section = text[text.index('id="flagged"') : text.index('id="table"')]
    assert section.count("<li>") == 2  # the job, and its only reason
    assert "trace claims 0 to 29 evaluations (30 rows)" in section
    assert 'href="#job-evaluate1s04x"' in section
    assert 'href="#flagged"' in text[: text.index('id="flagged"')]


def test_page_says_whose_the_data_is(page: Page) -> None:
    text = " ".join(" ".join(page.text).split())
    assert "Brain phantom, 4x brain phantom, from the MNI-152 template" in text
    assert "© 1993–2009 Louis Collins" in text
    assert "Acquired 8-coil slice, 6x user data. Terms: the user's own." in text


def test_every_shipped_split_of_others_data_has_a_licence() -> None:
    """Files are known by the names of subjects or of their folders."""
    from bench.data.splits import load_split
    from reports.licences import FILES

    for name in ("multicoil", "singlecoil", "cardiac-cine", "t91-set5", "train400-bsd68"):
        assert {s.partition("/")[0] for s in load_split(name).subjects} <= set(FILES)


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


def test_without_artifacts_and_traces_only_quality_is_drawn(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    bare = type(synthetic)(tmp_path).write()
    for path in tmp_path.glob("jobs/*/artifacts/*.npz"):
        path.unlink()
    for path in tmp_path.glob("jobs/fit*/rows.jsonl"):
        path.unlink()
    report = write_report(bare.root, ["html", "png"])
    quality = {"quality-4x.png", "quality-acquired.png"}  # needs nothing else
    assert {path.name for path in report.paths} == {"index.html", *quality}


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


def test_what_an_earlier_report_wrote_goes_and_nothing_else(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    type(synthetic)(tmp_path).write()
    small = write_report(tmp_path, ["markdown", "latex", "csv"]).directory / "small"
    (small / "figures").mkdir()
    (small / "paper.tex").write_text(r"\input{stopping.tex}")
    (small / "figures" / "notes.txt").write_text("mine")
    (small / "figures" / "training-of-before.png").write_bytes(b"old")
    suite = tmp_path / "suites" / "small.json"
    table = json.loads(suite.read_text())
    table["jobs"] = [job for job in table["jobs"] if job["method"] == "sense"]  # iterates nothing
    suite.write_text(json.dumps(table))
    write_report(tmp_path, ["markdown"])
    assert not (small / "stopping.md").exists()
    assert (small / "stopping.csv").exists()  # of a format that was not asked for
    assert (small / "figures" / "training-of-before.png").exists()
    write_report(tmp_path, ["latex", "csv", "png"])
    assert not [*small.glob("stopping.*"), *small.glob("figures/training-of-before.png")]
    kept = ("paper.tex", "table.tex", "rows.csv", "figures/reconstruction-4x.png")
    kept += ("figures/notes.txt",)
    assert all((small / name).is_file() for name in kept)


def test_formats_on_the_command_line(
    synthetic: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from bench import cli

    root = type(synthetic)(tmp_path).write().root
    asked = CliRunner().invoke(cli.app, ["report", str(root), "--format", "latex, csv"])
    assert asked.exit_code == 0, asked.output
    written = {path.suffix for path in (root / "report" / "small").rglob("[!.]*.*")}
    assert written == {".tex", ".csv"}
    refused = CliRunner().invoke(cli.app, ["report", str(root), "--format", "docx"])
    assert str(refused.exception) == f"unknown format 'docx' (expected of {', '.join(FORMATS)})"
    told = CliRunner().invoke(cli.app, ["report", "--help"]).output
    assert all(name in told for name in FORMATS)
