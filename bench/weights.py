"""Checkpoints: ours, and released ones of other authors under their own names.

Nothing is ever unpickled but tensors (``weights_only``).
"""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from bench.config import as_dict, build, flattened, nearest
from bench.data.archives import damaged, require_file, require_not_sparse
from bench.data.contained import below
from bench.errors import InputError
from bench.reconstructor import Layout, Reconstructor
from bench.registry import create_method, method_class
from bench.text_input import parse_json

Tensors = dict[str, Tensor]

_LARGEST_COUNT = 10**6  # of layers, iterations or channels that a file may ask for
SHIPPED, CHECKPOINTS = "package:", Path(__file__).with_name("checkpoints")


def load_checkpoint(method: Reconstructor, path: Path) -> None:
    """Load parameters and buffers of a checkpoint that one of our fits wrote.

    Raises:
        InputError: naming the first tensor that is missing, unknown, or of another shape.
    """
    load_tensors(method, read_tensors(path), str(path))


def load_released(method: Reconstructor, path: Path, layout: str | None) -> None:
    """Load weights in a layout of the method's; None: our own.

    What the method requires of others (a backbone) is left as it is.

    Raises:
        InputError: unknown layout, unreadable file, or naming the first tensor that does not fit.
    """
    tensors = read_tensors(path)
    if layout is None:
        load_tensors(method, tensors, str(path))
        return
    tensors = _renamed(tensors, layout_of(type(method), layout), str(path))
    others = tuple(f"{name}." for name in method.requires())
    load_tensors(method, tensors, str(path), given=others)


def weights_path(file: str, data: Path | None) -> Path:
    """The file that a suite names: absolute, or below the data folder.

    ``package:FOLDER/NAME`` is one of ours, below ``bench/checkpoints``.

    Raises:
        InputError: no data folder, or a path that leaves ours.
    """
    if file.startswith(SHIPPED):
        path = Path(os.path.normpath(CHECKPOINTS / file.removeprefix(SHIPPED)))
        if not path.is_relative_to(CHECKPOINTS):
            raise InputError("leaves the package", where=file, expected=f"{SHIPPED}FOLDER/NAME")
        return path
    if Path(file).is_absolute():
        return Path(file)
    if data is None:
        raise InputError(
            "weights need a data folder", where=file, expected="--data DIR or EQUIBENCH_DATA"
        )
    return below(data, file, "weights")


def layout_of(cls: type[Reconstructor], name: str) -> Layout:
    """A layout by name. Raises InputError with those that there are."""
    if name not in cls.layouts:
        expected = nearest(name, cls.layouts) if cls.layouts else f"none is known for {cls.name}"
        raise InputError(f"unknown layout {name!r}", where=cls.name, expected=expected)
    return cls.layouts[name]


def read_tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file or a torch checkpoint, by name.

    Raises:
        InputError: if there is no such file, or it holds anything but tensors.
    """
    where = str(path)
    require_file(path, "a checkpoint")
    require_not_sparse(path)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except Exception as error:  # safetensors raises its own type, and OSError
            raise InputError(
                f"unreadable ({error})", where=where, expected="safetensors"
            ) from error
    _require_packed(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own
        message = str(error).partition("\n")[0]
        raise InputError(
            f"unreadable ({message})", where=where, expected="a torch checkpoint of tensors"
        ) from error
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not isinstance(content, dict) or not all(map(_is_named_tensor, content.items())):
        raise InputError("holds more than tensors", where=where, expected="a state_dict")
    return content


def _require_packed(path: Path) -> None:
    """Refuse a zip whose entries grow: torch writes them as they are."""
    try:
        if not zipfile.is_zipfile(path):  # torch's format before 1.6
            return
        with zipfile.ZipFile(path) as archive:
            held = sum(info.file_size for info in archive.infolist())
    except Exception as error:  # the zip's own, and those of damaged names
        raise damaged(path, error, "a torch checkpoint of tensors") from error
    if held > path.stat().st_size:
        what = f"entries of {held} bytes in a file of {path.stat().st_size}"
        raise InputError(what, where=str(path), expected="a torch checkpoint, not compressed")


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    """Of ordinary memory: neither sparse nor without any data."""
    name, value = item
    plain = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
    return isinstance(name, str) and plain and not value.is_quantized


def load_tensors(
    method: Reconstructor, tensors: Tensors, where: str, given: tuple[str, ...] = ()
) -> None:
    """Load exactly these tensors; those whose names begin with ``given`` may be missing."""
    own = method.state_dict()
    needed = {name for name in own if not name.startswith(given)} if given else set(own)
    for name in sorted({*needed, *tensors}):
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape:
            have = tuple(tensors[name].shape) if name in tensors else "nothing"
            want = tuple(own[name].shape) if name in own else "no such tensor"
            raise InputError(f"{name}: {have}", where=where, expected=str(want))
    method.load_state_dict({**own, **tensors})


def convert(
    file: Path, layout: str, method: str, out: Path, backbone: Path | None = None
) -> Reconstructor:
    """Released weights to a safetensors file that :func:`load_method` reads.

    Args:
        backbone: weights of the method that this one is built on, converted before.

    Raises:
        InputError: as :func:`load_released`, and if a backbone is missing or not wanted.
    """
    cls = method_class(method)
    values = dict(layout_of(cls, layout).config)
    if backbone is not None:
        if "backbone" not in cls.Config.__dataclass_fields__:
            raise InputError(f"{cls.name} is not built on another method", where="--backbone")
        values["backbone"] = _description(backbone)
    created = create_method(cls.name, **values)
    load_released(created, file, layout)
    for name, module in created.requires().items():
        if backbone is None:
            raise InputError(f"{cls.name} needs the weights of its {name}", expected="--backbone")
        load_checkpoint(module, backbone)
    tensors = {name: value.contiguous() for name, value in created.state_dict().items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, {**description(created), "layout": layout, "file": file.name})
    return created


def load_method(path: Path | str) -> Reconstructor:
    """The method of a file that :func:`convert` or a fit wrote, in evaluation mode."""
    path = Path(path)
    description, tensors = _description(path), read_tensors(path)
    cls = method_class(description["method"])
    config = build(cls.Config, description["config"], f"{path}: {cls.name}")
    _require_small(lambda: cls(config), tensors, str(path))
    method = cls(config)
    load_tensors(method, tensors, str(path))
    method.eval()
    return method


def _require_small(create: Callable[[], object], tensors: Tensors, where: str) -> None:
    """Refuse a configuration whose network is far larger than what the file has of it.

    It is built once without any memory, and counted on the way.
    """
    held = sum(tensor.numel() for tensor in tensors.values())
    left = 2 * held + 10**6

    def count(module: object, name: str, parameter: Tensor | None) -> None:
        nonlocal left
        left -= parameter.numel() if parameter is not None else 0
        if left < 0:
            what = f"is described as a network far larger than its {held} numbers"
            raise InputError(what, where=where, expected="the configuration of these weights")

    counting = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            create()
    except InputError:
        raise
    except Exception:  # a method that computes while it is built cannot do so without memory
        return
    finally:
        counting.remove()


def method_with_weights(name: str, path: Path | None) -> Reconstructor:
    """A method by name, as it was when these weights were written; without any, at its defaults.

    Raises:
        InputError: weights of another method, or a method that cannot do without.
    """
    if path is not None:
        method = load_method(path)
        if method.name != method_class(name).name:
            raise InputError(f"are of {method.name}", where=str(path), expected=f"of {name}")
        return method
    method = create_method(name)
    if method.recipe().stages or method.requires():
        raise InputError(f"{name} has to be trained", where="evaluate", expected="--weights FILE")
    return method


def description(method: Reconstructor) -> dict[str, str]:
    """What a file's metadata says of its weights, so that :func:`load_method` can read them."""
    return {"method": method.name, "config": json.dumps(as_dict(method.config))}


def _description(path: Path) -> dict[str, Any]:
    """Which method a file's weights are of, and its configuration."""
    read_tensors(path)  # says what is wrong with the file
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    if not {"method", "config"} <= set(metadata):
        raise InputError(
            "does not say which method it is of", where=str(path), expected="import-weights' output"
        )
    config = parse_json(metadata["config"], f"{path}: config", "a method's configuration")
    if not isinstance(config, dict):
        raise InputError("is not an object", where=f"{path}: config", expected="fields")
    for name, value in flattened(config).items():
        if isinstance(value, int) and value > _LARGEST_COUNT:
            expected = f"at most {_LARGEST_COUNT}"
            raise InputError(f"{name} = {value}", where=f"{path}: config", expected=expected)
    return {"method": metadata["method"], "config": config}


def _renamed(tensors: Tensors, layout: Layout, where: str) -> Tensors:
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        if any(re.fullmatch(pattern, name) for pattern in layout.ignore):
            continue
        found = [p for p in layout.rename if re.fullmatch(p, name)]
        if not found:
            expected = "one of " + ", ".join(layout.rename)
            raise InputError(f"{name}: not of this layout", where=where, expected=expected)
        renamed[re.sub(found[0], layout.rename[found[0]], name)] = tensor
    return renamed
