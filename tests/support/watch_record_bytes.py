"""Records of the watching library, byte by byte, as native/watch/records.h has them."""

from __future__ import annotations

import struct

BLOCK = 4096


def head(operation_bytes: int = 16, count_words: int = 0) -> bytes:
    known = (4, 64, BLOCK, operation_bytes, 4711, 0, 25_000, count_words)
    return struct.pack("<8s6IQQ", b"q4watch\0", *known).ljust(64, b"\0")


def block(kind: int, slot: int, content: bytes, used: int | None = None) -> bytes:
    header = struct.pack("<QIIQ40x", len(content) if used is None else used, kind, slot, 0)
    return (header + content).ljust(BLOCK, b"\0")


def entry(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content.ljust((len(content) + 7) // 8 * 8, b"\0")


def call(number: int, ns: int, kind: int = 0, n_past: int = 0, n_eval: int = 1, context: int = 1) -> bytes:
    return entry(1, struct.pack("<QQQQQqQQ", number, kind, context, ns, 10 * ns, n_past, n_eval, 1))


def end(number: int, ns: int) -> bytes:
    return entry(2, struct.pack("<QqQQQ", number, 0, ns, 10 * ns, 50))


def node(address: int, *lines: str) -> bytes:
    return entry(3, struct.pack("<Q", address) + "".join(line + "\n" for line in lines).encode())


def look(thread: int, cpu: int, start: int) -> bytes:
    return struct.pack("<4Q", 0, thread | cpu << 32, 1, 10 * start)


def operation(address: int, took: int, wait: int = 0) -> bytes:
    return struct.pack("<2Q", address | (10 * took & 0xFFFF) << 48, 10 * took >> 16 | 10 * wait << 24)


def op_count(number: int, work: list[int], wait: list[int]) -> bytes:
    return struct.pack(f"<{1 + len(work) + len(wait)}Q", number, *work, *wait)


PRODUCT = "node\tMUL_MAT\tQcur-7\tf32\t576\t1\t1\t1\t2304\t0"
WEIGHT = "from\tNONE\tblk.7.attn_q.weight\tq4_0\t576\t576\t1\t1\t186624\t0"
INPUT = "from\tMUL\tattn_norm-7\tf32\t576\t1\t1\t1\t2304\t0"
