"""How much of the error lies where nothing is measured."""

from __future__ import annotations

from reports.measurements import Answer, answers
from reports.suite_results import SuiteResults
from reports.tables.captions import protocols
from reports.tables.measured import assemble, mean_cell
from reports.tables.table import Cell, Table, number

CAPTION = [
    "not measured: pixels that have no part in the measurements, as where calibration leaves every "
    "coil map empty. No data consistency holds them; what stands there is the method's alone.",
    "PSNR without them: of the other pixels, with the same data range. Means over subjects (each "
    "subject's samples first).",
]


def coverage_table(results: SuiteResults) -> Table:
    """PSNR with and without the pixels that are not measured, and their share of the error."""
    found = answers(results, "coverage")

    def build(answer: Answer) -> list[list[Cell]]:
        db = [
            mean_cell(answer, answer.of(metric), lambda value: number(value, 2))
            for metric in ("psnr", "psnr_seen")
        ]
        return [[*db, *(_percent(answer, metric) for metric in ("unseen_error", "unseen_pixels"))]]

    return assemble(
        results,
        found,
        ("coverage", "Where nothing is measured"),
        [*protocols(results, [answer.task for answer in found]), *CAPTION],
        [
            ("PSNR [dB]", ("all pixels", "without them")),
            ("not measured: share [%]", ("of the squared error", "of the pixels")),
        ],
        build,
    )


def _percent(answer: Answer, metric: str) -> Cell:
    share = answer.mean(answer.of(metric))
    value = None if share is None else 100 * share
    return Cell(number(value, 1), sort=value)
