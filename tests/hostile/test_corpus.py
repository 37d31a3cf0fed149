"""Over a thousand malformed files: each is one clear line, quickly, and within 1 GiB of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
AT_LEAST = 200
# damage that may leave a valid file with other pixels, or another text
MAY_BE_READ = ("cut ", "zeroed", "twice", "bit flipped")


def outcomes() -> dict[str, str]:
    """What the program made of each input, by name; read in a process of limited memory."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.hostile.corpus"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    last = ran.stdout.rpartition("\n")[2]
    assert ran.returncode == 0, f"died of {last!r}: {ran.stderr[-2000:]}"
    return dict(line.split("\t", 1) for line in ran.stdout.splitlines())


def test_every_input_is_one_line_or_harmless() -> None:
    found = outcomes()
    grown = int(found.pop("grown"))
    wrong = {name: what for name, what in found.items() if what not in ("refused", "read")}
    assert not wrong
    read = [name for name, what in found.items() if what == "read"]
    refused = len(found) - len(read)
    print(f"{len(found)} malformed inputs: {refused} refused, {len(read)} harmless; {grown} bytes")
    assert [n for n in read if not n.partition(": ")[2].startswith(MAY_BE_READ)] == []
    assert len(found) >= AT_LEAST and refused >= AT_LEAST
    assert grown < 2**30
