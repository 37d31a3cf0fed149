"""The count of live bytes, by hand and on training steps; what an implicit gradient costs."""

from __future__ import annotations

import gc
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from bench.measure.live_bytes import LiveBytes, count_peak
from bench.operators import MultiCoilMRI
from methods.equilibrium import EquilibriumConfig, SolverConfig
from methods.mol import MOLLR, MOLConfig

KIB = 1024
IMAGE = 2 * 64 * 64 * 4  # bytes
COILS = 4
Method = Literal["picard", "anderson"]
METHODS: tuple[Method, ...] = ("picard", "anderson")


def fixed(method: Method, count: int) -> SolverConfig:
    return SolverConfig(method, tol=0.0, max_iter=count)


def implicit(forward: Method, backward: Method) -> EquilibriumConfig:
    return EquilibriumConfig(fixed(forward, 3), fixed(backward, 3))


ONE_ITERATION = EquilibriumConfig(fixed("picard", 1), gradient="unrolled")


def problem(
    width: int, equilibrium: EquilibriumConfig
) -> tuple[MOLLR, MultiCoilMRI, Tensor, Tensor]:
    """Method, operator, measurements and target: 64 x 64, a 2-D mask, fixed iteration counts."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(COILS, 64, 64, dtype=torch.complex64, generator=generator) / COILS**0.5
    mask = (torch.rand(64, 64, generator=generator) < 0.25).float()
    config = MOLConfig(
        width=width,
        alpha=0.5,
        lam=2.0,
        initial="adjoint",
        cg_tol=0.0,
        cg_iterations=2,
        cg_backward_iterations=2,
        equilibrium=equilibrium,
    )
    y = torch.randn(1, 2, COILS, 64, 64, generator=generator)
    x = torch.randn(1, 2, 64, 64, generator=generator)
    return MOLLR(config), MultiCoilMRI(mask, maps), y, x


def gradient_step(method: MOLLR, physics: MultiCoilMRI, y: Tensor, x: Tensor) -> None:
    (method.reconstruct(y, physics).image - x).square().mean().backward()


def training_steps(method: MOLLR, physics: MultiCoilMRI, y: Tensor, x: Tensor) -> None:
    optimiser = torch.optim.Adam(method.parameters())
    for _ in range(2):  # in the second, the optimiser's state is there from the beginning
        optimiser.zero_grad()
        gradient_step(method, physics, y, x)
        optimiser.step()


# ---------------------------------------------------------------------- the count


@pytest.mark.parametrize("fake", [False, True])
def test_a_count_by_hand(fake: bool) -> None:
    """Storages of 4 KiB; views are free, a freed storage is, and sizes round up to 512 bytes."""

    def step(x: Tensor) -> None:
        a = x + 1  # 8
        b = a.view(2, -1).T[0]  # a view
        a = b * 2  # b keeps the first: 8 + 2
        del a, b  # 4
        c = x * 3  # 8
        c.add_(1)
        c = c * 2  # 12, then 8
        d = torch.ones(3) + c[:3]  # two of 512
        del c, d

    assert count_peak(step, torch.zeros(1024), fake=fake) == 12 * KIB
    assert count_peak(lambda: torch.ones(129), fake=fake) == 2 * 512
    assert count_peak(lambda x: x.view(-1), torch.zeros(1024), fake=fake) == 4 * KIB
    assert count_peak(lambda: None, fake=fake) == 0


@pytest.mark.parametrize("fake", [False, True])
def test_what_autograd_keeps_is_counted(fake: bool) -> None:
    """exp keeps its output, a product its two factors, a sum nothing; gradients stay."""
    x = torch.zeros(1024, requires_grad=True)

    def forward(x: Tensor, layers: int, keeps: bool) -> None:
        value = x
        for _ in range(layers):
            value = value.exp() if keeps else value + 1

    assert count_peak(lambda x: forward(x, 10, True), x, fake=fake) == 11 * 4 * KIB
    assert count_peak(lambda x: forward(x, 10, False), x, fake=fake) == 3 * 4 * KIB
    module = nn.Linear(32, 32, bias=False)  # 4 KiB of weights
    module.weight.grad = torch.zeros_like(module.weight)
    assert count_peak(lambda m: None, module, fake=fake) == 8 * KIB


def test_live_bytes_fall_to_what_is_held() -> None:
    held = torch.zeros(1024, requires_grad=True)
    gc.collect()
    with LiveBytes() as counter:
        counter.hold(held)
        assert counter.live == 4 * KIB
        (held.exp() * 2).sum().backward()
        assert counter.live == 8 * KIB  # and its gradient
        assert counter.peak > 8 * KIB
        held.grad = None
        assert counter.live == 4 * KIB
        del held
        assert counter.live == 0


def test_nothing_has_data_or_is_changed_on_fake_tensors() -> None:
    """A step of a size that no machine has; the inputs' own parameters and gradients stay."""
    method, physics, y, x = problem(8, ONE_ITERATION)
    before = [p.detach().clone() for p in method.parameters()]
    count_peak(training_steps, method, physics, y, x, fake=True)
    assert all(torch.equal(p, b) for p, b in zip(method.parameters(), before, strict=True))
    assert all(p.grad is None for p in method.parameters())
    side = 2**22
    assert count_peak(lambda: torch.ones(side, side), fake=True) == 4 * side**2


@pytest.mark.parametrize(
    "equilibrium",
    [
        implicit("anderson", "anderson"),
        implicit("picard", "picard"),
        EquilibriumConfig(fixed("anderson", 3), gradient="jacobian-free"),
        EquilibriumConfig(fixed("picard", 3), gradient="unrolled"),
    ],
    ids=["anderson", "picard", "jacobian-free", "unrolled"],
)
def test_fake_tensors_give_the_count_of_real_ones(equilibrium: EquilibriumConfig) -> None:
    """To the byte: convolutions, complex FFTs, CG, custom autograd functions, Adam."""
    counts = {
        count_peak(training_steps, *problem(16, equilibrium), fake=fake) for fake in (True, False)
    }
    assert len(counts) == 1, counts


# ---------------------------------------------------------------------- an implicit gradient


@pytest.fixture(scope="module")
def peaks() -> dict[tuple[Any, ...], int]:
    """Bytes of one forward and backward pass, for two widths."""
    found: dict[tuple[Any, ...], int] = {}
    for width in (16, 64):
        found[width, "K=1"] = count_peak(gradient_step, *problem(width, ONE_ITERATION), fake=True)
        ten = EquilibriumConfig(fixed("picard", 10), gradient="unrolled")
        found[width, "K=10"] = count_peak(gradient_step, *problem(width, ten), fake=True)
        for forward in METHODS:
            for backward in METHODS:
                found[width, forward, backward] = count_peak(
                    gradient_step, *problem(width, implicit(forward, backward)), fake=True
                )
    return found


@pytest.mark.parametrize("forward", METHODS)
@pytest.mark.parametrize(
    ("width", "backward", "limit"),
    [
        (64, "picard", 1.05),
        (64, "anderson", 1.1),
        # next to 16 features the iterates count: Anderson's ring of 2 x 5 images most of all
        (16, "picard", 1.15),
        (16, "anderson", 1.3),
    ],
)
def test_costs_about_as_much_as_one_unrolled_iteration(
    peaks: dict[tuple[Any, ...], int], width: int, forward: Method, backward: Method, limit: float
) -> None:
    """The textbook recipe with two graphs costs 1.6 times as much; ten iterations, 5 times."""
    ratio = peaks[width, forward, backward] / peaks[width, "K=1"]
    assert ratio <= limit, peaks
    assert peaks[width, "K=10"] / peaks[width, "K=1"] > 4


@pytest.mark.parametrize("forward", METHODS)
def test_the_excess_is_a_few_images_whatever_the_network(
    peaks: dict[tuple[Any, ...], int], forward: Method
) -> None:
    """The best iterate and the like; for Anderson its ring. Never a second graph."""
    for width in (16, 64):
        for backward, images in (("picard", 8), ("anderson", 8 + 2 * 5 + 1)):
            excess = peaks[width, forward, backward] - peaks[width, "K=1"]
            assert excess <= images * IMAGE, peaks
