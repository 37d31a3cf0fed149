"""Peak memory of a step, counted without a device and, on fake tensors, without data.

Every operator output is a storage that lives until its last user drops it. Adding up the live ones
gives the same bytes for fake tensors, which have shapes and no values, as for real ones on the CPU,
and the same on every run. It is what an allocator must at least provide: the workspace inside an
operator (a convolution's, an FFT's), fragmentation and the CUDA context come on top.
"""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

BLOCK = 512  # bytes; CUDA's caching allocator rounds every request up to a multiple of it


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that are alive, and the most there have been at once.

    A storage counts once, whatever views it has, from the operator that returns it (or, if it is
    older, from :meth:`hold` or the first operator that reads it) until it is freed. Enter it inside
    a ``FakeTensorMode``, or on its own for real tensors.

    Attributes:
        live: bytes alive now.
        peak: the largest ``live`` so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._known: set[int] = set()

    def hold(self, *values: Any) -> None:
        """Count what is alive already: tensors, and modules' parameters, gradients and buffers."""
        for tensor in _tensors(values):
            self._add(tensor)
        with _disable_current_modes():  # real ones, also where everything else is fake
            for tensor in _listed(values, "constants"):
                self._add(tensor)
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in _tensors((args, output)):
            self._add(tensor)
        if kwargs:
            for tensor in _tensors(kwargs):
                self._add(tensor)
        self.peak = max(self.peak, self.live)
        return output

    @staticmethod
    def size(tensor: Tensor) -> int:
        """Bytes of a dense tensor's storage, in whole blocks."""
        return -(-tensor.untyped_storage().nbytes() // BLOCK) * BLOCK

    def _add(self, tensor: Tensor) -> None:
        if tensor.layout is not torch.strided:  # sparse rows have three storages of their own
            for part in (tensor.crow_indices(), tensor.col_indices(), tensor.values()):
                self._add(part)
            return
        storage = tensor.untyped_storage()
        key = id(storage)  # the one Python object of a storage, as long as either is alive
        if key in self._known:
            return
        size = self.size(tensor)
        self._known.add(key)
        self.live += size
        weakref.finalize(storage, self._release, key, size).atexit = False

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def count_peak(step: Callable[..., object], *inputs: Any, fake: bool = False) -> int:
    """The peak bytes of ``step(*inputs)``: its inputs and all that it makes.

    Inputs (tensors, modules, containers of them; ``requires_grad`` is kept) count from the
    beginning. What the step reaches in other ways, as by a closure, counts from its first use.

    Args:
        step: for instance a training step: forward, loss, backward and update.
        inputs: its arguments.
        fake: run it on copies of the inputs that have no data. The step must then not look at a
            value (a fixed number of iterations, no ``.item()``, no boolean index), and reach
            tensors by its inputs alone.
    """
    if not fake:
        return count(step, inputs).peak
    mode = FakeTensorMode()
    inputs = fake_copy(mode, inputs)
    with mode:
        return count(step, inputs).peak


class Count(NamedTuple):
    """Bytes of a step: the most alive at once, and those that it leaves behind.

    Left behind is what is alive afterwards, was not before, and is no cache that a module owns up
    to (``caches``: what every step replaces). With each step there would be more of it.
    """

    peak: int
    kept: int


def count(step: Callable[..., object], inputs: tuple[Any, ...]) -> Count:
    """:func:`count_peak` of inputs as they are, fake ones inside their mode."""
    counter = LiveBytes()
    with counter:
        counter.hold(inputs)
        before = counter.live
        step(*inputs)
        if counter.live > before:
            gc.collect()  # cycles are no leak
        cached = sum(map(counter.size, _listed(inputs, "caches")))
    return Count(counter.peak, max(0, counter.live - before - cached))


def fake_copy(mode: FakeTensorMode, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A deep copy in which every tensor is fake; views of one storage stay that."""
    memo: dict[int, Any] = {id(tensor): mode.from_tensor(tensor) for tensor in _tensors(inputs)}
    return copy.deepcopy(inputs, memo)


def _listed(value: Any, name: str) -> Iterable[Tensor]:
    """What modules list under ``constants`` (a sparse matrix) or ``caches``, if they do."""
    if isinstance(value, nn.Module):
        for module in value.modules():
            yield from getattr(module, name, ())
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _listed(item, name)


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        for tensor in (*value.parameters(), *value.buffers()):
            yield tensor
            if tensor.grad is not None:
                yield tensor.grad
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            if not isinstance(item, int | float | str):  # sizes: most of what operators are given
                yield from _tensors(item)
