"""Norms of convolutions against dense matrices, and when SpectralConv2d determines them."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.measure.live_bytes import count_peak
from bench.networks import PlainCNN, SpectralConv2d, conv_operator_norm, refresh_spectral_norms


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def dense_norm(weight: Tensor, size: tuple[int, int], padding: int | None = None) -> float:
    """The 2-norm of the zero-padded convolution, from its matrix."""
    pixels = weight.shape[1] * size[0] * size[1]
    basis = torch.eye(pixels, dtype=torch.float64).view(pixels, weight.shape[1], *size)
    padding = weight.shape[-1] // 2 if padding is None else padding
    matrix = F.conv2d(basis, weight.detach().double(), padding=padding).flatten(1)
    return float(torch.linalg.matrix_norm(matrix, 2))


def layer(**options: object) -> SpectralConv2d:
    arguments = {"kernel_size": 3, "image_size": 8} | options
    return SpectralConv2d(2, 3, **arguments).double()  # type: ignore[arg-type]


def applied_norm(convolution: SpectralConv2d) -> float:
    return dense_norm(convolution.normalized_weight(), (8, 8))


# ---------------------------------------------------------------------- the norm


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("channels", [(2, 3), (3, 2), (1, 4)])
def test_operator_norm_against_the_dense_matrix(kernel: int, channels: tuple[int, int]) -> None:
    weight = torch.randn(channels[1], channels[0], kernel, kernel, dtype=torch.float64)
    norm = conv_operator_norm(weight, 8, tol=1e-6)
    assert norm.shape == ()
    assert float(norm) == pytest.approx(dense_norm(weight, (8, 8)), rel=1e-6)


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_operator_norm_of_other_shapes(padding: int) -> None:
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    norm = conv_operator_norm(weight, (5, 9), padding=padding, tol=1e-6)
    assert float(norm) == pytest.approx(dense_norm(weight, (5, 9), padding), rel=1e-6)


def test_the_reshaped_kernel_has_another_norm() -> None:
    """Nine taps of 1 act as 9 on constants in the interior, but have norm 3 as a vector."""
    weight = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(3)
    # separable: the norm of tridiag(1, 1, 1) is 1 + 2 cos(π / (n + 1))
    line = 1 + 2 * torch.cos(torch.tensor(torch.pi / 33, dtype=torch.float64))
    assert float(conv_operator_norm(weight, 32, tol=1e-6)) == pytest.approx(float(line) ** 2)


def test_grows_with_the_image_towards_the_transfer_function() -> None:
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64)
    norms = [float(conv_operator_norm(weight, size, tol=1e-5)) for size in (4, 8, 16, 40)]
    assert norms == sorted(norms)
    # the transfer function on a grid, a matrix (3, 2) for every frequency
    transfer = torch.fft.fft2(weight, s=(256, 256)).permute(2, 3, 0, 1)
    limit = float(torch.linalg.matrix_norm(transfer, 2).max())
    assert norms[-1] < limit
    assert norms[-1] == pytest.approx(limit, rel=1e-2)


# ---------------------------------------------------------------------- the layer, evaluated


@pytest.mark.parametrize("sigma", [0.9, 2.0])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_evaluated_norm_is_sigma(sigma: float, kernel_size: int) -> None:
    convolution = layer(sigma=sigma, kernel_size=kernel_size).eval()
    assert applied_norm(convolution) == pytest.approx(sigma, rel=1e-4)


def test_bound_only_shrinks() -> None:
    convolution = layer(mode="bound").eval()
    for norm, expected in ((0.3, 0.3), (3.0, 1.0)):
        with torch.no_grad():
            convolution.weight.mul_(norm / dense_norm(convolution.weight, (8, 8)))
        assert applied_norm(convolution) == pytest.approx(expected, rel=1e-4)


def test_evaluation_repeats_itself_and_leaves_no_trace() -> None:
    convolution, x = layer().eval(), torch.randn(3, 2, 8, 8, dtype=torch.float64)
    before = {name: value.clone() for name, value in convolution.state_dict().items()}
    first = convolution(x)
    assert torch.equal(convolution(x), first)
    for i in range(3):
        torch.testing.assert_close(convolution(x[i : i + 1]), first[i : i + 1])
    assert all(torch.equal(convolution.state_dict()[name], before[name]) for name in before)


def test_evaluation_finds_the_norm_from_anywhere() -> None:
    one, two = layer().eval(), layer().eval()
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    two(x)  # what it knows of its first weight must go
    two.load_state_dict(one.state_dict() | {"u": torch.randn_like(one.u)})
    torch.testing.assert_close(two(x), one(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 64, 40, 40)])
def test_state(shape: tuple[int, ...]) -> None:
    convolution = SpectralConv2d(2, 64, bias=False)
    assert set(convolution.state_dict()) == {"weight", "u"}
    assert convolution.u.shape == shape
    convolution(torch.randn(1, 2, 8, 8))  # nothing is computed before
    assert float(convolution.u.detach().norm()) == pytest.approx(1, rel=1e-5)


# ---------------------------------------------------------------------- the layer in training


@pytest.mark.parametrize("tracking", ["lanczos", "power"])
def test_one_map_within_a_step(tracking: str) -> None:
    convolution, x = layer(tracking=tracking), torch.randn(1, 2, 8, 8, dtype=torch.float64)
    optimizer = torch.optim.Adam(convolution.parameters(), 0.1)
    for _ in range(2):
        first, u = convolution(x), convolution.u
        assert torch.equal(convolution(x), first)
        assert convolution.u is u
        convolution(x).sum().backward()
        optimizer.step()
        convolution(x)
        assert convolution.u is not u


def test_power_iteration_once_for_each_weight() -> None:
    convolution = layer(tracking="power", iterations=1)
    u = torch.randn_like(convolution.u)
    convolution.load_state_dict(convolution.state_dict() | {"u": u})  # as one that goes on
    for _ in range(3):
        weight = convolution.normalized_weight().detach()
    v = F.conv_transpose2d(u, convolution.weight, padding=1)
    product = F.conv2d(v / v.norm(), convolution.weight, padding=1).detach()
    torch.testing.assert_close(convolution.u, product / product.norm())
    torch.testing.assert_close(weight, convolution.weight.detach() / product.norm())


def test_validating_in_between_changes_no_training() -> None:
    def trained(validate: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        network = PlainCNN(2, 4, 3, spectral_norm=1.0, image_size=8)
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(4):
            x = torch.randn(1, 2, 8, 8)
            network(x).square().mean().backward()
            optimizer.step()
            if validate:
                network.eval()(x)
                network.train()
        return network.state_dict()

    one, two = trained(False), trained(True)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_resumes_bit_for_bit() -> None:
    def step(network: PlainCNN) -> Tensor:
        network.zero_grad()
        output = network(torch.ones(1, 2, 8, 8))
        output.square().mean().backward()
        with torch.no_grad():
            for p in network.parameters():
                p.sub_(0.1 * p.grad)
        return output.detach()

    network, other = (PlainCNN(2, 4, 3, spectral_norm=1.0, image_size=8) for _ in range(2))
    for _ in range(3):
        step(network)
    other.load_state_dict(network.state_dict())
    assert all(torch.equal(step(network), step(other)) for _ in range(3))


def test_tracks_the_norm_through_training() -> None:
    """The default stays close to evaluation."""
    network = PlainCNN(2, 8, 3, spectral_norm=1.0, image_size=8)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(50):
        x = torch.randn(2, 2, 8, 8)
        optimizer.zero_grad()
        (network(x) - x).square().mean().backward()
        optimizer.step()
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            norm = dense_norm(module.normalized_weight(), (8, 8))
            assert 1 - 1e-5 < norm < 1.02


def test_gradient_takes_singular_vectors_as_constants() -> None:
    """Against finite differences of the dense norm: at a simple singular value, they agree."""
    convolution = layer(tol=1e-9).eval()
    direction = torch.randn_like(convolution.weight)
    target = torch.randn_like(convolution.weight)

    def value(weight: Tensor) -> float:
        return float((weight / dense_norm(weight, (8, 8)) * target).sum())

    (convolution.normalized_weight() * target).sum().backward()
    assert convolution.weight.grad is not None
    with torch.no_grad():
        step = 1e-6 * direction
        difference = value(convolution.weight + step) - value(convolution.weight - step)
    product = float((convolution.weight.grad * direction).sum())
    assert product == pytest.approx(difference / 2e-6, rel=1e-6)
    # the norm does not depend on the scale of the weight
    euler = (convolution.weight.grad * convolution.weight.detach()).sum()
    assert float(euler) == pytest.approx(0, abs=1e-9)


# ---------------------------------------------------------------------- copies, imports, shapes


def test_a_copy_is_on_its_own() -> None:
    """Also where its weight has been changed as often as the original's."""
    convolution = layer().eval()
    with torch.no_grad():
        convolution.weight.mul_(1)
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    convolution(x)
    other = copy.deepcopy(convolution)
    torch.testing.assert_close(other(x), convolution(x))
    for _ in range(4):
        with torch.no_grad():
            other.weight.copy_(torch.randn_like(other.weight))
        assert applied_norm(other) == pytest.approx(1, rel=1e-4)
    assert applied_norm(convolution) == pytest.approx(1, rel=1e-4)


def test_refresh_after_a_change_that_cannot_be_seen() -> None:
    network = nn.Sequential(layer())
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    network(x)
    network[0].weight.data.copy_(torch.randn_like(network[0].weight))
    refresh_spectral_norms(network)
    assert applied_norm(network[0]) == pytest.approx(1, rel=1e-4)


def test_a_weight_of_zero_gives_zero() -> None:
    convolution = layer(bias=False)
    nn.init.zeros_(convolution.weight)
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    assert not convolution(x).any()
    assert not convolution.eval()(x).any()


def test_memory_is_counted_without_data() -> None:
    def step(network: nn.Module, x: Tensor) -> None:
        network(x).square().mean().backward()

    network = PlainCNN(2, 4, 3, spectral_norm=1.0, image_size=8)
    assert count_peak(step, network, torch.randn(1, 2, 16, 16), fake=True) > 0


@pytest.mark.parametrize(
    "options", [{"kernel_size": 2}, {"sigma": 0.0}, {"iterations": 0}, {"image_size": 0}]
)
def test_refuses(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        layer(**options)
