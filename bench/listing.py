"""What there is: the lists that ``equibench list`` prints."""

from __future__ import annotations

import typing
from typing import Any

from bench import registry
from bench.planning.suite import MethodEntry
from bench.planning.suite_files import load_all, shipped

Entry = dict[str, Any]


def methods() -> list[Entry]:
    """Every method, with its trainable parameters at its defaults.

    A frozen backbone is not counted; a count of 0 means that nothing is trained.
    """
    return [
        {
            "name": ", ".join((name, *cls.aliases)),
            "family": cls.family,
            "paper": cls.paper,
            "tasks": list(cls.tasks),
            "variants": list(cls.variants),
            "parameters": sum(p.numel() for p in _created(cls).parameters() if p.requires_grad),
        }
        for name, cls in registry.methods().items()
    ]


def _created(cls: Any) -> Any:
    return cls(cls.Config())


def tasks() -> list[Entry]:
    """Every task, at its defaults: size, operator, datasets, and how it is scored."""
    return [
        {
            "name": name,
            "about": (cls.__doc__ or "").splitlines()[0],
            "size": _size(cls.Config()),
            "operator": cls.operator,
            "datasets": list(typing.get_args(typing.get_type_hints(cls.Config)["dataset"])),
            "protocol": str(cls.protocol),
        }
        for name, cls in registry.tasks().items()
    ]


def _size(config: Any) -> str:
    """Of an image: frames or slices and two sides; of super-resolution, of a training patch."""
    side = getattr(config, "size", None) or config.patch_size
    deep = getattr(config, "frames", None) or getattr(config, "slices", None)
    return f"{deep}x{side}x{side}" if deep else f"{side}x{side}"


def suites() -> list[Entry]:
    """Every shipped suite."""
    return [
        {
            "name": name,
            "title": " / ".join(suite.title for suite in suites),
            "methods": list(dict.fromkeys(_line(m) for suite in suites for m in suite.methods)),
        }
        for name, (_, suites) in ((name, load_all(name)) for name in shipped())
    ]


def _line(entry: MethodEntry) -> str:
    selected = [*(entry.family or ()), *(entry.supports or ())]
    return entry.shown_as or "all of " + ", ".join(selected)
