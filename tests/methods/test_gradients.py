"""Every equilibrium method's implicit gradient, against autograd through a long plain iteration.

(What the options jacobian-free and unrolled do is checked in test_equilibrium.py.)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.problems import random_problem
from bench.reconstructor import Reconstructor
from methods.equilibrium import EquilibriumConfig, SolverConfig

SOLVER = SolverConfig("anderson", tol=1e-13, max_iter=400)
EXACT = {"cg_iterations": 400, "cg_tol": 1e-15}
CNN = {"width": 6, "depth": 3}
MOL = {
    **CNN,
    **EXACT,
    "cg_backward_iterations": 400,
    "alpha": 0.8,
    "lam": 3.0,
    "shift": 0.01,
    "skip": 0.5,
    "spectral_size": 12,
}
MNM = {**CNN, **EXACT, "skip": 0.5, "lam": 2.0, "step_size": 0.8}
DE = {**CNN, "spectral_norm": 0.8, "spectral_size": 12}
MCNET = {**CNN, **EXACT, "spectral_size": 12, "lipschitz": 0.3, "beta": 1.0}
MRI = {"channels": 2, "backbone": {"method": "sense"}}
LUMA = {
    "channels": 1,
    "backbone": {"method": "srcnn", "config": {"channels": 1, "features": (4, 2)}},
}
LUSER = {"width": 4, "groups": 2, "spectral_norm": 0.05, "spectral_size": 5}


class Damped(nn.Module):
    """``-x / 2 + N(x) / 4``: DE's maps are z + N(z) where A sees nothing, and have to contract."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return -0.5 * x + 0.25 * self.network(x)


@dataclass(frozen=True)
class Case:
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    task: str = "mri-multicoil"
    coils: int = 3
    steps: int = 400  # of the loop: contraction factors are 0.9 and less

    def __str__(self) -> str:
        shown = ("epsilon", "splitting", "lam_exponential", "scaled")
        parts = [str(self.config[key]) for key in shown if key in self.config]
        return "-".join([self.name, *parts, "bicubic" if self.task == "superres" else ""])


CASES = [
    Case("mol", MOL),
    Case("mol-lr", MOL | {"alpha": 1.0, "lam_exponential": True}),
    Case("mol-sn", MOL | {"spectral_norm": 0.7}),
    Case("mol-sn", MOL | {"spectral_norm": 1.0, "scaled": True, "m": 0.2}),
    Case("mnm-mol", MNM | {"splitting": "gradient"}),
    Case("mnm-mol", MNM | {"splitting": "proximal"}),
    Case("de-grad", DE),
    Case("de-prox", DE),
    Case("de-admm", DE | EXACT),
    # one coil: with three, A has full rank and tiny singular values, and plain passes creep
    Case("mcnet", MCNET | MRI | {"epsilon": 0.0}, coils=1),
    Case("mcnet", MCNET | MRI | {"epsilon": 0.02}, coils=1),
    Case("mcnet", MCNET | LUMA | {"epsilon": 0.0}, "superres"),
    Case("mcnet", MCNET | LUMA | {"epsilon": 0.1}, "superres"),
    Case("luser-sw", LUSER, steps=40),
    Case("luser-dw", LUSER, steps=40),
]


def gradients(method: Reconstructor, problem: Any, physics: Any) -> tuple[Tensor, dict[str, Any]]:
    y = problem.y.clone().requires_grad_()
    image = method.reconstruct(y, physics).image
    named = {n: p for n, p in method.named_parameters() if p.requires_grad} | {"y": y}
    found = torch.autograd.grad((image - problem.x).square().sum(), [*named.values()])
    return image.detach(), dict(zip(named, found, strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_implicit_gradient_is_that_of_a_long_unroll(case: Case, create: Any, dense: Any) -> None:
    """For all parameters and the measurements; the loop has dense matrices for its solves."""
    problem = random_problem(
        case.task, batch=1, size=(12, 12), coils=case.coils, dtype=torch.float64
    )
    solvers = EquilibriumConfig(SOLVER, SOLVER)
    method = create(case.name, equilibrium=solvers, **case.config)
    if case.name.startswith("de-"):
        method.network = Damped(method.network)
    loop = EquilibriumConfig(SolverConfig("picard", max_iter=case.steps), gradient="unrolled")
    unrolled = method.view(config=replace(method.config, equilibrium=loop))
    image, ours = gradients(method, problem, problem.physics)
    other, truth = gradients(unrolled, problem, dense(problem.physics, problem.x))
    assert (image - other).norm() <= 1e-9 * other.norm()
    largest = max(float(g.abs().max()) for g in truth.values())
    if case.name == "de-grad":  # its fixed point, A^H A z - A^H y = N(z), does not depend on η
        assert max(float(g.pop("eta").abs()) for g in (ours, truth)) <= 1e-9 * largest
    for name, gradient in truth.items():
        assert gradient.abs().max() > 1e-9 * largest, f"{name} plays no part"
        assert (ours[name] - gradient).norm() <= 1e-6 * gradient.norm(), name
