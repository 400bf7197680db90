"""Calls of one function of a program that nothing can be loaded into, by the kernel's probes (perf's uprobe PMU).

Source: perf_event_open(2), and in the kernel's tree Documentation/ABI/testing/sysfs-bus-event_source-devices-uprobe.
A probe is opened on every CPU, since a probe of one process does not go with its threads and children; whose hits they
are is told by the forks that the kernel reports beside them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from q4engine import cpus
from q4engine.errors import Q4Error, shown
from q4engine.machine import architecture, read_text
from q4engine.watch.functions import offset_of
from q4engine.watch.records import CallKind, Process, WatchedCall

DEVICES = Path("/sys/bus/event_source/devices")
BATCH_FUNCTIONS = ("llama_decode", "llama_encode")
"""Whose second argument is a batch by value, which begins with its number of tokens."""

_ATTR = struct.Struct("<IIQQQQQIIQQQQIiQIHH")  # perf_event_attr, to PERF_ATTR_SIZE_VER5
_TASK, _USE_CLOCK = 1 << 13, 1 << 25
_TID, _TIME, _REGISTERS, _STACK = 1 << 1, 1 << 2, 1 << 12, 1 << 13
_LOST, _FORK, _SAMPLE = 2, 7, 9
_MONOTONIC_RAW = 4
_CLOSE_ON_EXEC = 8
_SYSCALL = {"x86_64": 298, "aarch64": 241}
_X1, _SP = 1, 31  # numbers of registers on arm64 (perf_regs.h)
_STACK_BYTES = 1024
_PAGES = 64  # of a ring, a power of two
_HEAD_AT = 1024  # data_head, then data_tail, of perf_event_mmap_page
_MOST_TOKENS = 1 << 24

Open = Callable[[bytes, int], int]
"""Opens an event on a CPU by its attributes; a descriptor, or minus errno."""


class Hit(NamedTuple):
    """n_eval: tokens of the batch, None where not known. returns: the function returned, else it began."""

    time_ns: int
    process: int
    thread: int
    returns: bool
    n_eval: int | None = None


class Fork(NamedTuple):
    time_ns: int
    process: int
    parent: int


@dataclass(frozen=True)
class Target:
    """A function of a file."""

    file: Path
    function: str
    offset: int

    def other(self) -> str | None:
        """The other function by which programs of llama.cpp evaluate, older ones or newer, if the file has it."""
        other = {"llama_decode": "llama_process", "llama_process": "llama_decode"}.get(self.function)
        return other if other and offset_of(self.file, other) is not None else None


def target(text: str, program: str | None) -> Target:
    """Of ``[FILE:]FUNCTION``, without FILE of the program. Q4Error where there is no such function."""
    named, colon, function = text.rpartition(":")
    if not colon and program is None:
        raise Q4Error(f"--uprobe {shown(text)}: the program is not there, so it has no functions")
    file = Path(named if colon else str(program))
    try:
        offset = offset_of(file, function)
    except OSError as error:
        raise Q4Error(f"{file}: it cannot be read for --uprobe: {error.strerror}") from None
    if offset is None:
        raise Q4Error(f"{file}: no symbol table names a function {shown(function)} (stripped, or in another file?)")
    return Target(file, function, offset)


def _open(attributes: bytes, cpu: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SYSCALL.get(architecture())
    if number is None:
        return -errno.ENOSYS
    given = ctypes.create_string_buffer(attributes, len(attributes))
    fd = libc.syscall(ctypes.c_long(number), given, ctypes.c_long(-1), ctypes.c_long(cpu), ctypes.c_long(-1),
                      ctypes.c_ulong(_CLOSE_ON_EXEC))  # fmt: skip
    return int(fd) if fd >= 0 else -ctypes.get_errno()


class _Ring:
    """What an event left, in memory that the kernel writes to. returns: the event is a function's return."""

    def __init__(self, fd: int, returns: bool) -> None:
        self.returns = returns
        self._map = mmap.mmap(fd, (1 + _PAGES) * mmap.PAGESIZE)

    def close(self) -> None:
        self._map.close()

    def take(self) -> Iterator[tuple[int, bytes]]:
        """Kind and content of each record since the last time."""
        head, tail = struct.unpack_from("<QQ", self._map, _HEAD_AT)
        while tail < head:
            kind, _, n_bytes = struct.unpack("<IHH", self._bytes(tail, 8))
            if n_bytes < 8:
                break
            yield kind, self._bytes(tail + 8, n_bytes - 8)
            tail += n_bytes
        struct.pack_into("<Q", self._map, _HEAD_AT + 8, tail)

    def _bytes(self, at: int, n: int) -> bytes:
        begin = mmap.PAGESIZE + at % (_PAGES * mmap.PAGESIZE)
        part = self._map[begin : begin + n]
        return part + self._map[mmap.PAGESIZE : mmap.PAGESIZE + n - len(part)]


class Probe:
    """Hits of a function's begin and end on all CPUs. Use `opened`. n_lost: records that there was no room for."""

    def __init__(self, at: Target, rings: Sequence[_Ring]) -> None:
        self._target, self._rings = at, rings
        self._hits: list[Hit] = []
        self._forks: list[Fork] = []
        self.n_lost = 0

    def look(self) -> None:
        """Takes what came since the last look."""
        for ring in self._rings:
            for kind, content in ring.take():
                if kind == _SAMPLE:
                    self._hits.append(hit_of(content, ring.returns, self._target.function))
                elif kind == _FORK and len(content) >= 24:
                    process, parent, _, _, time_ns = struct.unpack_from("<IIIIQ", content)
                    self._forks.append(Fork(time_ns, process, parent))
                elif kind == _LOST and len(content) >= 16:
                    self.n_lost += struct.unpack_from("<QQ", content)[1]

    @contextmanager
    def meanwhile(self) -> Iterator[Callable[[], None]]:
        yield self.look

    def processes(self) -> list[Process]:
        """What this process's children and theirs called."""
        return processes(self._target, self._hits, self._forks, os.getpid())


@contextmanager
def opened(at: Target, devices: Path = DEVICES, attempt: Open = _open) -> Iterator[Probe]:
    """A probe of a function. Q4Error, in one line, where the kernel has none or lets us have none."""
    kind, on_return = _numbers(devices / "uprobe")
    path = ctypes.create_string_buffer(os.fsencode(at.file.resolve()))
    rings: list[_Ring] = []
    with contextlib.ExitStack() as stack:
        for cpu in cpus.parse_cpu_list(read_text(cpus.SYSFS_CPU / "online") or "0"):
            for flag in (0, on_return):
                fd = attempt(_attributes(kind, flag, ctypes.addressof(path), at), cpu)
                if fd < 0:
                    raise Q4Error(_refusal(-fd))
                stack.callback(os.close, fd)
                try:
                    rings.append(_Ring(fd, flag != 0))
                except OSError as error:
                    raise Q4Error(_refusal(error.errno or 0)) from None
                stack.callback(rings[-1].close)
        yield Probe(at, rings)


def _numbers(device: Path) -> tuple[int, int]:
    """The PMU's number, and the flag of probes at a function's return."""
    kind, returns = (
        read_text(device / "type"),
        re.fullmatch(r"config:(\d{1,2})", read_text(device / "format/retprobe") or ""),
    )
    if kind is None:
        raise Q4Error("--uprobe: this kernel has no probes of programs for perf (CONFIG_UPROBE_EVENTS)")
    if not re.fullmatch("[0-9]{1,9}", kind) or returns is None:
        raise Q4Error(f"{device}: expected the uprobe PMU's number and its format 'retprobe', found {shown(kind)}")
    return int(kind), 1 << int(returns[1])


def _attributes(kind: int, flag: int, path: int, at: Target) -> bytes:
    """perf_event_attr of a probe. path: address of the file's name, which the kernel reads while it opens."""
    wanted, registers, stack = _TID | _TIME, 0, 0
    if at.function in BATCH_FUNCTIONS and not flag:
        wanted, stack = wanted | _STACK, _STACK_BYTES
        if architecture() == "aarch64":
            wanted, registers = wanted | _REGISTERS, 1 << _X1 | 1 << _SP
    flags = _USE_CLOCK | (0 if flag else _TASK)
    before = (kind, _ATTR.size, flag, 1, wanted, 0, flags, 0, 0)
    return _ATTR.pack(*before, path, at.offset, 0, registers, stack, _MONOTONIC_RAW, 0, 0, 0, 0)


def _refusal(error: int) -> str:
    if error in (errno.EACCES, errno.EPERM):
        return "--uprobe: the kernel refuses probes of programs: root may use them, and who has CAP_PERFMON"
    if error == errno.ENOSYS:
        return "--uprobe: this kernel or emulator has no perf_event_open"
    return f"--uprobe: the probe cannot be opened: {os.strerror(error)}"


def hit_of(content: bytes, returns: bool, function: str, arch: str | None = None) -> Hit:
    """A hit of a sample's bytes."""
    process, thread, time_ns = struct.unpack_from("<IIQ", content)
    n_eval = None
    if function in BATCH_FUNCTIONS and not returns:
        with contextlib.suppress(struct.error):
            n_eval = _n_tokens(content[16:], arch or architecture())
    return Hit(time_ns, process, thread, returns, n_eval)


def _n_tokens(rest: bytes, arch: str) -> int | None:
    """A batch is passed by value: behind the return address on x86-64; on AArch64 as a copy that the second register
    points to, which lies in the caller's part of the stack. None where it lies further off than the sample reaches."""
    at = 8
    if arch == "aarch64":
        abi, pointer, stack = struct.unpack_from("<QQQ", rest)
        rest, at = (rest[24:], pointer - stack) if abi else (rest[8:], -1)
    (size,) = struct.unpack_from("<Q", rest)
    if not 0 <= at <= size - 4 or len(rest) < 8 + size + 8:
        return None
    (filled,) = struct.unpack_from("<Q", rest, 8 + size)
    n_tokens: int = struct.unpack_from("<i", rest, 8 + at)[0]
    return n_tokens if at + 4 <= filled and 0 < n_tokens <= _MOST_TOKENS else None


def processes(at: Target, hits: Sequence[Hit], forks: Sequence[Fork], root: int) -> list[Process]:
    """The calls of each process that came from `root`, by their start. A call whose tokens are not known is one of one
    token; positions are the tokens so far."""
    ours: set[int] = set()
    for fork in sorted(forks):
        if fork.process != fork.parent and (fork.parent == root or fork.parent in ours):
            ours.add(fork.process)
    found: dict[int, Process] = {}
    running: dict[int, list[WatchedCall]] = {}
    n_past: dict[int, int] = {}
    notes = [("engine", "llama.cpp" if at.function.startswith("llama_") else at.file.name), ("probe", at.function)]
    for hit in sorted(hits, key=lambda hit: hit.time_ns):
        if hit.process not in ours:
            continue
        process = found.setdefault(hit.process, Process(hit.process, 0, 0.0, notes, [], 0, {}))
        of_thread = running.setdefault(hit.thread, [])
        if not hit.returns:
            n_eval, position = hit.n_eval or 1, n_past.get(hit.process, 0)
            n_past[hit.process] = position + n_eval
            kind = CallKind.ENCODE if at.function == "llama_encode" else CallKind.DECODE
            of_thread.append(WatchedCall(kind, 0, hit.thread, position, n_eval, 0, hit.time_ns, hit.time_ns))
            process.unfinished += 1
        elif of_thread:
            call = of_thread.pop()
            call.end_ns = call.end_ticks = hit.time_ns
            process.calls.append(call)
            process.unfinished -= 1
    for process in found.values():
        process.calls.sort(key=lambda call: call.start_ns)
    return list(found.values())
