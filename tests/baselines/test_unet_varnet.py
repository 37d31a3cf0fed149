"""fastMRI's networks: on our layouts, at every size, and with their data-consistency step."""

from __future__ import annotations

from typing import Any

import fastmri
import pytest
import torch
from fastmri.models import Unet
from fastmri.models.varnet import NormUnet, VarNetBlock
from torch import Tensor, nn

from baselines.unet import PaddedUNet, UNet, UNetConfig
from baselines.varnet import VarNet, VarNetConfig, to_fastmri
from bench.measure.evaluations import count_evaluations
from bench.measure.live_bytes import count_peak
from bench.operators import MultiCoilMRI
from bench.operators.sense import sense_image
from bench.reconstructor import Reconstructor

SMALL = {"width": 4, "pools": 2}


def problem(
    batch: int = 3, coils: int = 3, size: tuple[int, int] = (33, 29), columns: bool = True
) -> tuple[MultiCoilMRI, Tensor]:
    """Operator and measurements in float64; masks and maps differ by sample."""
    g = torch.Generator().manual_seed(0)
    mask = (torch.rand(batch, 1, 1 if columns else size[0], size[1], generator=g) < 0.5).double()
    maps = torch.randn(batch, coils, *size, dtype=torch.complex128, generator=g)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    physics = MultiCoilMRI(mask, maps)
    return physics, physics.A(torch.randn(batch, 2, *size, dtype=torch.float64, generator=g))


def create(kind: str) -> Reconstructor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "unet":
            return UNet(UNetConfig(**SMALL)).double().eval()
        return VarNet(VarNetConfig(**SMALL, cascades=2)).double().eval()


@pytest.mark.parametrize("kind", ["unet", "varnet"])
@pytest.mark.parametrize("coils", [1, 2, 8])
@torch.no_grad()
def test_any_size_and_batch(kind: str, coils: int) -> None:
    method = create(kind)
    physics, y = problem(coils=coils)
    before = y.clone()
    with count_evaluations(method) as count:
        result = method.reconstruct(y, physics)
    assert result.image.shape == (3, 2, 33, 29)
    assert result.image.dtype == torch.float64
    assert torch.equal(y, before)
    assert int(result.traces[0].evaluations.sum()) == count.network > 0
    for i in range(3):
        alone = method(y[i : i + 1], physics.select(torch.tensor([i])))
        assert (result.image[i : i + 1] - alone).norm() <= 1e-10 * alone.norm()


@torch.no_grad()
def test_unet_is_fastmris_where_sides_can_be_halved() -> None:
    torch.manual_seed(0)
    unet = Unet(2, 2, 4, 3).double()
    for size in ((16, 24), (32, 8)):
        x = torch.randn(2, 2, *size, dtype=torch.float64)
        assert torch.equal(PaddedUNet(unet)(x), unet(x))


@torch.no_grad()
def test_unet_is_residual_on_the_sense_image() -> None:
    method = create("unet")
    physics, y = problem()
    nn.init.zeros_(method.network.unet.up_conv[-1][1].weight)
    nn.init.constant_(method.network.unet.up_conv[-1][1].bias, 0.5)
    assert torch.allclose(method(y, physics), sense_image(y, physics) + 0.5, rtol=0, atol=1e-12)


class Constant(nn.Module):
    """A regulariser that says the same of every image."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.value)


@pytest.mark.parametrize("columns", [True, False])
@torch.no_grad()
def test_varnet_keeps_to_the_data(columns: bool) -> None:
    """Without a regulariser, one cascade puts the measurements back in place, and only them."""
    physics, y = problem(columns=columns)
    method = VarNet(VarNetConfig(**SMALL, cascades=1)).double()
    method.cascades[0].model = Constant(0.0)
    other = torch.randn(3, 2, 33, 29, dtype=torch.float64)
    everywhere = MultiCoilMRI(torch.ones_like(physics.mask), physics.coil_maps)
    first = to_fastmri(everywhere.A(other))
    kspace = method.kspace(y, physics, x0=other)
    sampled = (physics.mask.unsqueeze(-1) > 0).expand_as(kspace)
    assert torch.allclose(kspace[sampled], to_fastmri(y)[sampled], rtol=0, atol=1e-12)
    assert torch.allclose(kspace[~sampled], first[~sampled], rtol=0, atol=1e-12)
    # η weighs it: half way
    method.cascades[0].dc_weight.fill_(0.5)
    half = method.kspace(y, physics, x0=other)
    assert torch.allclose(half, (kspace + first) / 2, rtol=0, atol=1e-12)


@torch.no_grad()
def test_varnet_ends_with_the_adjoint() -> None:
    """From measurements, with a regulariser that finds nothing: the coil-combined image of y."""
    physics, y = problem()
    method = VarNet(VarNetConfig(**SMALL, cascades=3)).double()
    for block in method.cascades:
        block.model = Constant(0.0)
    expected = physics.A_adjoint(y)
    assert (method(y, physics) - expected).norm() <= 1e-12 * expected.norm()
    # and what a regulariser finds is subtracted, in image space
    method.cascades[2].model = Constant(0.25)
    assert torch.allclose(method(y, physics), expected - 0.25, rtol=0, atol=1e-12)


@torch.no_grad()
def test_varnet_is_fastmris_cascades() -> None:
    """The blocks run by hand in fastMRI's layout, at a size where it does not need padding."""
    physics, y = problem(size=(32, 16))
    torch.manual_seed(0)
    method = VarNet(VarNetConfig(**SMALL, cascades=2)).double()
    maps, measured = torch.view_as_real(physics.coil_maps), to_fastmri(y)
    kspace = measured
    for ours in method.cascades:
        block = VarNetBlock(NormUnet(4, 2)).double()
        renamed = {k.replace("unet.unet.", "unet."): v for k, v in ours.state_dict().items()}
        block.load_state_dict(renamed)
        kspace = block(kspace, measured, physics.mask.unsqueeze(-1) > 0, maps)
    coil_images = fastmri.ifft2c(kspace)
    image = fastmri.complex_mul(coil_images, fastmri.complex_conj(maps)).sum(1).movedim(-1, 1)
    assert (method(y, physics) - image).norm() <= 1e-12 * image.norm()


@pytest.mark.parametrize("kind", ["unet", "varnet"])
def test_memory_can_be_predicted(kind: str) -> None:
    physics, y = problem()
    method = create(kind)
    if kind == "unet":  # its conjugate gradients stop by a value
        method = UNet(UNetConfig(**SMALL)).double().with_solver(fixed_iterations=1)

    def step(method: Reconstructor, y: Tensor, physics: Any) -> None:
        method(y, physics).square().mean().backward()

    assert count_peak(step, method, y, physics, fake=True) > 0


def test_parameter_counts() -> None:
    """fastMRI's VarNet has 29,936,966: these, and its network for coil maps."""
    counts = {
        "unet": sum(p.numel() for p in UNet(UNetConfig()).parameters()),
        "varnet": sum(p.numel() for p in VarNet(VarNetConfig()).parameters()),
    }
    assert counts == {"unet": 465_538, "varnet": 12 * 2_454_339}
