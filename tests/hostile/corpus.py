"""The malformed inputs, each with a name: mutations of valid files, and files made to harm.

Run as a program, it reads all of them within 1 GiB of memory and prints a line for each.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from tests.hostile import harmful_hdf5, harmful_text  # noqa: F401 (they register their files)
from tests.hostile.harmful import HARMFUL
from tests.hostile.valid import KINDS, place

MEMORY = 2**30  # bytes that the readers may take, all inputs together
SECONDS = 20  # that one may take
FLIPS = 10


@dataclass(frozen=True)
class Malformed:
    """One input: a valid file of a kind, damaged.

    ``refused``: it must be; else it may be read, for what was changed can be a value of a pixel.
    """

    name: str
    kind: str
    damage: Callable[[Path], None]
    refused: bool


def _cut(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def _without_the_last(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _flipped(number: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        drawn = random.Random(f"{path.name} {number}")
        content[drawn.randrange(len(content))] ^= 1 << drawn.randrange(8)
        path.write_bytes(content)

    return damage


def _zeroed(path: Path) -> None:
    size = path.stat().st_size
    content = bytearray(path.read_bytes())
    content[size // 3 : size // 3 + 40] = bytes(40)
    path.write_bytes(content)


def _doubled(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def _holding(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content), None)[1]


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _of_another_kind(path: Path) -> None:
    text = path.suffix in (".yaml", ".json", ".csv", ".txt", ".hdr")
    other = "png" if text else "golden rows"
    with tempfile.TemporaryDirectory() as folder:
        path.write_bytes(place(KINDS[other], Path(folder)).read_bytes())


_NOISE = random.Random(0).randbytes(3000)
REFUSED: dict[str, Callable[[Path], None]] = {
    "empty": _holding(b""),
    "missing": Path.unlink,
    "folder": _folder,
    "pipe": _pipe,
    "link to itself": _loop,
    "noise": _holding(_NOISE),
    "zeros": _holding(bytes(3000)),
    "not UTF-8": _holding(b"name: \xff\xfe\xfa\n" * 30),
    "escapes": _holding(b"\x1b[31m\x07\x1b]0;title\x07" * 31),
    "another kind": _of_another_kind,
}
DAMAGED: dict[str, Callable[[Path], None]] = {
    **{f"cut to {share:.0%}": _cut(share) for share in (0.02, 0.2, 0.5, 0.8, 0.95)},
    "cut by a byte": _without_the_last,
    "zeroed in the middle": _zeroed,
    "twice": _doubled,
    **{f"bit flipped {number}": _flipped(number) for number in range(FLIPS)},
}


def corpus() -> Iterator[Malformed]:
    """All inputs, the same every time."""
    for kind in KINDS:
        for name, damage in REFUSED.items():
            yield Malformed(f"{kind}: {name}", kind, damage, refused=True)
        for name, damage in DAMAGED.items():
            yield Malformed(f"{kind}: {name}", kind, damage, refused=False)
    for (kind, name), damage in HARMFUL.items():
        yield Malformed(f"{kind}: {name}", kind, damage, refused=True)


def outcome(one: Malformed) -> str:
    """``refused``, ``read``, or what went wrong."""
    kind = KINDS[one.kind]
    with tempfile.TemporaryDirectory() as folder:
        path = place(kind, Path(folder))
        one.damage(path)
        try:
            kind.read(path)
        except InputError as error:
            message = str(error)
            return "refused" if message.isprintable() and len(message) < 8000 else repr(message)
        except BaseException as error:  # whatever it is, it is a fault
            return f"{type(error).__name__}: {error}"[:300].replace("\n", " ")
    return "read"


class _TooLong(BaseException):
    pass


def _interrupt(*_: object) -> None:
    raise _TooLong(f"more than {SECONDS} s")


def main() -> None:
    """Read everything: ``NAME<tab>OUTCOME`` a line, the memory's growth last."""
    for kind in KINDS.values():  # what reading takes at first is not the inputs' fault
        with tempfile.TemporaryDirectory() as folder:
            path = place(kind, Path(folder))
            try:
                kind.read(path)
            except InputError:
                assert kind is KINDS["described weights"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, _interrupt)
    for one in corpus():
        print(one.name, end="\t", flush=True)
        signal.alarm(SECONDS)
        print(outcome(one), flush=True)
        signal.alarm(0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"grown\t{grown * 1024}")


if __name__ == "__main__":
    main()
