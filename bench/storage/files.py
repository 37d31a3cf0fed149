"""Files that are written whole or not at all, and what is said where they cannot be."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from pathlib import Path
from typing import Any

from bench.errors import InputError

# a file that is being written: of which name, by which process
TEMPORARY = re.compile(r"^\.(?P<name>.+)\.(?P<pid>\d+)\.tmp$")
# file systems that cannot sync a folder, and need not be told to
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


class Unwritable(InputError, OSError):
    """A full disk, a folder that may not be written to, a limit: one line that names the file."""

    def __init__(self, error: OSError, path: Path) -> None:
        super().__init__(
            f"cannot be written ({error.strerror or error})",
            where=str(path),
            expected="room, and a folder this user can write to",
        )
        self.errno, self.strerror = error.errno, error.strerror

    def __str__(self) -> str:
        return str(self.args[0])  # OSError would put its number first


def temporary(path: Path) -> Path:
    """The name under which a file or folder is made before it gets its own, in the same folder."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_leftovers(folder: Path) -> None:
    """Remove files that a process had not finished when it was killed."""
    for path in folder.glob(".*.tmp"):
        made = TEMPORARY.match(path.name)
        if made and not path.is_dir() and not alive(int(made["pid"])):
            path.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; once it is there, it also survives a power cut.

    Raises:
        Unwritable: what was there before is untouched.
    """
    made = temporary(path)
    try:
        with made.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
        sync_folder(path.parent)
    except OSError as error:
        raise Unwritable(error, path) from error
    finally:
        with contextlib.suppress(OSError):  # renamed, or in a folder that is not to be written to
            made.unlink()


def sync_folder(folder: Path) -> None:
    """Make sure of the names in a folder: of what was renamed in it, or removed from it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, keys sorted; non-finite numbers are refused."""
    text = json.dumps(content, sort_keys=True, indent=1, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a results folder. Raises InputError if it is damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"unreadable ({error})", where=str(path), expected="JSON") from error
    return parsed_json(content, path)


def parsed_json(content: str | bytes | None, path: Path) -> Any:
    """The JSON that stands, or stood, in a file. Raises InputError if it is damaged."""
    try:
        return json.loads(content or "")
    except (ValueError, RecursionError) as error:
        raise InputError(f"unreadable ({error})", where=str(path), expected="JSON") from error
