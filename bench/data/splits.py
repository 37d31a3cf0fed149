"""Which subjects train, validate and test: listed in a JSON file, checked and hashed."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bench.errors import InputError
from bench.text_input import parse_json, read_text

_PARTS = ("train", "validation", "test")
_KEYS = (*_PARTS, "note")


@dataclass(frozen=True)
class Split:
    """Disjoint lists of subjects, sorted: the order in a file has no effect on any number.

    Args:
        name: the shipped name or the file's stem; not part of the hash
        train, validation: subject ids, may be empty
        test: subject ids, at least one

    Raises:
        InputError: an empty test list, a subject listed twice or in two parts
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"split {self.name!r}"
        if not self.test:
            raise InputError("'test' is empty", where=where, expected="at least one subject")
        for part in _PARTS:
            # Also from a list, so that the split stays hashable.
            object.__setattr__(self, part, tuple(sorted(getattr(self, part))))
        counts = Counter(subject for part in _PARTS for subject in getattr(self, part))
        for subject, count in counts.items():
            if count > 1:
                parts = " and ".join(p for p in _PARTS if subject in getattr(self, p))
                raise InputError(
                    f"subject {subject!r} is listed {count} times, in {parts}",
                    where=where,
                    expected="each subject once",
                )

    def parts(self) -> dict[str, tuple[str, ...]]:
        """Subjects by part."""
        return {part: getattr(self, part) for part in _PARTS}

    @property
    def subjects(self) -> list[str]:
        """All of them, part by part."""
        return [name for names in self.parts().values() for name in names]

    def without(self, subjects: Collection[str]) -> Split:
        """The split without these subjects; refused if nothing is left to test on."""
        if not subjects:
            return self
        kept = {
            part: tuple(name for name in names if name not in subjects)
            for part, names in self.parts().items()
        }
        return Split(self.name, **kept)

    @property
    def sha256(self) -> str:
        """Hash of who is in which part: canonical JSON of the three lists."""
        text = json.dumps(self.parts(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def shipped_splits() -> tuple[str, ...]:
    """Names of the splits in this package."""
    folder = resources.files("bench.data") / "splits"
    names = (Path(entry.name) for entry in folder.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".json"))


def load_split(name_or_path: str | Path) -> Split:
    """Load a shipped split by name, or a JSON file by its path.

    The file is one object with the lists ``train``, ``validation`` and ``test`` of subject ids,
    and optionally a ``note``. A left-out train or validation list is empty.

    Raises:
        InputError: an unknown name, a file that is missing or not such an object, or subjects
            that :class:`Split` refuses
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".json") or Path(text).name != text:
        path = Path(name_or_path)
        return _parse(read_text(path, "a split's JSON file"), path.stem, str(path))
    known = shipped_splits()
    if text not in known:
        nearest = difflib.get_close_matches(text, known, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise InputError(
            f"unknown split {text!r}{hint}", expected=f"{', '.join(known)} or a .json file"
        )
    file = resources.files("bench.data") / "splits" / f"{text}.json"
    return _parse(file.read_text(encoding="utf-8"), text, f"split {text!r}")


def is_number(text: str) -> bool:
    """Whether it is the number of an image or a subject: decimal digits, and not very many."""
    return text.isascii() and text.isdigit() and len(text) < 10


def _parse(text: str, name: str, where: str) -> Split:
    content = parse_json(text, where, f"an object with {', '.join(_PARTS)}")
    if not isinstance(content, dict):
        raise InputError(
            "is not an object", where=where, expected=f"an object with {', '.join(_PARTS)}"
        )
    for key in content:
        if key not in _KEYS:
            raise InputError(f"unknown key {key!r}", where=where, expected=", ".join(_KEYS))
    parts = {}
    for part in _PARTS:
        subjects = content.get(part, [])
        if not isinstance(subjects, list) or not all(isinstance(s, str) and s for s in subjects):
            raise InputError(
                f"{part!r} is not a list of ids", where=where, expected="a list of strings"
            )
        parts[part] = tuple(subjects)
    try:
        return Split(name, **parts)
    except InputError as error:
        # The same line, but with the file that the user can open.
        raise InputError(str(error).removeprefix(f"split {name!r}: "), where=where) from error
