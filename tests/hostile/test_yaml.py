"""YAML from outside: what is refused, where, and how soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import safe_yaml
from bench.commands.measure import parse_fields
from bench.errors import InputError
from bench.golden import TOLERANCES, read_tolerances
from bench.planning.suite_files import read_yaml

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
REFUSED = {
    "python object": ("a: 1\nb: !!python/object/apply:os.system [ls]", "line 2: !!python/object"),
    "python name": ("a: !!python/name:os.system", "line 1: !!python/name"),
    "own tag": ("a: !weights {}", "line 1: !weights"),
    "set": ("a: !!set {b}", "!!set"),
    "binary": ("a: !!binary aGk=", "!!binary"),
    "date": ("a: 2024-01-02", "a date in quotes"),
    "duplicate": ("a: 1\nb: {c: 1,\n  c: 2}", "line 3: c a second time (expected each key once)"),
    "laughs": (LAUGHS, "aliases expanded"),
    "merged laughs": (LAUGHS.replace("[", "{<<: [").replace("]", "]}"), "line"),
    "recursive": ("a: &a {b: *a}", "line 1: holds itself"),
    "deep list": ("[" * 100_000, "more than 50 levels"),
    "deep mapping": ("{a: " * 100_000, "more than 50 levels"),
    "deep block": ("- " * 100_000, "more than 50 levels"),
    "long": ("- 1\n" * 200_000, "more than 20000 values"),
    "number as key": ("a: {1: 2}", "line 1: key '1' is no text (expected quotes around it)"),
    "truth as key": ("on: 2", "key 'on' is no text"),
    "list as key": ("? [a]\n: 1", "no key"),
    "not a number": ("a: [.nan]", "nan is no number"),
    "infinity": ("a: -.inf", "inf is no number"),
    "huge integer": ("a: " + "9" * 5000, "not YAML"),
    "large integer": ("a: " + "9" * 20, "beyond 64 bits"),
    "sexagesimal": ("a: 1" + ":59" * 30, "beyond 64 bits"),
    "escape": ('a: "\\e[31mred"', "line 1: a control character"),
    "direction": ("a: abc\u202ecba", "line 1: a control character"),
    "half a pair": ('a: "\\ud800"', "line 1: a control character"),
    "not of its tag": ("a: !!int one", "not YAML"),
    "no truth": ("a: !!bool maybe", "not YAML"),
    "empty float": ("a: !!float ''", "not YAML"),
    "two documents": ("a: 1\n---\nb: 2", "not YAML"),
    "open": ("a: [1, 2", "not YAML"),
    "tab": ("a:\n\t- b", "not YAML"),
    "no anchor": ("a: *b", "not YAML"),
    "null byte": ("a: \0", "not YAML"),
}


@pytest.mark.parametrize("fault", REFUSED)
@pytest.mark.timeout(10)
def test_it_is_refused_in_one_line_with_its_place(fault: str) -> None:
    text, words = REFUSED[fault]
    with pytest.raises(InputError) as refused:
        safe_yaml.load(text, "suite.yaml")
    message = str(refused.value)
    assert message.startswith("suite.yaml") and words in message, message
    assert message.isprintable() and len(message) < 2500


def test_what_suites_use_is_read() -> None:
    text = "a: &a {b: 1.5, c: [yes, null, -3]}\nd:\n  <<: *a\n  b: two\ne: *a\n"
    first = {"b": 1.5, "c": [True, None, -3]}
    expected = {"a": first, "d": {**first, "b": "two"}, "e": first}
    assert safe_yaml.load(text, "-") == expected
    assert safe_yaml.load("", "-") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: 1\n" + b"# more\n" * 200_000, "is larger than 1 MiB"),
        (b"\xff\xfea: 1", "is not text in UTF-8"),
        (b"a: 1\nb: \0", r"is not text: '\x00' in line 2"),
        (b"a: 1\nb: \x1b[31m", r"is not text: '\x1b' in line 2"),
        (b"- a", "not a suite"),
        (b"", "not a suite"),
    ],
)
def test_a_file_that_is_no_text_or_too_large_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_yaml(path)
    assert str(path) in str(refused.value) and words in str(refused.value)


def test_tolerances_and_fields_are_read_by_the_same_loader(tmp_path: Path) -> None:
    (tmp_path / TOLERANCES).write_text("given: !!python/object/apply:os.system {psnr: exact}")
    with pytest.raises(InputError, match="line 1: !!python"):
        read_tolerances(tmp_path)
    with pytest.raises(InputError, match=r"--config a, line 1: .* levels"):
        parse_fields(["a=" + "[" * 5000], ["a"], "--config")
    assert parse_fields(["a=1e-3", "b=inf", "c=[1, 2]"], "abc", "-") == {
        "a": 0.001,
        "b": "inf",
        "c": [1, 2],
    }
