"""Errors that a user can act on."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input: one line that says what was wrong, where, and what was expected.

    The command line turns it into exit code 2 without a traceback, and a job into a row.
    """

    def __init__(self, what: str, *, where: str | None = None, expected: str | None = None) -> None:
        message = f"{where}: {what}" if where else what
        if expected:
            message += f" (expected {expected})"
        super().__init__(" ".join(message.split()))


class Diverged(ArithmeticError):
    """A loss, parameter or reconstruction is not finite: an outcome to record, not a crash."""
