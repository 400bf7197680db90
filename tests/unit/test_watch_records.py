"""Records of the watching library that are cut off, odd or none, and what nodes are in the words of captures."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from watch_record_bytes import INPUT, PRODUCT, WEIGHT, block, call, end, entry, head, look, node, op_count, operation

from q4engine.watch import outputs
from q4engine.watch.live import NewCalls
from q4engine.watch.nodes import UNKNOWN, parse
from q4engine.watch.records import MOST_SLOTS, CallKind, Process, read
from q4engine.watch.spans import walk


def process(tmp_path: Path, *blocks: bytes, count_words: int = 0) -> Process:
    path = tmp_path / "1-0.q4watch"
    path.write_bytes(head(count_words=count_words) + b"".join(blocks))
    found = read(path)
    assert found is not None
    return found


def test_two_threads_of_a_call(tmp_path: Path) -> None:
    log = call(1, 1000) + node(64, PRODUCT, WEIGHT, INPUT) + end(1, 2000)
    first = look(5, 1, 1100) + operation(64, 400, 100) + operation(64, 400, 50)
    second = look(6, 0, 1200) + operation(64, 310, 10) + operation(64, 380, 380)
    found = process(tmp_path, block(2, 3, log), block(1, 3, first), block(1, 1, second))
    assert (found.number, found.operation_ns, found.unfinished) == (4711, 25.0, 0)
    (watched,) = walk(found)
    assert (watched.call.kind, watched.call.start_ns, watched.call.end_ns) == (CallKind.DECODE, 1000, 2000)
    names = [[(span.name, span.start_ns, span.end_ns) for span in thread.spans] for thread in watched.threads]
    assert names[0] == [  # the thread that made the call comes first
        ("begin", 1000, 1100), ("gemv", 1100, 1400), ("barrier", 1400, 1500), ("gemv", 1500, 1850),
        ("barrier", 1850, 1900), ("end", 1900, 2000),
    ]  # fmt: skip
    assert names[1] == [
        ("begin", 1000, 1200), ("gemv", 1200, 1500), ("barrier", 1500, 1510), ("gemv", 1510, 1510),
        ("barrier", 1510, 1890), ("end", 1890, 2000),
    ]  # fmt: skip


def test_holes_cost_nothing(tmp_path: Path) -> None:
    """A program may leave a file of any size with little in it."""
    path = tmp_path / "1-0.q4watch"
    path.write_bytes(head() + block(2, 0, call(1, 1000) + end(1, 2000)))
    os.truncate(path, 1 << 40)
    with path.open("r+b") as file:
        file.seek((1 << 30) + 64)
        file.write(block(2, 0, call(2, 3000) + end(2, 4000)))
    found = read(path)
    assert found is not None and [one.start_ns for one in found.calls] == [1000, 3000]
    assert [one.start_ns for one in NewCalls(tmp_path).take()] == [1000, 3000]


def test_slots_that_the_library_has_not(tmp_path: Path) -> None:
    log = call(1, 1000) + end(1, 2000)
    found = process(tmp_path, block(2, MOST_SLOTS - 1, log), block(2, MOST_SLOTS, log), block(1, MOST_SLOTS, bytes(32)))
    assert len(found.calls) == 1 and not found.operations
    source = Path(__file__).parents[2] / "native" / "watch" / "slots.h"
    assert f"#define Q4_WATCH_SLOTS {MOST_SLOTS}\n" in source.read_text()


def test_counts_of_operations(tmp_path: Path) -> None:
    """By the number of the operation's record; waiting has its own, and one thread alone none."""
    log = call(1, 1000) + node(64, PRODUCT, WEIGHT, INPUT) + end(1, 2000)
    first = look(5, 1, 1100) + operation(64, 400, 100) + operation(64, 400)
    counted = op_count(2, [1, 300, 300, 7], [1, 100, 100, 2]) + op_count(99, [1, 1, 1, 1], [1, 1, 1, 1])
    blocks = [block(2, 3, log), block(1, 3, first), block(3, 3, counted)]
    (watched,) = walk(process(tmp_path, *blocks, count_words=4))
    spans = watched.threads[0].spans
    assert [(span.name, span.counts) for span in spans] == [
        ("begin", ()), ("gemv", [[1, 300, 300, 7], [1, 100, 100, 2]]), ("gemv", ()), ("end", ()),
    ]  # fmt: skip
    other = block(1, 1, look(6, 0, 1200) + operation(64, 300))
    (watched,) = walk(process(tmp_path, *blocks, other, count_words=4))
    found = {span.name: span.counts for span in watched.threads[0].spans[:3]}
    assert found == {"begin": (), "gemv": [[1, 300, 300, 7]], "barrier": [[1, 100, 100, 2]]}
    assert [span.counts for span in watched.threads[1].spans] == [(), (), ()]


def test_where_operations_are(tmp_path: Path) -> None:
    """They follow each other from a thread's first look on, in blocks that follow each other; without one, nowhere."""
    lost = operation(64, 10)
    one, two = lost + look(5, 3, 1100) + operation(64, 400, 100), operation(1 << 47, 1 << 32, 7) + look(5, 1, 1 << 40)
    found = process(tmp_path, block(1, 0, one), block(1, 0, two + operation(65, 1)), block(1, 1, lost)).operations
    rows = [tuple(int(word) for word in row) for row in found[0]]
    assert rows == [
        (0, 11_000, 5, 3, 1),
        (64, 11_000, 15_000, 1000, 3),
        (1 << 47, 15_000, 15_000 + 10 * (1 << 32), 70, 4),
        (0, 10 << 40, 5, 1, 5),
        (65, 10 << 40, (10 << 40) + 10, 0, 7),
    ]
    assert len(found[1]) == 0


def test_a_node_that_changes(tmp_path: Path) -> None:
    """The same address is another tensor in a later graph."""
    other = PRODUCT.replace("Qcur-7", "Kcur-7")
    log = (
        call(1, 1000)
        + node(64, PRODUCT, WEIGHT)
        + end(1, 2000)
        + call(2, 3000)
        + node(64, other, WEIGHT)
        + end(2, 4000)
    )
    done = look(5, 1, 1100) + operation(64, 800) + look(5, 1, 3100) + operation(64, 800)
    found = process(tmp_path, block(2, 0, log), block(1, 0, done))
    names = [watched.threads[0].spans[1].node for watched in walk(found)]
    assert [node.name for node in names if node] == ["Qcur-7", "Kcur-7"]


def test_what_was_cut_off(tmp_path: Path) -> None:
    whole = call(1, 1000) + end(1, 2000) + call(2, 3000)
    assert process(tmp_path, block(2, 0, whole)).unfinished == 1
    for length in range(len(whole)):
        found = process(tmp_path, block(2, 0, whole[:length]))
        assert len(found.calls) == (length >= len(call(1, 1000) + end(1, 2000)))
    data = (tmp_path / "1-0.q4watch").read_bytes()
    for length in range(0, len(data), 7):
        (tmp_path / "1-0.q4watch").write_bytes(data[:length])
        read(tmp_path / "1-0.q4watch")


@pytest.mark.parametrize("data", [b"", b"q4watch", head(operation_bytes=40), b"\0" * 5000])
def test_files_that_are_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "1-0.q4watch"
    path.write_bytes(data)
    assert read(path) is None


def test_more_used_than_a_block_has(tmp_path: Path) -> None:
    found = process(tmp_path, block(2, 0, call(1, 1000) + end(1, 2000), used=1 << 60), block(1, 0, b"", used=1 << 60))
    assert len(found.calls) == 1


@pytest.mark.parametrize(("counts", "read"), [(struct.pack("<QQ", 1, 5), [5]), (b"", []), (b"\1\0\0\0\0\0\0\0abc", [])])
def test_counts_that_are_none(tmp_path: Path, counts: bytes, read: list[int]) -> None:
    (found,) = process(tmp_path, block(2, 0, call(1, 1000) + entry(5, counts) + end(1, 2000))).calls
    assert found.counts == read


def test_a_pipe_among_the_records(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1-0.q4watch")
    assert read(tmp_path / "1-0.q4watch") is None and NewCalls(tmp_path).take() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "from\tNONE\ta\tf32\t1\t1\t1\t1\t4\t0",
        "node\tADD\ta\tf32\t-1\t1\t1\t1\t4\t0",
        "node\tADD\ta\tf32\t²\t1\t1\t1\t4\t0",
        f"node\tADD\ta\tf32\t{'1' * 5000}\t1\t1\t1\t4\t0",
    ],
)
def test_nodes_that_are_none(text: str) -> None:
    assert parse(text) is UNKNOWN


def test_mixtures() -> None:
    """Experts' bytes are known of one token, whose graph says to how many it goes."""
    weight = "from\tNONE\tblk.2.ffn_up_exps.weight\tq4_0\t64\t32\t8\t1\t9216\t0"
    one = parse("\n".join(["node\tMUL_MAT_ID\tffn_moe_up-2\tf32\t32\t2\t1\t1\t256\t0", weight]))
    assert (one.op, one.layer, one.shape, one.weight_bytes) == ("experts", 2, "64x64", 2 * 9216 // 8)
    assert parse("\n".join(["node\tMUL_MAT_ID\tffn_moe_up-2\tf32\t32\t2\t5\t1\t1280\t0", weight])).weight_bytes is None


def test_a_norm_and_its_multiplication() -> None:
    lines = [
        "node\tRMS_NORM\tnorm-3\tf32\t64\t9\t1\t1\t2304\t0", "from\tADD\tl_out-2\tf32\t64\t9\t1\t1\t2304\t0",
        "then\tMUL\tattn_norm-3\tf32\t64\t9\t1\t1\t2304\t0", "from\tRMS_NORM\tnorm-3\tf32\t64\t9\t1\t1\t2304\t0",
        "from\tNONE\tblk.3.attn_norm.weight\tf32\t64\t1\t1\t1\t256\t0",
    ]  # fmt: skip
    found = parse("\n".join(lines))
    assert (found.op, found.name, found.tensor, found.weight_bytes) == (
        "rms_norm",
        "attn_norm-3",
        "blk.3.attn_norm",
        256,
    )
    assert (found.n_eval(9), found.operands) == (9, "F32[64x9] <- F32[64x9] F32[64]")


def test_tokens_of_an_operation() -> None:
    """Heads are no tokens."""
    rope = parse("node\tROPE\tQcur-0\tf32\t64\t9\t1\t1\t2304\t0")
    assert rope.n_eval(1) == 1
    assert parse("node\tROPE\tQcur-0\tf32\t64\t9\t40\t1\t2304\t0").n_eval(40) == 40


def test_of_many_contexts_those_with_most_tokens_have_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine of them in two walks, and what each evaluated in its own file."""
    monkeypatch.setattr(outputs, "MOST_SETS", 9)
    log = b"".join(
        call(number, 1000 * number, context=number % 12, n_past=3, n_eval=1 + number % 12)
        + end(number, 1000 * number + 9)
        for number in range(1, 25)
    )
    found = process(tmp_path, block(2, 0, log))
    written, n_contexts = outputs.write(
        outputs.Outputs(capture=tmp_path / "run.csv", markers=tmp_path / "marks.csv"), [found]
    )
    assert n_contexts == 12 and written == ["run.csv", *(f"run-{number}.csv" for number in range(2, 10))]
    for kind in ("run", "marks"):
        assert sorted(path.name for path in tmp_path.glob(f"{kind}*")) == sorted(
            name.replace("run", kind) for name in written
        )
    for place, name in enumerate(written):
        rows = [line.split(",") for line in (tmp_path / name).read_text().splitlines() if line[0].isdigit()]
        assert [(row[0], row[3]) for row in rows] == [("0", str(12 - place)), ("1", str(12 - place))]
