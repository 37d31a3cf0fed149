"""A slowdown above a quarter fails: our time by a yardstick's of the same run, against records.

The yardsticks do the same arithmetic on the same machine at the same moment, so that their ratio
to ours depends little on either. `make peers` prints the whole table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.peers import fixed_points, operators, training
from tests.peers.comparison import Call, seconds
from tests.peers.engines import by_picard

# yardstick / ours; the least of several runs on a quiet machine and beside other work
RECORDED = {
    "normal operator, 2-D mask": 2.25,
    "normal operator, columns": 2.7,
    "fixed point of mol-lr": 2.0,
    "training step of mol-lr": 3.1,
}
SLOWER = 1.25


def _normal_operator(columns: bool) -> tuple[Call, Call]:
    calls, _ = operators.contenders(1, columns)
    return calls["ours"], calls["deepinv"]


def _fixed_point() -> tuple[Call, Call]:
    f, x0 = fixed_points.problem("mol-lr", samples=4)
    # plain iteration to a tenth of the accuracy: a yardstick that takes a second
    return lambda: fixed_points.ours(f, x0), lambda: by_picard(f, x0, 1e-4, 400)


def _training_step() -> tuple[Call, Call]:
    return training.step("mol-lr", "ours", 1e-3), training.step("mol-lr", "textbook", 1e-3)


PAIRS: dict[str, Callable[[], tuple[Call, Call]]] = {
    "normal operator, 2-D mask": lambda: _normal_operator(False),
    "normal operator, columns": lambda: _normal_operator(True),
    "fixed point of mol-lr": _fixed_point,
    "training step of mol-lr": _training_step,
}


@pytest.mark.alone
@pytest.mark.benchmark(group="against a yardstick")
@pytest.mark.parametrize("name", RECORDED)
def test_no_slower_than_recorded(name: str, benchmark: Any) -> None:
    ours, yardstick = PAIRS[name]()
    benchmark.pedantic(ours, rounds=3, warmup_rounds=1)
    wanted, seen = RECORDED[name] / SLOWER, []
    with torch.set_grad_enabled("training" in name):
        for _ in range(3):  # again if other work got in between
            time = seconds({"ours": ours, "yardstick": yardstick}, repeats=5, warm_up=0)
            seen.append(round(time["yardstick"] / time["ours"], 2))
            benchmark.extra_info["yardstick / ours"] = seen[-1]
            if seen[-1] >= wanted:
                return
    pytest.fail(
        f"the yardstick takes {seen} times as long; {wanted:.2f} expected ({RECORDED[name]})"
    )
