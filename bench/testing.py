"""The conformance suite: what every method must hold to, ours and other people's.

    from bench.testing import check_method
    check_method("my-method")

or, for a line of its own for every check, parametrise over :data:`CHECKS`:

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_conformance(check):
        check(Subject("my-method", "mri-multicoil"))

Methods are checked untrained and at their ``small`` configuration. A failure is an
``AssertionError`` that says which number differs from what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from bench.errors import InputError
from bench.measure.evaluations import count_evaluations
from bench.operators.norms import relative_norms
from bench.problems import TASKS, Problem, random_problem
from bench.reconstructor import Reconstruction, Reconstructor
from bench.registry import create_method, create_task, method_class

# samples of one batch against each alone, in float64: sums in another order, through an iteration
# (fifty steps of conjugate gradients on CT magnify them to 1e-7). In float32 they would move a stop
# on one CPU or another, and an image by an inner solve's tolerance.
BATCH_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Subject:
    """A method on a task, and how to make both."""

    method: str
    task: str
    device: str = "cpu"

    def create(self, seed: int = 0, **config: Any) -> Reconstructor:
        """The method at its small configuration, in evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            task = create_task(self.task)
            small = method_class(self.method).small(task)
            method = create_method(self.method, task, **{**small, **config})
        method.to(self.device).eval()
        return method

    def problem(self, **changes: Any) -> Problem:
        """A problem of the task."""
        return random_problem(self.task, device=self.device, **changes)


def subjects(name: str, device: str = "cpu") -> Iterator[Subject]:
    """The method on each of its tasks that there is a problem for."""
    for task in method_class(name).tasks:
        if task in TASKS:
            yield Subject(method_class(name).name, task, device)


def check_method(name: str, device: str = "cpu") -> None:
    """Run every check on every task of the method, on CUDA too where there is a device.

    Raises:
        AssertionError: for the first check that does not hold, naming it.
        InputError: if there is no such method, or none of its tasks is known.
    """
    found = list(subjects(name, device))
    if torch.cuda.is_available() and device == "cpu":
        found += subjects(name, "cuda")
    if not found:
        raise InputError(f"{name}: no known task", expected="one of " + ", ".join(TASKS))
    for subject in found:
        for label, check in CHECKS.items():
            try:
                check(subject)
            except AssertionError as error:
                where = f"{subject.method} on {subject.task} ({subject.device})"
                raise AssertionError(f"{where}: {label}: {error}") from error


# ---------------------------------------------------------------------- checks


def deterministic(subject: Subject) -> None:
    """One seed gives one method, and one method one image."""
    problem = subject.problem()
    first, second = (_image(subject.create(seed=3), problem) for _ in range(2))
    assert torch.equal(first, second), "two methods of one seed differ"
    method = subject.create()
    assert torch.equal(_image(method, problem), _image(method, problem)), "two calls differ"


def batch_independent(subject: Subject) -> None:
    """A sample's image and counts do not depend on what else is in the batch."""
    method, problem = subject.create().double(), subject.problem(dtype=torch.float64)
    together = _run(method, problem)
    for i in range(len(problem.y)):
        alone = _run(method, problem.select(i))
        difference = relative_norms(together.image[i : i + 1] - alone.image, alone.image)
        assert float(difference) <= BATCH_TOLERANCE, (
            f"sample {i} differs by {float(difference):.1e}"
        )
        for a, b in zip(together.traces, alone.traces, strict=True):
            off = abs(int(a.evaluations[i]) - int(b.evaluations[0]))
            assert off == 0, f"sample {i} took {off} evaluations more or less in the batch"


def scale(subject: Subject) -> None:
    """``scale_equivariant`` says what multiplying the measurements does."""
    method, problem = subject.create(), subject.problem()
    for factor in (1e-2, 1e2):
        scaled = _image(method, replace(problem, y=factor * problem.y))
        image = factor * _image(method, problem)
        assert torch.isfinite(scaled).all(), f"not finite for measurements times {factor}"
        difference = float(relative_norms(scaled - image, image).max())
        if method.scale_equivariant:
            assert difference <= 1e-3, f"times {factor}: off by {difference:.1e}"


def gradient_reaches_everything(subject: Subject) -> None:
    """Training moves every trainable parameter, by its stages taken together."""
    method, problem = subject.create(), subject.problem(batch=2)
    stages = method.recipe().stages
    trainable = {n: p for n, p in method.named_parameters() if p.requires_grad}
    if not stages:
        assert not trainable, f"{sorted(trainable)} are trainable and there is no stage to train"
        return
    method.train()
    for stage in stages:
        view = method.during(stage.name, 0.99)
        if stage.noise is None:
            output = view.reconstruct(problem.y, problem.physics).image
        else:
            output = view.denoise(problem.x)
        (output - problem.x).square().sum().backward()
        for name, parameter in trainable.items():
            finite = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
            assert finite, f"the gradient of {name} is not finite in stage {stage.name}"
    missing = [name for name, parameter in trainable.items() if parameter.grad is None]
    assert not missing, f"no gradient reaches {missing}"
    frozen = [n for n, p in method.named_parameters() if not p.requires_grad and p.grad is not None]
    assert not frozen, f"{frozen} are frozen and have a gradient"


def arguments_untouched(subject: Subject) -> None:
    """Neither measurements nor operator are modified."""
    method, problem = subject.create(), subject.problem()
    y = problem.y.clone()
    buffers = {name: buffer.clone() for name, buffer in problem.physics.named_buffers()}
    _run(method, problem)
    assert torch.equal(problem.y, y), "the measurements were modified"
    for name, buffer in problem.physics.named_buffers():
        assert torch.equal(buffer, buffers[name]), f"the operator's {name} was modified"


def only_measurements_matter(subject: Subject) -> None:
    """What stands where nothing was measured is ignored."""
    problem = subject.problem()
    mask = getattr(problem.physics, "mask", None)
    if mask is None:
        return
    method = subject.create()
    junk = torch.ones_like(problem.y) * (1 - mask.unsqueeze(1))
    with_junk = _image(method, replace(problem, y=problem.y + junk))
    image = _image(method, problem)
    difference = float(relative_norms(with_junk - image, image).max())
    assert difference <= 1e-6, f"unmeasured entries change the image by {difference:.1e}"


def settled_where_it_says(subject: Subject) -> None:
    """A trace that claims convergence has the residual for it."""
    method, problem = subject.create(), subject.problem()
    view = method.to_convergence(tol=1e-4, max_iter=100)
    if view is None:
        return
    result = _run(view, problem)
    with torch.no_grad():
        residual = view.residual(result.image, problem.y, problem.physics)
    if residual is None:
        return
    converged = torch.stack([trace.converged for trace in result.traces]).all(0)
    worst = float(residual[converged].max()) if bool(converged.any()) else 0.0
    # the trace is about the step before, and inner solves have a tolerance of their own
    assert worst <= 1e-3, f"converged to 1e-4, and the residual is {worst:.1e}"


def any_size(subject: Subject) -> None:
    """Odd sizes."""
    problem = subject.problem(size=(21, 17))
    image = _image(subject.create(), problem)
    assert image.shape == problem.x.shape, f"{tuple(image.shape)} for {tuple(problem.x.shape)}"
    assert torch.isfinite(image).all(), "not finite"


def any_coils(subject: Subject) -> None:
    """One coil, two and eight."""
    if subject.task != "mri-multicoil":
        return
    for coils in (1, 2, 8):
        problem = subject.problem(batch=1, coils=coils)
        assert torch.isfinite(_image(subject.create(), problem)).all(), f"not finite: {coils} coils"


def double_precision(subject: Subject) -> None:
    """The same method in float64 gives the same image, in float64."""
    single = _image(subject.create(), subject.problem())
    double = _image(subject.create().double(), subject.problem(dtype=torch.float64))
    assert double.dtype == torch.float64, f"{double.dtype} from float64"
    difference = float(relative_norms(single - double, double).max())
    assert difference <= 1e-2, f"float32 and float64 differ by {difference:.1e}"


def checkpoint_round_trip(subject: Subject) -> None:
    """Everything that the image depends on is in the checkpoint."""
    problem, method = subject.problem(), subject.create(seed=1)
    tensors = {k: v.detach().cpu().contiguous() for k, v in method.state_dict().items()}
    other = subject.create(seed=2)
    other.load_state_dict(load(save(tensors)))
    assert torch.equal(_image(other, problem), _image(method, problem)), "another image"


def honest_counts(subject: Subject) -> None:
    """Evaluations in the traces are those that happened, forward and in training."""
    method, problem = subject.create(), subject.problem()
    for training in (False, True):
        method.train(training)
        with torch.set_grad_enabled(training), count_evaluations(method) as counted:
            result = method.reconstruct(problem.y, problem.physics)
        claimed = sum(int(trace.evaluations.sum()) for trace in result.traces)
        if result.traces or counted.network:
            assert claimed == counted.network, f"{claimed} claimed, {counted.network} counted"


def measurement_gradient(subject: Subject) -> None:
    """A gradient in the measurements, where there is one, is that of differences.

    At the fixed point, in float64: a method with another one would seem robust to attacks.
    """
    problem = subject.problem(batch=1, dtype=torch.float64)
    method = subject.create().double()
    view = method.to_convergence(tol=1e-9, max_iter=300) or method
    y = problem.y.clone().requires_grad_()
    result = view.reconstruct(y, problem.physics)
    settled = all(bool(t.converged.all()) for t in result.traces if t.history.numel())
    if not result.image.requires_grad or not settled:
        return

    def error(image: Tensor) -> Tensor:
        return (image - problem.x).square().sum()

    (gradient,) = torch.autograd.grad(error(result.image), y, allow_unused=True)
    assert gradient is not None, "the image has a gradient, but none in the measurements"
    slope, step = float(gradient.norm()), 1e-5 * float(y.detach().norm())
    direction = gradient / slope
    ends = [_image(view, replace(problem, y=problem.y + s * step * direction)) for s in (1, -1)]
    seen = float(error(ends[0]) - error(ends[1])) / (2 * step)
    # the gradient of a truncated inner solve is that of the exact one: a few percent
    assert abs(seen - slope) <= 0.1 * abs(slope), f"slope {seen:.3g}, gradient {slope:.3g}"


CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__: check
    for check in (
        arguments_untouched,  # first: the others use one problem twice
        deterministic,
        batch_independent,
        scale,
        gradient_reaches_everything,
        only_measurements_matter,
        settled_where_it_says,
        any_size,
        any_coils,
        double_precision,
        checkpoint_round_trip,
        honest_counts,
        measurement_gradient,
    )
}


def _run(method: Reconstructor, problem: Problem) -> Reconstruction:
    with torch.no_grad():
        return method.reconstruct(problem.y, problem.physics)


def _image(method: Reconstructor, problem: Problem) -> Tensor:
    return _run(method, problem).image
