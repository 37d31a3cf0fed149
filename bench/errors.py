"""Errors that a user can act on."""

from __future__ import annotations

from bench.printable import printable

_LONGEST = 2000  # characters: what is quoted comes from outside, and may be a whole file


class InputError(ValueError):
    """Bad input: one line that says what was wrong, where, and what was expected.

    The command line turns it into exit code 2 without a traceback, and a job into a row.
    """

    def __init__(self, what: str, *, where: str | None = None, expected: str | None = None) -> None:
        message = f"{_one_line(where)}: {_one_line(what)}" if where else _one_line(what)
        if expected:
            message += f" (expected {_one_line(expected)})"
        super().__init__(message)


class Diverged(ArithmeticError):
    """A loss, parameter or reconstruction is not finite: an outcome to record, not a crash."""


def _one_line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
