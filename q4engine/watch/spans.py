"""What each thread did during a watched call, from the records of its operations."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from q4engine.profiling.recording import BARRIER, BEGIN, END
from q4engine.watch.nodes import UNKNOWN, Node, parse
from q4engine.watch.records import Process, WatchedCall


class Span(NamedTuple):
    """name: the operation's, or barrier, begin or end. node: None of the last two. counts: readings that are added
    to what it counted, () where nobody did."""

    name: str
    node: Node | None
    start_ns: int
    end_ns: int
    counts: Sequence[Sequence[int]] = ()


class ThreadSpans(NamedTuple):
    """tid, cpu: of the thread's first look at the call's graph, -1 where none was seen. spans: without a gap."""

    tid: int
    cpu: int
    spans: list[Span]


class Watched(NamedTuple):
    """A call and what its threads did, the one that made it first; [] where operations were not recorded."""

    call: WatchedCall
    threads: list[ThreadSpans]


def walk(process: Process, wanted: Container[int] | None = None) -> Iterator[Watched]:
    """The process's calls by their start; `wanted`: of these ids (`id`) alone."""
    nodes: dict[int, dict[int, Node]] = {}
    parsed: dict[str, Node] = {}
    starts = {slot: array["start"] for slot, array in process.operations.items()}
    busy = process.overlapping
    for index, call in enumerate(process.calls):
        known = nodes.setdefault(call.slot, {})
        for address, text in call.described.items():
            if text not in parsed:
                parsed[text] = parse(text)
            known[address] = parsed[text]
        if wanted is not None and id(call) not in wanted:
            continue
        found = {}
        for slot, array in process.operations.items():
            low, high = np.searchsorted(starts[slot], [call.start_ticks, call.end_ticks])
            if high > low:
                found[slot] = array[low:high]
        if index in busy:
            found = _own(call, found, {process.calls[other].slot for other in busy[index]})
        yield Watched(call, list(_threads(process, call, found, known)))


def _own(call: WatchedCall, found: dict[int, np.ndarray], callers: set[int]) -> dict[int, np.ndarray]:
    """What belongs to this call of several: what its caller did, and of other threads the same nodes."""
    mine = found.get(call.slot)
    if mine is None:
        return {}
    of_call = np.unique(mine["node"])
    others = {slot: array for slot, array in found.items() if slot != call.slot and slot not in callers}
    kept = {slot: array[np.isin(array["node"], of_call)] for slot, array in others.items()}
    return {call.slot: mine, **{slot: array for slot, array in kept.items() if (array["node"] != 0).any()}}


def _threads(
    process: Process, call: WatchedCall, found: dict[int, np.ndarray], nodes: dict[int, Node]
) -> Iterator[ThreadSpans]:
    alone = len(found) == 1
    for slot in sorted(found, key=lambda slot: (slot != call.slot, slot)):
        looks = found[slot][found[slot]["node"] == 0]
        done = found[slot][found[slot]["node"] != 0]
        if len(done):
            tid, cpu = (int(looks["end"][0]), int(looks["wait"][0])) if len(looks) else (-1, -1)
            counts = process.counts.get(slot)
            counted = [()] * len(done) if counts is None else counts.of(done["number"])
            yield ThreadSpans(tid, cpu, list(_spans(call, done, nodes, counted, alone)))


def _spans(
    call: WatchedCall, done: np.ndarray, nodes: dict[int, Node], counts: Sequence[Sequence[Sequence[int]]], alone: bool
) -> Iterator[Span]:
    """Waiting within an operation is told behind it, together with that at its end."""
    starts = _to_ns(call, done["start"])
    ends = [*starts[1:], max(starts[-1], *_to_ns(call, done["end"][-1:]))]
    waits = np.zeros(len(done), np.uint64) if alone else np.minimum(done["wait"], done["end"] - done["start"])
    worked = _to_ns(call, done["end"] - waits)
    yield Span(BEGIN, None, call.start_ns, starts[0])
    for address, start, until, end, waited, counted in zip(
        done["node"].tolist(), starts, worked, ends, waits.tolist(), counts, strict=True
    ):
        node = nodes.get(address, UNKNOWN)
        until = min(max(start, until), end) if waited else end
        yield Span(node.op, node, start, until, counted if alone else counted[:1])
        if end > until:
            yield Span(BARRIER, node, until, end, counted[1:])
    yield Span(END, None, ends[-1], call.end_ns)


def _to_ns(call: WatchedCall, ticks: np.ndarray) -> list[int]:
    """Nanoseconds of the clock, within the call."""
    since = (ticks - np.uint64(call.start_ticks)).astype(np.int64)
    ns = np.clip(np.rint(since * call.ns_per_tick), 0, call.end_ns - call.start_ns).astype(np.int64) + call.start_ns
    ordered: list[int] = ns.tolist()
    return ordered
