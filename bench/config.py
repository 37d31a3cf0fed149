"""Frozen dataclasses from plain mappings and back: every configuration goes through here.

Standard library only, so that a job can run where nothing but torch is installed. Values are
checked against the annotations; ranges are checked by the dataclasses themselves.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from bench.errors import InputError

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass ``cls``; nested dataclasses, tuples and mappings are converted.

    Raises:
        InputError: for an unknown key, a wrong type, or a value that the dataclass refuses; names
            the field by its dotted path below ``where``.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{values!r}", where=where, expected="a mapping of fields")
    hints = _hints(typing.cast(Any, cls))
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise InputError(
                f"unknown key {name!r}", where=where, expected=nearest(str(name), fields)
            )
    arguments = {
        name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()
    }
    try:
        return cls(**arguments)
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(str(error), where=where) from error


def as_dict(config: Any) -> dict[str, Any]:
    """The plain, JSON-ready mapping that :func:`build` turns back into an equal instance."""
    return typing.cast(dict[str, Any], _plain(config))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``; mappings below them are merged alike."""
    both = {
        name: merged(base[name], value)
        for name, value in over.items()
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
    }
    return {**base, **over, **both}


def flattened(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Values by their dotted path, of mappings in mappings."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{above}{name}"
        flat[path] = value
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{path}.")
    return flat


def nearest(name: str, known: Iterable[str]) -> str:
    """What to expect instead of an unknown name: the closest ones, or all if none is close."""
    names = sorted(known)
    longer = [known for known in names if name and known.startswith(name)]
    close = dict.fromkeys([*longer, *difflib.get_close_matches(name, names, n=3, cutoff=0.5)])
    return "one of " + ", ".join(close or names)


@functools.cache  # a plan of many lines builds the same few classes again and again
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):  # nearly everything is one
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else build(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(
                f"{value!r}", where=where, expected="one of " + ", ".join(map(str, arguments))
            )
        return value
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise InputError(f"{value!r}", where=where, expected="a mapping")
        return {str(k): _convert(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is Any:
        return value
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is type(None) and value is None:
        return None
    if isinstance(value, bool) and hint is not bool:
        raise InputError(f"{value!r}", where=where, expected=hint.__name__)
    if not isinstance(value, hint):
        raise InputError(f"{value!r}", where=where, expected=hint.__name__)
    return value


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{value!r}", where=where, expected="a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if len(value) != len(arguments):
        raise InputError(f"{value!r}", where=where, expected=f"{len(arguments)} values")
    return tuple(
        _convert(h, v, f"{where}[{i}]")
        for i, (h, v) in enumerate(zip(arguments, value, strict=True))
    )


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    errors = []
    for hint in arguments:
        try:
            return _convert(hint, value, where)
        except InputError as error:
            errors.append(str(error))
    names = " or ".join(
        "null" if hint is type(None) else getattr(hint, "__name__", str(hint)) for hint in arguments
    )
    only = [hint for hint in arguments if hint is not type(None)]
    if len(only) == 1:  # optional: the inner message says more
        raise InputError(errors[arguments.index(only[0])])
    raise InputError(f"{value!r}", where=where, expected=names)
