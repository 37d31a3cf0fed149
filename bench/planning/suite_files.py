"""How a suite is found by name and read from its file."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bench import safe_yaml
from bench.config import nearest
from bench.errors import InputError
from bench.planning.suite import Collection, Suite

M = TypeVar("M", bound=BaseModel)


def shipped() -> dict[str, Path]:
    """The suites that come with the package, by name."""
    folder = importlib.resources.files("bench") / "suites"
    return {
        Path(str(file)).stem: Path(str(file))
        for file in sorted(folder.iterdir(), key=str)
        if file.name.endswith(".yaml")
    }


def load(name_or_path: str) -> Suite:
    """A shipped suite by name, or a file.

    Raises:
        InputError: unknown name, no such file, not YAML, an unknown key or a wrong type; or a
            collection of several suites.
    """
    path, content = _read(name_or_path)
    if "suites" in content:
        raise InputError("several suites", where=str(path), expected="one suite")
    return parse(Suite, content, str(path))


def load_all(name_or_path: str) -> tuple[str, list[Suite]]:
    """The suites of a collection with its name, or the one suite of that name with its own.

    Raises:
        InputError: as :func:`load`; or for a collection in a collection.
    """
    path, content = _read(name_or_path)
    if "suites" not in content:
        suite = parse(Suite, content, str(path))
        return suite.name, [suite]
    collection = parse(Collection, content, str(path))
    found = []
    for name in collection.suites:
        inner, held = _read(name)
        if "suites" in held:
            raise InputError(f"{name!r} is a collection itself", where=str(path))
        found.append(parse(Suite, held, str(inner)))
    return collection.name, found


def read_yaml(path: Path) -> dict[str, Any]:
    """A file that holds a mapping. Raises InputError for another one."""
    content = safe_yaml.load_file(path, "a suite in YAML")
    if not isinstance(content, dict):
        raise InputError("not a suite", where=str(path), expected="a mapping of fields")
    return content


def parse(model: type[M], content: Mapping[str, Any], where: str) -> M:
    """The content, checked. Raises InputError with the first problem in one line."""
    try:
        return model(**content)
    except (ValidationError, TypeError) as error:
        raise InputError(_first(error, model), where=where) from error


def _read(name_or_path: str) -> tuple[Path, dict[str, Any]]:
    known = shipped()
    path = known.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise InputError(
            f"unknown suite {name_or_path!r}", expected=nearest(name_or_path, known) + ", or a file"
        )
    return path, read_yaml(path)


def _first(error: Exception, model: type[BaseModel]) -> str:
    """The first problem of a validation, in one line with its field."""
    if not isinstance(error, ValidationError):
        return str(error)
    problem: Mapping[str, Any] = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"unknown key {field!r} (fields of a suite: {known})"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{field}: {message}"
