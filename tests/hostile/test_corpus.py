"""Over a thousand malformed files: each is one clear line, quickly, and within 1 GiB of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CORPUS = Path(__file__).with_name("corpus.py")
AT_LEAST = 200


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """What the program made of each input, by name; read in a process of limited memory."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", str(CORPUS)],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
        check=False,
    )
    lines = [line.split("\t", 1) for line in ran.stdout.splitlines()]
    last = ran.stdout.rpartition("\n")[2]
    assert ran.returncode == 0, f"died of {last!r}: {ran.stderr[-2000:]}"
    return {name: outcome for name, outcome in lines}


def test_every_input_is_one_line_or_harmless(outcomes: dict[str, str]) -> None:
    inputs = {name: outcome for name, outcome in outcomes.items() if name != "grown"}
    refused = sum(outcome == "refused" for outcome in inputs.values())
    print(f"{len(inputs)} malformed inputs: {refused} refused, {len(inputs) - refused} harmless")
    wrong = {name: what for name, what in inputs.items() if what not in ("refused", "read")}
    assert not wrong
    assert len(inputs) >= AT_LEAST and refused >= AT_LEAST


def test_what_must_be_refused_is(outcomes: dict[str, str]) -> None:
    may_be_read = ("cut ", "zeroed", "twice", "bit flipped")
    read = [name for name, outcome in outcomes.items() if outcome == "read"]
    assert [n for n in read if not n.partition(": ")[2].startswith(may_be_read)] == []


def test_no_input_takes_much_memory(outcomes: dict[str, str]) -> None:
    assert int(outcomes["grown"]) < 2**30
