"""MCNet against its equations, on downsampling, where every solve is exact."""

from __future__ import annotations

from typing import Any

import pytest
import scipy.optimize
import torch
from torch import Tensor, nn

import bench
from bench.errors import InputError
from bench.operators import BicubicDownsampling
from bench.problems import random_problem
from methods.equilibrium import EquilibriumConfig, SolverConfig

TIGHT = EquilibriumConfig(SolverConfig("anderson", tol=1e-12, max_iter=500))
SRCNN = {"method": "srcnn", "config": {"channels": 1, "features": (4, 2)}}
SMALL = {
    "channels": 1,
    "width": 6,
    "depth": 3,
    "spectral_size": 8,
    "lipschitz": 0.5,
    "beta": 0.5,
    "backbone": SRCNN,
    "equilibrium": TIGHT,
}


class Zero(nn.Module):
    """N for which R is the identity."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def problem(batch: int = 1, size: tuple[int, int] = (12, 8)) -> Any:
    return random_problem("superres", batch=batch, size=size, dtype=torch.float64)


def backbone_image(method: Any, p: Any) -> Tensor:
    with torch.no_grad():
        return method.backbone.reconstruct(p.y, p.physics).image


def solved(method: Any, p: Any) -> tuple[Tensor, Tensor]:
    """The fixed point: image, and the state (x, λ1, λ2) flat."""
    with torch.no_grad():
        result = method.reconstruct(p.y, p.physics)
        state = method.fixed_point(p.y, p.physics).value
    assert bool(result.traces[-1].converged.all())
    assert torch.equal(state[:, : p.x[0].numel()].view_as(p.x), result.image)
    return result.image, state


# ---------------------------------------------------------------------- the fixed point


def test_equality_holds_and_the_fixed_point_is_that_of_the_equations(
    create: Any, dense: Any
) -> None:
    """``x = R(x + λ)``; ``A x = b``; and ``β(x - w) + ρλ`` is in the range of ``A^T``."""
    p = problem()
    method = create("mcnet", **SMALL, rho=0.7)
    image, state = solved(method, p)
    misfit = (p.physics.A(image) - p.y).norm() / p.y.norm()
    assert misfit <= 1e-12  # 1e-6 asked for; the projection is exact
    a, w = dense(p.physics, p.x).matrix, backbone_image(method, p).flatten()
    assert (a @ w - p.y.flatten()).norm() > 1e-2 * p.y.norm()
    x, dual = state.flatten().chunk(2)
    assert dual.norm() > 1e-4 * x.norm()
    with torch.no_grad():
        u = method.denoise((x + dual).view_as(p.x)).flatten()
    assert (u - x).norm() <= 1e-10 * x.norm()
    normal = float(method.beta.detach()) * (x - w) + 0.7 * dual
    projector = torch.eye(len(x), dtype=x.dtype) - torch.linalg.pinv(a) @ a
    assert (projector @ normal).norm() <= 1e-10 * x.norm()


@pytest.mark.parametrize("relative", [False, True])
def test_inequality_holds_and_the_fixed_point_is_that_of_the_equations(
    create: Any, dense: Any, relative: bool
) -> None:
    """``||A x - b|| = ε`` where the constraint acts, and ``β(x - w) + ρ(λ1 + A^T λ2) = 0``."""
    p = problem()
    epsilon = 0.05
    radius = epsilon * float(p.y.norm()) if relative else epsilon
    method = create("mcnet", **SMALL, rho=0.7, epsilon=epsilon, epsilon_relative=relative)
    image, state = solved(method, p)
    misfit = float((p.physics.A(image) - p.y).norm())
    assert misfit <= radius * (1 + 1e-8)  # 1e-4 asked for
    assert misfit == pytest.approx(radius, rel=1e-8)
    a, w = dense(p.physics, p.x).matrix, backbone_image(method, p).flatten()
    size = p.x.numel()
    x, dual, data_dual = state.flatten().split((size, size, p.y.numel()))
    with torch.no_grad():
        u = method.denoise((x + dual).view_as(p.x)).flatten()
    assert (u - x).norm() <= 1e-10 * x.norm()
    normal = float(method.beta.detach()) * (x - w) + 0.7 * (dual + a.T @ data_dual)
    assert normal.norm() <= 1e-10 * x.norm()
    # complementarity: the data's dual points along the misfit
    residual = a @ x - p.y.flatten()
    cosine = data_dual @ residual / (data_dual.norm() * residual.norm())
    assert float(cosine) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("epsilon", [0.0, 0.05])
@pytest.mark.parametrize("consistency", [1.0, 4.0])
def test_the_order_of_a_pass(create: Any, dense: Any, epsilon: float, consistency: float) -> None:
    """Three passes from x0 with dense matrices; ε = 0 does not know the consistency factor."""
    p = problem()
    steps = SolverConfig("picard", tol=0.0, max_iter=3, keep="last")
    config = SMALL | {"equilibrium": EquilibriumConfig(steps)}
    method = create("mcnet", **config, rho=0.7, epsilon=epsilon, consistency=consistency)
    a, w, b = dense(p.physics, p.x).matrix, backbone_image(method, p).flatten(), p.y.flatten()
    seeded = torch.Generator().manual_seed(1)
    x0 = torch.randn(p.x.shape, dtype=torch.float64, generator=seeded)
    beta, rho, identity = float(method.beta.detach()), 0.7, torch.eye(len(w), dtype=w.dtype)
    x, dual1, dual2 = x0.flatten(), torch.zeros_like(w), torch.zeros_like(b)
    with torch.no_grad():
        state = method.fixed_point(p.y, p.physics, x0).value.flatten()
        for _ in range(3):
            u = method.denoise((x + dual1).view_as(x0)).flatten()
            if epsilon == 0:
                q = (beta * w + rho * (u - dual1)) / (beta + rho)
                x = q - a.T @ torch.linalg.solve(a @ a.T, a @ q - b)
                dual1 = dual1 + x - u
                continue
            t = a @ x - b + dual2
            v = t * min(1.0, epsilon / float(t.norm()))
            weight = rho * consistency
            rhs = beta * w + rho * (u - dual1) + weight * (a.T @ (v + b - dual2))
            x = torch.linalg.solve(weight * (a.T @ a) + (beta + rho) * identity, rhs)
            dual1 = dual1 + x - u
            dual2 = dual2 + a @ x - v - b
    truth = torch.cat((x, dual1) if epsilon == 0 else (x, dual1, dual2))
    torch.testing.assert_close(state, truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("epsilon", [0.0, 0.02, 0.1, 100.0])
def test_without_a_denoiser_it_is_the_nearest_consistent_image(
    create: Any, dense: Any, epsilon: float
) -> None:
    """``min ||x - w||`` with ``||A x - b|| <= ε``: the multiplier is found by bisection here."""
    p = problem()
    method = create("mcnet", **SMALL, epsilon=epsilon)
    method.network = Zero()
    image, _ = solved(method, p)
    a, w, b = dense(p.physics, p.x).matrix, backbone_image(method, p).flatten(), p.y.flatten()
    gram, misfit = a @ a.T, a @ w - b
    identity = torch.eye(len(b), dtype=b.dtype)

    def moved(mu: float) -> Tensor:  # (I + A^T A / mu) x = w + A^T b / mu
        return w - a.T @ torch.linalg.solve(gram + mu * identity, misfit)

    if epsilon == 0:
        truth = moved(0.0)
    elif epsilon >= float(misfit.norm()):
        truth = w
    else:
        mu = scipy.optimize.brentq(
            lambda mu: float((a @ moved(mu) - b).norm()) - epsilon, 1e-9, 1e6, xtol=1e-15
        )
        truth = moved(mu)
    assert (epsilon == 100.0) == (epsilon >= float(misfit.norm()))
    # brentq's own tolerance is 1e-15 in mu, 9e-16 relative
    assert (image.flatten() - truth).norm() <= 1e-8 * truth.norm()


def test_a_contractive_denoiser_does_not_suffice(create: Any) -> None:
    """The paper's Theorem 1: R = -0.9 I, S = {0}, β = 0. λ grows by 1.9 a pass."""
    physics = BicubicDownsampling(1, (6, 6)).double()
    y = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    x0 = torch.ones_like(y)
    assert torch.allclose(physics.A(x0), x0)
    plain = SolverConfig("picard", tol=1e-6, max_iter=300)
    method = create("mcnet", **SMALL | {"beta": 0.0, "equilibrium": EquilibriumConfig(plain)})
    method.denoise = lambda x: -0.9 * x
    with torch.no_grad():
        result = method.reconstruct(y, physics, x0)
    trace = result.traces[-1]
    assert not trace.converged.any()
    assert int(trace.iterations) == 300
    assert torch.isfinite(result.image).all()
    history = trace.history[2:, 0]
    assert torch.allclose(history, torch.full_like(history, 0.9 / 1.9))


# ---------------------------------------------------------------------- the denoiser


def test_the_range_is_scaled_for_each_sample(create: Any) -> None:
    """To [0, 1], stretched about one half; also where samples differ by a factor of 10^6."""
    method = create("mcnet", **SMALL)
    seen = []
    method.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 1, 9, 7, dtype=torch.float64, generator=generator)
    x = x * torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64).view(3, 1, 1, 1) + 5
    with torch.no_grad():
        together = method.denoise(x)
        low, high = seen[0].flatten(1).amin(1), seen[0].flatten(1).amax(1)
        torch.testing.assert_close(low, torch.full_like(low, 0.5 - 1.09375 / 2))
        torch.testing.assert_close(high, torch.full_like(high, 0.5 + 1.09375 / 2))
        for i in range(3):
            alone = method.denoise(x[i : i + 1])[0]
            assert (together[i] - alone).norm() <= 1e-12 * alone.norm()
            # R(c x + d) = c R(x) + d, so the range is put back
            moved = method.denoise(4 * x[i : i + 1] + 2)[0]
            assert (moved - (4 * alone + 2)).norm() <= 1e-10 * moved.norm()


@pytest.mark.parametrize("value", [0.0, 0.3])
@pytest.mark.parametrize("epsilon", [0.0, 0.05])
def test_a_constant_image_is_no_division_by_zero(create: Any, value: float, epsilon: float) -> None:
    p = problem(batch=2)
    method = create("mcnet", **SMALL, epsilon=epsilon)
    constant = torch.full_like(p.x, value)
    y = p.physics.A(constant)
    assert torch.isfinite(method.denoise(constant)).all()
    image = method.reconstruct(y, p.physics, constant).image
    assert torch.isfinite(image).all()
    image.square().sum().backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


# ---------------------------------------------------------------------- backbone and configuration


def test_the_backbone_is_frozen_and_in_evaluation_mode(create: Any) -> None:
    """Its batch norms included, in training as well."""
    p = random_problem("mri-multicoil", batch=2, size=(8, 8), dtype=torch.float64)
    modl = {"method": "modl", "config": {"width": 4, "depth": 3, "iterations": 1}}
    few = EquilibriumConfig(SolverConfig(max_iter=3), SolverConfig(max_iter=3))
    config = SMALL | {"channels": 2, "backbone": modl, "equilibrium": few}
    method = create("mcnet", **config, epsilon=0.5)
    before = {name: tensor.clone() for name, tensor in method.backbone.state_dict().items()}
    assert any("running_mean" in name for name in before)
    guess = backbone_image(method, p)
    method.train()
    assert method.network.training
    assert not any(module.training for module in method.backbone.modules())
    result = method.reconstruct(p.y, p.physics)
    assert torch.equal(result.intermediates[0], guess)
    result.image.square().sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in method.backbone.parameters())
    assert all(p.grad is not None for p in method.network.parameters())
    assert method.beta.grad is not None
    for name, tensor in method.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"epsilon": -0.1}, r"epsilon = -0\.1 \(expected 0 or more\)"),
        ({"beta": -1.0}, "beta = -1"),
        ({"rho": 0.0}, "rho = 0"),
        ({"backbone": {"method": "srcn"}}, "srcn.*expected one of.*srcnn"),
        ({"backbone": {"method": "srcnn", "config": {"feature": (4, 2)}}}, "feature.*features"),
        ({"backbone": {"method": "sense"}}, "does not support the task superres"),
    ],
)
def test_what_cannot_be_is_refused(config: dict[str, Any], message: str) -> None:
    task = bench.create_task("superres")
    with pytest.raises(InputError, match=message) as caught:
        bench.create_method("mcnet", task, **{"width": 4, "depth": 3, "spectral_size": 4, **config})
    assert "\n" not in str(caught.value)
