"""Rows and artifacts of a results folder -> tables, figures and one HTML page a suite."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError
from bench.storage.files import remove_leftovers
from bench.store import write_atomic

if TYPE_CHECKING:
    import rich.table

    from reports.suite_results import SuiteResults
    from reports.tables import Table

FORMATS = ("html", "pdf", "png", "markdown", "latex", "csv")
TABLES = {"markdown": ".md", "latex": ".tex", "csv": ".csv"}
FIGURES = {"pdf": ".pdf", "png": ".png"}
WRITTEN = ".written"  # beside a suite's tables: the names of those that a report wrote

__all__ = ["FORMATS", "Report", "summary_for_terminal", "write_report"]


@dataclass(frozen=True)
class Report:
    """What was written. ``pages`` has the HTML page of each suite, if pages were asked for."""

    directory: Path
    paths: Sequence[Path]
    pages: dict[str, Path]

    def summary(self, suite: str) -> list[Path]:
        """What to look at first: the suite's page, its table and its figures' folder."""
        folder = self.directory / suite
        wanted = [folder / "index.html", folder / "table.md"]
        figures = folder / "figures"
        found = [path for path in wanted if path in self.paths]
        return [*found, *([figures] if any(figures in p.parents for p in self.paths) else [])]


def write_report(directory: str | Path, formats: Sequence[str] = FORMATS) -> Report:
    """Write DIR/report/SUITE/ for every suite that was run into a results folder.

    Raises:
        InputError: if the folder holds no rows, a format is unknown, or nothing can be written.
    """
    from reports.folder import load_folder
    from reports.suite_results import SuiteResults

    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"unknown format {unknown[0]!r}", expected="of " + ", ".join(FORMATS))
    folder = load_folder(Path(directory))
    paths: list[Path] = []
    pages: dict[str, Path] = {}
    for name in folder.suites:
        target = folder.directory / "report" / name
        for file, content in _files(SuiteResults(folder, name), formats):
            path = target / file
            _write(path, content)
            paths.append(path)
            if file == "index.html":
                pages[name] = path
        for made in (target, target / "figures"):
            remove_leftovers(made)
        _remove_figures(target / "figures", paths, formats)
        _remove_tables(target, paths, formats)
    return Report(folder.directory / "report", tuple(paths), pages)


def summary_for_terminal(directory: str | Path, suite: str | None = None) -> rich.table.Table:
    """The first table of a suite (the summary, if anything is evaluated); of the only or the first
    suite if none is named.

    Raises:
        InputError: if the folder holds no rows, or not this suite.
    """
    from reports.folder import load_folder
    from reports.suite_results import SuiteResults
    from reports.tables import all_tables, summary_table
    from reports.tables.render import terminal

    folder = load_folder(Path(directory))
    name = suite or next(iter(folder.suites))
    if name not in folder.suites:
        raise InputError(f"no suite {name!r} here", expected="one of " + ", ".join(folder.suites))
    results = SuiteResults(folder, name)
    return terminal(next(iter(all_tables(results)), summary_table(results)))


def _files(results: SuiteResults, formats: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Paths below the suite's folder, and what is in them."""
    from reports.tables import all_tables
    from reports.tables.published import published_table

    tables = all_tables(results)
    published = published_table(results)
    if published.rows and results.result_kind != "measure":  # they belong below a summary
        tables.insert(1, published)
    yield from _table_files(results, tables, formats)
    if "csv" in formats:
        yield "rows.csv", _rows_csv(results)
    pictures = []
    if {"html", "pdf", "png"} & set(formats):
        from reports.figures import all_figures
        from reports.figures.style import encode
        from reports.page import Picture, render_page

        for name, caption, figure in all_figures(results):
            if "pdf" in formats:
                yield f"figures/{name}.pdf", encode(figure, "pdf")
            if {"html", "png"} & set(formats):
                pictures.append(Picture(name, caption, encode(figure, "png")))
            if "png" in formats:
                yield f"figures/{name}.png", pictures[-1].png
    if "html" in formats:
        yield "index.html", render_page(results, tables, pictures).encode()


def _table_files(
    results: SuiteResults, tables: Sequence[Table], formats: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    from reports.tables import render

    for table in tables:
        if "markdown" in formats:
            text = render.markdown(table)
            if table.name == "table":  # the papers' numbers stand below ours
                below = [other for other in tables if other.name == "published"]
                text += "".join("\n" + render.markdown(other, level=2) for other in below)
            yield f"{table.name}.md", text.encode()
        if "latex" in formats:
            label = f"{results.name}-{table.name}"
            yield f"{table.name}.tex", render.latex(table, label).encode()
        if "csv" in formats:
            yield f"{table.name}.csv", render.tidy_csv(table).encode()


def _rows_csv(results: SuiteResults) -> bytes:
    """The suite's rows with its labels in front; a job under two labels is there twice."""
    rows = results.folder.rows
    columns = ["method_label", "variant_label", "train_task", "test_task", "question"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *rows.columns])
    # a null is an empty cell
    cells = (column.astype(object).where(column.notna(), None) for _, column in rows.items())
    by_job: dict[str, list[tuple[Any, ...]]] = {}
    for job, record in zip(rows["job"], zip(*cells, strict=True), strict=True):
        by_job.setdefault(job, []).append(record)
    for e in results.entries:
        labels = [e.method, e.variant, e.train_task, e.test_task, e.question]
        writer.writerows([*labels, *record] for record in by_job.get(e.job, ()))
    return text.getvalue().encode()


def _remove_figures(folder: Path, written: Sequence[Path], formats: Sequence[str]) -> None:
    """Figures of an earlier report that this one no longer has."""
    kinds = {FIGURES[name] for name in formats if name in FIGURES}
    for path in folder.glob("*.*"):
        if path.suffix in kinds and path not in written:
            path.unlink()


def _remove_tables(folder: Path, written: Sequence[Path], formats: Sequence[str]) -> None:
    """Tables likewise: those that are on the list, for a paper's text may lie beside them."""
    kinds = {TABLES[name] for name in formats if name in TABLES}
    before = folder / WRITTEN
    listed = set(before.read_text().split("\n")) if before.is_file() else set()
    tables = {path.name for path in written if path.parent == folder}
    for path in folder.iterdir():
        if path.name in listed - tables and path.suffix in kinds:
            path.unlink()
            listed.remove(path.name)
    _write(before, "\n".join(sorted(listed | tables)).encode())


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", where=str(path), expected="a writable folder"
        ) from error
