"""What a job is, and the key under which its results are kept."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bench.measure.questions import QUESTIONS

# labels that a reader needs and that no number depends on
NOT_IN_KEY = ("variant", "dataset_label", "protocol", "bibtex")


class Settled(dict[str, Any]):
    """A mapping that nobody changes any more: jobs that share it encode it once."""

    @functools.cached_property
    def text(self) -> str:
        """As JSON, sorted."""
        return _encoded(dict(self))


@dataclass(frozen=True)
class Job:
    """A fit, an evaluation or a measurement, with everything that determines its numbers.

    Attributes:
        config: the method's, resolved.
        task, task_config, data_seed: the training task of a fit, the test task of the others.
        content, split: hashes of the data and of the subjects in each split.
        settings: recipe and training of a fit; split, stops and artifacts of an evaluation; the
            question, its settings, device class and threads of a measurement.
        requires: keys of the jobs whose results it needs; but for a fit, the fit comes first.
        definitions: versions of the modules that compute it.
    """

    kind: Literal["fit", "evaluate", "measure"]
    method: str
    config: Mapping[str, Any]
    task: str
    task_config: Mapping[str, Any]
    data_seed: int
    train_seed: int
    content: str
    split: str
    settings: Mapping[str, Any]
    definitions: Mapping[str, str]
    requires: tuple[str, ...] = ()
    variant: str = ""
    dataset_label: str = ""
    protocol: str = ""
    bibtex: str = field(default="", repr=False)

    @property
    def alone(self) -> bool:
        """Whether nothing else may run beside it: it is timed."""
        return self.kind == "measure" and QUESTIONS[self.settings["question"]].alone

    @functools.cached_property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of what determines the numbers."""
        # as they are: `asdict` copies every setting, which takes ten times as long as the hash
        names = (name for name in sorted(self.__dataclass_fields__) if name not in NOT_IN_KEY)
        values = ((name, getattr(self, name)) for name in names)
        text = ",".join(f'"{name}":{_encoded(value)}' for name, value in values)
        text = f"{{{text}}}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """JSON-ready; :meth:`read` turns it back."""
        return {**asdict(self), "requires": list(self.requires)}

    @staticmethod
    def read(description: Mapping[str, Any]) -> Job:
        """The job that :meth:`describe` wrote."""
        fields = {name: description[name] for name in Job.__dataclass_fields__}
        return Job(**{**fields, "requires": tuple(fields["requires"])})


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def _encoded(value: Any) -> str:
    return value.text if isinstance(value, Settled) else _ENCODER.encode(value)
