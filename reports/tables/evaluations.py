"""How often networks and operators are applied, forward and for gradients."""

from __future__ import annotations

from reports.measurements import Answer, answers
from reports.suite_results import SuiteResults
from reports.tables.captions import protocols
from reports.tables.measured import assemble, flags, listed, mean_cell, settings
from reports.tables.table import Cell, Table, count, number, scientific, significant

OWN, CONVERGED = {"stop": "own"}, {"stop": "converged"}
GROUPS = (
    ("reconstruction, own stop", ("network", "nFE of papers", "operator", "GFLOP")),
    ("converged", ("network", "PSNR [dB]", "residual")),
    ("training gradient", ("network", "Jacobian", "operator")),
    ("attack's gradient", ("network", "Jacobian", "operator")),
)
CAPTION = [
    "Means over subjects (each subject's samples first), of one image.",
    "network: calls of the method's networks; nFE of papers: as the equilibrium papers count, "
    "one less than the calls; Jacobian: backward passes through such calls; operator: "
    "applications of A and of its adjoint (AᴴA is two).",
    "GFLOP: 10⁹ operations of convolutions, matrix products and FFTs (5 N log₂ N); what is done "
    "point by point is not counted.",
    "Gradients: forward and backward pass together, at the method's own stop; training without "
    "the Lipschitz penalty, attack in the measurements alone.",
]


def evaluations_table(results: SuiteResults) -> Table:
    """Counts at the method's own stop, at convergence, and of two gradients."""
    found = answers(results, "evaluations")
    caption = [*CAPTION]
    if tolerances := settings(found, "tol"):
        caption.append(
            f"converged: to a tolerance of {listed(tolerances)}, at most "
            f"{listed(settings(found, 'max_iter'))} iterations. PSNR: as in the summary."
        )
        caption += protocols(results, [answer.task for answer in found])
    return assemble(
        results,
        found,
        ("evaluations", "Network evaluations"),
        [*caption, *flags(results, found, phases=True)],
        GROUPS,
        lambda answer: [_cells(answer)],
    )


def _cells(answer: Answer) -> list[Cell]:
    own = [answer.of(m, "evaluate", **OWN) for m in ("network", "authors_index", "operator")]
    far = {m: answer.of(m, "evaluate", **CONVERGED) for m in ("network", "psnr", "residual")}
    flops = answer.of("flops", "evaluate", **OWN)
    gradients = [
        answer.of(metric, phase)
        for phase in ("backward", "attack")
        for metric in ("network", "jacobian", "operator")
    ]
    return [
        *(mean_cell(answer, readings, count) for readings in own),
        mean_cell(answer, flops, lambda v: significant(None if v is None else v / 1e9)),
        mean_cell(answer, far["network"], count),
        mean_cell(answer, far["psnr"], lambda value: number(value, 2)),
        mean_cell(answer, far["residual"], scientific),
        *(mean_cell(answer, readings, count) for readings in gradients),
    ]
