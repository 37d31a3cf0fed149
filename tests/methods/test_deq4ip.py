"""DE-Grad, DE-Prox and DE-ADMM against their equations, with dense matrices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bench
from bench.problems import random_problem
from methods.equilibrium import EquilibriumConfig, SolverConfig

NAMES = ["de-grad", "de-prox", "de-admm"]
FEW = SolverConfig("picard", tol=0.0, max_iter=3)
SMALL = {
    "width": 6,
    "depth": 4,
    "spectral_size": 8,
    "equilibrium": EquilibriumConfig(FEW, FEW),
}


def randomise_statistics(method: Any) -> list[nn.BatchNorm2d]:
    """Batch norms as after a training: weights, biases and statistics that are not the default."""
    layers = [m for m in method.modules() if isinstance(m, nn.BatchNorm2d)]
    generator = torch.Generator().manual_seed(4)
    for layer in layers:
        values = torch.rand(4, layer.num_features, dtype=torch.float64, generator=generator) + 0.5
        with torch.no_grad():
            layer.weight.copy_(values[0])
            layer.bias.copy_(values[1] - 1)
        layer.running_mean.copy_(0.1 * values[2])
        layer.running_var.copy_(0.1 * values[3])
    return layers


def step_by_hand(method: Any, a: Tensor, b: Tensor, x: Tensor, bound: float) -> Tensor:
    """One update of ``x (1, 2 or 4, H, W)``, flat; the clamp as the method's docstrings have it."""
    eta, image = float(method.eta.detach()), (1, 2, *x.shape[-2:])

    def n(v: Tensor) -> Tensor:
        return method.network(v.view(image)).flatten()

    def cut(v: Tensor) -> Tensor:
        return torch.where(v.abs() > bound, bound * v.sign(), v)

    if method.name == "de-admm":
        z, u = x.flatten().chunk(2)
        identity = torch.eye(len(z), dtype=z.dtype)
        inverse = torch.linalg.inv(a.T @ a + eta * identity)
        v = inverse @ (a.T @ b + eta * (z - u))
        z = cut(v + u + n(v + u))
        return torch.cat((z, u + 0.1 * (v - z)))
    z = cut(x.flatten())
    gradient = a.T @ (a @ z) - a.T @ b
    if method.name == "de-grad":
        return z - eta * (gradient - n(z))
    g = z - eta * gradient
    return g + n(g)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clamp", [None, 0.4])
def test_one_step_is_the_papers(create: Any, dense: Any, name: str, clamp: float | None) -> None:
    p = random_problem("mri-multicoil", batch=1, size=(8, 6), dtype=torch.float64)
    exact = {"cg_tol": 1e-14, "cg_iterations": 300} if name == "de-admm" else {}
    method = create(name, **SMALL, **exact, eta=0.7, clamp=clamp)
    assert len(randomise_statistics(method)) == 2
    a = dense(p.physics, p.x).matrix
    channels = 4 if name == "de-admm" else 2
    seeded = torch.Generator().manual_seed(1)
    x = torch.randn(1, channels, 8, 6, dtype=torch.float64, generator=seeded)
    with torch.no_grad():
        step = method.iteration(p.y, p.physics)(x)
        truth = step_by_hand(method, a, p.y.flatten(), x, clamp or torch.inf)
        free = step_by_hand(method, a, p.y.flatten(), x, torch.inf)
    torch.testing.assert_close(step.flatten(), truth, rtol=1e-10, atol=1e-10)
    assert (clamp is None) == bool(torch.equal(free, truth))


@pytest.mark.parametrize("name", NAMES)
def test_the_image_is_that_of_the_steps_from_the_adjoint(create: Any, name: str) -> None:
    """The dual starts at zero, and the image is z."""
    p = random_problem("mri-multicoil", batch=2, size=(8, 6), dtype=torch.float64)
    method = create(name, **SMALL)
    randomise_statistics(method)
    method = method.with_solver(fixed_iterations=3)  # inner solves of a fixed cost too
    iteration = method.iteration(p.y, p.physics)
    x = p.physics.A_adjoint(p.y)
    with torch.no_grad():
        image = method.reconstruct(p.y, p.physics).image
        kept = method.config.equilibrium.forward.keep
        state = torch.cat((x, torch.zeros_like(x)), 1) if name == "de-admm" else x
        states = []
        for _ in range(3):
            previous, state = state, iteration(state)
            step = (state - previous).flatten(1).norm(dim=1) / state.flatten(1).norm(dim=1)
            states.append((step, state[:, :2]))
    assert kept == "lowest"
    for i in range(2):
        best = min(states, key=lambda entry: float(entry[0][i]))[1]
        torch.testing.assert_close(image[i], best[i], rtol=1e-10, atol=1e-10)


def test_deq4ip_is_de_prox() -> None:
    method = bench.create_method("deq4ip", width=4, depth=3, spectral_size=4)
    assert method.name == "de-prox"


@pytest.mark.parametrize("freeze", [True, False])
def test_statistics_move_with_the_denoiser_and_not_with_the_equilibrium(
    create: Any, freeze: bool
) -> None:
    p = random_problem("mri-multicoil", batch=2, size=(8, 6), dtype=torch.float64)
    method = create("de-prox", **SMALL, freeze_batch_norm=freeze)
    layers = randomise_statistics(method)

    def statistics() -> list[Tensor]:
        return [t.clone() for m in layers for t in (m.running_mean, m.running_var)]

    def moved(before: list[Tensor]) -> list[bool]:
        return [not torch.equal(a, b) for a, b in zip(before, statistics(), strict=True)]

    before = statistics()
    method.train()
    method.during("denoiser", 0.1).denoise(p.x)
    assert all(moved(before))
    before = statistics()
    method.train()
    view = method.during("equilibrium", 0.9)
    image = view.reconstruct(p.y, p.physics).image
    image.square().sum().backward()
    assert all(moved(before)) != freeze
    assert any(moved(before)) != freeze
    for layer in layers:  # weights are trained all the same
        assert layer.weight.grad.abs().sum() > 0
    if not freeze:
        return
    with torch.no_grad():  # and a sample's image does not depend on the other one
        alone = view.reconstruct(p.y[:1], p.physics.select(torch.tensor([0]))).image
    torch.testing.assert_close(alone, image[:1].detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_fixed_eta_has_no_gradient(create: Any, name: str) -> None:
    p = random_problem("mri-multicoil", batch=1, size=(8, 6), dtype=torch.float64)
    for trainable in (False, True):
        method = create(name, **SMALL, eta_trainable=trainable)
        method.reconstruct(p.y, p.physics).image.square().sum().backward()
        assert (method.eta.grad is not None) == trainable


def test_stages_of_training() -> None:
    small = {"width": 4, "depth": 3, "spectral_size": 4}
    method = bench.create_method("de-prox", **small, pretraining=0.25)
    stages = method.recipe().stages
    assert [(s.name, s.share) for s in stages] == [("denoiser", 0.25), ("equilibrium", 0.75)]
    assert stages[0].noise == method.config.denoising_noise and stages[1].noise is None
    without = bench.create_method("de-prox", **small, pretraining=0.0)
    assert [s.name for s in without.recipe().stages] == ["equilibrium"]
