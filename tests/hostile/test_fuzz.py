"""Readers and parsers against inputs that hypothesis makes up: an InputError, or a value."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import safe_yaml
from bench.data.contained import below, contained
from bench.errors import InputError
from bench.planning.suite import Suite
from bench.planning.suite_files import parse
from bench.printable import printable
from bench.text_input import parse_json
from tests.hostile.valid import KINDS, SUITE, place

MORE = int(os.environ.get("EQUIBENCH_FUZZ", "1"))  # times as many examples, for `make soak`

fuzzed = settings(
    max_examples=40 * MORE,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TEXT = st.text(max_size=40) | st.sampled_from(["!!python/name:x", "\x1b[31m", "*a", "<<", "../x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
TREES = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=4) | st.dictionaries(TEXT, part, max_size=4)
)
LIMITS = [0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]


def answer(read: Callable[..., object], *arguments: Any) -> object:
    """What it gives; None if it refuses in one line. Anything else is a fault."""
    try:
        return read(*arguments)
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 8000
        return None


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, float, bytes]]:
    """Places in a file, as shares of its size, and what is done there."""
    number = st.sampled_from(LIMITS).map(lambda value: struct.pack("<Q", value))
    content = st.binary(min_size=1, max_size=16) | number
    kind = st.sampled_from(["over", "insert", "delete", "end"])
    place = st.floats(0, 1, exclude_max=True)
    return draw(st.lists(st.tuples(kind, place, content), min_size=1, max_size=4))


def edited(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, share, new in changes:
        at = int(share * len(content))
        rest = {"over": content[at + len(new) :], "delete": content[at + 8 * len(new) :]}
        rest |= {"insert": content[at:], "end": b""}
        content = content[:at] + (b"" if kind == "delete" else new) + rest[kind]
    return content


@pytest.mark.parametrize("name", KINDS)
def test_readers_of_edited_files(name: str) -> None:
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = place(kind, Path(folder))
        valid = path.read_bytes()

        @fuzzed
        @given(edits())
        def read(changes: list[tuple[str, float, bytes]]) -> None:
            path.write_bytes(edited(valid, changes))
            answer(kind.read, path)

        read()


@settings(fuzzed, max_examples=300 * MORE)
@given(TREES)
def test_suites_of_any_content(tree: object) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    content = answer(safe_yaml.load, text, "-")
    if isinstance(content, dict):
        answer(parse, Suite, content, "-")


@settings(fuzzed, max_examples=300 * MORE)
@given(st.dictionaries(st.sampled_from(list(Suite.model_fields)), TREES, max_size=5))
def test_suites_with_fields_of_any_content(changed: dict[str, object]) -> None:
    content = yaml.safe_load(SUITE)
    answer(parse, Suite, {**content, **changed}, "-")


@settings(fuzzed, max_examples=300 * MORE)
@given(st.text(alphabet="ab:-[]{}&*!|>%@'\"#,? \n\t<=0.~\\", max_size=120))
def test_yaml_of_any_signs(text: str) -> None:
    answer(safe_yaml.load, text, "-")
    answer(safe_yaml.compose, text, "-")


@settings(fuzzed, max_examples=300 * MORE)
@given(TREES.map(json.dumps) | st.text(alphabet='[]{}":,0123456789eE+-.nulltruefas\\', max_size=80))
def test_json_of_any_content(text: str) -> None:
    content = answer(parse_json, text, "-", "JSON")
    json.dumps(content, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("name", ["split", "manifest"])
def test_json_files_of_any_content(name: str) -> None:
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = place(kind, Path(folder))
        valid = json.loads(path.read_text())

        @settings(fuzzed, max_examples=150 * MORE)
        @given(st.dictionaries(st.sampled_from([*valid, "other"]), TREES, min_size=1, max_size=3))
        def read(changed: dict[str, object]) -> None:
            path.write_text(json.dumps({**valid, **changed}))
            answer(kind.read, path)

        read()


@settings(fuzzed, max_examples=200 * MORE)
@given(st.lists(st.sampled_from(["..", ".", "a", "", "/", "link", "\0", "ä"]), max_size=6))
def test_no_name_leads_out(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "inside"
        inside.mkdir()
        (inside / "link").symlink_to(folder)
        for check in (contained, below):
            path = answer(check, inside, "/".join(parts), "-")
            if isinstance(path, Path) and check is contained:
                assert path.resolve().is_relative_to(inside.resolve())


@settings(fuzzed, max_examples=300 * MORE)
@given(st.text())
def test_whatever_is_printed_is_printable(text: str) -> None:
    assert all(sign in "\n\t" or sign.isprintable() for sign in printable(text))
    assert str(InputError(text, where=text, expected=text)).isprintable()
