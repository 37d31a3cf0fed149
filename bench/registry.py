"""Methods and tasks by name, found by scanning packages.

The packages are those that the entry-point group ``equibench.plugins`` lists; ours are there too. A
class is registered by having a ``name`` in one of their modules, and by nothing else.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from bench.config import build, nearest
from bench.deepinv_methods import PREFIX, deepinv_method
from bench.errors import InputError
from bench.reconstructor import Reconstructor, Variant
from bench.task import Task

GROUP = "equibench.plugins"
T = TypeVar("T")

_plugins: list[ModuleType] = []


def methods() -> dict[str, type[Reconstructor]]:
    """Every method, by name, in the order of names."""
    return _named(Reconstructor)


def tasks() -> dict[str, type[Task]]:
    """Every task, by name, in the order of names."""
    return _named(Task)


def method_class(name: str, where: str = "method") -> type[Reconstructor]:
    """The class of a method, or of deepinv's reconstructor where that is asked for.

    Raises:
        InputError: with the nearest names if there is none.
    """
    if name.startswith(PREFIX):
        return deepinv_method(name)
    known = methods()
    aliases = {alias: cls for cls in known.values() for alias in cls.aliases}
    return _lookup({**known, **aliases}, name, where)


def task_class(name: str, where: str = "task") -> type[Task]:
    """The class of a task. Raises InputError with the nearest names if there is none."""
    return _lookup(tasks(), name, where)


def variant_of(cls: type[Reconstructor], name: str | None, where: str) -> Variant:
    """A method's variant by name; no name is no change."""
    if name is None:
        return Variant()
    if name not in cls.variants:
        raise InputError(
            f"{cls.name} has no variant {name!r}", where=where, expected=nearest(name, cls.variants)
        )
    return cls.variants[name]


def create_method(
    name: str, task: Task | None = None, variant: str | None = None, **config: Any
) -> Reconstructor:
    """A method with this configuration, untrained.

    Args:
        name: as `equibench list methods` shows it.
        task: if given, what the configuration takes from it (channels) is filled in, and the method
            is refused where it does not support the task.
        variant: a named setting; ``config`` comes on top of it.

    Raises:
        InputError: unknown name, variant or field, or a value outside its domain.
    """
    cls = method_class(name)
    given = cls.for_task(task) if task is not None else {}
    values = {**given, **variant_of(cls, variant, name).config, **config}
    method = cls(build(cls.Config, values, name))
    if task is not None:
        require_support(method, task)
    return method


def require_support(method: Reconstructor, task: Task) -> None:
    """Raise InputError where the method cannot run on the task."""
    if not method.supports(task):
        raise InputError(
            f"{method.name} does not support the task {task.name}",
            expected=", ".join(method.tasks),
        )


def create_task(
    name: str, *, data: str | Path | None = None, data_seed: int = 0, **config: Any
) -> Task:
    """A task with this configuration; data is read when a batch is asked for.

    Args:
        name: as `equibench list tasks` shows it.
        data: folder that the configuration's file names are relative to.
        data_seed: of masks, noise, coil maps and phantoms.
    """
    cls: Any = task_class(name)
    task: Task = cls(build(cls.Config, config, name), Path(data) if data else None, data_seed)
    return task


def add_plugin(path: Path) -> None:
    """Register the methods and tasks of one Python file."""
    if not path.is_file():
        raise InputError("no such file", where=f"plugin {path}", expected="a Python file")
    name = f"equibench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError("not importable", where=f"plugin {path}", expected="a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{type(error).__name__}: {error}", where=f"plugin {path}") from error
    _plugins.append(module)


@functools.cache
def _modules() -> tuple[ModuleType, ...]:
    found: list[ModuleType] = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda e: e.value):
        package = importlib.import_module(entry.value)
        found.append(package)
        for info in pkgutil.iter_modules(getattr(package, "__path__", []), entry.value + "."):
            found.append(importlib.import_module(info.name))
    return tuple(dict.fromkeys(found))


def _named(base: type[T]) -> dict[str, type[T]]:
    return dict(_classes(cast(Any, base), (*_modules(), *_plugins)))


@functools.cache  # a plan asks for every one of its lines
def _classes(base: type, modules: tuple[ModuleType, ...]) -> dict[str, Any]:
    found: dict[str, type] = {}
    for module in modules:
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if not issubclass(cls, base) or cls.__module__ != module.__name__:
                continue
            name = vars(cls).get("name")
            if name is None:
                continue
            if name in found:
                raise InputError(
                    f"two classes are named {name!r}: {found[name].__module__} and {cls.__module__}"
                )
            found[name] = cls
    return dict(sorted(found.items()))


def _lookup(known: Mapping[str, type[T]], name: str, where: str) -> type[T]:
    if name not in known:
        raise InputError(f"unknown name {name!r}", where=where, expected=nearest(name, known))
    return known[name]
