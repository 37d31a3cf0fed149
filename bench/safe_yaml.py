"""YAML from outside: mappings, lists, text and numbers, of bounded size, and nothing else."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from bench.errors import InputError
from bench.text_input import read_text

LARGEST = 2**20  # bytes of a file
MOST_NODES = 20_000  # with every alias expanded
DEEPEST = 50  # levels

_PREFIX = "tag:yaml.org,2002:"
_KNOWN = {f"{_PREFIX}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}
_MERGE, _TEXT = f"{_PREFIX}merge", f"{_PREFIX}str"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class _Refused(yaml.YAMLError):
    """What is YAML, and still not read."""

    def __init__(self, what: str, mark: Any, expected: str) -> None:
        super().__init__(what)
        self.line, self.expected = mark.line + 1, expected


class _Loader(yaml.SafeLoader):
    """Refuses while it composes, so that nothing large is ever built."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.count = 0
        self.sizes: dict[int, int] = {}  # of composed nodes, by id

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        self.count += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise _Refused(f"more than {DEEPEST} levels", mark, "fewer")
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        assert node is not None
        self.depth -= 1
        if id(node) not in self.sizes:
            if alias:
                raise _Refused("holds itself", node.start_mark, "no alias of what it stands in")
            self.sizes[id(node)] = self._checked(node)
        if max(self.count, self.sizes[id(node)]) > MOST_NODES:
            what = f"more than {MOST_NODES} values, aliases expanded"
            raise _Refused(what, node.start_mark, "fewer")
        return node

    def _checked(self, node: yaml.Node) -> int:
        """How many values it stands for. Raises _Refused for what is not read."""
        if node.tag not in _KNOWN | {_MERGE}:
            tag = node.tag.replace(_PREFIX, "!!")
            hint = "; a date in quotes" if tag == "!!timestamp" else ""
            raise _Refused(tag, node.start_mark, f"text, a number, a list or a mapping{hint}")
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _require_keys(node)
            children = [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        elif _CONTROL.search(node.value):
            raise _Refused("a control character", node.start_mark, "text")
        return 1 + sum(self.sizes[id(child)] for child in children)


# numbers of YAML 1.2 that PyYAML takes for text: 1e-3 has no point, 1.5e3 no sign
_EXPONENT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver(f"{_PREFIX}float", _EXPONENT, list("-+.0123456789"))


def _require_keys(node: yaml.MappingNode) -> None:
    known = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _Refused("no key", key.start_mark, "each key once")
        if key.tag not in (_TEXT, _MERGE):
            raise _Refused(f"key {key.value!r} is no text", key.start_mark, "quotes around it")
        if key.value in known:
            raise _Refused(f"{key.value} a second time", key.start_mark, "each key once")
        known.add(key.value)


def compose(text: str, where: str) -> yaml.Node | None:
    """The nodes of a document, with their lines; None if it is empty.

    Raises:
        InputError: not YAML, several documents, a tag of a type that is not plain, a key that is
            not text or stands there twice, an alias of what it stands in, or more values or levels
            than any file of ours has.
    """
    node: yaml.Node | None = _guarded(text, where, build=False)
    return node


def load(text: str, where: str) -> Any:
    """What a document holds. Raises InputError as :func:`compose`, and for NaN or huge integers."""
    return _guarded(text, where, build=True)


def load_file(path: Path, expected: str) -> Any:
    """The same, of a file. Raises InputError also for one that is missing, too large or no text."""
    return load(read_text(path, expected, LARGEST), str(path))


def _guarded(text: str, where: str, build: bool) -> Any:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None or not build:
            return node
        content = loader.construct_document(node)
        _require_sound(content)
        return content
    except _Refused as error:
        where = f"{where}, line {error.line}"
        raise InputError(str(error), where=where, expected=error.expected) from error
    except (yaml.YAMLError, ValueError, LookupError, OverflowError, RecursionError) as error:
        # constructors of numbers raise ValueError and, where a tag is not theirs, LookupError
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"not YAML ({why})", where=where) from error


def _require_sound(content: Any) -> None:
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is no number")
        elif isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError("an integer beyond 64 bits")
