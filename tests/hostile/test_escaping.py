"""What labels, titles, errors and logs hold is text, wherever it is shown."""

from __future__ import annotations

import html.parser
import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import bench.commands.data
from bench.errors import InputError
from bench.printable import printable
from bench.store import Result
from reports import FORMATS, summary_for_terminal, write_report
from reports.tables.render import latex_escape, markdown_escape

SCRIPT = "<script>alert(1)</script>"
RED, TURNED, BELL = "\x1b[31mred\x1b[0m", "abc\u202ecba", "\x07\x9b2J\x00"
CONTROL = f"{RED} {TURNED} {BELL}"
SIGNS = ("\x1b", "\u202e", "\x07", "\x9b", "\x00", "\r")


def _synthetic(root: Path) -> Any:
    """The made-up results folder of the reports' tests."""
    path = Path(__file__).parents[1] / "reports" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_up_results", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Synthetic(root).write()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder in which everything that is shown is hostile."""
    root = tmp_path_factory.mktemp("results")
    made = _synthetic(root)
    store, text = made.store, f"{SCRIPT} {CONTROL}"
    store.write_result("fit1s0", Result("ok", f"error {text}", 1.0, 5, {"device": text}))
    fit = store.read_job("fit1s0") | {"bibtex": f"@article{{a, title = {{{text}}}}}"}
    store.write_job("fit1s0", {**fit, "config": {text: text}, "task": text})
    (store.folder("fit1s0") / "log.txt").write_text(f"log {text}")
    table = store.suites()["small"]
    task = {**table["tasks"]["4x"], "title": f"title {text}", "dataset": text, "protocol": text}
    label = f"task {text}/../../../../escaped"
    table["tasks"] = {label: task, **{k: v for k, v in table["tasks"].items() if k != "4x"}}
    for line in table["jobs"]:
        for name in ("train_task", "test_task"):
            line[name] = label if line[name] == "4x" else line[name]
    store.write_suite("small", {**table, "title": text, "note": text})
    return root


class _Tags(html.parser.HTMLParser):
    """Every tag, and every attribute that could run something."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.suspicious = 0, []  # type: ignore[var-annotated]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.suspicious.append((tag, name, value))


def test_nothing_of_a_results_folder_is_run_or_leaves_the_report(folder: Path) -> None:
    before = set(folder.parent.rglob("*"))
    report = write_report(folder, FORMATS)
    inside = folder / "report"
    made = set(folder.parent.rglob("*")) - before
    assert all(path == inside or path.is_relative_to(inside) for path in made)
    assert report.paths and all(path.resolve().is_relative_to(inside) for path in report.paths)
    for page in report.pages.values():
        tags = _Tags()
        tags.feed(page.read_text())
        assert tags.scripts == 1 and not tags.suspicious  # our own script
    for path in report.paths:
        if path.suffix in (".md", ".tex"):
            text = path.read_text()
            assert "<script" not in text and not any(sign in text for sign in SIGNS), path


def test_the_terminal_gets_no_orders(folder: Path) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, color_system=None, width=200)
    console.print(summary_for_terminal(folder, "small"))
    assert "red" in shown.getvalue() and r"\x1b" in shown.getvalue()
    ours = shown.getvalue().replace("\x1b[1m", "").replace("\x1b[3m", "").replace("\x1b[0m", "")
    ours = ours.replace("\x1b[2;3m", "").replace("\x1b[31m", "", 0)
    assert not any(sign in ours for sign in SIGNS)


def test_errors_and_lines_of_commands_get_no_orders(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = str(InputError(f"what {CONTROL}", where=f"file{RED}\n", expected=TURNED))
    assert message.isprintable() and r"\x1b[31m" in message and r"\u202e" in message
    assert len(str(InputError("x" * 10**6))) < 2100
    monkeypatch.setattr(bench.commands.data, "out", Console())
    bench.commands.data._line(f"left out: {CONTROL}")
    shown = capsys.readouterr().out
    assert shown.strip() and not any(sign in shown for sign in SIGNS)


def test_text_that_is_harmless_stays() -> None:
    for text in ("λ ≤ ½, ‖x‖₂ × 10⁶", "Łódź 東京", "a\tb\nc", ""):
        assert printable(text) == text
    assert printable("1\u2009000") == "1 000"
    assert markdown_escape(SCRIPT) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert latex_escape(r"\input{/etc/passwd}") == r"\textbackslash{}input\{/etc/passwd\}"
