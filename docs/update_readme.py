"""Put the tables of finished runs into README.md, and the picture of `quick` (`make readme`).

A suite without results in results/runs is left as it stands. Pictures of acquired data are not
copied: their licences are not open.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "results" / "runs"
PICTURES = {"quick": ("reconstruction-phantom-4x-1.png", "Reconstructions of a phantom")}


def main() -> None:
    """Replace what stands between the marks of each suite."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    for suite in ("quick", "real-brain", "released-weights"):
        report = RUNS / suite / "report" / suite
        if (report / "table.md").is_file():
            text = replaced(text, suite, shown(suite, report))
    readme.write_text(text)


def shown(suite: str, report: Path) -> str:
    """The suite's picture, where it has one, and its table without heading or published values."""
    table = (report / "table.md").read_text().partition("\n## ")[0]
    parts = [table.partition("\n")[2].strip()]
    if suite in PICTURES:
        file, alternative = PICTURES[suite]
        picture = ROOT / "docs" / "figures" / f"{suite}.png"
        picture.parent.mkdir(exist_ok=True)
        shutil.copyfile(report / "figures" / file, picture)
        parts.insert(0, f"![{alternative}](docs/figures/{suite}.png)")
    return "\n\n".join(parts)


def replaced(text: str, suite: str, content: str) -> str:
    """The text with the content between the suite's marks."""
    begin, end = f"<!-- {suite}: begin -->", f"<!-- {suite}: end -->"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        sys.exit(f"README.md: the marks {begin} and {end} are gone")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


if __name__ == "__main__":
    main()
