"""What there is: the lists that ``equibench list`` prints."""

from __future__ import annotations

from typing import Any

from bench import registry
from bench.suite import load, shipped

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
    """Every task, with how it is scored."""
    return [
        {"name": name, "about": (cls.__doc__ or "").splitlines()[0], "protocol": str(cls.protocol)}
        for name, cls in registry.tasks().items()
    ]


def suites() -> list[Entry]:
    """Every shipped suite."""
    return [
        {"name": name, "title": suite.title, "methods": [m.shown_as for m in suite.methods]}
        for name, suite in ((name, load(name)) for name in shipped())
    ]
