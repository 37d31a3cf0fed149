"""Bicubic, SRCNN, RDN and RCAN: published numbers, published sizes, and their equations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import bench
from baselines.rcan import RCAN, RCANConfig
from baselines.rdn import RDN, RDNConfig
from bench.errors import InputError
from bench.measure import quality
from bench.measure.evaluations import count_evaluations
from bench.operators.downsampling import BicubicDownsampling
from bench.reconstructor import Reconstructor

SMALL: dict[str, dict[str, Any]] = {
    "bicubic": {},
    "srcnn": {"features": (6, 4)},
    "rdn": {"blocks": 2, "layers": 3, "growth": 4, "features": 6},
    "rcan": {"groups": 2, "blocks": 2, "features": 8, "reduction": 4},
}
SCALES = [2, 3, 4]
# SR-MCNet, table 2; its Bicubic row is of the whole image, from measurements that are not truncated
PUBLISHED = {
    2: {"srcnn": (36.653, 0.9597), "bicubic": (33.689, 0.9375)},
    3: {"srcnn": (33.3614, 0.9323), "bicubic": (30.8867, 0.8941)},
    4: {"srcnn": (30.327, 0.8726), "bicubic": (28.4337, 0.8234)},
}


def parameters(method: Reconstructor) -> int:
    return sum(p.numel() for p in method.parameters())


@pytest.mark.parametrize("scale", SCALES)
def test_srcnn_with_released_weights_on_set5(data_root: Path, scale: int) -> None:
    task = bench.create_task(
        "superres", data=data_root, dataset="image-folder", folder="natural", scale=scale
    )
    srcnn, bicubic = (bench.create_method(name, task) for name in ("srcnn", "bicubic"))
    weights = data_root / "weights" / f"srcnn_x{scale}.pth"
    released = torch.load(weights, weights_only=True, map_location="cpu")
    srcnn.load_state_dict({f"network.{name}": value for name, value in released.items()})
    scores: dict[str, list[tuple[float, float]]] = {"srcnn": [], "bicubic": []}
    for index in range(5):
        batch = task.batch("test", [index])
        truth = task.comparable(batch.x, batch).numpy()
        for method in (srcnn, bicubic):
            with torch.no_grad():
                image = task.comparable(method(batch.y, batch.physics), batch).numpy()
            quality_ = quality.psnr(truth, image, 1.0), quality.ssim(truth, image, 1.0)
            scores[method.name].append(quality_)
    psnr, ssim = np.mean(scores["srcnn"], 0)
    assert abs(psnr - PUBLISHED[scale]["srcnn"][0]) <= 0.01
    assert abs(ssim - PUBLISHED[scale]["srcnn"][1]) <= 1.5e-4
    psnr, ssim = np.mean(scores["bicubic"], 0)
    assert abs(psnr - PUBLISHED[scale]["bicubic"][0]) <= 0.05
    assert abs(ssim - PUBLISHED[scale]["bicubic"][1]) <= 5e-4


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", list(SMALL))
def test_shapes_traces_and_gradients(name: str, scale: int) -> None:
    task = bench.create_task("superres", scale=scale, patch=8 * scale)
    torch.manual_seed(0)
    method = bench.create_method(name, task, **SMALL[name])
    batch = task.batch("train", [0, 1, 2])
    with count_evaluations(method) as count:
        result = method.reconstruct(batch.y, batch.physics)
    assert result.image.shape == batch.x.shape
    if name == "bicubic":
        assert not result.traces
        assert method.recipe().stages == ()
        return
    assert count.network == int(result.traces[0].evaluations.sum()) == 3
    (result.image - batch.x).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in method.parameters())
    assert method.recipe().learning_rate == 1e-4


@pytest.mark.parametrize("name", ["rdn", "rcan"])
def test_scale_is_the_tasks_and_no_other(name: str) -> None:
    task = bench.create_task("superres", scale=3)
    method = bench.create_method(name, task, **SMALL[name])
    assert method.config.scale == 3  # type: ignore[attr-defined]
    assert method.config.channels == 1
    y = torch.zeros(1, 1, 6, 6)
    with pytest.raises(InputError, match=rf"{name} is built for scale 3, .*scale 2"):
        method(y, BicubicDownsampling(2, (12, 12)))


@pytest.mark.parametrize("name", list(SMALL))
def test_needs_a_super_resolution_task(name: str) -> None:
    with pytest.raises(InputError, match="does not support the task mri-multicoil"):
        bench.create_method(name, bench.create_task("mri-multicoil", size=32), **SMALL[name])


def test_group_rates_name_parameters() -> None:
    method = bench.create_method("srcnn")
    assert set(method.recipe().group_rates) <= set(dict(method.named_parameters()))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("srcnn", {"kernels": (8, 5, 5)}),
        ("rdn", {"blocks": 0}),
        ("rdn", {"scale": 5}),
        ("rcan", {"reduction": 7}),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(config))):
        bench.create_method(name, **config)


# ---------------------------------------------------------------------- sizes


def conv(inputs: int, outputs: int, kernel: int = 3) -> int:
    return inputs * outputs * kernel**2 + outputs


def upsampling(width: int, scale: int) -> int:
    steps = {2: [4], 3: [9], 4: [4, 4]}[scale]
    return sum(conv(width, factor * width) for factor in steps) + conv(width, 1)


@pytest.mark.parametrize("scale", SCALES)
def test_published_sizes(scale: int) -> None:
    assert parameters(bench.create_method("srcnn")) == conv(1, 64, 9) + conv(64, 32, 5) + 801
    with torch.device("meta"):
        rdn, rcan = (
            cls(config(scale=scale)) for cls, config in ((RDN, RDNConfig), (RCAN, RCANConfig))
        )
    # RDN: D = 16 blocks of C = 8 layers, G = G0 = 64
    block = sum(conv(64 + 64 * i, 64) for i in range(8)) + conv(64 + 8 * 64, 64, 1)
    ends = conv(1, 64) + conv(64, 64) + conv(16 * 64, 64, 1) + conv(64, 64)
    assert parameters(rdn) == 16 * block + ends + upsampling(64, scale)
    # RCAN: 10 groups of 20 blocks, 64 features, 4 within the attention
    block = 2 * conv(64, 64) + conv(64, 4, 1) + conv(4, 64, 1)
    body = 10 * (20 * block + conv(64, 64)) + conv(64, 64)
    assert parameters(rcan) == conv(1, 64) + body + upsampling(64, scale)


def test_sizes_that_colour_networks_are_known_by() -> None:
    """RCAN's code counts two frozen 1x1 convolutions that shift the colours, 24 numbers, too."""
    with torch.device("meta"):
        sizes = [parameters(RDN(RDNConfig(channels=3, scale=scale))) for scale in (2, 4)]
        sizes += [parameters(RCAN(RCANConfig(channels=3, scale=scale))) for scale in (2, 4)]
    assert sizes == [22_123_395, 22_271_107, 15_444_667 - 24, 15_592_379 - 24]


# ---------------------------------------------------------------------- equations


class Weights:
    """Convolutions by the names of their parameters."""

    def __init__(self, method: Reconstructor) -> None:
        self.values = dict(method.named_parameters())

    def __call__(self, name: str, x: Tensor) -> Tensor:
        weight, bias = (self.values[f"network.{name}.{part}"] for part in ("weight", "bias"))
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


@torch.no_grad()
def test_rdn_is_its_paper_written_out() -> None:
    torch.manual_seed(0)
    method = bench.create_method("rdn", scale=4, **SMALL["rdn"]).double()
    y, w = torch.rand(2, 1, 7, 6, dtype=torch.float64), Weights(method)
    shallow = w("shallow", y)
    x, outputs = w("enter", shallow), []
    for d in range(2):
        maps = [x]
        for c in range(3):
            maps.append(w(f"blocks.{d}.layers.{c}", torch.cat(maps, 1)).relu())
        x = x + w(f"blocks.{d}.fuse", torch.cat(maps, 1))
        outputs.append(x)
    x = w("fuse.1", w("fuse.0", torch.cat(outputs, 1))) + shallow
    for step in ("upsample.0", "upsample.2"):
        x = F.pixel_shuffle(w(step, x), 2)
    image = method(y, BicubicDownsampling(4, (28, 24)))
    torch.testing.assert_close(image, w("upsample.4", x), rtol=0, atol=1e-12)


@torch.no_grad()
def test_rcan_is_its_paper_written_out() -> None:
    torch.manual_seed(0)
    method = bench.create_method("rcan", scale=3, **SMALL["rcan"]).double()
    y, w = torch.rand(2, 1, 7, 6, dtype=torch.float64), Weights(method)
    shallow = x = w("0", y)
    for g in range(2):
        group = x
        for b in range(2):
            at = f"1.{g}.{b}"
            residual = w(f"{at}.2", w(f"{at}.0", x).relu())
            gate = w(f"{at}.3.gate.1", residual.mean((2, 3), keepdim=True)).relu()
            x = x + residual * w(f"{at}.3.gate.3", gate).sigmoid()
        x = group + w(f"1.{g}.2", x)
    x = shallow + w("1.2", x)
    image = method(y, BicubicDownsampling(3, (21, 18)))
    truth = w("2.2", F.pixel_shuffle(w("2.0", x), 3))
    torch.testing.assert_close(image, truth, rtol=0, atol=1e-12)
