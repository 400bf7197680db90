"""What one run of a sweep is made of: a value of each axis, and a hash by which it is known again."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

Value = int | str | None
"""None: of an axis that the engine is not told of."""


@dataclass(frozen=True)
class Axis:
    """``default``: of a plan that does not name it. Numbers are from ``low`` to ``high``; texts have no limits.

    ``is_later``: came after the first results were written, so that its default is in no hash.
    """

    name: str
    default: Value
    low: int | None = None
    high: int = 0
    is_later: bool = False

    @property
    def is_number(self) -> bool:
        return self.low is not None


_MOST_TOKENS = 1 << 20

AXES = (
    Axis("engine", "native"),
    Axis("build", "this"),
    Axis("model", ""),
    Axis("type", ""),
    Axis("threads", None, 1, 256),
    Axis("mask", ""),
    Axis("features", ""),
    Axis("prompt", 512, 0, _MOST_TOKENS),
    Axis("generate", 32, 0, _MOST_TOKENS),
    Axis("depth", 0, 0, _MOST_TOKENS),
    Axis("batch", 512, 1, _MOST_TOKENS),
    Axis("kv", "f16", is_later=True),
    Axis("machine", "here", is_later=True),
)
"""In the order in which tables name them. The default number of threads is that of the machine."""
NAMES = tuple(axis.name for axis in AXES)


@dataclass(frozen=True)
class Combination:
    """A value for each axis, in the order of ``AXES``."""

    values: tuple[Value, ...]

    @classmethod
    def of(cls, values: Mapping[str, Value]) -> Combination:
        return cls(tuple(values.get(name) for name in NAMES))

    def __getitem__(self, axis: str) -> Value:
        return self.values[NAMES.index(axis)]

    def number(self, axis: str) -> int:
        """Of an axis of numbers; 0 where the engine is not told of it."""
        value = self[axis]
        return value if isinstance(value, int) else 0

    def text(self, axis: str) -> str:
        value = self[axis]
        return "" if value is None else str(value)

    def as_dict(self) -> dict[str, Value]:
        return dict(zip(NAMES, self.values, strict=True))

    @functools.cached_property
    def hash(self) -> str:
        """The same on every machine, and whatever else is in the plan: 16 hexadecimal digits."""
        known = {
            axis.name: value
            for axis, value in zip(AXES, self.values, strict=True)
            if value is not None and not (axis.is_later and value == axis.default)
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """What is not as everybody has it: "native, smol.gguf, threads 2, prompt 64"."""
        return ", ".join(
            _said(axis, value) for axis, value in zip(AXES, self.values, strict=True) if _tells(axis, value)
        )


def _tells(axis: Axis, value: Value) -> bool:
    return value is not None and (axis.name in ("engine", "prompt", "generate", "threads") or value != axis.default)


def _said(axis: Axis, value: Value) -> str:
    if axis.name == "model":
        return str(value).rpartition("/")[2]
    return str(value) if axis.name in ("engine", "type") else f"{axis.name} {value}"
