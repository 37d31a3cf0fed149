"""Profiles as their readers find them: the trace, TensorBoard's plugin, the command's user."""

from __future__ import annotations

import gzip
import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboard.plugins.base_plugin import TBContext
from torch_tb_profiler.plugin import TorchProfilerPlugin
from werkzeug.test import Client

import bench
from bench import cli
from bench.commands.measure import parse_fields
from bench.errors import InputError
from bench.measure import profile
from bench.measure.profile import Profile, ProfileConfig, costliest, profile_method
from bench.reconstructor import Recipe

TASK = {"size": 32, "coils": 2}
MODL = {"width": 4, "depth": 2, "iterations": 1, "cg_iterations": 2}
FIT = {"forward", "backward", "update"}


def profiled(
    name: str,
    config: dict[str, Any],
    folder: Path,
    how: ProfileConfig,
    recipe: Recipe | None = None,
) -> Profile:
    task = bench.create_task("mri-multicoil", **TASK)
    method = bench.create_method(name, task, **config)
    return profile_method(method, task, folder, how, recipe=recipe)


def events(trace: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(trace.read_bytes())["traceEvents"]
    return found


def regions(trace: Path) -> set[str]:
    """Those of ours, without steps and what an optimiser says of itself."""
    named = {e["name"] for e in events(trace) if e.get("cat") == "user_annotation"}
    return {name for name in named if "#" not in name}


@pytest.fixture(scope="module")
def modl(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """Two training steps of a tiny MoDL, which is left as it was."""
    task = bench.create_task("mri-multicoil", **TASK)
    method = bench.create_method("modl", task, **MODL)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    folder = tmp_path_factory.mktemp("profile")
    found = profile_method(method, task, folder, ProfileConfig(steps=2, batch_size=2))
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())
    return found


# ---------------------------------------------------------------------- traces


def test_the_trace_shows_the_phases_of_every_step(modl: Profile) -> None:
    assert modl.chrome.read_bytes() == modl.tensorboard.read_bytes()
    spans = [e for e in events(modl.chrome) if e.get("cat") == "user_annotation"]
    steps = sorted((e for e in spans if e["name"].startswith("ProfilerStep#")), key=start)
    assert [step["name"] for step in steps] == ["ProfilerStep#1", "ProfilerStep#2"]
    for step in steps:
        end = step["ts"] + step["dur"]
        inside = sorted((e for e in spans if step["ts"] <= e["ts"] < end), key=start)
        names = [e["name"] for e in inside if e["name"] in FIT]
        assert names == ["forward", "backward", "update"]


def start(event: dict[str, Any]) -> float:
    return float(event["ts"])


@pytest.mark.parametrize(
    ("name", "config", "recipe", "expected"),
    [
        ("modl", MODL, Recipe(penalty_weight=1), FIT | {"penalty"}),
        ("pnp-admm", {"width": 2, "depth": 3}, None, FIT),
    ],
)
def test_regions_of_other_steps(
    name: str, config: dict[str, Any], recipe: Recipe | None, expected: set[str], tmp_path: Path
) -> None:
    """With a penalty, and of a denoiser: the latter calls no data consistency."""
    trace = profiled(name, config, tmp_path, ProfileConfig(steps=1), recipe).chrome
    assert regions(trace) == expected
    assert any(e["name"] == "aten::_fft_c2c" for e in events(trace)) == (name == "modl")


def test_earlier_traces_stay(tmp_path: Path) -> None:
    how = ProfileConfig("evaluate", steps=1, memory=False, shapes=False)
    first, second = (profiled("zero-filled", {}, tmp_path, how) for _ in range(2))
    assert sorted(first.tensorboard.parent.iterdir()) == [first.tensorboard, second.tensorboard]
    assert second.chrome.read_bytes() == second.tensorboard.read_bytes()
    assert all(one.self_memory is None for one in second.operations)


# ---------------------------------------------------------------------- operations


def test_the_costliest_operations_are_those_of_the_trace(modl: Profile) -> None:
    """Calls and total times, added up from the trace."""
    operations = modl.operations
    assert len(operations) == 10
    assert all(a.self_time >= b.self_time for a, b in pairwise(operations))
    assert all(0 < one.share <= 1 and one.self_time <= one.total_time for one in operations)
    assert sum(one.share for one in operations) <= 1 + 1e-9
    assert all(isinstance(one.self_memory, int) for one in operations)
    recorded = [e for e in events(modl.chrome) if e.get("cat") == "cpu_op"]
    compared = 0
    for one in operations:
        calls = sorted((e for e in recorded if e["name"] == one.name), key=start)
        if any(a["ts"] + a["dur"] > b["ts"] for a, b in pairwise(calls)):
            continue  # aten::sum calls aten::sum, which counts once
        compared += 1
        assert len(calls) == one.calls
        total = sum(call["dur"] for call in calls) * 1e-6
        assert total == pytest.approx(one.total_time, rel=1e-3, abs=1e-7 * len(calls))
    assert compared >= 3


def average(name: str, cpu: float, cuda: float, **changed: Any) -> SimpleNamespace:
    """What a profiler on a GPU says of a name; times in microseconds."""
    values = {
        "key": name,
        "count": 2,
        "device_type": SimpleNamespace(name="CPU"),
        "is_user_annotation": False,
        "self_cpu_time_total": cpu,
        "cpu_time_total": 2 * cpu,
        "self_cpu_memory_usage": 1,
        "self_device_time_total": cuda,
        "device_time_total": 3 * cuda,
        "self_device_memory_usage": 7,
    }
    return SimpleNamespace(**{**values, **changed})


def test_on_a_gpu_its_own_time_counts_once() -> None:
    found = costliest(
        [
            average("aten::add", 100, 10),
            average("aten::conv", 1, 30),
            average("aten::view", 50, 0),
            average("sgemm", 0, 40, device_type=SimpleNamespace(name="CUDA")),
            average("forward", 70, 40, is_user_annotation=True),
        ],
        "cuda",
        memory=True,
    )
    assert [one.name for one in found] == ["aten::conv", "aten::add"]
    assert found[0] == pytest.approx(("aten::conv", 2, 30e-6, 90e-6, 0.75, 7))


# ---------------------------------------------------------------------- TensorBoard


class Board:
    """The data routes of TensorBoard's plugin on a folder, as its page asks them."""

    def __init__(self, folder: Path) -> None:
        context = TBContext(logdir=str(folder), flags=SimpleNamespace(logdir=str(folder)))
        self.routes = TorchProfilerPlugin(context).get_plugin_apps()

    def get(self, route: str, **query: str) -> Any:
        response = Client(self.routes[route]).get("/", query_string=query)
        assert response.status_code == 200, response.text
        packed = response.headers.get("Content-Encoding") == "gzip"
        return json.loads(gzip.decompress(response.data) if packed else response.data)

    def runs(self, seconds: float = 60) -> list[str]:
        """The plugin reads folders in threads and processes of its own: asked until it has."""
        end = time.monotonic() + seconds
        while not (found := self.get("/runs")["runs"]) and time.monotonic() < end:
            time.sleep(0.05)
        return list(found)


def test_tensorboard_reads_the_profile(modl: Profile) -> None:
    board = Board(modl.tensorboard.parent)
    assert board.runs() == ["tensorboard"]
    views = board.get("/views", run="tensorboard")
    assert {"Overview", "Operator", "Trace", "Memory"} <= set(views)
    assert board.get("/workers", run="tensorboard", view="Overview") == ["fit"]
    (span,) = board.get("/spans", run="tensorboard", worker="fit")
    where = {"run": "tensorboard", "worker": "fit", "span": span}
    overview = board.get("/overview", **where)
    assert [row[0] for row in overview["steps"]["rows"]] == ["1", "2"]
    shares = board.get("/operation", **where, group_by="Operation")["host_self_time"]
    assert "aten::convolution_backward" in {row[0] for row in shares["rows"]}
    rows = board.get("/operation/table", **where, group_by="Operation")["data"]
    calls = {row["name"]: row["calls"] for row in rows}
    ours = {one.name: one.calls for one in modl.operations if one.name.startswith("aten::")}
    assert {"aten::conv2d"} <= calls.keys() and {name: calls[name] for name in ours} == ours
    shown = {event["name"] for event in board.get("/trace", **where)["traceEvents"]}
    assert FIT | {"ProfilerStep#1", "aten::conv2d"} <= shown


# ---------------------------------------------------------------------- the command


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["equibench", "profile", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [f"--config={name}={value}" for name, value in MODL.items()]
    fields += [f"--task-config={name}={value}" for name, value in TASK.items()]
    given = ("modl", "mri-multicoil", "--phase", "evaluate", "--steps", 1, *fields)
    assert run(monkeypatch, *given, "--variant", "reciprocal", "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    (trace,) = (tmp_path / "tensorboard").glob("*.pt.trace.json")
    assert "modl on mri-multicoil" in shown and "aten::" in shown
    assert f"\n{trace}\n{tmp_path / 'chrome-trace.json'}\n" in shown
    assert f"tensorboard --logdir {tmp_path / 'tensorboard'}\n" in shown
    assert regions(trace) == {"reconstruct"}
    widths = [e["args"]["Input Dims"] for e in events(trace) if e["name"] == "aten::conv2d"]
    assert widths[0][:2] == [[1, 2, 32, 32], [4, 2, 3, 3]]  # --config and --task-config


def test_a_variants_recipe_is_profiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*arguments: Any) -> Profile:
        assert arguments[-1].auxiliary == 1 and arguments[0].name == "lu-dncnn"
        return Profile((), Path("a/trace"), Path("chrome"))

    monkeypatch.setattr(profile, "profile_method", called)
    assert run(monkeypatch, "lu-dncnn", "mri-multicoil", "--variant", "aux") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["modle", "mri-multicoil"], "unknown name 'modle' (expected one of modl"),
        (["modl", "mri-multicoils"], "unknown name 'mri-multicoils' (expected one of mri-multi"),
        (["modl", "superres"], "modl does not support the task superres"),
        (["sense", "mri-multicoil"], "sense has nothing to train (expected phase evaluate)"),
        (["modl", "mri-multicoil", "--variant", "late"], "no variant 'late'"),
        (["modl", "mri-multicoil", "--phase", "tune"], "'tune' (expected one of fit, evaluate)"),
        (["modl", "mri-multicoil", "--batch", "0"], "batch_size = 0 (expected at least 1)"),
        (["modl", "mri-multicoil", "--threads", "0"], "--threads: 0 (expected at least 1)"),
        (["modl", "mri-multicoil", "--device", "tpu"], "--device: 'tpu' (expected cpu"),
        pytest.param(
            ["modl", "mri-multicoil", "--device", "cuda"],
            "'cuda' (expected cpu: there is no CUDA device here)",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
        (["modl", "mri-multicoil", "--config", "with=4"], "unknown field 'with' (expected one of"),
        (["modl", "mri-multicoil", "--config", "name=4"], "--config: unknown field 'name'"),
        (["modl", "mri-multicoil", "--config", "width"], "'width' (expected FIELD=VALUE)"),
        (["modl", "mri-multicoil", "--config", "width=wide"], "modl.width: 'wide' (expected int)"),
        (["modl", "mri-multicoil", "--config", "width=[4"], "--config width: not YAML"),
        (["modl", "mri-multicoil", "--config", "width=0"], "modl: width, depth = (0, 5)"),
        (["modl", "mri-multicoil", "--task-config", "data=x"], "--task-config: unknown field"),
        (["modl", "mri-multicoil", "--task-config", "size=-1"], "size = -1"),
        (["modl", "mri-multicoil", "--data", "nowhere"], "--data nowhere: no such folder"),
        (["modl", "mri-multicoil", "--plugin", "no.py"], "plugin no.py: no such file"),
        (["modl", "mri-multicoil", "--out", __file__], "tensorboard: Not a directory (expected a"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error
    assert not list(tmp_path.iterdir())


def test_values_of_fields_are_yaml() -> None:
    texts = ["a=4", "b=1e-3", "c=null", "d=[0, 0.1]", "e=x=y", "f=true", "g='1e-3'", "a=5"]
    values = [5, 1e-3, None, [0, 0.1], "x=y", True, "1e-3"]
    found = parse_fields(texts, "abcdefg", "--config")
    assert found == dict(zip("abcdefg", values, strict=True))
    with pytest.raises(InputError, match="unknown field ''"):
        parse_fields(["=4"], "abc", "--config")
