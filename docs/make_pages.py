"""Rebuild every table and figure of README.md and docs/ from committed results (`make figures`).

Pages say what stands where:

    <!-- table: SUITE/NAME -->  ...  <!-- end -->
    <!-- table: SUITE/NAME columns: PSNR -->  ...  <!-- end -->
    <!-- figure: SUITE/NAME: what it shows -->  ...  <!-- end -->

SUITE is a folder of results/reference, NAME a table (NAME.md) or a figure (NAME.png) of its report;
``columns`` keeps the stub and the columns whose headings hold the word. Figures are copied to
docs/figures. With ``--check`` nothing is written, and pages that would change are an error.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from functools import cache, partial
from pathlib import Path

from bench.errors import InputError
from reports import write_report

ROOT = Path(__file__).resolve().parent.parent
REFERENCE, FIGURES = ROOT / "results" / "reference", ROOT / "docs" / "figures"
PAGES = ("README.md", "docs/results.md")
STUBS = ("test task", "method", "trained on")
MARK = re.compile(r"(<!-- (table|figure): ([\w.-]+)/([\w.-]+)(.*?) -->\n).*?(<!-- end -->)", re.S)


def main() -> None:
    """Fill the marks of every page."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name in PAGES:
        page = ROOT / name
        before = page.read_text()
        after = MARK.sub(partial(_filled, folder=page.parent, check=check), before)
        stale += [name] if before != after else []
        if not check:
            page.write_text(after)
    if check and stale:
        sys.exit(f"{', '.join(stale)}: not what the committed results say; run `make figures`")


def _filled(mark: re.Match[str], folder: Path, check: bool) -> str:
    begin, kind, suite, name, rest, end = mark.groups()
    report = _report(suite, ("markdown",) if check else ("markdown", "png"))
    if kind == "table":
        content = _table(_existing(report / f"{name}.md"), rest)
    else:
        target = FIGURES / f"{suite}-{name}.png"
        if not check:
            FIGURES.mkdir(exist_ok=True)
            shutil.copyfile(_existing(report / "figures" / f"{name}.png"), target)
        content = f"![{rest.removeprefix(': ')}]({os.path.relpath(_existing(target), folder)})"
    return f"{begin}\n{content}\n\n{end}"


@cache
def _report(suite: str, formats: tuple[str, ...]) -> Path:
    """Of a committed run, written anew."""
    try:
        return write_report(REFERENCE / suite, formats).directory / suite
    except InputError as error:
        sys.exit(f"error: {error}")


def _existing(path: Path) -> Path:
    if not path.is_file():
        sys.exit(f"error: {path}: a page asks for it, and there is none")
    return path


def _table(path: Path, rest: str) -> str:
    """The table, and behind a fold what it has to say of its numbers."""
    lines = path.read_text().partition("\n## ")[0].splitlines()[1:]
    rows = [line for line in lines if line.startswith("|")]
    notes = [line for line in lines if line.startswith("- ")]
    word = rest.removeprefix(" columns: ") if rest.startswith(" columns: ") else ""
    table = "\n".join(_chosen(rows, word) if word else rows)
    fold = '<details markdown="1"><summary>Data and protocol</summary>'
    return "\n\n".join([table, fold, "\n".join(notes), "</details>"])


def _chosen(rows: list[str], word: str) -> list[str]:
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]
    kept = [n for n, head in enumerate(cells[0]) if head.strip() in STUBS or word in head]
    return [f"|{'|'.join(row[n] for n in kept)}|" for row in cells]


if __name__ == "__main__":
    main()
