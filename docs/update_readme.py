"""Put the table and the picture of a finished run of `quick` into README.md (`make readme`)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- quick: begin", "<!-- quick: end -->"


def main(results: Path) -> None:
    """Replace what stands between the two marks."""
    report = results / "report" / "quick"
    picture = ROOT / "docs" / "figures" / "quick.png"
    picture.parent.mkdir(exist_ok=True)
    shutil.copyfile(report / "figures" / "reconstruction-phantom-4x.png", picture)
    table = (report / "table.md").read_text().partition("\n## ")[0]
    body = table.partition("\n")[2].strip()  # without its heading
    image = "![Reconstructions of a phantom, zooms and errors](docs/figures/quick.png)"
    readme = ROOT / "README.md"
    before, mark, rest = readme.read_text().partition(BEGIN)
    first_line, _, rest = rest.partition("\n")
    _, end, after = rest.partition(END)
    if not mark or not end:
        sys.exit(f"{readme}: the marks {BEGIN} and {END} are gone")
    readme.write_text(f"{before}{mark}{first_line}\n\n{image}\n\n{body}\n\n{end}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
