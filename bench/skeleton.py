"""A new method's file, filled in: it runs, trains and passes the conformance suite as it is."""

from __future__ import annotations

import importlib.resources
import re
import string
from pathlib import Path

from bench import registry
from bench.errors import InputError


def write_method(name: str, folder: Path) -> Path:
    """Write ``folder/NAME.py`` with a small unrolled method of that name.

    Raises:
        InputError: for a name that cannot be one or is taken, or a file that is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        expected = "lower-case words and digits, joined by hyphens, as my-method"
        raise InputError(f"{name!r}", where="new method", expected=expected)
    taken = {alias for cls in registry.methods().values() for alias in (cls.name, *cls.aliases)}
    if name in taken:
        raise InputError(f"there is a method {name!r}", where="new method", expected="a new name")
    path = folder / f"{name.replace('-', '_')}.py"
    if path.exists():
        raise InputError("there is such a file", where=str(path), expected="a new one")
    if not folder.is_dir():
        raise InputError("no such folder", where=str(folder))
    template = (importlib.resources.files("bench") / "templates" / "method.py.txt").read_text()
    words = {"name": name, "class": "".join(part.capitalize() for part in name.split("-"))}
    path.write_text(string.Template(template).substitute(words))
    return path
