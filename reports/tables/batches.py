"""The largest batch that a training step fits into a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.measure.batch_size import parse_size
from reports.folder import Reading
from reports.measurements import Answer, answers, largest
from reports.published import Published, load_published
from reports.suite_results import Line, SuiteResults
from reports.tables.measured import assemble, flags, listed, settings
from reports.tables.table import NONE, Cell, Table, number

CAPTION = [
    "largest: the largest batch whose predicted peak of a training step fits (an upper bound of "
    "what tensors need); even: as the papers count, the largest even batch, or 1. 0: not one "
    "sample fits.",
]
METRICS = {"largest": "largest_batch", "even": "largest_even_batch"}


def batches_table(results: SuiteResults) -> Table:
    """Batches by size of GPU, with and without the recipe's penalty, and a paper's beside them."""
    found = answers(results, "batch-size")
    papers = _papers(results, found)
    gpus = sorted(settings(found, "gpu"), key=parse_size)
    emulated = "emulated" in settings(found, "how")
    columns = (*METRICS, *(["emulated"] if emulated else []), *(["paper"] if papers else []))
    penalties = True in settings(found, "penalty")

    def paper(answer: Answer, gpu: str) -> list[Cell]:
        item = papers.get((answer.line, answer.task, parse_size(gpu)))
        if item is None:
            return [Cell(NONE)] if papers else []
        return [Cell(item.note if item.value is None else number(item.value, 0), sort=item.value)]

    def build(answer: Answer) -> list[list[Cell]]:
        kinds = sorted(settings([answer], "penalty"), reverse=True)
        names = ("with", "without") if True in kinds else (NONE,)
        return [
            [
                *([Cell(name)] if penalties else []),
                *(
                    cell
                    for gpu in gpus
                    for cell in (*_cells(answer, gpu, kind, emulated), *paper(answer, gpu))
                ),
            ]
            for name, kind in zip(names, kinds, strict=False)
        ]

    return assemble(
        results,
        found,
        ("batches", "Largest training batch"),
        [*CAPTION, *_about(results, found, emulated), *_sources(papers), *flags(results, found)],
        [(gpu, columns) for gpu in gpus] or [("", columns)],
        build,
        beside=["penalty"] if penalties else [],
    )


def _papers(
    results: SuiteResults, found: Sequence[Answer]
) -> dict[tuple[Line, str, int], Published]:
    """Published largest batches, by line, task and bytes of the GPU.

    Without those of a table that the suite is about: ``paper_tables`` has it whole.
    """
    cells = [
        item
        for item in load_published()
        if item.metric == "max batch" and (item.paper, item.table) not in results.published
    ]
    papers = {}
    for answer in found:
        name = results.method_name(answer.line)
        kind = results.tasks[answer.task].name
        for item in cells:
            if (item.method, item.task) == (name, kind):
                papers[answer.line, answer.task, parse_size(item.condition)] = item
    return papers


def _sources(papers: Mapping[tuple[Line, str, int], Published]) -> list[str]:
    names = dict.fromkeys(f"{item.paper}, table {item.table}" for item in papers.values())
    return [f"paper: measured by the authors ({', '.join(names)})."] if names else []


def _cells(answer: Answer, gpu: str, penalty: bool, emulated: bool) -> list[Cell]:
    same = {"gpu": gpu, "penalty": penalty}
    cells = [
        _cell(answer.of(metric, "fit", **same, how="predicted")) for metric in METRICS.values()
    ]
    found = answer.of("largest_batch", "fit", **same, how="emulated")
    return [*cells, _cell(found)] if emulated else cells


def _cell(readings: Sequence[Reading]) -> Cell:
    value = largest(readings)
    if value is None:
        return Cell(NONE)
    capped = any(value >= one.condition.get("most", float("inf")) for one in readings)
    return Cell(f"{'≥ ' if capped else ''}{number(value, 0)}", sort=value)


def _about(results: SuiteResults, found: Sequence[Answer], emulated: bool) -> list[str]:
    lines = [
        f"Of each GPU, {listed(settings(found, 'reserve'))} are kept for the CUDA context and "
        "workspaces, which are not predicted; GB is 10⁹ bytes. Fixed points: "
        f"{listed(settings(found, 'iterations'))} iterations."
    ]
    for answer in found:
        least = [value for value in settings([answer], "least") if value > 1]
        line = f"even, {answer.task}: batches below {listed(least)} count as 0."
        if least and line not in lines:
            lines.append(line)
    if emulated:
        lines.append(
            "emulated: the largest batch that ran on a CUDA device whose allocator was held to "
            "the same limit; the next one failed."
        )
    idle = [results.label(a.line) for a in found if not a.readings and not a.status]
    if idle:
        lines.append(f"Without a training step: {', '.join(dict.fromkeys(idle))}.")
    return lines
