"""Every method of the registry through the conformance suite, and the suite through bad methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import problems, registry
from bench.errors import InputError
from bench.reconstructor import Recipe, Reconstruction, Reconstructor, Trace
from bench.testing import CHECKS, Subject, check_method, subjects

NAMES = (
    "zero-filled",
    "sense",
    "tv",
    "unet",
    "varnet",
    "modl",
    "modl-checkpointed",
    "lu-dncnn",
    "admm-net",
    "red",
    "pnp-admm",
    "tv-tv",
    "bicubic",
    "srcnn",
    "rdn",
    "rcan",
    "de-grad",
    "de-prox",
    "de-admm",
    "mol",
    "mol-sn",
    "mol-lr",
    "mnm-mol",
    "luser-sw",
    "luser-dw",
    "mcnet",
)
# what depends on the task's shapes; on a method's first tasks everything is checked
SHAPES = ("batch_independent", "gradient_reaches_everything", "any_size", "honest_counts")
PUBLISHED = ("mri-multicoil", "superres")


def _cases() -> Iterator[Any]:
    for name in NAMES:
        for subject in subjects(name):
            for label, check in CHECKS.items():
                slow = subject.task not in PUBLISHED and label not in SHAPES
                marks = [pytest.mark.slow] if slow else []
                case = f"{name}-{subject.task}-{label}"
                yield pytest.param(subject, check, id=case, marks=marks)


def test_the_registry_holds_what_is_promised() -> None:
    assert sorted(registry.methods()) == sorted(NAMES)
    assert registry.method_class("deq4ip") is registry.method_class("de-prox")


@pytest.mark.parametrize(("subject", "check"), _cases())
def test_conformance(subject: Subject, check: Any) -> None:
    check(subject)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_conformance_on_cuda(name: str) -> None:
    check_method(name, device="cuda")


# ---------------------------------------------------------------------- methods that break a rule


class Honest(Reconstructor):
    """A small method that keeps every rule; its children break one each."""

    name = "honest"
    family = "test"
    paper = "-"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.network = nn.Conv2d(config.channels, config.channels, 3, padding=1)

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        x = physics.A_adjoint(y)
        return Reconstruction(x + self.network(x), traces=(Trace.unrolled(x, 1, 1),))

    def recipe(self) -> Recipe:
        return Recipe()


class MixesSamples(Honest):
    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = super().reconstruct(y, physics)
        result.image = result.image - result.image.mean(0, keepdim=True)
        return result


class WritesIntoMeasurements(Honest):
    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        y.mul_(2)
        return super().reconstruct(y, physics)


class ReadsWhatWasNotMeasured(Honest):
    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = super().reconstruct(y, physics)
        result.image = result.image + y.mean((2, 3, 4)).view(-1, 2, 1, 1)
        return result


class Miscounts(Honest):
    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = super().reconstruct(y, physics)
        self.network(result.image)
        return result


class LeavesAParameterOut(Honest):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.unused = nn.Parameter(torch.zeros(()))


class ForgetsItsState(Honest):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.factor = float(torch.rand(()))

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = super().reconstruct(y, physics)
        result.image = result.image * self.factor
        return result


class ClaimsToScale(Honest):
    scale_equivariant = True


class Draws(Honest):
    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = super().reconstruct(y, physics)
        result.image = result.image + torch.rand(())
        return result


class SingleOnly(Honest):
    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = super().reconstruct(y, physics)
        result.image = result.image.float()
        return result


FAULTS = {
    MixesSamples: "batch_independent",
    WritesIntoMeasurements: "arguments_untouched",
    ReadsWhatWasNotMeasured: "only_measurements_matter",
    Miscounts: "honest_counts",
    LeavesAParameterOut: "gradient_reaches_everything",
    ForgetsItsState: "checkpoint_round_trip",
    ClaimsToScale: "scale",
    Draws: "deterministic",
    SingleOnly: "double_precision",
}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Any:
    def register(cls: type[Reconstructor]) -> Subject:
        known = {**registry.methods(), "honest": cls}
        monkeypatch.setattr(registry, "methods", lambda: known)
        return Subject("honest", "mri-multicoil")

    return register


def test_an_honest_method_passes(registered: Any) -> None:
    registered(Honest)
    check_method("honest")


@pytest.mark.parametrize("cls", FAULTS, ids=lambda cls: cls.__name__)
def test_every_fault_is_found(registered: Any, cls: type[Reconstructor]) -> None:
    registered(cls)
    with pytest.raises(AssertionError, match=FAULTS[cls]):
        check_method("honest")


def test_a_method_of_no_known_task_is_not_waved_through(registered: Any) -> None:
    registered(type("Elsewhere", (Honest,), {"tasks": ("astronomy",)}))
    with pytest.raises(InputError, match="mri-multicoil"):
        check_method("honest")


def test_problems_differ_by_sample() -> None:
    problem = problems.random_problem("mri-multicoil")
    assert not torch.equal(problem.physics.mask[0], problem.physics.mask[1])
    assert not torch.equal(problem.physics.coil_maps[0], problem.physics.coil_maps[1])
