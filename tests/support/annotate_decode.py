"""Decoders for what a Streamline client says and for the annotation frames of a capture, written for the tests."""

import struct
from dataclasses import dataclass, field

SUMMARY_FRAME = 1
EXTERNAL_FRAME = 10
# The first string of a SUMMARY; the four clocks follow it.
_SUMMARY_CANARY = b"1\n2\r\n3\r4\n\r5"

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Message:
    """One decoded message; what its type does not carry stays None."""

    kind: str
    text: str
    time: int | None = None
    channel: int | None = None
    group: int | None = None
    color: Color | None = None
    core: int | None = None
    counter: int | None = None
    value: int | None = None
    numbers: tuple[int, ...] = ()


@dataclass
class Stream:
    """What one data connection carried."""

    thread_id: int
    process_id: int
    messages: list[Message] = field(default_factory=list)
    rest: bytes = b""  # the beginning of a message that was cut off

    @property
    def markers(self) -> list[str]:
        return [message.text for message in self.messages if message.kind == "marker"]


class Reader:
    """Takes bytes off the front of a payload."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value - (1 << shift) if byte & 0x40 else value

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data), "payload too short"
        self.at += count
        return self.data[self.at - count : self.at]

    def color(self) -> Color:
        red, green, blue, mark = self.take(4)
        assert mark == 0x1B, f"colour ends with {mark:#x}"
        return red, green, blue

    def text(self) -> str:
        return self.take(len(self.data) - self.at).decode("utf-8")


def decode_stream(data: bytes) -> Stream:
    """A data connection from its first byte on."""
    assert data[:11] == b"ANNOTATE 5\n", f"handshake {data[:11]!r}"
    thread_id, process_id, zero = struct.unpack_from("<IIB", data, 11)
    assert zero == 0
    stream = Stream(thread_id, process_id)
    at = 20
    while at + 5 <= len(data):
        kind, size = struct.unpack_from("<BI", data, at)
        assert size <= 1 << 16, f"message of {size} bytes at {at}"
        if at + 5 + size > len(data):
            break
        stream.messages.append(decode_message(kind, data[at + 5 : at + 5 + size]))
        at += 5 + size
    stream.rest = data[at:]
    return stream


def decode_message(kind: int, payload: bytes) -> Message:
    reader = Reader(payload)
    if kind in (1, 2):
        time, channel = reader.number(), reader.number()
        color = reader.color() if kind == 2 else None
        return Message("string", reader.text(), time=time, channel=channel, color=color)
    if kind == 3:
        time, channel, group = reader.number(), reader.number(), reader.number()
        return Message("channel", reader.text(), time=time, channel=channel, group=group)
    if kind == 4:
        time, group = reader.number(), reader.number()
        return Message("group", reader.text(), time=time, group=group)
    if kind in (6, 7):
        time = reader.number()
        color = reader.color() if kind == 7 else None
        return Message("marker", reader.text(), time=time, color=color)
    if kind == 8:
        counter, *numbers = (reader.number() for _ in range(12))
        color = reader.color()
        return Message("counter", reader.text(), counter=counter, color=color, numbers=tuple(numbers))
    if kind == 9:
        time, core, counter, value = (reader.number() for _ in range(4))
        assert reader.text() == ""
        return Message("value", "", time=time, core=core, counter=counter, value=value)
    raise AssertionError(f"unknown message type {kind}")


@dataclass
class Capture:
    """The annotations of a capture: its start on the markers' clock, and every connection's stream."""

    monotonic_raw: int | None
    streams: list[Stream]


def decode_capture(data: bytes) -> Capture:
    """The frames of a capture's data file. Connections are told apart by fd, which a closed one gives free."""
    start: int | None = None
    closed: list[bytes] = []
    open_streams: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        frame = Reader(data[at + 4 : at + 4 + size])
        at += 4 + size
        kind = frame.number()
        if kind == SUMMARY_FRAME:
            frame.at = frame.data.index(_SUMMARY_CANARY) + len(_SUMMARY_CANARY)
            _realtime, _boottime, start = frame.number(), frame.number(), frame.number()
        elif kind == EXTERNAL_FRAME:
            fd = frame.number()
            if fd == -1:
                closed.append(open_streams.pop(frame.number(), b""))
            else:
                open_streams[fd] = open_streams.get(fd, b"") + frame.take(len(frame.data) - frame.at)
    raw = [stream for stream in [*closed, *open_streams.values()] if stream.startswith(b"ANNOTATE 5\n")]
    return Capture(start, [decode_stream(stream) for stream in raw])
