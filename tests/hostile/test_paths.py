"""Names from manifests, splits, lists, suites and results folders stay where they belong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data.contained import below, contained
from bench.data.layouts import LAYOUTS
from bench.data.prepared import Prepared, differing, read_manifest
from bench.errors import InputError
from bench.labelled import read_results
from bench.planning.suite import Collection, Suite
from bench.planning.suite_files import parse
from bench.registry import create_task
from bench.store import Result, Store
from bench.weights import weights_path
from reports.folder import load_folder

UP = ["../secret", "/etc/passwd", "a/../../secret", "..", "a/..", "", "a\0b"]


@pytest.mark.parametrize("name", UP)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    for check in (contained, below):
        with pytest.raises(InputError, match=r"manifest: .* leads out"):
            check(tmp_path, name, "manifest")


def test_links_are_followed_within_the_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "inside").write_text("x")
    (folder / "good").symlink_to("inside")
    (folder / "bad").symlink_to("../secret")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    (tmp_path / "there").symlink_to(folder)
    assert contained(folder, "good", "-").read_text() == "x"
    assert contained(tmp_path / "there", "good", "-").read_text() == "x"
    for name in ("bad", "up/secret"):
        with pytest.raises(InputError, match="by a link"):
            contained(folder, name, "-")
    assert below(folder, "bad", "-").read_text() == "x"  # the user's own data folder
    assert not contained(folder, "loop", "-").exists()


def manifest(folder: Path, **changed: Any) -> Path:
    entry = {"file": "data/a.h5", "subject": "a", "source": "a", "samples": 1, "peak": 1.0}
    entry |= {"bytes": 9, "sha256": "0", **changed}
    content = {"format": "equibench-prepared", "version": 1, "layout": "x", "content": "images"}
    content |= {"settings": {}, "files": [entry], "left_out": []}
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", ["../a.h5", "/etc/passwd", "data/../../a.h5"])
def test_a_manifest_names_its_own_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out"):
        read_manifest(manifest(tmp_path / "set", file=name))


def test_a_manifest_follows_no_link_out(tmp_path: Path) -> None:
    folder = manifest(tmp_path / "set")
    (tmp_path / "secret.h5").write_bytes(b"x" * 9)
    (folder / "data").mkdir()
    (folder / "data" / "a.h5").symlink_to(tmp_path / "secret.h5")
    prepared = Prepared(folder)
    for read in (
        lambda: prepared.verify(["a"]),
        lambda: prepared.array("data/a.h5", "image", 0),
        lambda: list(differing(folder)),
    ):
        with pytest.raises(InputError, match="by a link"):
            read()


@pytest.mark.parametrize("subject", ["../secret", "/secret", "link"])
def test_a_split_names_files_of_its_folder(tmp_path: Path, subject: str) -> None:
    data = tmp_path / "data"
    for part in ("kspace", "images"):
        (data / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    np.savez(data / "secret.npz", kspace=rng.standard_normal((1, 32, 32)) + 0j)
    (data / "kspace" / "link.npz").symlink_to(data / "secret.npz")
    Image.new("RGB", (64, 64)).save(data / "secret.png")
    (data / "images" / "link.png").symlink_to(data / "secret.png")
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"test": [subject]}))
    for name, fields in {
        "mri-multicoil": {"dataset": "kspace", "file": "kspace"},
        "deblur": {"dataset": "image-folder", "file": "images"},
    }.items():
        with pytest.raises(InputError, match="leads out"):
            create_task(name, data=data, split=str(split), **fields).verify()


def test_a_relative_file_of_a_suite_stays_in_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "kspace").mkdir()
    with pytest.raises(InputError, match="leads out"):
        create_task("mri-multicoil", data=tmp_path / "data", dataset="kspace", file="../kspace")
    with pytest.raises(InputError, match="leads out"):
        weights_path("../w.pt", tmp_path)
    with pytest.raises(InputError, match="leaves the package"):
        weights_path("package:../../w.pt", None)
    assert weights_path("/w.pt", tmp_path) == Path("/w.pt")  # as the user says


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".hidden", "/x", "", "a\nb", "x" * 81, "a\0", "..x"]
)
def test_a_suites_name_is_the_name_of_a_folder(name: str) -> None:
    rest = {"tasks": {"a": {"task": "deblur"}}, "train_on": ["a"], "methods": ["sense"]}
    with pytest.raises(InputError, match="name"):
        parse(Suite, {"name": name, **rest}, "-")
    with pytest.raises(InputError, match="name"):
        parse(Collection, {"name": name, "suites": ["quick"]}, "-")


@pytest.mark.parametrize("key", ["../../outside", "/etc", "", ".", "..", None, 3, "a/b", "a\n"])
def test_a_jobs_key_is_the_name_of_a_folder(tmp_path: Path, key: Any) -> None:
    _results(tmp_path, {"job": key, "kind": "fit", "method": "sense"})
    for read in (read_results, load_folder):
        with pytest.raises(InputError, match=r"suite s: jobs\.0: job"):
            read(tmp_path)


@pytest.mark.parametrize(
    "line", [None, [], {"job": "a"}, {"job": "a", "kind": "fit", "method": ["x"]}]
)
def test_a_table_without_labels_is_refused(tmp_path: Path, line: Any) -> None:
    _results(tmp_path, line)
    with pytest.raises(InputError, match=r"suite s: jobs\.0: "):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"requires": ["a"]}, "builds on itself"),
        ({"requires": ["../../x"]}, "job '../../x'"),
        ({"requires": 3}, "is damaged"),
        ({"settings": None}, "is damaged"),
        ({"kind": None, "requires": None}, "is damaged"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    store = _results(tmp_path, {"job": "a", "kind": "fit", "method": "sense"})
    job = {"kind": "fit", "method": "sense", "settings": {"recipe": {"stages": []}}}
    store.write_job("a", {**job, "requires": [], **changed})
    store.write_rows("a", [])
    store.write_result("a", Result("ok"))
    with pytest.raises(InputError, match=words):
        read_results(tmp_path)


def _results(root: Path, line: Any) -> Store:
    store = Store(root)
    store.create()
    store.write_suite("s", {"name": "s", "tasks": {}, "jobs": [line]})
    return store


def test_celebas_list_names_its_own_images(tmp_path: Path) -> None:
    (tmp_path / "img_align_celeba").mkdir()
    Image.new("RGB", (178, 218)).save(tmp_path / "secret.jpg")
    (tmp_path / "list_eval_partition.txt").write_text("../secret.jpg 2\n")
    (item,) = LAYOUTS["celeba"].find(tmp_path)
    with pytest.raises(InputError, match="leads out"):
        list(LAYOUTS["celeba"].slices(item))
