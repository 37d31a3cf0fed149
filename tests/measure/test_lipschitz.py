"""Lipschitz estimates on maps whose constant is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.measure.lipschitz import (
    OperatorNorm,
    ball_estimate,
    jacobian_norm,
    operator_norm,
    probe,
    sphere_estimate,
)
from bench.networks import PlainCNN
from bench.operators import MultiCoilMRI


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


def test_sphere_evaluates_its_centre_once() -> None:
    network, u, calls = nn.Conv2d(2, 2, 3, padding=1).double(), image(), []

    def recorded(x: Tensor) -> Tensor:
        calls.append(torch.equal(x, u))
        return network(x)

    sphere_estimate(recorded, u, steps=4)
    assert (calls.count(True), calls.count(False)) == (1, 5)


# ---------------------------------------------------------------------- the ball


@pytest.mark.parametrize("steps", [0, 20])
def test_ball_is_never_above_the_norm_of_a_linear_map(steps: int) -> None:
    network = nn.Conv2d(2, 2, 3, padding=1, bias=False).double()
    estimate = ball_estimate(network, image(), steps=steps)
    assert estimate.shape == (3,)
    assert (estimate <= norm_of(network) * (1 + 1e-12)).all()
    assert (estimate > 0.05 * norm_of(network)).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("step_size", [1.0, 1.5])
def test_ball_reaches_the_norm_of_a_linear_map(scale: float, step_size: float) -> None:
    """At any scale of the image: the step is relative."""
    network = nn.Conv2d(2, 2, 3, padding=1, bias=False).double()
    estimate = ball_estimate(network, scale * image(), steps=150, step_size=step_size)
    assert (estimate > 0.97 * norm_of(network)).all()


def test_ball_steps_are_power_iterations_on_a_linear_map() -> None:
    """Of the difference, ``d <- (1 - s) d + s H^T H d / gain²``, where the ball does not cut."""
    network, center, points = nn.Conv2d(2, 2, 3, padding=1, bias=False).double(), image(8), []

    def recorded(x: Tensor) -> Tensor:
        points.append(x.detach())
        return network(x)

    ball_estimate(recorded, center, steps=1, radius=1.0, step_size=0.7)
    before, after = points[0] - points[1], points[2] - points[3]
    _, product = torch.autograd.functional.jvp(network, before, before)
    _, product = torch.autograd.functional.vjp(network, before, product)
    squared = (network(before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)).square()
    expected = 0.3 * before + 0.7 * product / squared.view(-1, 1, 1, 1)
    reach = center.flatten(1).norm(dim=1)
    distances = torch.stack([(x - center).flatten(1).norm(dim=1) for x in points[2:]])
    inside = (distances < 0.999 * reach).all(0)
    assert inside.any()
    torch.testing.assert_close(after[inside], expected[inside])


def test_ball_points_stay_inside_it_and_on_the_support() -> None:
    network, center, seen = nn.Conv2d(2, 2, 3, padding=1).double(), image(), []
    mask = torch.zeros(3, 1, 8, 8, dtype=torch.float64)
    mask[..., 2:6] = 1

    def recorded(x: Tensor) -> Tensor:
        seen.append(x.detach() - center)
        return network(x)

    ball_estimate(recorded, center, radius=0.3, steps=30, mask=mask)
    assert len(seen) == 2 * 31
    reach = 0.3 * center.flatten(1).norm(dim=1)
    distances = torch.stack([d.flatten(1).norm(dim=1) / reach for d in seen])
    assert (distances <= 1 + 1e-9).all()
    # ascent on a linear map drives them apart, to the border
    assert (distances > 0.99).any()
    assert all(not (d * (1 - mask)).abs().gt(1e-12).any() for d in seen)


def test_ball_samples_do_not_mix() -> None:
    gains = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    estimate = ball_estimate(lambda x: gains.view(3, 1, 1, 1) * x, image())
    torch.testing.assert_close(estimate, gains, rtol=1e-11, atol=0)


def test_ball_of_an_image_of_zeros() -> None:
    network = nn.Conv2d(2, 2, 3, padding=1).double()
    assert torch.equal(ball_estimate(network, 0 * image()), torch.zeros(3, dtype=torch.float64))


def test_ball_finds_the_steep_part_of_a_nonlinear_map() -> None:
    """A map of slope 1 at the centre and 3 beyond a distance that only the ball reaches."""
    center = image()

    def bent(x: Tensor) -> Tensor:
        return x + 2 * (x - center).sub(0.01).relu()

    local = jacobian_norm(bent, center).norm
    torch.testing.assert_close(local, torch.ones_like(local))
    estimate = ball_estimate(bent, center, steps=50)
    assert ((estimate > 2.0) & (estimate <= 3.0)).all()


def test_ball_gradient_reaches_the_parameters_and_nothing_else() -> None:
    network = nn.Conv2d(2, 2, 1, bias=False).double()
    with torch.no_grad():
        network.weight.copy_(0.8 * torch.eye(2).view(2, 2, 1, 1))
    center = image().requires_grad_()
    estimate = ball_estimate(network, center)
    estimate.sum().backward()
    assert center.grad is None
    assert network.weight.grad is not None
    # Euler's identity, as above
    assert float((network.weight.detach() * network.weight.grad).sum()) == pytest.approx(2.4)
    with torch.no_grad():
        assert not ball_estimate(network, center).requires_grad


# ---------------------------------------------------------------------- the Jacobian


def small_cnn() -> nn.Module:
    return PlainCNN(2, 6, 3).double()


def normalized_cnn() -> nn.Module:
    convolutions = [nn.Conv2d(a, b, 3, padding=1) for a, b in ((2, 6), (6, 2))]
    return nn.Sequential(convolutions[0], nn.GroupNorm(2, 6), nn.ReLU(), convolutions[1]).double()


def with_operator() -> nn.Module:
    """A gradient step on the data, then a network: what an unrolled iteration is made of."""
    generator = torch.Generator().manual_seed(2)
    maps = torch.randn(2, 8, 8, dtype=torch.complex128, generator=generator)
    physics = MultiCoilMRI((torch.arange(8) % 3 != 0).double().view(1, 8), maps / 2)
    network = small_cnn()

    class Step(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - 0.5 * physics.A_adjoint_A(x) + network(physics.A_adjoint(physics.A(x)))

    return Step()


def dense_jacobians(f: nn.Module, x: Tensor) -> list[float]:
    jacobians = [torch.autograd.functional.jacobian(f, x[i : i + 1]) for i in range(len(x))]
    size = x[0].numel()
    return [float(torch.linalg.matrix_norm(j.reshape(size, size), 2)) for j in jacobians]


@pytest.mark.parametrize("build", [small_cnn, normalized_cnn, with_operator])
def test_jacobian_norm_against_the_dense_jacobian(build: object) -> None:
    f, x = build(), image()  # type: ignore[operator]
    found, expected = jacobian_norm(f, x, tol=1e-7), dense_jacobians(f, x)
    assert found.norm.tolist() == pytest.approx(expected, rel=1e-6)
    assert found.converged.all()
    assert not found.norm.requires_grad
    assert all(p.grad is None for p in f.parameters())
    # the default tolerance, from below
    rough = jacobian_norm(f, x).norm
    assert (rough <= torch.tensor(expected) * (1 + 1e-12)).all()
    assert rough.tolist() == pytest.approx(expected, rel=2e-3)
    # the direction is amplified by the norm
    _, gain = torch.autograd.functional.jvp(f, x, found.direction)
    torch.testing.assert_close(gain.flatten(1).norm(dim=1), found.norm)


def test_jacobian_norms_do_not_depend_on_the_batch() -> None:
    f, x = normalized_cnn(), image()
    x[1] *= 10
    together = jacobian_norm(f, x)
    assert together.iterations.unique().numel() > 1
    for i in range(3):
        alone = jacobian_norm(f, x[i : i + 1])
        torch.testing.assert_close(alone.norm, together.norm[i : i + 1])
        assert alone.iterations == together.iterations[i]


def test_residual_is_what_it_says() -> None:
    matrix = torch.randn(128, 128, dtype=torch.float64)
    found = operator_norm(
        lambda v: (v.flatten(1) @ matrix @ matrix.T).view_as(v), probe(image()), max_iter=6
    )
    assert not found.converged.any()
    assert (found.iterations == 6).all()
    v = found.direction.flatten(1)
    torch.testing.assert_close(v.norm(dim=1), torch.ones(3, dtype=torch.float64))
    difference = v @ matrix @ matrix.T - found.norm.square()[:, None] * v
    torch.testing.assert_close(difference.norm(dim=1) / found.norm.square(), found.residual)


def test_the_estimators_are_below_the_norm_of_a_linear_map() -> None:
    network = nn.Conv2d(2, 2, 3, padding=1).double()
    norm = jacobian_norm(network, image(), tol=1e-8).norm
    for estimate in (sphere_estimate, ball_estimate):
        assert (estimate(network, image()) <= norm * (1 + 1e-9)).all()


def test_jacobian_norm_of_simple_maps() -> None:
    """Spaces that are exhausted at once, and nothing to amplify."""
    for gain in (0.7, 0.0):
        found = jacobian_norm(lambda x, gain=gain: gain * x + 1, image())
        torch.testing.assert_close(found.norm, torch.full_like(found.norm, gain))
        assert (found.iterations == 1).all()
        assert found.converged.all()


def test_a_sample_that_is_not_finite_harms_no_other() -> None:
    f, x = small_cnn(), image()
    gains = torch.tensor([1.0, torch.nan, 1.0], dtype=torch.float64).view(3, 1, 1, 1)
    found = jacobian_norm(lambda x: gains * f(x), x)
    assert found.norm.isnan().tolist() == [False, True, False]
    assert found.converged.tolist() == [True, False, True]
    torch.testing.assert_close(found.norm[::2], jacobian_norm(f, x).norm[::2])


def test_a_fixed_number_of_iterations() -> None:
    found: OperatorNorm = jacobian_norm(small_cnn(), image(), tol=0.0, max_iter=7)
    assert (found.iterations == 7).all()
    assert not found.converged.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [1, 3, 200])
@pytest.mark.parametrize("tol", [0.0, 1e-5])
def test_operators_of_low_rank(dtype: torch.dtype, rank: int, tol: float) -> None:
    """The start lies mostly in the null space, and the Krylov space is soon exhausted."""
    factor = torch.randn(4000, rank, dtype=torch.float64)
    norm = float(torch.linalg.matrix_norm(factor, 2))
    factor = factor.to(dtype)
    start = probe(torch.empty(2, 4000, dtype=dtype))
    found = operator_norm(lambda v: v @ factor @ factor.T, start, tol=tol, max_iter=60)
    assert found.norm.tolist() == pytest.approx([norm, norm], rel=2e-5)
    torch.testing.assert_close(found.direction.norm(dim=1), torch.ones(2, dtype=dtype))
