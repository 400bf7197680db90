"""What the watching library left of one process (native/watch/records.h).

A process may have ended at any moment, so whatever is cut off or does not fit is left out, never an error.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path

import numpy as np

_HEAD = struct.Struct("<8s6IQQ")
_BLOCK = struct.Struct("<QIIQ40x")
_ENTRY = struct.Struct("<II")
_CALL = struct.Struct("<QQQQQqQQ")
_END = struct.Struct("<QqQQQ")
_NUMBER = struct.Struct("<Q")

_MOST_NS = 1 << 62  # of a clock
_LEAST_BLOCK = 1 << 12
MOST_SLOTS = 256  # Q4_WATCH_SLOTS

BLOCK_HEAD_BYTES = _BLOCK.size
MAGIC, VERSION = b"q4watch\0", 4
SUFFIX = ".q4watch"
_OPERATION = np.dtype([("node", "<u8"), ("start", "<u8"), ("end", "<u8"), ("wait", "<u8"), ("number", "<u8")])
"""One thread's part of a node, in ticks, and the number of its record. Of node 0, a thread's first look at a graph,
`end` is its thread id and `wait` the CPU that it was on."""
_RECORD = np.dtype([("low", "<u8"), ("high", "<u8")])
"""Of an operation in the file: two words (records.h)."""
_ADDRESS, _LOWER = np.uint64((1 << 48) - 1), np.uint64((1 << 32) - 1)
_MOST_COUNT_WORDS = 32 * (3 + 16)
"""Of a reading: groups, each with a head and events."""


class _Kind(IntEnum):
    OPERATIONS = 1
    LOG = 2
    OP_COUNTS = 3


class _Entry(IntEnum):
    CALL = 1
    END = 2
    NODE = 3
    NOTE = 4
    COUNTS = 5


class CallKind(IntEnum):
    DECODE = 0
    ENCODE = 1
    OTHER = 2
    """A graph that evaluates no tokens."""
    UNSEEN = 3
    """A call whose graph was not seen."""


@dataclass
class WatchedCall:
    """One graph that was evaluated. ticks: counter of the times of operations, at start_ns and end_ns.

    n_past: lowest position of its tokens, -1 where not known. n_sequences: 0 where not known. described: nodes, by
    address, as they were described anew. counts: readings of the groups, [] where none was taken.
    """

    kind: CallKind
    context: int
    slot: int
    n_past: int
    n_eval: int
    n_sequences: int
    start_ns: int
    start_ticks: int
    end_ns: int = 0
    end_ticks: int = 0
    status: int = 0
    own_ticks: int = 0
    described: dict[int, str] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)

    @property
    def ns_per_tick(self) -> float:
        ticks = self.end_ticks - self.start_ticks
        return (self.end_ns - self.start_ns) / ticks if ticks > 0 else 0.0

    @property
    def own_ns(self) -> float:
        """Nanoseconds that recording took before and after it."""
        return self.own_ticks * self.ns_per_tick


class OpCounts:
    """What the operations of a slot counted, looked up where it is wanted: there may be much of it."""

    def __init__(self, blocks: Sequence[np.ndarray]) -> None:
        self._blocks = sorted((block for block in blocks if len(block)), key=lambda block: int(block["operation"][0]))
        self._firsts = np.array([block["operation"][0] for block in self._blocks], "<u8")

    def of(self, numbers: np.ndarray) -> list[Sequence[Sequence[int]]]:
        """Of each of these operations the words of two readings, of its work and of its waiting; () where unknown."""
        found: list[Sequence[Sequence[int]]] = [()] * len(numbers)
        of_block = np.searchsorted(self._firsts, numbers, side="right") - 1
        for index in np.unique(of_block[of_block >= 0]).tolist():
            block, mine = self._blocks[index], np.flatnonzero(of_block == index)
            at = np.minimum(np.searchsorted(block["operation"], numbers[mine]), len(block) - 1)
            known = block["operation"][at] == numbers[mine]
            for place, words in zip(mine[known].tolist(), block["words"][at[known]].tolist(), strict=True):
                found[place] = words
        return found


@dataclass
class Process:
    """calls: complete ones, by their start. unfinished: those that were cut off. operations: by slot, by their start,
    with the number of each in its slot. counts: by slot, where operations were counted.

    error: errno of what ended the recording before the program, else 0. operation_ns: what a record of an operation
    takes.
    """

    number: int
    error: int
    operation_ns: float
    notes: list[tuple[str, str]]
    calls: list[WatchedCall]
    unfinished: int
    operations: dict[int, np.ndarray]
    counts: dict[int, OpCounts] = field(default_factory=dict)

    def noted(self, key: str) -> list[str]:
        return [value for name, value in self.notes if name == key]

    @cached_property
    def overlapping(self) -> dict[int, list[int]]:
        """Call, by its place -> others that ran at the same time, which several contexts' do."""
        found: dict[int, list[int]] = {}
        running: list[int] = []
        for index, call in enumerate(self.calls):
            running = [other for other in running if self.calls[other].end_ns > call.start_ns]
            for other in running:
                found.setdefault(other, []).append(index)
                found.setdefault(index, []).append(other)
            running.append(index)
        return found


def read(path: Path) -> Process | None:
    """A process's records; None of a file that holds none, and of a pipe, which has no end."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        places = list(blocks(file.fileno(), head))
    magic, version, _, block_bytes, operation_bytes, number, error, cost, words = _HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION or operation_bytes != _RECORD.itemsize or block_bytes < _LEAST_BLOCK:
        return None
    process = Process(number, error, cost / 1000, [], [], 0, {})
    logs: dict[int, list[bytes]] = {}
    parts: dict[int, list[np.ndarray]] = {}
    counts: dict[int, list[np.ndarray]] = {}
    count = np.dtype([("operation", "<u8"), ("words", "<u8", (2, min(words, _MOST_COUNT_WORDS)))])
    for at, _ in places:
        used, kind, slot, _ = _BLOCK.unpack_from(data, at)
        if slot >= MOST_SLOTS:
            continue
        content = data[at + _BLOCK.size : at + min(_BLOCK.size + used, block_bytes)]
        if kind == _Kind.LOG:
            logs.setdefault(slot, []).append(content)
        elif kind == _Kind.OPERATIONS:
            parts.setdefault(slot, []).append(np.frombuffer(content, _RECORD, len(content) // _RECORD.itemsize))
        elif kind == _Kind.OP_COUNTS:
            n = len(content) // count.itemsize
            counts.setdefault(slot, []).append(np.frombuffer(data, count, n, at + _BLOCK.size))
    for slot, log in logs.items():
        _read_log(process, slot, b"".join(log))
    process.calls.sort(key=lambda call: call.start_ns)
    for slot, arrays in parts.items():
        process.operations[slot] = _operations(np.concatenate(arrays))
    process.counts = {slot: OpCounts(blocks) for slot, blocks in counts.items()}
    if process.noted("unknown"):  # what was taken for operations before that was found out
        process.operations, process.counts = {}, {}
    return process


def _operations(records: np.ndarray) -> np.ndarray:
    """Operations of a slot, by their start: each begins where the one before it ended."""
    low, high = records["low"], records["high"]
    node = low & _ADDRESS
    starts = np.flatnonzero(node == 1)  # the second record of each first look
    found: np.ndarray = np.empty(len(records), _OPERATION)
    found["node"], found["number"] = node, np.arange(len(records))
    ticks = np.where(node > 1, low >> np.uint64(48) | (high & np.uint64((1 << 24) - 1)) << np.uint64(16), np.uint64(0))
    passed = np.cumsum(ticks, dtype=np.uint64)
    # numbers are modulo 2^64, as those of the clock
    shift = np.zeros(len(records), np.uint64)
    if len(starts):
        shift = (high[starts] - passed[starts])[np.maximum(np.searchsorted(starts, found["number"], "right") - 1, 0)]
    found["end"] = passed + shift
    found["start"], found["wait"] = found["end"] - ticks, high >> np.uint64(24)
    looks = starts[starts > 0]
    found["start"][looks - 1] = high[looks]
    found["end"][looks - 1], found["wait"][looks - 1] = high[looks - 1] & _LOWER, high[looks - 1] >> np.uint64(32)
    known = (node != 1) & (found["number"] > (starts[0] if len(starts) else len(records)))
    known[looks - 1] = node[looks - 1] == 0
    order: np.ndarray = np.flatnonzero(known)[np.argsort(found["start"][known], kind="stable")]
    return found.take(order)


def process_of(path: Path) -> int | None:
    """The process that a file is of, by its name."""
    number = path.name.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else None


def blocks(file: int, head: bytes) -> Iterator[tuple[int, int]]:
    """Where each block of a file begins that has something in it, and its length; none where the head is not ours."""
    if not _is_ours(head):
        return
    _, _, at, block_bytes, *_ = _HEAD.unpack_from(head)
    size = os.fstat(file).st_size
    while at + _BLOCK.size <= size:
        filled = _sought(file, at, os.SEEK_DATA, size)
        at += max(0, filled - at) // block_bytes * block_bytes  # a program may leave a hole of any size
        end = _sought(file, filled, os.SEEK_HOLE, size)
        while at < end and at + _BLOCK.size <= size:
            yield at, block_bytes
            at += block_bytes


def _sought(file: int, at: int, what: int, size: int) -> int:
    """Where the file goes on with data or with a hole; its size where there is neither."""
    try:
        return os.lseek(file, at, what)
    except OSError as error:  # a file system that knows no holes has data everywhere
        return at if what == os.SEEK_DATA and error.errno != errno.ENXIO else size


def _is_ours(head: bytes) -> bool:
    magic, version, _, block_bytes, *_ = _HEAD.unpack_from(head)
    return bool(magic == MAGIC and version == VERSION and block_bytes >= _LEAST_BLOCK)


def block(head: bytes) -> tuple[int, bool, int]:
    """Bytes used, whether it is a log's, and its slot."""
    used, kind, slot, _ = _BLOCK.unpack_from(head)
    return used, kind == _Kind.LOG, slot


def begun(slot: int, log: bytes) -> list[WatchedCall]:
    """Calls of tokens that began in a part of a log."""
    calls = [_call(slot, content)[1] for kind, content in _entries(log) if kind == _Entry.CALL]
    return [call for call in calls if call.kind != CallKind.OTHER and call.n_eval > 0]


def _call(slot: int, content: bytes) -> tuple[int, WatchedCall]:
    """Its number and the call."""
    number, what, context, ns, ticks, n_past, n_eval, n_sequences = _CALL.unpack(content)
    # a kind that this version does not know is no call of tokens
    known = CallKind(what) if what in iter(CallKind) else CallKind.OTHER
    return number, WatchedCall(known, context, slot, n_past, n_eval, n_sequences, ns, ticks)


def _entries(log: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ENTRY.size <= len(log):
        kind, n_bytes = _ENTRY.unpack_from(log, at)
        at += _ENTRY.size
        if at + n_bytes > len(log):
            return
        yield kind, log[at : at + n_bytes]
        at += (n_bytes + 7) // 8 * 8


def _read_log(process: Process, slot: int, log: bytes) -> None:
    """Entries of one slot, whose calls follow each other."""
    present: WatchedCall | None = None
    number = 0
    described: dict[int, str] = {}
    for kind, content in _entries(log):
        if kind == _Entry.NOTE:
            key, _, value = content.decode(errors="replace").partition("=")
            process.notes.append((key, value))
        elif kind == _Entry.NODE and len(content) > _NUMBER.size:
            described[_NUMBER.unpack_from(content)[0]] = content[_NUMBER.size :].decode(errors="replace")
        elif kind == _Entry.CALL and len(content) == _CALL.size:
            process.unfinished += present is not None
            number, present = _call(slot, content)
        elif present is not None and kind == _Entry.COUNTS and len(content) >= _NUMBER.size and len(content) % 8 == 0:
            if _NUMBER.unpack_from(content)[0] == number:
                present.counts = np.frombuffer(content[_NUMBER.size :], "<u8").tolist()
        elif present is not None and kind == _Entry.END and len(content) == _END.size:
            ended, status, ns, ticks, own = _END.unpack(content)
            if ended == number and present.start_ns <= ns < _MOST_NS:
                present.end_ns, present.end_ticks, present.status, present.own_ticks = ns, ticks, status, own
                present.described, described = described, {}
                process.calls.append(present)
            present = None
    process.unfinished += present is not None
