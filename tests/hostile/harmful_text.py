"""Text files and checkpoints that somebody has made to harm; registered in ``harmful``."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.hostile.harmful import HARMFUL, Damage, each, harmful
from tests.hostile.valid import SUITE, TOLERANCE

# ---------------------------------------------------------------------- YAML

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
YAML = {
    "laughs": LAUGHS,
    "python object": "!!python/object/apply:os.system [ls]",
    "deep": "[" * 10**5,
    "deep in block": "- " * 10**5,
    "long": "- 1\n" * 2 * 10**5,
    "too large": "#" * (2**20 + 1),
    "recursive": "a: &a [*a]",
    "key twice": "a: 1\na: 2",
    "number as key": "1: 2",
    "list as key": "? [a]\n: b",
    "two documents": "a: b\n---\na: b",
    "nothing": "",
    "a list": "[a, b]",
    "open": "a: [",
    "null byte": "a: \0",
    "no anchor": "a: *b",
}
each("suite", YAML)
each(
    "tolerances",
    {**YAML, "words": "given: {psnr: about}", "NaN": "given: {psnr: {absolute: .nan}}"},
)
each(
    "suite",
    {
        "unknown key": f"{SUITE}\nother: 1",
        "no method": SUITE.replace("sense, {name", "{nam"),
        "date": f"{SUITE}\ntitle: 2024-01-02",
        "NaN": f"{SUITE}\nseeds: [.nan]",
        "huge integer": f"{SUITE}\ndata_seed: {'9' * 5000}",
        "large integer": f"{SUITE}\ndata_seed: {'9' * 30}",
        "name leads out": SUITE.replace("tiny", "../tiny"),
        "escape in a title": f'{SUITE}\ntitle: "\\e[31m"',
        "half a pair": f'{SUITE}\ntitle: "\\ud800"',
        "itself": "name: s\nsuites: [s.yaml]",
        "of nothing": "name: s\nsuites: []",
    },
)
each("tolerances", {"negative": TOLERANCE.replace("0.1", "-1"), "section": "x: {psnr: exact}"})

# ---------------------------------------------------------------------- JSON

JSON = {
    "deep": "[" * 10**6,
    "deep objects": '{"test":' * 10**5,
    "NaN": '{"test": NaN}',
    "infinity": '{"test": [-Infinity]}',
    "out of range": '{"test": 1e999}',
    "huge integer": '{"test": ' + "9" * 10**5 + "}",
    "large integer": '{"test": ' + "9" * 30 + "}",
    "key twice": '{"test": ["a"], "test": ["b"]}',
    "half a pair": '{"test": ["\\ud800"]}',
    "a list": "[1, 2]",
    "null": "null",
    "control character": '{"test": ["a\x01"]}',
    "no strings": '{"test": [1, null]}',
    "unknown key": '{"tests": ["a"]}',
    "nothing to test": '{"test": []}',
    "twice": '{"test": ["a", "a"]}',
}
each("split", JSON)
each("manifest", JSON)


def _manifest(**changed: Any) -> Damage:
    def damage(path: Path) -> None:
        content = json.loads(path.read_text())
        for name, value in changed.items():
            whole = name in content
            (content if whole else content["files"][0])[name] = value
        path.write_text(json.dumps(content))

    return damage


for _name, _change in {
    "another format": {"format": "x"},
    "another version": {"version": 2},
    "no list": {"files": 3},
    "list of nothing": {"files": [None]},
    "left out nothing": {"left_out": [3]},
    "settings": {"settings": [1]},
    "layout": {"layout": 3},
    "leads out": {"file": "../a.h5"},
    "absolute": {"file": "/etc/passwd"},
    "no file": {"file": ""},
    "missing file": {"file": "b.h5"},
    "no sample": {"samples": 0},
    "samples without end": {"samples": 10**15},
    "samples as text": {"samples": "2"},
    "negative size": {"bytes": -1},
    "other size": {"bytes": 5},
    "peak as text": {"peak": "high"},
    "negative peak": {"peak": -1.0},
    "unknown field": {"other": 1},
}.items():
    HARMFUL["manifest", _name] = _manifest(**_change)


@harmful("manifest")
def link_out(path: Path) -> None:
    file = path.with_name("a.h5")
    os.replace(file, path.parent.parent / "outside.h5")
    file.symlink_to("../outside.h5")
    (path.parent.parent / "outside.h5").unlink()


# ---------------------------------------------------------------------- CSV and lists

_GOLDEN_HEAD = "method,train_task,test_task,train_seed,kind,question,split,subject,sample"
each(
    "golden rows",
    {
        "other columns": "a,b\n1,2\n",
        "no header": "sense,,,0\n",
        "head alone, cut": _GOLDEN_HEAD,
        "field without end": '"' + "x" * 200_000,
    },
)


def _golden(value: str, cell: str = "value") -> Damage:
    def damage(path: Path) -> None:
        head, row, *_ = path.read_text().split("\n")
        cells = dict(zip(head.split(","), row.split(","), strict=True)) | {cell: value}
        path.write_text(f"{head}\n{','.join(cells.values())}\n")

    return damage


for _value in ("", "inf", "-inf", "1e999", "one", "0x1", '"1\n', "1,2"):
    HARMFUL["golden rows", f"value {_value!r}"] = _golden(_value)
for _value in ("", "1.5", "nan", "9" * 5000, "x"):
    HARMFUL["golden rows", f"seed {_value[:9]!r}"] = _golden(_value, "train_seed")


@harmful("golden rows")
def row_twice(path: Path) -> None:
    path.write_text(path.read_text() + path.read_text().split("\n")[1] + "\n")


each(
    "celeba",
    {
        "leads out": "../1.jpg 2",
        "absolute": "/etc/passwd 2",
        "part": "1.jpg 3",
        "words": "1.jpg 2 3",
        "missing": "2.jpg 2",
        "null byte": "1.jpg\0 2",
        "long": "x" * 10**5 + " 2",
    },
)


def _renamed(name: str) -> Damage:
    return lambda path: (os.replace(path, path.with_name(name)), None)[1]


for _name in ("ground_truth_train_².hdf5", "ground_truth_train_.hdf5", "ground_truth_000.hdf5"):
    HARMFUL["lodopab", f"called {_name}"] = _renamed(_name)
HARMFUL["lodopab", "number without end"] = _renamed(f"ground_truth_train_{'9' * 200}.hdf5")


# ---------------------------------------------------------------------- checkpoints


def _saved(content: Any, legacy: bool = False) -> Damage:
    return lambda path: torch.save(content, path, _use_new_zipfile_serialization=not legacy)


_ONES = torch.ones(2)
for _name, _content in {
    "a list": [_ONES],
    "one tensor": _ONES,
    "a number": 3,
    "numbers": {"a": 1.0},
    "numbers as names": {1: _ONES},
    "nested": {"state_dict": {"a": {"b": _ONES}}},
    "text": {"state_dict": "x"},
    "sparse": {"a": torch.eye(2).to_sparse()},
    "of no memory": {"a": torch.empty(2, device="meta")},
    "quantised": {"a": torch.quantize_per_tensor(_ONES, 0.1, 0, torch.qint8)},
    "a function": {"a": os.system},
    "a module": torch.nn.Linear(2, 2),
}.items():
    HARMFUL["torch", _name] = _saved(_content)
    HARMFUL["torch legacy", _name] = _saved(_content, legacy=True)


def _repacked(change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> Damage:
    def damage(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in entries.items():
                archive.writestr(name, change(name, content))

    return damage


def _grown(name: str, content: bytes) -> bytes:
    return bytes(3 * 2**28) if "/data/" in name else content


def _more_than_there_is(name: str, content: bytes) -> bytes:
    """Six numbers are declared to be 2^30."""
    return content.replace(b"K\x06t", b"J\0\0\0\x40t") if name.endswith(".pkl") else content


HARMFUL["torch", "bomb"] = _repacked(_grown, zipfile.ZIP_DEFLATED)
HARMFUL["torch", "size that lies"] = _repacked(_more_than_there_is)
# bytearray(2 ** 40), which torch's own unpickler allows
_ZEROS = b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85R."
HARMFUL["torch", "zeros without end"] = _repacked(
    lambda name, content: _ZEROS if name.endswith(".pkl") else content
)
each("torch legacy", {"zeros without end": _ZEROS, "deep": b"\x80\x02" + b"]" * 10**5 + b"."})


def _header(size: int, text: str) -> bytes:
    return size.to_bytes(8, "little") + text.encode() + bytes(24)


_TENSOR = '{"a": {"dtype": "F32", "shape": %s, "data_offsets": %s}}'
_HEADERS = {
    "header without end": _header(2**63, "{}"),
    "header beyond the file": _header(500, "{}"),
    "no JSON": _header(3, "{a}"),
    "deep": _header(10**5, "[" * 10**5),
    **{
        name: _header(len(_TENSOR % parts), _TENSOR % parts)
        for name, parts in {
            "huge": ("[1000000, 1000000]", "[0, 4000000000000]"),
            "shape beyond its bytes": ("[1000000]", "[0, 24]"),
            "overflow": ("[4294967296, 4294967296, 4]", "[0, 24]"),
            "backwards": ("[6]", "[24, 0]"),
            "negative": ("[-6]", "[0, 24]"),
            "holes": ("[2]", "[16, 24]"),
        }.items()
    },
}
each("safetensors", _HEADERS)
each("described weights", _HEADERS)


def _described(**metadata: str) -> Damage:
    return lambda path: save_file({"a": _ONES}, path, metadata)


for _name, _metadata in {
    "nothing said": {},
    "no configuration": {"method": "sense"},
    "unknown method": {"method": "../x", "config": "{}"},
    "no JSON": {"method": "sense", "config": "{"},
    "deep": {"method": "sense", "config": "[" * 10**5},
    "a list": {"method": "sense", "config": "[]"},
    "unknown field": {"method": "sense", "config": '{"other": 1}'},
    "NaN": {"method": "modl", "config": '{"width": NaN}'},
    "infinity": {"method": "modl", "config": '{"lam": 1e999}'},
    "huge integer": {"method": "modl", "config": '{"width": ' + "9" * 5000 + "}"},
    "huge network": {"method": "modl", "config": '{"width": 1000000}'},
    "network without end": {"method": "modl", "config": '{"depth": 1000000000}'},
}.items():
    HARMFUL["described weights", _name] = _described(**_metadata)
