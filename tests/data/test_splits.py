"""Splits: the shipped ones are sound, the hash says who is where, faults are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.data.contrast import CONTRASTS, contrast_of
from bench.data.splits import Split, load_split, shipped_splits
from bench.errors import InputError


def test_brain_phantom_has_every_contrast_in_every_part() -> None:
    split = load_split("brain-phantom")
    assert (len(split.train), len(split.validation), len(split.test)) == (150, 20, 30)
    subjects = {*split.train, *split.validation, *split.test}
    assert subjects == {f"phantom-{i:03d}" for i in range(200)}
    for part in (split.train, split.validation, split.test):
        contrasts = [contrast_of(int(subject.removeprefix("phantom-"))) for subject in part]
        counts = [contrasts.count(contrast) for contrast in CONTRASTS]
        assert max(counts) - min(counts) <= 1


def test_other_shipped_splits_are_as_their_data_demand() -> None:
    for name in shipped_splits():  # a subject in two parts would not load
        assert load_split(name).test, name
    set5 = load_split("t91-set5")
    assert {subject.split("/")[0] for subject in (*set5.train, *set5.validation)} == {"t91"}
    assert sorted(set5.test) == [
        f"set5/{n}" for n in ("baby", "bird", "butterfly", "head", "woman")
    ]
    siat = load_split("siat200")
    assert siat.train == ("siat-0", "siat-1", "siat-2", "siat-3")
    assert (siat.validation, siat.test) == (("siat-4",), ("siat-5", "siat-6"))
    multicoil = load_split("multicoil")
    assert (multicoil.train, multicoil.validation) == ((), ())
    assert multicoil.test == ("brain_gre_16ch_96x96", "brain_t1_8ch_230x180")


def test_hash_depends_on_who_is_where_and_on_nothing_else(tmp_path: Path) -> None:
    split = Split("a", ("s1", "s2"), ("s3",), ("s4",))
    assert split.sha256 == Split("b", ("s2", "s1"), ("s3",), ("s4",)).sha256
    assert split.sha256 != Split("a", ("s1",), ("s2", "s3"), ("s4",)).sha256
    # Fixed: rows carry it, so another definition would orphan every recorded run.
    assert split.sha256.startswith("f7dfbc5d64b24433")
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"note": "x", "test": ["s4"], "validation": ["s3"]} | {"train": []}))
    loaded = load_split(str(path))
    assert loaded == load_split(path) == Split("mine", (), ("s3",), ("s4",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "is not an object"),
        ({"test": ["a"], "training": ["b"]}, "unknown key 'training'"),
        ({"test": ["a", 2]}, "'test' is not a list of ids"),
        ({"test": "a"}, "'test' is not a list of ids"),
        ({"test": ["a"], "train": [""]}, "'train' is not a list of ids"),
        ({"test": []}, "'test' is empty"),
        ({"train": ["a"]}, "'test' is empty"),
        ({"test": ["a", "a"]}, "subject 'a' is listed 2 times, in test"),
        ({"test": ["a"], "train": ["b", "a"]}, "subject 'a' is listed 2 times, in train and test"),
    ],
)
def test_faults_name_the_file_and_the_subject(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError) as caught:
        load_split(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {words}"), message
    assert "expected" in message
    assert "\n" not in message


def test_unknown_names_and_missing_files_are_answered(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown split 'brain-fantom'; did you mean 'brain-ph"):
        load_split("brain-fantom")
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        load_split(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not text"):
        load_split(tmp_path / "binary.json")


def test_a_split_without_some_subjects() -> None:
    split = Split("a", ("s1", "s2"), ("s3",), ("s4", "s5"))
    assert split.without(()) is split
    left = split.without({"s1", "s5", "unknown"})
    assert (left.train, left.validation, left.test) == (("s2",), ("s3",), ("s4",))
    assert left.sha256 != split.sha256
    assert split.subjects == ["s1", "s2", "s3", "s4", "s5"]
    with pytest.raises(InputError, match="'test' is empty"):
        split.without({"s4", "s5"})
