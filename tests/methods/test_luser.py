"""LUSER: its stages, their fixed points, what is shared, and what is recorded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import bench
from bench.objective import image_loss
from bench.problems import random_problem
from bench.reconstructor import Reconstruction
from methods.equilibrium import EquilibriumConfig, SolverConfig

TIGHT = EquilibriumConfig(SolverConfig("anderson", tol=1e-12, max_iter=200))
SMALL = {
    "width": 4,
    "groups": 2,
    "spectral_norm": 0.1,
    "spectral_size": 5,
    "equilibrium": TIGHT,
}
NAMES = ["luser-sw", "luser-dw"]


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_solves_its_equations(create: Any, dense: Any, name: str) -> None:
    """``d = x + λA^H(b - A x)``; ``r = Mix(Data(r) ⊕ Inject(d))``; the next image is d + r."""
    p = random_problem("mri-multicoil", batch=1, size=(10, 8), dtype=torch.float64)
    method = create(name, **SMALL, step_size=0.8)
    a, b = dense(p.physics, p.x).matrix, p.y.flatten()
    counts: dict[str, list[int]] = {"inject": [], "data": []}
    for i in range(len(method.proximal)):
        hook = counts["inject"].append
        method.inject[i].register_forward_hook(lambda *_, i=i, hook=hook: hook(i))
        hook = counts["data"].append
        method.proximal[i].data.register_forward_hook(lambda *_, i=i, hook=hook: hook(i))
    with torch.no_grad():
        result = method.reconstruct(p.y, p.physics)
    shared = name == "luser-sw"
    assert counts["inject"] == ([0] * 8 if shared else list(range(8)))  # once a stage
    assert len(counts["data"]) == sum(int(t.evaluations) for t in result.traces) > 8
    assert len(result.intermediates) == 7
    assert len(result.traces) == 8
    assert all(bool(trace.converged) for trace in result.traces)
    x, lam = a.T @ b, float(method.step_size.detach())
    for k, image in enumerate((*result.intermediates, result.image)):
        index = 0 if shared else k
        inject, proximal = method.inject[index].layers, method.proximal[index]
        d = (x + lam * (a.T @ (b - a @ x))).view_as(image)
        r = image - d
        with torch.no_grad():
            mixed = proximal.mix(torch.cat((proximal.data(r), inject(d)), dim=1))
        assert r.norm() > 1e-2 * d.norm()
        assert (mixed - r).norm() <= 1e-9 * r.norm()
        x = image.flatten()


def test_data_comes_first_in_the_concatenation(create: Any) -> None:
    method = create("luser-sw", **SMALL)
    proximal = method.proximal[0]
    seeded = torch.Generator().manual_seed(0)
    r, other = torch.randn(2, 1, 2, 8, 8, dtype=torch.float64, generator=seeded)
    e, another = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64, generator=seeded)
    first = proximal.mix[0]
    with torch.no_grad():
        weight = first.weight.clone()
        first.weight[:, 4:] = 0
        assert torch.equal(proximal(r, e), proximal(r, another))
        assert not torch.equal(proximal(r, e), proximal(other, e))
        first.weight.copy_(weight)
        first.weight[:, :4] = 0
        assert torch.equal(proximal(r, e), proximal(other, e))
        assert not torch.equal(proximal(r, e), proximal(r, another))


def test_one_set_of_weights_or_eight(create: Any) -> None:
    one, eight = (create(name, **SMALL) for name in NAMES)
    sizes = [sum(p.numel() for p in m.parameters()) - 1 for m in (one, eight)]
    assert sizes[1] == 8 * sizes[0]
    weights = [proximal.mix[0].weight for proximal in eight.proximal]
    assert not any(torch.equal(weights[0], weight) for weight in weights[1:])
    assert eight.step_size.ndim == 0  # λ is one in both


@pytest.mark.parametrize("variant", ["final", "aux"])
def test_the_auxiliary_loss_is_the_sum_over_all_stages(variant: str) -> None:
    changes = bench.registry.method_class("luser-sw").variants[variant].recipe
    recipe = bench.reconstructor.Recipe(**changes)
    images = [torch.full((1, 2, 3, 3), float(k)) for k in range(8)]
    result = Reconstruction(images[-1], tuple(images[:-1]))
    batch: Any = SimpleNamespace(x=torch.zeros(1, 2, 3, 3))
    expected = 49.0 if variant == "final" else sum(k**2 for k in range(8))
    assert float(image_loss(recipe, result, batch)) == pytest.approx(expected)


def test_a_stage_that_does_not_converge_says_so_and_returns_its_best(create: Any) -> None:
    """Affine group norms are not bounded: large gains make the map no contraction."""
    p = random_problem("mri-multicoil", batch=1, size=(10, 8), dtype=torch.float64)
    solver = SolverConfig("picard", tol=1e-6, max_iter=12)
    method = create(
        "luser-sw", **SMALL | {"spectral_norm": 1.0, "equilibrium": EquilibriumConfig(solver)}
    )
    with torch.no_grad():
        for i in (1, 4):
            method.proximal[0].mix[i].weight.mul_(10)
        result = method.reconstruct(p.y, p.physics)
    assert torch.isfinite(result.image).all()
    x = p.physics.A_adjoint(p.y)
    assert not any(bool(trace.converged) for trace in result.traces)
    for k, image in enumerate((*result.intermediates, result.image)):
        trace = result.traces[k]
        assert trace.history.shape == (12, 1)
        assert torch.equal(trace.residual, trace.history.amin(0))
        with torch.no_grad():
            d = method.gradient_step(x, p.y, p.physics)
            f, r, found = method.map(k, d), torch.zeros_like(d), []
            for _ in range(12):
                previous, r = r, f(r)
                found.append((float((r - previous).norm() / r.norm()), r))
        best = min(found, key=lambda entry: entry[0])[1]
        # the map expands: rounding grows with every one of 12 steps
        assert (image - d - best).norm() <= 1e-6 * best.norm()
        x = image
