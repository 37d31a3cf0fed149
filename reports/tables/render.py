"""A table as Markdown, LaTeX (booktabs), CSV, or for the terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from bench.printable import printable
from reports.tables.table import Cell, Table

if TYPE_CHECKING:
    import rich.table

# ---------------------------------------------------------------------- Markdown

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]|#~])")


def markdown(table: Table, level: int = 1) -> str:
    """GitHub's Markdown: heading, table, caption."""
    stub = len(table.stub)
    columns = table.columns
    lines = [f"{'#' * level} {markdown_escape(table.title)}", ""]
    lines.append(_markdown_line([markdown_escape(name) for name in columns]))
    lines.append(_markdown_line([":--" if i < stub else "--:" for i in range(len(columns))]))
    lines += [_markdown_line([_markdown_cell(cell) for cell in row]) for row in table.rows]
    lines += ["", *(f"- {markdown_escape(sentence)}" for sentence in table.caption), ""]
    return "\n".join(lines)


def markdown_escape(text: str) -> str:
    """Text that neither Markdown nor the HTML in it gives a meaning to."""
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN_SPECIAL.sub(r"\\\1", text)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _markdown_cell(cell: Cell) -> str:
    text = markdown_escape(cell.text)
    return f"**{text}**" if cell.best else f"*{text}*" if cell.failed else text


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# ---------------------------------------------------------------------- LaTeX

_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "“": "``",
    "”": "''",
    "λ": r"$\lambda$",
    "α": r"$\alpha$",
    "ε": r"$\varepsilon$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "Δ": r"$\Delta$",
    "δ": r"$\delta$",
    "‖": r"$\|$",
    "√": r"$\surd$",
    "½": r"$\frac12$",
    "²": r"$^2$",
    "⁶": r"$^6$",
    "⁹": r"$^9$",
    "₂": r"$_2$",
    "ᴴ": r"$^H$",
    "−": r"$-$",
    "L̂": r"$\hat{L}$",
}
_SIGN = re.compile(r".\u0302?")  # a letter and its hat are one sign
_EXPONENT = re.compile(r"^(-?\d\.\d+)e([+-]\d+)")


def latex(table: Table, label: str) -> str:
    """A ``table*`` for a paper; needs ``booktabs``."""
    columns = len(table.columns)
    caption = " ".join([table.title + ".", *table.caption])
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{latex_escape(caption)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', label)}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.stub)}{'r' * (columns - len(table.stub))}}}",
        r"\toprule",
        *_latex_head(table),
        r"\midrule",
        *(" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def latex_escape(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    return "".join(_LATEX.get(sign, sign) for sign in _SIGN.findall(_one_line(text)))


def _latex_head(table: Table) -> list[str]:
    above, rules, position = [""] * len(table.stub), [], len(table.stub) + 1
    for group, names in table.groups:
        last = position + len(names) - 1
        above.append(rf"\multicolumn{{{len(names)}}}{{c}}{{{latex_escape(group)}}}")
        rules += [rf"\cmidrule(lr){{{position}-{last}}}"] if group else []
        position = last + 1
    names = [*table.stub, *(name for _, names in table.groups for name in names)]
    head = " & ".join(latex_escape(name) for name in names) + r" \\"
    return [" & ".join(above) + r" \\", " ".join(rules), head] if rules else [head]


def _latex_cell(cell: Cell) -> str:
    power = _EXPONENT.match(cell.text)
    if power:
        rest = latex_escape(cell.text[power.end() :])
        return rf"${power[1]}\times10^{{{int(power[2])}}}${rest}"
    text = latex_escape(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else rf"\emph{{{text}}}" if cell.failed else text


# ---------------------------------------------------------------------- CSV, terminal


def tidy_csv(table: Table) -> str:
    """The numbers in long form, as many digits as they have."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, fieldnames=list(table.tidy[0]) if table.tidy else [], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(table.tidy)
    return text.getvalue()


def _for_narrow_screens(table: Table) -> tuple[list[int], list[str]]:
    """Columns that fit, and the names of those that do not: of many groups, each one's first."""
    kept = list(range(len(table.stub)))
    left_out: list[str] = []
    for group, names in table.groups:
        first = len(kept) + len(left_out)
        few = names if len(table.columns) <= 5 else names[:1]
        kept += range(first, first + len(few))
        left_out += [f"{group}: {name}" for name in names[len(few) :]]
    return kept, sorted({name.rpartition(": ")[2] for name in left_out})


def terminal(table: Table) -> rich.table.Table:
    """For the terminal. Labels are text: square brackets in them are no markup."""
    import rich.table
    from rich.text import Text

    kept, left_out = _for_narrow_screens(table)
    caption = [*table.caption, *([f"In the report: {', '.join(left_out)}."] if left_out else [])]
    title = Text(printable(table.title))
    shown = rich.table.Table(title=title, caption=Text(printable("\n".join(caption))))
    shown.caption_justify = "left"
    for index in kept:
        text, name = index < len(table.stub), table.columns[index]
        justify: Literal["left", "right"] = "left" if text else "right"
        # what is too wide is folded, not cut off
        heading = Text(printable(name).replace(": ", "\n"))
        shown.add_column(heading, justify=justify, overflow="fold")
    for whole_row in table.rows:
        row = [whole_row[index] for index in kept]
        styles = ["bold" if cell.best else "red" if cell.failed else "" for cell in row]
        shown.add_row(
            *(Text(printable(cell.text), style=s) for cell, s in zip(row, styles, strict=True))
        )
    return shown
