"""The figures of a suite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reports.suite_results import SuiteResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def all_figures(results: SuiteResults) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure, one after the other."""
    from reports.figures.ablation import ablation_figures
    from reports.figures.answer import answer_figures
    from reports.figures.batches import batches_figures
    from reports.figures.convergence import convergence_figures
    from reports.figures.grid import grid_figures
    from reports.figures.memory import memory_figures
    from reports.figures.quality import quality_figures
    from reports.figures.reconstruction import reconstruction_figures
    from reports.figures.robustness import robustness_figures
    from reports.figures.training import training_figures

    yield from answer_figures(results)
    of_a_task = (
        *(reconstruction_figures, quality_figures, ablation_figures, grid_figures),
        convergence_figures,
    )
    for figures in of_a_task:
        for task in results.test_tasks:
            yield from figures(results, task)
    yield from training_figures(results)
    yield from robustness_figures(results)
    yield from memory_figures(results)
    yield from batches_figures(results)
