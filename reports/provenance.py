"""What two sets of jobs were run with, and where that differs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Jobs = Iterable[Mapping[str, Any]]

DATA = ("task", "task_config", "dataset_label", "content", "split", "data_seed")
MACHINE = ("device", "processor", "threads")
ENVIRONMENT = ("torch", *MACHINE, "commit")
ABSENT = "none"
SHOWN = 8  # of many fields that differ


def ran_differently(a: Jobs, b: Jobs, fields: Sequence[str] = ENVIRONMENT) -> list[str]:
    """Fields of the environment that they do not share."""
    return differing([_environment(job) for job in a], [_environment(job) for job in b], fields)


def _environment(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a job ran in, with torch's version beside the rest."""
    known = job.get("environment") or {}
    return {**known, "torch": (known.get("versions") or {}).get("torch", known.get("torch"))}


def differing(a: Jobs, b: Jobs, fields: Sequence[str]) -> list[str]:
    """Fields that jobs of A and of B do not share, by dotted path, with both values."""
    ours, theirs = _values(a, fields), _values(b, fields)
    found = []
    for path in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(path, {ABSENT}), theirs.get(path, {ABSENT})
        if one != other:
            found.append(f"{path} {' or '.join(sorted(one))} / {' or '.join(sorted(other))}")
    if len(found) > SHOWN:
        found = [*found[:SHOWN], f"and {len(found) - SHOWN} more"]
    return found


def _values(jobs: Jobs, fields: Sequence[str]) -> dict[str, set[str]]:
    """Every value of every leaf, by its dotted path."""
    found: dict[str, set[str]] = {}
    for job in jobs:
        for name in fields:
            for path, value in _leaves(name, job.get(name)):
                found.setdefault(path, set()).add(value)
    return found


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(f"{path}.{name}", part)
    elif value is not None:
        text = value if isinstance(value, str) else json.dumps(value)
        is_hash = len(text) > 40 and " " not in text
        yield path, f"{text[:12]}…" if is_hash else text


def gathered(found: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences of (what differs, where), each said once with all its places."""
    places: dict[str, list[str]] = {}
    for what, where in found:
        if where not in places.setdefault(what, []):
            places[what].append(where)
    return [
        f"{what} ({', '.join(where[:SHOWN])}{', …' if len(where) > SHOWN else ''})."
        for what, where in places.items()
    ]
