"""Put the tables of finished runs, and the picture of `quick`, into the pages (`make readme`).

The pages are README.md and docs/results.md. A suite without results in results/runs is left as it
stands. Pictures of acquired data are not
copied: their licences are not open.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "results" / "runs"
SHOWN = {
    "quick": ("table",),
    "real-brain": ("table",),
    "released-weights": ("table",),
    "memory": ("memory", "batches"),
    "luser-table3": ("paper-arxiv-2210-04987-3",),
}
# page -> where its pictures are, and the suites that it shows
PAGES = {
    "README.md": ("docs/figures", ("quick", "real-brain", "released-weights", "memory")),
    "docs/results.md": ("figures", ("quick", "luser-table3")),
}
PICTURES = {"quick": ("reconstruction-phantom-4x-1.png", "Reconstructions of a phantom")}


def main() -> None:
    """Replace what stands between the marks of each suite."""
    for page, (figures, suites) in PAGES.items():
        path = ROOT / page
        text = path.read_text()
        for suite in suites:
            report = RUNS / suite / "report" / suite
            if all((report / f"{table}.md").is_file() for table in SHOWN[suite]):
                content = shown(suite, SHOWN[suite], report, figures)
                text = replaced(text, suite, content, page)
        path.write_text(text)


def shown(suite: str, tables: Sequence[str], report: Path, figures: str) -> str:
    """The suite's picture, where it has one, and tables without heading or published values."""
    texts = [(report / f"{table}.md").read_text().partition("\n## ")[0] for table in tables]
    parts = [text.partition("\n")[2].strip() for text in texts]
    if suite in PICTURES:
        file, alternative = PICTURES[suite]
        picture = ROOT / "docs" / "figures" / f"{suite}.png"
        picture.parent.mkdir(exist_ok=True)
        shutil.copyfile(report / "figures" / file, picture)
        parts.insert(0, f"![{alternative}]({figures}/{suite}.png)")
    return "\n\n".join(parts)


def replaced(text: str, suite: str, content: str, page: str) -> str:
    """The text with the content between the suite's marks."""
    begin, end = f"<!-- {suite}: begin -->", f"<!-- {suite}: end -->"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        sys.exit(f"{page}: the marks {begin} and {end} are gone")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


if __name__ == "__main__":
    main()
