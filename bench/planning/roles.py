"""Datasets by role: the paper's where the data folder has it, else what stands in for it."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench.config import nearest
from bench.errors import InputError
from bench.planning.suite import Suite, TaskEntry
from bench.planning.suite_files import parse, read_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Candidate(_Strict):
    """Fields of a task, for data that may be there.

    Attributes:
        found: file or folder below the data folder; None: embedded, and always there.
        words: what it is, where it is not the paper's.
    """

    found: str | None = None
    words: str = ""
    config: dict[str, Any]


class Role(_Strict):
    """What a paper used, and candidates by task: the first that is there is taken."""

    paper: str
    tasks: dict[str, list[Candidate]] = Field(min_length=1)


def with_data(suite: Suite, data: Path | None) -> Suite:
    """The suite with every task's data decided.

    Raises:
        InputError: for a role that there is none of, or that is none of the task's.
    """
    roles = _roles()
    tasks = {}
    for label, entry in suite.tasks.items():
        where = f"suite {suite.name}: tasks.{label}.data"
        tasks[label] = entry if entry.data is None else _decided(entry, roles, data, where)
    return suite.model_copy(update={"tasks": tasks})


def _decided(entry: TaskEntry, roles: dict[str, Role], data: Path | None, where: str) -> TaskEntry:
    assert entry.data is not None
    if entry.data not in roles:
        raise InputError(
            f"unknown {entry.data!r}", where=where, expected=nearest(entry.data, roles)
        )
    role = roles[entry.data]
    if entry.task not in role.tasks:
        raise InputError(
            f"{entry.data!r} is no data of {entry.task}",
            where=where,
            expected="a task of " + ", ".join(role.tasks),
        )
    candidates = role.tasks[entry.task]
    chosen = next(c for c in candidates if _is_there(c, data))
    fallback = ""
    if chosen is not candidates[0]:
        fallback = f"{chosen.words} in place of {role.paper}"
        fallback += f" ({candidates[0].found} is not in the data folder)" if data else ""
    config = entry.config | chosen.config
    return entry.model_copy(update={"config": config, "fallback": fallback})


def _is_there(candidate: Candidate, data: Path | None) -> bool:
    if candidate.found is None:
        return True
    return data is not None and (data / candidate.found).exists()


def _roles() -> dict[str, Role]:
    file = Path(str(importlib.resources.files("bench") / "suites" / "shared" / "data.yaml"))
    return {name: parse(Role, role, f"{file}: {name}") for name, role in read_yaml(file).items()}
