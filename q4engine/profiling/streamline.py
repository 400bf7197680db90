"""Operations on Streamline's time line: a channel for each kind, and counters of speed and cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from analysis import palette
from annotate import Channel, Color, Counter, CounterClass, Streamline, encode
from q4engine.engine import Phase
from q4engine.profiling.recording import BARRIER, Operation, Record

PHASE_COLORS: dict[Phase, Color] = {
    phase: Color(*palette.rgb(palette.phase(phase))) for phase in ("prefill", "decode", "verify")
}
MOST_BYTES = encode.MAX_MESSAGE_BYTES
_HEADER_BYTES = 5  # of a message: its type and length; its time follows


class _Annotation(NamedTuple):
    """What one operation, or waiting after it, will be on the time line. Its marks: see Record.spans."""

    channel: Channel
    text: str
    color: Color
    start: int
    end: int
    optional: bool
    """Left out where it took no time."""


class _Batch:
    """The messages of several annotations, complete but for their times.

    A decode call has some 700 annotations in 5 ms: one by one they would take longer than it does.
    """

    def __init__(self, annotations: Sequence[_Annotation], time_bytes: int) -> None:
        time_ns = 1 << (7 * time_bytes - 2)  # the longest of so many bytes, as all of a run are
        self.channels = [annotation.channel for annotation in annotations]
        self._time_bytes = time_bytes
        messages, marks = [], []
        for channel, text, color, start, end, _ in annotations:
            messages += [
                encode.string(time_ns, channel.number, text, color),
                encode.string(time_ns, channel.number, ""),
            ]
            marks += [start, end]
        self._bytes = np.frombuffer(b"".join(messages), np.uint8)
        self._lengths = np.array([len(message) for message in messages])
        starts = np.cumsum(self._lengths) - self._lengths + _HEADER_BYTES
        self._time_places = starts[:, None] + np.arange(time_bytes)
        self._marks = np.array(marks)
        self._required = np.repeat([not annotation.optional for annotation in annotations], 2)

    @property
    def n_bytes(self) -> int:
        return len(self._bytes)

    def encoded(self, stamps: bytes) -> bytes:
        """The messages. stamps: of the thread, CLOCK_MONOTONIC_RAW nanoseconds as uint64."""
        times = np.frombuffer(stamps, np.uint64)[self._marks]
        out = self._bytes.copy()
        digits = times[:, None] >> np.arange(0, 7 * self._time_bytes, 7, dtype=np.uint64) & np.uint64(0x7F)
        digits[:, :-1] |= np.uint64(0x80)  # another digit follows
        out[self._time_places] = digits
        took_time = np.repeat(times[1::2] > times[0::2], 2)
        sent: bytes = out[np.repeat(self._required | took_time, self._lengths)].tobytes()
        return sent


class OperationChannels:
    """Shows the first thread's operations: it has a part in all of them."""

    def __init__(self, streamline: Streamline, plan: list[Operation], kv_bytes: int) -> None:
        self._streamline = streamline
        self._plan = plan
        self._few_tokens = max((op.few_tokens for op in plan), default=1)
        self._kv_bytes = kv_bytes
        self._channels: dict[str, Channel] = {}
        self._batches: dict[tuple[bool, bool, int], list[_Batch]] = {}
        self._speeds: dict[Phase, Counter] = {}
        self._cache = streamline.counter("KV cache", "in use", units="B", counter_class=CounterClass.ABSOLUTE)

    def write(self, record: Record) -> None:
        """One call, after it; nothing is computed where no daemon is."""
        if not self._streamline.connected:
            return
        call = record.call
        if record.stamps:
            stamps = record.stamps[: len(record.stamps) // record.n_threads]
            for batch in self._batches_of(record):
                self._streamline.batch(partial(batch.encoded, stamps), batch.n_bytes, batch.channels)
        self._speed(call.phase).value(record.tokens_per_second, time_ns=record.end_ns)
        self._cache.value((call.n_past + call.n_eval) * self._kv_bytes, time_ns=record.end_ns)

    def _batches_of(self, record: Record) -> list[_Batch]:
        """Those of calls of the record's kind: names of operations hang on whether they handle few tokens or many."""
        call = record.call
        time_bytes = len(encode.sleb128(record.end_ns))
        kind = (call.n_eval > self._few_tokens, call.all_logits, time_bytes)
        if kind not in self._batches:
            self._batches[kind] = list(self._cut(list(self._annotations(record)), time_bytes))
        return self._batches[kind]

    def _annotations(self, record: Record) -> Iterator[_Annotation]:
        waiting = Color(*palette.rgb(palette.WAITING))
        for index, operation in enumerate(self._plan):
            name = operation.name(operation.tokens(record.call))
            color = Color(*palette.rgb(palette.operation(name)))
            text = operation.tensor or f"layer {operation.layer}"
            at = 2 * index
            yield _Annotation(self._channel(name), text, color, at, at + 1, optional=False)
            if record.n_threads > 1:
                yield _Annotation(self._channel(BARRIER), text, waiting, at + 1, at + 2, optional=True)

    def _cut(self, annotations: list[_Annotation], time_bytes: int) -> Iterator[_Batch]:
        """As few batches as a message's greatest length allows."""
        batch = _Batch(annotations, time_bytes)
        if batch.n_bytes <= MOST_BYTES or len(annotations) == 1:
            yield batch
            return
        half = len(annotations) // 2
        yield from self._cut(annotations[:half], time_bytes)
        yield from self._cut(annotations[half:], time_bytes)

    def _speed(self, phase: Phase) -> Counter:
        if phase not in self._speeds:
            self._speeds[phase] = self._streamline.counter(
                "Speed",
                phase,
                units="tokens/s",
                scale=100,
                counter_class=CounterClass.ABSOLUTE,
                color=PHASE_COLORS[phase],
            )
        return self._speeds[phase]

    def _channel(self, name: str) -> Channel:
        if name not in self._channels:
            self._channels[name] = self._streamline.channel(name, group="operations")
        return self._channels[name]
