"""The tables of a suite."""

from __future__ import annotations

from reports.suite_results import SuiteResults
from reports.tables.cost import cost_table
from reports.tables.guarantees import guarantees_table
from reports.tables.stopping import stopping_table
from reports.tables.summary import subjects_table, summary_table
from reports.tables.table import Table

__all__ = [
    "Table",
    "all_tables",
    "cost_table",
    "guarantees_table",
    "stopping_table",
    "subjects_table",
    "summary_table",
]


def all_tables(results: SuiteResults) -> list[Table]:
    """Every table that the suite has something for, in reading order."""
    tables = [summary_table(results), subjects_table(results), stopping_table(results)]
    tables += [guarantees_table(results), cost_table(results)]
    return [table for table in tables if table.rows]
