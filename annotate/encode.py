"""Streamline annotation messages as bytes.

A message is a type byte, the payload's length as a little-endian u32, and the payload. Integers inside a payload are
signed LEB128; text is UTF-8 without NUL and runs to the payload's end, or to a NUL where another text follows.
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum

MAX_MESSAGE_BYTES = 32 * 1024

_HEADER = struct.Struct("<BI")
_HANDSHAKE = struct.Struct("<11sIIB")
# The fourth byte of a colour is an escape character: it tells a colour from the text that it once stood in.
_COLOR_MARK = 0x1B
# Header, then at the most a time, a value (ten bytes each), a core and an id (five each).
_NUMBERS_BYTES = _HEADER.size + 30


class MessageType(IntEnum):
    """First byte of a message."""

    STRING = 1
    STRING_COLOR = 2
    CHANNEL_NAME = 3
    GROUP_NAME = 4
    MARKER = 6
    MARKER_COLOR = 7
    COUNTER = 8
    COUNTER_VALUE = 9


class CounterClass(IntEnum):
    """What a counter's values are. A DELTA is spread over the time since the last value, an INCIDENT is not."""

    DELTA = 1
    ABSOLUTE = 2
    INCIDENT = 4


class Display(IntEnum):
    """How Streamline sums the values of one time bin up."""

    AVERAGE = 1
    ACCUMULATE = 2
    HERTZ = 3
    MAXIMUM = 4
    MINIMUM = 5


class Series(IntEnum):
    """How the series of one chart stand together."""

    STACKED = 1
    OVERLAY = 2
    LOG10 = 3


class Render(IntEnum):
    """How a series is drawn."""

    FILL = 1
    LINE = 2
    BAR = 3


@dataclass(frozen=True, slots=True)
class Color:
    """An sRGB colour; each part is 0 to 255, ValueError otherwise."""

    red: int
    green: int
    blue: int
    wire: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            wire = bytes((self.red, self.green, self.blue, _COLOR_MARK))
        except ValueError:
            raise ValueError(f"colour ({self.red}, {self.green}, {self.blue}): each part must be 0 to 255") from None
        object.__setattr__(self, "wire", wire)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterLook:
    """A counter's definition but for its id: the chart's title, the series' name, and how both are shown."""

    title: str
    name: str
    units: str
    description: str
    counter_class: CounterClass
    display: Display
    series: Series
    render: Render
    color: Color
    scale: int
    per_cpu: bool
    average_selection: bool
    average_cores: bool
    percentage: bool


def sleb128(value: int) -> bytes:
    """Signed LEB128: seven bits a byte, lowest first, the high bit set on all bytes but the last."""
    out = []
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def text_bytes(text: str) -> bytes:
    """UTF-8 that the wire can carry: a lone surrogate or a NUL becomes "?"."""
    return text.encode("utf-8", "replace").replace(b"\0", b"?")


def size_bound(text: str = "") -> int:
    """What a marker, string or counter value takes at most, in bytes: numbers and text."""
    return _NUMBERS_BYTES + (len(text) if text.isascii() else len(text_bytes(text)))


def handshake(thread_id: int, process_id: int) -> bytes:
    """The 20 bytes that open a data connection."""
    return _HANDSHAKE.pack(b"ANNOTATE 5\n", thread_id, process_id, 0)


def marker(time_ns: int, text: str, color: Color | None = None) -> bytes:
    """A marker on the time line."""
    if color is None:
        return _message(MessageType.MARKER, sleb128(time_ns) + text_bytes(text))
    return _message(MessageType.MARKER_COLOR, sleb128(time_ns) + color.wire + text_bytes(text))


def string(time_ns: int, channel: int, text: str, color: Color | None = None) -> bytes:
    """The start of an annotation on a channel; an empty text ends the one that runs there."""
    start = sleb128(time_ns) + sleb128(channel)
    if color is None:
        return _message(MessageType.STRING, start + text_bytes(text))
    return _message(MessageType.STRING_COLOR, start + color.wire + text_bytes(text))


def channel_name(time_ns: int, channel: int, group: int, name: str) -> bytes:
    """Names a channel of this connection's thread and puts it into a group."""
    start = sleb128(time_ns) + sleb128(channel) + sleb128(group)
    return _message(MessageType.CHANNEL_NAME, start + text_bytes(name))


def group_name(time_ns: int, group: int, name: str) -> bytes:
    """Names a group of this connection's thread."""
    return _message(MessageType.GROUP_NAME, sleb128(time_ns) + sleb128(group) + text_bytes(name))


def counter(counter_id: int, look: CounterLook) -> bytes:
    """A counter's definition, to stand before its first value."""
    activities = cores = 0  # both belong to activity counters, which this client has none of
    numbers = (
        counter_id,
        look.per_cpu,
        look.counter_class,
        look.display,
        look.scale,
        look.series,
        look.render,
        look.average_selection,
        look.average_cores,
        look.percentage,
        activities,
        cores,
    )
    texts = b"\0".join(text_bytes(text) for text in (look.title, look.name, look.units, look.description))
    return _message(MessageType.COUNTER, b"".join(map(sleb128, numbers)) + look.color.wire + texts)


def counter_value(time_ns: int, core: int, counter_id: int, value: int) -> bytes:
    """One value of a counter; OverflowError where it does not fit 64 bits."""
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"counter value {value}: must fit a signed 64-bit integer")
    return _message(MessageType.COUNTER_VALUE, sleb128(time_ns) + sleb128(core) + sleb128(counter_id) + sleb128(value))


def _message(kind: MessageType, payload: bytes) -> bytes:
    return _HEADER.pack(kind, len(payload)) + payload
