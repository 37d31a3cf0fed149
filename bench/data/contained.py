"""Names from manifests, splits and lists: they stay below the folder that they are in."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from bench.errors import InputError


def contained(folder: Path, name: str, where: str) -> Path:
    """The file or folder of that name below ``folder``, whether it exists or not.

    Args:
        where: the name stands, for the error.

    Raises:
        InputError: the name is absolute, goes up, or leads out by a symbolic link.
    """
    path = below(folder, name, where)
    try:
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name!r}: {error}", where=where, expected="the name of a file"
        ) from error
    if not inside:
        what = f"{name!r} leads out of {folder} by a link"
        raise InputError(what, where=where, expected="a file below that folder")
    return path


def below(folder: Path, name: str, where: str) -> Path:
    """The same by the name alone: links are followed wherever they lead.

    Raises:
        InputError: the name is absolute or goes up.
    """
    pure = PurePosixPath(name)
    if not name or "\0" in name or pure.is_absolute() or ".." in pure.parts:
        raise InputError(f"{name!r} leads out of {folder}", where=where, expected="a name below it")
    return folder / name
