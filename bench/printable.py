"""Text from outside as a terminal may show it."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything that a terminal would obey, or show as nothing, written out.

    Escape sequences, other control characters, marks that turn the direction of writing and halves
    of surrogate pairs become ``\\x1b`` and the like. Lines and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(s if s in "\n\t" or s.isprintable() else _written(s) for s in text)


def _written(sign: str) -> str:
    # a space of another kind is a space
    return " " if sign.isspace() and ord(sign) > 0x9F else ascii(sign)[1:-1]
