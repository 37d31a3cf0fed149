"""The page in a real browser: no error, tables sort, images load, nothing wider than the window."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reports import write_report

if TYPE_CHECKING:
    from conftest import Synthetic

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
WIDTHS = (390, 1400)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser: none of {', '.join(NAMES)} on the path"
)

# Runs in the page itself, and tells the page around it.
PROBE = """
<script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("load", () => {
  const unsorted = [];
  let clicks = 0;
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.querySelectorAll("thead tr:last-child th")];
    heads.forEach((head, column) => {
      const text = head.classList.contains("text");
      for (const up of text ? [true, false] : [false, true]) {
        head.firstElementChild.click();
        clicks += 1;
        const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
        const values = text
          ? cells.map((cell) => cell.textContent)
          : cells.filter((cell) => "sort" in cell.dataset).map((cell) => +cell.dataset.sort);
        const last = text ? true : cells.slice(values.length).every((c) => !("sort" in c.dataset));
        const ordered = values.every((value, place) => {
          if (!place) return true;
          const step = text
            ? value.localeCompare(values[place - 1], "en", { numeric: true })
            : value - values[place - 1];
          return up ? step >= 0 : step <= 0;
        });
        if (!ordered || !last) unsorted.push(`${table.closest("section").id}: ${head.innerText}`);
      }
    });
  }
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  const ids = [...document.querySelectorAll("a[href^='#']")].map((a) => a.hash.slice(1));
  parent.postMessage({
    errors, unsorted, clicks,
    images: [...document.images].map((image) => image.naturalWidth),
    dead: ids.filter((id) => !document.getElementById(id)),
    links: ids.length,
    width: document.documentElement.scrollWidth,
    window: innerWidth,
  }, "*");
});
</script>
"""
# A window is never narrower than 500 pixels, a frame may be.
FRAME = '<iframe id="{0}" width="{0}" height="900" src="page.html"></iframe>'
AROUND = """<!DOCTYPE html><meta charset="utf-8"><body><script>
addEventListener("message", (event) => {
  const name = [...document.querySelectorAll("iframe")].find(
    (frame) => frame.contentWindow === event.source).id;
  const told = document.createElement("pre");
  told.className = "told";
  told.textContent = JSON.stringify({ ...event.data, name });
  document.body.append(told);
});
</script>
"""


def look(page: str, folder: Path) -> tuple[dict[int, Any], str]:
    """What the page tells of itself, by the width of its window; and the browser's console."""
    (folder / "page.html").write_text(page.replace("<head>", "<head>" + PROBE, 1))
    (folder / "around.html").write_text(AROUND + "".join(map(FRAME.format, WIDTHS)))
    assert BROWSER is not None
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    command = [BROWSER, *options, f"--user-data-dir={folder / 'profile'}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"]
    run = subprocess.run(
        [*command, (folder / "around.html").as_uri()], capture_output=True, text=True, timeout=240
    )
    told = [
        json.loads(html.unescape(text))
        for text in re.findall(r'class="told">(.*?)</pre>', run.stdout)
    ]
    return {int(one["name"]): one for one in told}, "".join(
        line for line in run.stderr.splitlines() if "CONSOLE" in line
    )


@pytest.fixture(scope="module")
def page(synthetic: Synthetic) -> str:
    report = write_report(synthetic.root, ["html"])
    return report.pages["small"].read_text()


def test_the_page_works_at_both_widths(page: str, tmp_path: Path) -> None:
    found, console = look(page, tmp_path)
    assert set(found) == set(WIDTHS)
    assert console == ""
    for width, told in found.items():
        assert told["window"] == width
        assert told["width"] <= width  # nothing to scroll sideways but inside tables and figures
        assert not told["errors"]
        assert not told["unsorted"]
        assert not told["dead"]
        assert told["clicks"] > 40
        assert told["links"] > 10
        assert len(told["images"]) >= 3
        assert min(told["images"]) > 0


def test_the_probe_sees_what_is_wrong(page: str, tmp_path: Path) -> None:
    planted = (
        '<div style="width: 1500px">wide</div><img src="data:image/png;base64,AAAA">'
        "<script>console.error('planted'); nothing();</script>"
    )
    broken = page.replace("<main>", "<main>" + planted).replace("up ? order : -order", "0")
    found, console = look(broken, tmp_path)
    assert "planted" in console
    for width, told in found.items():
        assert told["width"] > width
        assert told["errors"] and told["unsorted"]
        assert min(told["images"]) == 0
