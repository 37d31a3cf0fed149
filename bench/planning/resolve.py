"""A suite as it is written -> as it is run: methods by family, axes, data, scale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.config import nearest
from bench.errors import InputError
from bench.planning.axes import varied, with_changes
from bench.planning.pretrained import with_pretrained
from bench.planning.roles import with_data
from bench.planning.scales import scaled
from bench.planning.suite import MethodEntry, ScaleName, Suite
from bench.reconstructor import Reconstructor
from bench.registry import methods, tasks


def resolved(
    suite: Suite,
    data: Path | None = None,
    scale: ScaleName | None = None,
    pretrained: bool = False,
) -> Suite:
    """The suite with nothing left open.

    Args:
        data: folder in which data is looked for by role.
        scale: instead of the suite's own.
        pretrained: whether checkpoints of the package take the place of trainings.

    Raises:
        InputError: for an unknown family, task, axis or role.
    """
    suite = suite.model_copy(update={"scale": scale or suite.scale})
    suite = varied(with_named_methods(suite))
    suite = with_changes(scaled(with_data(suite, data), suite.scale))
    return with_pretrained(suite) if pretrained else suite


def with_named_methods(suite: Suite) -> Suite:
    """The suite with names for what it selects by family or task; its own lines go first."""
    named = {entry.name for entry in suite.methods}
    lines: list[MethodEntry] = []
    for number, entry in enumerate(suite.methods):
        if entry.name:
            lines.append(entry)
            continue
        where = f"suite {suite.name}: methods.{number}"
        for cls in _selected(entry, where):
            if cls.name not in named:
                named.add(cls.name)
                update = {"name": cls.name, "family": None, "supports": None}
                lines.append(entry.model_copy(update=update))
    return suite.model_copy(update={"methods": lines})


def _selected(entry: MethodEntry, where: str) -> Iterator[type[Reconstructor]]:
    known = list(methods().values())
    families = sorted({cls.family for cls in known})
    for name, given, there in (
        ("family", entry.family, families),
        ("supports", entry.supports, list(tasks())),
    ):
        for word in given or ():
            if word not in there:
                raise InputError(
                    f"unknown {name} {word!r}", where=where, expected=nearest(word, there)
                )
    for cls in known:
        fits = entry.family is None or cls.family in entry.family
        if fits and set(entry.supports or ()) <= set(cls.tasks):
            yield cls
