"""Lipschitz estimates on maps whose constant is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.measure.lipschitz import sphere_estimate


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)  # the start of an estimate is random


def image(batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 2, 8, 8, dtype=torch.float64, generator=generator)


def norm_of(network: nn.Module) -> float:
    """The 2-norm of a linear map, from its matrix."""
    basis = torch.eye(128, dtype=torch.float64).view(128, 2, 8, 8)
    with torch.no_grad():
        return float(torch.linalg.matrix_norm(network(basis).flatten(1), 2))


@pytest.mark.parametrize("steps", [0, 10, 300])
def test_never_above_the_norm_of_a_linear_map(steps: int) -> None:
    network = nn.Conv2d(2, 2, 3, padding=1, bias=False).double()
    norm = norm_of(network)
    estimate = sphere_estimate(network, image(), steps=steps)
    assert estimate.shape == (3,)
    assert (estimate <= norm * (1 + 1e-12)).all()
    # a gain that some direction has: at least that of the weakest
    assert (estimate > 0.05 * norm).all()


def test_ascent_raises_the_estimate() -> None:
    network = nn.Conv2d(2, 2, 3, padding=1, bias=False).double()
    found = []
    for steps in (0, 10, 300):
        torch.manual_seed(0)
        found.append(sphere_estimate(network, image(), steps=steps).detach())
    assert (found[1] > found[0]).all()
    assert (found[2] > found[1]).all()
    assert (found[2] > 0.8 * norm_of(network)).all()


@pytest.mark.parametrize("displacement", [0.01, 0.3])
def test_is_the_gain_of_an_isotropic_map(displacement: float) -> None:
    q, _ = torch.linalg.qr(torch.randn(128, 128, dtype=torch.float64))

    def rotation(x: Tensor) -> Tensor:
        return 0.7 * (x.flatten(1) @ q).view_as(x) + 5

    estimate = sphere_estimate(rotation, image(), displacement=displacement)
    # a difference of nearby points: eps / displacement
    torch.testing.assert_close(estimate, torch.full_like(estimate, 0.7), rtol=1e-11, atol=0)


def test_moves_on_a_sphere_from_a_low_frequency_start() -> None:
    """As the authors' code: uniform noise in [0, d) on both channels, then ``||v|| = ||u||``."""
    network, u, seen = nn.Conv2d(2, 2, 3, padding=1).double(), image(), []

    def recorded(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return network(x)

    sphere_estimate(recorded, u, displacement=0.3, steps=4, step_size=2.0)
    points = [v for v in seen if not torch.equal(v, u)]
    assert len(points) == 5
    start = points[0] - u
    assert start.min() >= 0
    assert start.max() < 0.3
    assert float(start.mean()) == pytest.approx(0.15, rel=0.1)
    for v in points[1:]:
        torch.testing.assert_close(v.flatten(1).norm(dim=1), u.flatten(1).norm(dim=1))


def test_samples_do_not_mix() -> None:
    """A map with another gain for every sample."""
    gains = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    estimate = sphere_estimate(lambda x: gains.view(3, 1, 1, 1) * x, image())
    torch.testing.assert_close(estimate, gains, rtol=1e-11, atol=0)


def test_gradient_reaches_the_parameters_and_nothing_else() -> None:
    network = nn.Conv2d(2, 2, 1, bias=False).double()
    with torch.no_grad():
        network.weight.copy_(0.8 * torch.eye(2).view(2, 2, 1, 1))
    u = image().requires_grad_()
    before = u.detach().clone()
    estimate = sphere_estimate(network, u)
    estimate.sum().backward()
    assert u.grad is None
    assert torch.equal(u.detach(), before)
    assert network.weight.grad is not None
    # homogeneous of degree one in the weight: Euler's identity, Σ w dL/dw = L
    product = (network.weight.detach() * network.weight.grad).sum()
    torch.testing.assert_close(product, estimate.detach().sum())
    # and it is not accumulated anywhere by the ascent: 3 samples, gain 0.8
    assert float(product) == pytest.approx(2.4)


def test_needs_no_gradients_of_its_caller() -> None:
    network = nn.Conv2d(2, 2, 3, padding=1).double()
    torch.manual_seed(0)
    with torch.no_grad():
        estimate = sphere_estimate(network, image())
    torch.manual_seed(0)
    assert torch.equal(estimate, sphere_estimate(network, image()).detach())
    assert not estimate.requires_grad
    assert all(p.grad is None for p in network.parameters())
