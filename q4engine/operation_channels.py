"""Operations on Streamline's time line: a channel for each kind, and counters of speed and cache."""

from __future__ import annotations

from annotate import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED, Channel, Color, CounterClass, Streamline
from q4engine.recording import BARRIER, BEGIN, END, Operation, Record

_COLORS: dict[str, Color] = {"gemm": BLUE, "gemv": ORANGE, "attention": GREEN, "swiglu": PURPLE, BARRIER: RED}


class OperationChannels:
    """Shows the first thread's operations: it has a part in all of them."""

    def __init__(self, streamline: Streamline, plan: list[Operation], kv_bytes: int) -> None:
        self._streamline = streamline
        self._plan = plan
        self._kv_bytes = kv_bytes
        self._channels: dict[str, Channel] = {}
        self._speed = {
            phase: streamline.counter(
                "Speed", phase, units="tokens/s", scale=100, counter_class=CounterClass.ABSOLUTE, color=color
            )
            for phase, color in (("prefill", BLUE), ("decode", ORANGE))
        }
        self._cache = streamline.counter("KV cache", "in use", units="B", counter_class=CounterClass.ABSOLUTE)

    def write(self, record: Record) -> None:
        """One call, after it; nothing is computed where no daemon is."""
        if not self._streamline.connected:
            return
        call = record.call
        for marks in record.marks()[:1]:
            for span in record.spans(self._plan, marks):
                if span.name in (BEGIN, END):
                    continue
                channel = self._channel(span.name)
                operation = span.operation
                text = (operation.tensor or f"layer {operation.layer}") if operation is not None else span.name
                channel.start(text, _COLORS.get(span.name, GRAY), time_ns=span.start_ns)
                channel.end(time_ns=span.end_ns)
        self._speed[call.phase].value(record.tokens_per_second, time_ns=record.end_ns)
        self._cache.value((call.n_past + call.n_eval) * self._kv_bytes, time_ns=record.end_ns)

    def _channel(self, name: str) -> Channel:
        if name not in self._channels:
            self._channels[name] = self._streamline.channel(name, group="operations")
        return self._channels[name]
