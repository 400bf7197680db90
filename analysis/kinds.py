"""Kinds of operations under which captures of different engines compare: the same work has one name in both.

Products are told apart by their tensors. What one engine does at once, such as the products of Q, K and V, is one kind
on both sides; what one does on the way of another operation counts to that operation on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.calls import tensor_name

PRODUCTS = ("gemm", "gemv", "experts")
_OUTPUT, _TABLE = "output", "token_embd"

_BEFORE, _BEHIND = "before", "behind"


@dataclass(frozen=True)
class _OnTheWay:
    """A kind that some engines do within a neighbour. neighbours: their kinds.  side: where the neighbour stands."""

    kind: str
    neighbours: tuple[str, ...]
    side: str


_PRODUCT = ("a product",)
_ON_THE_WAY = (
    _OnTheWay("quantize_activations", _PRODUCT, _BEHIND),
    _OnTheWay("add", _PRODUCT, _BEFORE),
    _OnTheWay("swiglu", _PRODUCT, _BEFORE),
    _OnTheWay("geglu", _PRODUCT, _BEFORE),
    _OnTheWay("gelu", _PRODUCT, _BEFORE),
    _OnTheWay("rope", ("kv_store",), _BEHIND),
)


@dataclass(frozen=True)
class Kinds:
    """names: of each capture's rows, by its letter.  together: what was put together, and why, in words."""

    names: dict[str, pd.Series]
    together: list[str]


def shared(sides: Mapping[str, pd.DataFrame]) -> Kinds:
    """Kinds of the operations' rows of captures (`operations.timed_rows`), by a letter each; the same in any order."""
    spelled = {side: _spelled(rows) for side, rows in sides.items()}
    groups = _groups([text for texts in spelled.values() for text in texts])
    names = {side: _names(rows, groups) for side, rows in sides.items()}
    together = []
    for side, texts in spelled.items():
        by_all = [text for text in texts if all(text in others for others in spelled.values())]
        together += [f"{side} does {text} in one product" for text in texts if "+" in text and text not in by_all]
    for one in _ON_THE_WAY:
        lacking = [side for side in sides if _takes_no_time(sides[side], names[side], one.kind)]
        if len(lacking) in (0, len(sides)):
            continue
        found = {side: _counted_to_neighbour(rows, names[side], one) for side, rows in sides.items()}
        if any((changed != names[side]).any() for side, changed in found.items()):
            to = f"{one.neighbours[0]} {one.side} it"
            who = " and ".join(lacking) + (" do" if len(lacking) > 1 else " does")
            together.append(f"{who} {one.kind} on the way of another operation: it counts to {to}")
            names = found
    return Kinds(names, together)


def _spelled(rows: pd.DataFrame) -> list[str]:
    """The tensors of products, as each row has them: `ffn_gate+ffn_up`."""
    if "tensor" not in rows:
        return []
    of_products = rows["op"].isin(PRODUCTS) & (rows["tensor"] != "")
    return list(dict.fromkeys(map(_without_layer, rows["tensor"][of_products].unique())))


def _without_layer(tensor: str) -> str:
    """An output matrix that is the embedding's table has the name of one that is not."""
    name = tensor_name(tensor)
    return _OUTPUT if name == _TABLE else name


def _groups(spelled: Iterable[str]) -> dict[str, str]:
    """Spelling -> name of all tensors that some engine does at once with it, directly or by way of others."""
    found: list[set[str]] = []
    by_length = sorted(set(spelled), key=lambda text: (-text.count("+"), text))
    for text in by_length:
        parts = set(text.split("+"))
        met = [group for group in found if group & parts]
        found = [group for group in found if not group & parts] + [parts.union(*met)]
    named: dict[str, str] = {}
    for text in by_length:
        group = next(group for group in found if text.split("+")[0] in group)
        # the longest spelling's order, then what it lacks
        order = [part for other in by_length for part in other.split("+") if part in group]
        named[text] = "+".join(dict.fromkeys(order))
    return named


def _names(rows: pd.DataFrame, groups: dict[str, str]) -> pd.Series:
    if "tensor" not in rows:
        return rows["op"]
    of_tensors = {tensor: groups.get(_without_layer(tensor), "") for tensor in rows["tensor"].unique()}
    known = rows["tensor"].map(of_tensors)
    return rows["op"].where(~rows["op"].isin(PRODUCTS) | (known == ""), known)


def _takes_no_time(rows: pd.DataFrame, names: pd.Series, kind: str) -> bool:
    """Whether the capture has no such operation, or one that most times took no time on any thread."""
    mine = rows[names == kind]
    if mine.empty:
        return True
    keys = [key for key in ("call", "layer") if key in mine]
    longest = mine.groupby(keys, dropna=False)["duration_s"].max()
    return float((longest <= 0).mean()) > 0.5


def _counted_to_neighbour(rows: pd.DataFrame, names: pd.Series, one: _OnTheWay) -> pd.Series:
    """Names in which this kind's rows have that of the next neighbour of the thread, where there is one in the call."""
    keys = [key for key in ("call", "thread") if key in rows]
    order = rows.sort_values([*keys, "start_s"], kind="stable").index
    ordered, kinds = rows.loc[order], names.loc[order]
    takes = ordered["op"].isin(PRODUCTS) if one.neighbours == _PRODUCT else kinds.isin(one.neighbours)
    targets = kinds.where(takes, np.nan).groupby([ordered[key] for key in keys], dropna=False)
    nearest = targets.ffill() if one.side == _BEFORE else targets.bfill()
    moved = kinds.where((kinds != one.kind) | nearest.isna(), nearest)
    return moved.loc[names.index]
