"""What Streamline hears of operations is what the capture says, to the nanosecond."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import bits
import numpy as np
import pytest
from annotate_daemon import Daemon
from annotate_decode import decode_stream
from capture_runs import observed_run, read_capture

import annotate
from annotate import Endpoints, encode
from q4engine.engine import Call
from q4engine.profiling import streamline
from q4engine.profiling.observer import Observation
from q4engine.profiling.recording import Operation, Record
from q4engine.profiling.streamline import OperationChannels


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bits.write_model("llama", tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("most_bytes", [encode.MAX_MESSAGE_BYTES, 300])
def test_annotations_are_the_rows_of_the_capture(
    model: Path, tmp_path: Path, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, n_threads: int, most_bytes: int
) -> None:
    monkeypatch.setattr(streamline, "MOST_BYTES", most_bytes)
    what = Observation(
        streamline="auto", operation_channels=True, endpoints=endpoints, capture=tmp_path / "c.csv", per_op=True,
        events="none",
    )  # fmt: skip
    with Daemon(endpoints) as daemon:
        observed_run(model, what, n_threads=n_threads)
        daemon.wait(lambda: daemon.closed_connections >= 1)
        (stream,) = daemon.streams
    names = {m.channel: m.text for m in stream.messages if m.kind == "channel"}
    heard = defaultdict(list)
    open_since: dict[object, int] = {}
    for message in stream.messages:
        if message.kind == "string" and message.text:
            open_since[message.channel] = int(message.time or 0)
        elif message.kind == "string":
            start = open_since.pop(message.channel)
            heard[names[message.channel]].append((start, int(message.time or 0) - start))
    assert not open_since
    _, rows = read_capture(tmp_path / "c.csv")
    expected = defaultdict(list)
    for row in rows:
        if row["op"] not in ("", "begin", "end") and row["thread"] == "0":
            expected[row["op"]].append((int(row["start_ns"]), int(row["duration_ns"])))
    assert heard == expected


@pytest.mark.parametrize("first_ns", [1, 63, 64, 8191, (1 << 41) - 3, 1 << 41, (1 << 48) - 3, 1 << 48, 1 << 60])
def test_times_of_every_length(first_ns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the clock grows by a byte within a call."""
    sent: list[bytes] = []
    with annotate.streamline("off") as streamline:
        channels = OperationChannels(streamline, [Operation("rope", 0), Operation("swiglu", 1)], 1)
        monkeypatch.setattr(annotate.Streamline, "connected", True)
        monkeypatch.setattr(streamline, "batch", lambda encoded, n_bytes, channels: sent.append(encoded()))
        stamps = np.arange(first_ns, first_ns + 5, dtype=np.uint64)
        channels.write(Record(0, Call(3, 1, "decode"), first_ns, first_ns + 5, (), stamps.tobytes(), bytes(5 * 8)))
    stream = decode_stream(encode.handshake(1, 1) + b"".join(sent))
    assert [(m.kind, m.time, m.text) for m in stream.messages] == [
        ("string", first_ns, "layer 0"), ("string", first_ns + 1, ""),
        ("string", first_ns + 2, "layer 1"), ("string", first_ns + 3, ""),
    ]  # fmt: skip
