"""The house style: fonts, widths, one colour a method, and files that repeat to the byte."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import matplotlib

from reports.suite_results import Line, SuiteResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

matplotlib.use("Agg")  # no display where suites run

COLUMN = 3.5  # inches: one column of a two-column page
PAGE = 7.16  # inches: both columns
DPI = 200

# Okabe and Ito's palette, told apart with every common kind of colour blindness. Without its
# yellow, which is too light for a line on white, and without black, which is the reference's.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4A1E", "#6A6A6A")
MARKERS = "osD^vP<>pX"  # for points; colours come back where there are many methods
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.2, 1, 1.2)))  # where the palette begins again

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "equibench",
    "text.parse_math": False,  # a label is text, dollar signs and all
}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Draw inside it; settings of the caller's come back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever this machine's matplotlibrc says
        for name, value in _SETTINGS.items():
            matplotlib.rcParams.__setitem__(name, value)  # type: ignore[index]
        yield


def line_styles(results: SuiteResults) -> dict[Line, dict[str, Any]]:
    """Colour and dashes of every line: a method's are the same in all suites of a folder.

    Settings of a method have its colour, and share dashes where there are many.
    """
    labels: dict[str, None] = {}
    for table in results.folder.suites.values():
        labels.update(dict.fromkeys(str(job.get("base") or job["method"]) for job in table["jobs"]))
    order = {label: index for index, label in enumerate(labels)}
    names = {results.line_of(e): e.base or e.method for e in results.entries}
    styles, turns = {}, dict.fromkeys(order, 0)
    for line in results.lines:
        name = names[line]
        index = order[name]
        turn = index // len(PALETTE) + turns[name]
        turns[name] += 1
        styles[line] = {"color": PALETTE[index % len(PALETTE)], "ls": DASHES[turn % len(DASHES)]}
    return styles


def shortened(label: str, most: int) -> str:
    """A label that fits."""
    return label if len(label) <= most else label[: most - 1] + "…"


def file_name(label: str) -> str:
    """A label as part of a file's name."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in label)


def encode(figure: Figure, kind: str) -> bytes:
    """The figure as pdf or png, the same bytes every time."""
    metadata: Mapping[str, Any] = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    buffer = io.BytesIO()
    with house_style():
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
