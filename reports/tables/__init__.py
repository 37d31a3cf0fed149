"""The tables of a suite."""

from __future__ import annotations

from reports.suite_results import SuiteResults
from reports.tables.ablation import ablation_table
from reports.tables.batches import batches_table
from reports.tables.bounds import bounds_table
from reports.tables.claims import claims_table
from reports.tables.comparison import comparison_table
from reports.tables.cost import cost_table
from reports.tables.coverage import coverage_table
from reports.tables.evaluations import evaluations_table
from reports.tables.guarantees import guarantees_table
from reports.tables.memory import memory_table
from reports.tables.paper import paper_tables
from reports.tables.robustness import robustness_table
from reports.tables.shift import shift_table
from reports.tables.stability import stability_table
from reports.tables.stopping import stopping_table
from reports.tables.summary import subjects_table, summary_table
from reports.tables.table import Table
from reports.tables.time import time_table

__all__ = [
    "Table",
    "ablation_table",
    "all_tables",
    "batches_table",
    "bounds_table",
    "claims_table",
    "comparison_table",
    "cost_table",
    "coverage_table",
    "evaluations_table",
    "guarantees_table",
    "memory_table",
    "paper_tables",
    "robustness_table",
    "shift_table",
    "stability_table",
    "stopping_table",
    "subjects_table",
    "summary_table",
    "time_table",
]


def all_tables(results: SuiteResults) -> list[Table]:
    """Every table that the suite has something for, in reading order."""
    tables = [*paper_tables(results)]
    if results.result_kind != "measure":  # something is trained
        tables = [summary_table(results), *tables]
        tables += [subjects_table(results), stopping_table(results)]
        tables += [ablation_table(results), comparison_table(results), stability_table(results)]
        tables += [guarantees_table(results), cost_table(results)]
    tables += [robustness_table(results), shift_table(results), coverage_table(results)]
    tables += [claims_table(results), bounds_table(results), evaluations_table(results)]
    tables += [memory_table(results), batches_table(results), time_table(results)]
    return [table for table in tables if table.rows]
