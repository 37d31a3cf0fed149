"""Released weights: read without unpickling, renamed, refused by the first tensor that misfits."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bench import cli, create_method
from bench.errors import InputError
from bench.weights import convert, load_method, load_released


def released(path: Path, **changes: torch.Tensor | None) -> Path:
    """A checkpoint in the MOL authors' layout, with random numbers."""
    widths = [2, 64, 64, 64, 64, 2]
    tensors: dict[str, torch.Tensor] = {"f.lam": torch.tensor(7.0)}
    for i in range(5):
        tensors[f"f.dw.net.{i}.conv.weight"] = torch.randn(widths[i + 1], widths[i], 3, 3)
        tensors[f"f.dw.net.{i}.conv.bias"] = torch.randn(widths[i + 1])
    for name, tensor in changes.items():
        if tensor is None:
            tensors.pop(name)
        else:
            tensors[name] = tensor
    torch.save({"epoch": 3, "state_dict": tensors}, path)
    return path


def test_a_round_trip(tmp_path: Path) -> None:
    file = released(tmp_path / "released.pth")
    convert(file, "mol", "mol-lr", tmp_path / "ours.safetensors")
    method = load_method(tmp_path / "ours.safetensors")
    tensors = torch.load(file, weights_only=True)["state_dict"]
    assert method.name == "mol-lr"
    assert float(method.lam) == 7.0
    last = method.network.layers[8]
    assert torch.equal(last.weight, tensors["f.dw.net.4.conv.weight"])
    assert torch.equal(last.bias, tensors["f.dw.net.4.conv.bias"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"f.lam": None}, "lam: nothing"),
        ({"f.dw.net.2.conv.bias": torch.zeros(3)}, r"network.layers.4.bias: \(3,\)"),
        ({"f.dw.net.7.conv.bias": torch.zeros(3)}, "f.dw.net.7.conv.bias"),
    ],
)
def test_the_first_misfit_is_named(tmp_path: Path, changes: dict, named: str) -> None:
    file = released(tmp_path / "released.pth", **changes)
    with pytest.raises(InputError, match=named):
        load_released(create_method("mol"), file, "mol")


class Harmful:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("harm"),))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"state_dict": Harmful()}))
    torch.save({"state_dict": Harmful()}, tmp_path / "worse.pth")
    for name in ("bad.pth", "worse.pth"):
        with pytest.raises(InputError, match="unreadable"):
            load_released(create_method("mol"), tmp_path / name, "mol")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--from", "mnm", "--method", "modl"], "mnm-mol"),
        (["--from", "mol", "--method", "unet"], "none is known for unet"),
        (["--from", "sr-mcnet", "--method", "mcnet"], "--backbone"),
        (["--from", "mol", "--method", "moll"], "mol"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: list[str], named: str) -> None:
    file = tmp_path / "released.pth"
    if "sr-mcnet" in arguments:
        file = mcnet(file)
    else:
        released(file)
    out = tmp_path / "out.safetensors"
    command = ["import-weights", str(file), *arguments, "--out", str(out)]
    result = CliRunner().invoke(cli.app, command)
    assert isinstance(result.exception, InputError)
    assert named in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not out.exists()


def mcnet(path: Path) -> Path:
    """A checkpoint in the layout of SR-MCNet."""
    widths = [1, 64, 64, 64, 64, 64, 1]
    tensors = {"f.alpha": torch.tensor(0.1)}
    for i in range(6):
        name = f"f.dncnn.dncnn.{2 * i}"
        tensors[f"{name}.weight_orig"] = torch.randn(widths[i + 1], widths[i], 3, 3)
        tensors[f"{name}.weight"] = torch.zeros(widths[i + 1], widths[i], 3, 3)
        tensors[f"{name}.weight_u"] = torch.randn(1, widths[i + 1], 40, 40)
    torch.save(tensors, path)
    return path


def test_a_method_with_its_backbone(tmp_path: Path) -> None:
    convolutions = {"conv1": (64, 1, 9), "conv2": (32, 64, 5), "conv3": (1, 32, 5)}
    srcnn = {}
    for name, (outputs, inputs, size) in convolutions.items():
        srcnn[f"{name}.weight"] = torch.randn(outputs, inputs, size, size)
        srcnn[f"{name}.bias"] = torch.randn(outputs)
    torch.save(srcnn, tmp_path / "srcnn.pth")
    mcnet(tmp_path / "mcnet.pth")
    for name, extra in (("srcnn", []), ("mcnet", ["--backbone", f"{tmp_path}/srcnn.safetensors"])):
        command = ["import-weights", f"{tmp_path}/{name}.pth", "--from", "sr-mcnet", *extra]
        command += ["--method", name, "--out", f"{tmp_path}/{name}.safetensors"]
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.exception
    method = load_method(tmp_path / "mcnet.safetensors")
    assert torch.equal(method.backbone.network.conv2.weight, srcnn["conv2.weight"])
