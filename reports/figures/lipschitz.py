"""Where a Lipschitz penalty sets in, as far as a configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.suite_results import Line, SuiteResults


def threshold(results: SuiteResults, line: Line) -> float | None:
    """The estimate's limit: ``threshold`` in the method's configuration, else 1 - m with its m."""
    for key in results.fits(line):
        if (key, "lipschitz") not in results.folder.traces:
            continue
        config = _flat(results.job(key).get("config") or {})
        if config.get("penalty") == "squared":
            return None  # the squared estimate itself is the penalty: it has no limit
        if isinstance(config.get("threshold"), int | float):
            return float(config["threshold"])
        if isinstance(config.get("m"), int | float):
            return round(1 - float(config["m"]), 9)
    return None


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {key: value}
    return flat
