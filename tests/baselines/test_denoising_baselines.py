"""PnP-ADMM and RED with a linear denoiser against dense solves; LU-DnCNN against its equations."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.lu_dncnn import LUDnCNN, LUDnCNNConfig
from baselines.pnp_admm import DenoiserPrior, PnPADMM, PnPADMMConfig
from baselines.red import RED, DenoiserPriorConfig
from baselines.sense import SEARCH_VALUES
from bench import create_method
from bench.deepinv_import import deepinv
from bench.errors import InputError
from bench.objective import image_loss
from bench.operators import BicubicDownsampling
from bench.problems import Problem, random_problem
from bench.reconstructor import Recipe
from methods.equilibrium import SolverConfig

TINY = {"width": 6, "depth": 3, "batch_norm": False}
EXACT = {"cg_iterations": 300, "cg_tol": 1e-8}


class BlurNoise(nn.Module):
    """``N(x) = x - gain * blur(x)``: D is symmetric, with eigenvalues in [0, gain]."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return x - self.gain * blur(x)


class Nonlinear(nn.Module):
    """The same, and a network."""

    def __init__(self, gain: float, network: nn.Module) -> None:
        super().__init__()
        self.linear, self.network = BlurNoise(gain), network

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.linear(x) + self.network(x)
        return output


def blur(x: Tensor) -> Tensor:
    """[1, 2, 1] / 4 along both axes, periodic."""
    for axis in (-2, -1):
        x = x / 2 + (x.roll(1, axis) + x.roll(-1, axis)) / 4
    return x


def with_blur(method: DenoiserPrior, gain: float) -> Any:
    method.network = BlurNoise(gain)
    return method.double().eval()


def matrices(problem: Problem, i: int) -> tuple[Tensor, Tensor]:
    """Of A for sample i, and of the blur."""
    x, physics = problem.x[i : i + 1], problem.select(i).physics
    basis = torch.eye(x.numel(), dtype=torch.float64).view(-1, *x.shape)
    a = torch.stack([physics.A(e).flatten() for e in basis], dim=1)
    return a, torch.stack([blur(e).flatten() for e in basis], dim=1)


@pytest.fixture(params=["mri-multicoil", "superres"])
def problem(request: pytest.FixtureRequest) -> Problem:
    return random_problem(request.param, batch=2, size=(10, 8), dtype=torch.float64)


def error(image: Tensor, truth: Tensor) -> float:
    return float((image.flatten() - truth).norm() / truth.norm())


# ---------------------------------------------------------------------- RED


@pytest.mark.parametrize("solver", ["picard", "anderson"])
def test_red_is_the_dense_fixed_point(problem: Problem, solver: Any) -> None:
    """``A^H (A x - y) + w (x - D(x)) = 0``, which is linear here."""
    stop = SolverConfig(method=solver, tol=1e-11, max_iter=1000)
    config = DenoiserPriorConfig(problem.x.shape[1], weight=0.25, solver=stop, **TINY, **EXACT)
    method = with_blur(RED(config), 0.9)
    result = method.reconstruct(problem.y, problem.physics)
    assert bool(result.traces[0].converged.all())
    for i, y in enumerate(problem.y):
        a, d = matrices(problem, i)
        identity = torch.eye(len(d), dtype=d.dtype)
        truth = torch.linalg.solve(a.T @ a + 0.25 * (identity - 0.9 * d), a.T @ y.flatten())
        assert error(result.image[i], truth) <= 1e-9
    assert float(method.residual(result.image, problem.y, problem.physics).max()) <= 1e-10


def test_red_agrees_with_deepinv(problem: Problem) -> None:
    """Gradient descent with deepinv's RED prior, with a denoiser that is not linear."""
    config = DenoiserPriorConfig(problem.x.shape[1], weight=0.5, output_scale=0.3, **TINY, **EXACT)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = RED(config).double().eval()
    method.network = Nonlinear(0.7, method.network)
    ours = method.to_convergence(tol=1e-10, max_iter=500)(problem.y, problem.physics)
    optimiser = deepinv.optim.optim_builder(
        "GD",
        max_iter=400,
        params_algo={"lambda": 0.5, "stepsize": 0.9, "g_param": 0.0},
        data_fidelity=deepinv.optim.L2(),
        prior=deepinv.optim.RED(lambda x, _sigma: method.denoise(x)),
        custom_init=lambda y, physics: {"est": (physics.A_adjoint(y), None)},
    )
    with torch.no_grad():
        theirs = optimiser(problem.y, problem.physics)
    assert error(ours, theirs.flatten()) <= 1e-7


# ---------------------------------------------------------------------- PnP-ADMM


def test_pnp_admm_is_the_dense_fixed_point(problem: Problem) -> None:
    """``x = D(x - A^H (A x - y) / w)``: that of the proximal gradient method."""
    stop = SolverConfig(method="picard", tol=1e-11, max_iter=3000)
    config = PnPADMMConfig(problem.x.shape[1], weight=0.4, solver=stop, **TINY, **EXACT)
    result = with_blur(PnPADMM(config), 0.95).reconstruct(problem.y, problem.physics)
    assert bool(result.traces[0].converged.all())
    weight = float(torch.tensor(0.4))  # a float32 buffer
    for i, y in enumerate(problem.y):
        a, d = matrices(problem, i)
        d, identity = 0.95 * d, torch.eye(len(d), dtype=d.dtype)
        left = identity - d @ (identity - a.T @ a / weight)
        truth = torch.linalg.solve(left, d @ (a.T @ y.flatten()) / weight)
        assert error(result.image[i], truth) <= 1e-8


def test_constrained_pnp_admm_fits_the_data() -> None:
    """``A x = y`` and ``x = D(x + A^H m)`` for some m: one linear system."""
    problem = random_problem("superres", batch=1, size=(10, 8), dtype=torch.float64)
    method = with_blur(
        create_method(
            "pnp-admm", variant="constrained", channels=1, solver={"tol": 1e-11, "max_iter": 3000}
        ),
        0.95,
    )
    image = method(problem.y, problem.physics)
    a, d = matrices(problem, 0)
    d, identity = 0.95 * d, torch.eye(len(d), dtype=d.dtype)
    zeros = torch.zeros(len(a), len(a), dtype=d.dtype)
    left = torch.cat((torch.cat((identity - d, -d @ a.T), 1), torch.cat((a, zeros), 1)))
    right = torch.cat((torch.zeros(len(d), dtype=d.dtype), problem.y.flatten()))
    assert error(image, torch.linalg.solve(left, right)[: len(d)]) <= 1e-8
    assert float((problem.physics.A(image) - problem.y).abs().max()) <= 1e-12
    assert method.recipe().search is None


def test_a_denoiser_that_does_not_converge_is_reported() -> None:
    """The lowest residual is returned, finite, and not called converged."""
    problem = random_problem("superres", batch=2, dtype=torch.float64)
    for cls, config in ((PnPADMM, PnPADMMConfig), (RED, DenoiserPriorConfig)):
        method = with_blur(cls(config(1, weight=0.5, **TINY)), 40.0)
        result = method.reconstruct(problem.y, problem.physics)
        assert torch.isfinite(result.image).all()
        assert not bool(result.traces[0].converged.any())


# ---------------------------------------------------------------------- both


@pytest.mark.parametrize("name", ["pnp-admm", "red"])
def test_a_denoiser_is_trained_and_then_the_weight_searched(name: str) -> None:
    problem = random_problem("superres", batch=1)
    method = create_method(name, channels=1, solver={"max_iter": 20}, **TINY)
    recipe = method.recipe()
    assert [stage.noise for stage in recipe.stages] == [(0.05, 0.05)]
    assert recipe.search is not None
    assert recipe.search.values == SEARCH_VALUES
    assert len(recipe.search.values) == 13
    before = method(problem.y, problem.physics)
    method.get_buffer(recipe.search.parameter).fill_(3.0)
    after = method(problem.y, problem.physics)
    assert not torch.allclose(before, after)
    other = create_method(name, channels=1, solver={"max_iter": 20}, **TINY)
    other.load_state_dict(method.state_dict())
    assert torch.equal(other(problem.y, problem.physics), after)


@pytest.mark.parametrize("name", ["pnp-admm", "red"])
def test_the_stable_variant_does_not_expand_noise(name: str) -> None:
    """By power iteration on N's Jacobian at an image: at most the product of the layers' norms."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = create_method(name, variant="stable", channels=1, width=6, depth=3).eval()
    x, v = torch.rand(1, 1, 20, 20), torch.randn(1, 1, 20, 20)
    for _ in range(20):
        _, push = torch.func.jvp(method.network, (x,), (v,))
        _, pull = torch.func.vjp(method.network, x)
        v = pull(push)[0] / push.norm()
    assert float(v.detach().norm()) <= 1.01


@pytest.mark.parametrize("name", ["pnp-admm", "red"])
def test_the_denoiser_subtracts_what_its_network_returns(name: str) -> None:
    method, x = create_method(name, channels=1, **TINY), torch.randn(2, 1, 8, 8)
    assert torch.equal(method.denoise(x), x - method.network(x))
    assert create_method(name).network.layers[0].out_channels == 64
    count = sum(p.numel() for p in create_method(name, channels=1).parameters())
    assert count == 556_032  # DnCNN-17


@pytest.mark.parametrize(
    ("field", "value"),
    [("weight", 0.0), ("spectral_norm", 0.0), ("denoising_noise", (0.2, 0.1)), ("cg_tol", 1.0)],
)
def test_bad_values_are_named(field: str, value: Any) -> None:
    with pytest.raises((InputError, ValueError), match=field):
        create_method("red", **{field: value})


# ---------------------------------------------------------------------- LU-DnCNN


@torch.no_grad()
def test_lu_dncnn_follows_its_equations(problem: Problem) -> None:
    method = LUDnCNN(LUDnCNNConfig(problem.x.shape[1], width=6, depth=4)).double().eval()
    result = method.reconstruct(problem.y, problem.physics)
    assert len(result.intermediates) == 7
    assert result.traces[0].evaluations.tolist() == [8, 8]
    start = problem.physics.A_adjoint(problem.y)
    for previous, x in pairwise((start, *result.intermediates, result.image)):
        misfit = problem.physics.A(previous) - problem.y
        g = previous - float(method.eta) * problem.physics.A_adjoint(misfit)
        assert float((x - g - method.network(g)).norm() / x.norm()) <= 1e-12


def test_lu_dncnn_has_the_published_parameters() -> None:
    """On 3 channels without the 243 entries of the frozen blur kernel, which were counted."""
    for channels, count in ((1, 556_033), (2, 557_185), (3, 558_580 - 243)):
        method = create_method("lu-dncnn", channels=channels)
        assert sum(p.numel() for p in method.parameters() if p.requires_grad) == count


def test_lu_dncnn_auxiliary_loss_is_the_sum_over_intermediates() -> None:
    method = create_method("lu-dncnn", channels=1, width=6, depth=3, iterations=3)
    physics, x = BicubicDownsampling(2, (12, 12)), torch.rand(2, 1, 12, 12)
    result = method.reconstruct(physics.A(x), physics)
    batch: Any = SimpleNamespace(x=x)
    for variant, images in (
        ("final", [result.image]),
        ("aux", [*result.intermediates, result.image]),
    ):
        loss = image_loss(Recipe(**method.variants[variant].recipe), result, batch)
        expected = sum(float((image - x).square().mean().detach()) for image in images)
        assert float(loss.detach()) == pytest.approx(expected)
