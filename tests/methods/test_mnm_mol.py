"""MnM-MOL against its equations: the step, its contraction, MOL's fixed point, the penalty."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bench
from bench.measure.lipschitz import estimate
from bench.operators import MultiCoilMRI
from bench.problems import random_problem
from bench.reconstructor import TrainingState
from bench.task import Batch
from methods.equilibrium import EquilibriumConfig, SolverConfig

TIGHT = EquilibriumConfig(SolverConfig("anderson", tol=1e-12, max_iter=300))
SMALL = {"width": 6, "depth": 3, "cg_iterations": 300, "cg_tol": 1e-14, "equilibrium": TIGHT}


def problem(size: tuple[int, int] = (6, 6), batch: int = 1) -> Any:
    return random_problem("mri-multicoil", batch=batch, size=size, dtype=torch.float64)


class Displacement(nn.Module):
    """The F for which ``I - Q = I - A^H A - F/λ`` is a given linear map G."""

    def __init__(self, operator: Any, lam: float, g: Tensor) -> None:
        super().__init__()
        self.operator, self.lam, self.g = operator, lam, g

    def forward(self, x: Tensor) -> Tensor:
        moved = (self.g @ x.flatten()).view_as(x)
        return self.lam * (x - self.operator.A_adjoint_A(x) - moved)


def test_the_step_is_the_papers(create: Any, dense: Any) -> None:
    """``x - γ[λ A^H (A x - b) + F(x)]``, γ = 0.1/λ, which is ``0.9 x + 0.1 (H(x) + A^H b)``."""
    p = problem()
    method = create("mnm-mol", **SMALL, lam=3.0, skip=0.4)
    assert method.config.step_size == 0.1
    a = dense(p.physics, p.x).matrix
    x = torch.randn(p.x.shape, dtype=p.x.dtype, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        step = method.iteration(p.y, p.physics)(x).flatten()
        f = 0.4 * x.flatten() + method.network(x).flatten()
    flat, b = x.flatten(), p.y.flatten()
    paper = flat - 0.1 / 3 * (3 * (a.T @ (a @ flat) - a.T @ b) + f)
    h = flat - (a.T @ (a @ flat) + f / 3)
    torch.testing.assert_close(step, paper, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(step, 0.9 * flat + 0.1 * (h + a.T @ b), rtol=1e-12, atol=1e-12)


def test_both_splittings_have_the_fixed_point_of_mol(create: Any) -> None:
    """Of MOL with H = I - F."""
    p = problem((12, 12))
    method = create("mnm-mol", **SMALL, lam=2.0, skip=0.5, step_size=0.8)
    mol = create("mol", **SMALL, alpha=0.7, lam=2.0, shift=0.0, skip=0.5)

    class Negative(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return -method.network(x)

    mol.network = Negative()
    images = {}
    with torch.no_grad():
        for splitting in ("gradient", "proximal"):
            view = create("mnm-mol", **SMALL, lam=2.0, skip=0.5, step_size=0.8, splitting=splitting)
            assert torch.equal(view.network.layers[0].weight, method.network.layers[0].weight)
            result = view.reconstruct(p.y, p.physics)
            assert bool(result.traces[0].converged)
            assert float(view.residual(result.image, p.y, p.physics)) <= 1e-8
            images[splitting] = result.image
        truth = mol.reconstruct(p.y, p.physics).image
    for image in images.values():
        assert (image - truth).norm() <= 1e-8 * truth.norm()


@pytest.mark.parametrize("kind", ["identity", "rotation"])
def test_contraction_and_robustness(create: Any, dense: Any, kind: str) -> None:
    """Lip(I - Q) <= 1 - m gives steps of factor ``1 - γλm`` and ``||Δx|| <= ||Δb|| / m``."""
    p, m, lam = problem(), 0.1, 4.0
    operator = dense(p.physics, p.x)
    size = p.x.numel()
    seeded = torch.Generator().manual_seed(2)
    g = torch.eye(size, dtype=torch.float64)
    if kind == "rotation":
        g = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=seeded))[0]
    g = (1 - m) * g
    method = create("mnm-mol", **SMALL, lam=lam, step_size=0.3, m=m)
    method.network = Displacement(operator, lam, g)
    iteration = method.iteration(p.y, p.physics)
    jacobian = torch.autograd.functional.jacobian(iteration, p.x).reshape(size, size)
    norm = float(torch.linalg.matrix_norm(jacobian.detach(), 2))
    assert norm <= 1 - 0.3 * m + 1e-12
    if kind == "identity":  # attained
        assert norm == pytest.approx(1 - 0.3 * m, abs=1e-12)
    gain = torch.linalg.solve(torch.eye(size, dtype=torch.float64) - g, operator.matrix.T)
    # in the worst direction, of any size
    _, singular, right = torch.linalg.svd(gain)
    assert float(singular[0]) <= 1 / m + 1e-9
    with torch.no_grad():
        clean = method.reconstruct(p.y, p.physics).image
        for scale in (1e-2, 10.0):
            delta = scale * right[0].view_as(p.y)
            moved = (method.reconstruct(p.y + delta, p.physics).image - clean).norm()
            assert moved <= scale / m * (1 + 1e-8)
            assert float(moved) == pytest.approx(scale * float(singular[0]), rel=1e-6)


@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.0])
def test_mols_splitting_converges_where_the_constraint_holds(
    create: Any, dense: Any, step_size: float
) -> None:
    """``I - (I + γλ A^H A)^-1 (I - γF) = (I + γλ A^H A)^-1 γλ Q``, of eigenvalues in
    ``[γλm/(1 + γλ), γλ(2 - m)]`` for symmetric F; λ = 30 would have it diverge at γ = 1.
    """
    p, m, lam = problem(), 0.05, 30.0
    operator, size = dense(p.physics, p.x), p.x.numel()
    seeded = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=seeded))[0]
    g = basis @ torch.diag(torch.linspace(m - 1, 1 - m, size, dtype=torch.float64)) @ basis.T
    method = create("mnm-mol", **SMALL, lam=lam, m=m, step_size=step_size, splitting="proximal")
    method.network = Displacement(operator, lam, g)
    iteration = method.iteration(p.y, p.physics)
    jacobian = torch.autograd.functional.jacobian(iteration, p.x).reshape(size, size)
    eigenvalues = torch.linalg.eigvals(jacobian.detach()).real
    assert float(eigenvalues.max()) <= 1 - step_size * m / (1 + step_size) + 1e-9
    assert float(eigenvalues.min()) >= 1 - step_size * (2 - m) - 1e-9
    with torch.no_grad():
        image = method.reconstruct(p.y, p.physics).image.flatten()
    truth = torch.linalg.solve(
        torch.eye(size, dtype=torch.float64) - g, operator.matrix.T @ p.y.flatten()
    )
    assert (image - truth).norm() <= 1e-8 * truth.norm()


@pytest.mark.parametrize("splitting", ["gradient", "proximal"])
def test_only_the_ratio_of_score_and_gain_matters(create: Any, splitting: str) -> None:
    """F and λ ten times as large leave every iterate as it is, and the constraint too."""
    p = problem((12, 12))
    options = {**SMALL, "splitting": splitting, "step_size": 0.7}
    small = create("mnm-mol", **options, lam=2.0, skip=0.5)
    large = create("mnm-mol", **options, lam=20.0, skip=5.0)

    class Louder(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 10 * small.network(x)

    large.network = Louder()
    with torch.no_grad():
        steps = [method.iteration(p.y, p.physics)(p.x) for method in (small, large)]
    torch.testing.assert_close(*steps, rtol=1e-10, atol=1e-12)


def test_the_stable_variant_starts_within_its_constraint() -> None:
    """Before training, by the Jacobian's norm; its iteration then meets its tolerance."""
    task = bench.create_task("mri-multicoil", size=32, coils=4)
    torch.manual_seed(0)
    method = bench.create_method("mnm-mol", task=task, variant="stable", width=32)
    batch = task.batch("validation", [0, 1])
    with torch.no_grad():
        result = method.reconstruct(batch.y, batch.physics)
    assert bool(result.traces[0].converged.all())
    norm = estimate("jacobian", method.probes(result, batch.y, batch.physics))
    assert float(norm.max()) <= method.claims().threshold


# ---------------------------------------------------------------------- the penalty


class Gain(nn.Module):
    """The F for which I - Q is ``gain`` times the identity."""

    def __init__(self, physics: Any, lam: float, gain: float) -> None:
        super().__init__()
        self.physics, self.lam = physics, lam
        self.gain = nn.Parameter(torch.tensor(gain, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.lam * (x - self.physics.A_adjoint_A(x) - self.gain * x)


def penalty(method: Any, p: Any) -> tuple[Tensor, dict[str, Tensor]]:
    result = bench.reconstructor.Reconstruction(p.x)
    ones = torch.ones(len(p.x))
    batch = Batch(p.x, p.y, p.physics, (), ones, ones)
    torch.manual_seed(0)
    return method.penalty(result, batch, TrainingState(0, 1, 0))


@pytest.mark.parametrize("gain", [0.5, 0.97, 0.99, 1.2])
def test_the_penalty_is_zero_up_to_the_threshold(create: Any, gain: float) -> None:
    """``ReLU(L - (1 - m))^2``, and so is its derivative."""
    p = problem(batch=2)
    method = create("mnm-mol", **SMALL, lam=5.0, m=0.02, estimate_steps=2)
    method.network = Gain(p.physics, 5.0, gain)
    value, logged = penalty(method, p)
    assert float(logged["lipschitz"]) == pytest.approx(gain, abs=1e-12)
    excess = max(gain - 0.98, 0.0)
    assert float(value.detach()) == pytest.approx(excess**2, abs=1e-12)
    value.backward()
    assert float(method.network.gain.grad) == pytest.approx(2 * excess, abs=1e-9)


def test_points_stay_in_the_ball_and_in_what_the_coils_see(create: Any) -> None:
    """Outside the coils' support the estimate looks at the image itself, and nothing else."""
    p = problem((8, 8), batch=2)
    maps = p.physics.coil_maps.clone()
    maps[0, ..., :3] = 0
    maps[1, :, :2] = 0
    physics = MultiCoilMRI(p.physics.mask, maps)
    p = type(p)(p.x, physics.A(p.x), physics)
    outside = (maps == 0).all(1, keepdim=True).expand_as(p.x)
    assert outside.flatten(1).sum(1).tolist() == [48, 32]
    method = create("mnm-mol", **SMALL, delta=0.3, estimate_steps=6)
    seen = []
    method.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    penalty(method, p)
    assert len(seen) == 2 * (6 + 1)
    for point in seen:
        moved = point - p.x
        assert moved[outside].eq(0).all()
        distance = moved.flatten(1).norm(dim=1) / p.x.flatten(1).norm(dim=1)
        assert (distance <= 0.3 * (1 + 1e-12)).all()
        assert (distance > 0).all()


@pytest.mark.parametrize("variant", [None, "published", "stable"])
def test_variants(variant: str | None) -> None:
    """The published gradient step is the default; residuals are by MOL's splitting in all."""
    method = bench.create_method("mnm-mol", variant=variant, width=4, depth=2)
    assert method.config.splitting == ("proximal" if variant == "stable" else "gradient")
    reference = method.reference()
    assert reference.config.splitting == "proximal"
    assert reference.network is method.network
