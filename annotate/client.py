"""The annotations a program makes: markers, strings on channels, counters.

Every call returns at once. Where no daemon listens it costs one look at a flag; a time stamp is taken in the caller.
"""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Literal, Self, get_args

from annotate import encode
from annotate.connection import Endpoints
from annotate.encode import Color, CounterClass, CounterLook, Display, Render, Series
from annotate.outbox import Message, Subject
from annotate.sender import Sender

Mode = Literal["auto", "on", "off"]

_DEFAULT_ENDPOINTS = Endpoints()
_DEFAULT_COUNTER_COLOR = Color(0x1F, 0x77, 0xB4)

# Streamline knows a counter by its number within the process, so all clients of a process draw from one source.
_counter_ids = itertools.count(1)


def monotonic_raw_ns() -> int:
    """Nanoseconds of CLOCK_MONOTONIC_RAW, the clock of every annotation."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def streamline(mode: Mode = "auto", endpoints: Endpoints = _DEFAULT_ENDPOINTS) -> "Streamline":
    """A client for Arm Streamline's annotations, to be used in a `with` statement.

    mode: "auto" says nothing where no daemon (gatord) listens, "on" warns about that once on stderr, "off" never
    looks for one. A daemon that comes later is found within a second. ValueError for any other mode.
    """
    return Streamline(mode, endpoints)


class _Group:
    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self._name = name
        _check_size("group name", self.definition(0))

    def definition(self, time_ns: int) -> bytes:
        return encode.group_name(time_ns, self.number, self._name)


class Channel:
    """A row of a thread's own under its group's heading in Streamline; made by `Streamline.channel`.

    One annotation runs on a channel at a time, from its start to the next start or end. A channel shows up for each
    thread that uses it. `number`: what messages call it; `subjects`: whose definitions stand before them.
    """

    def __init__(self, sender: Sender, number: int, name: str, group: _Group | None) -> None:
        self._sender = sender
        self.number = number
        self.subjects: tuple[Subject, ...] = (group, self) if group else (self,)
        self._name = name
        self._group_number = group.number if group else 0
        _check_size("channel name", self.definition(0))

    def definition(self, time_ns: int) -> bytes:
        """The message that names the channel; the client sends it ahead of the first use on each connection."""
        return encode.channel_name(time_ns, self.number, self._group_number, self._name)

    def start(self, text: str, color: Color | None = None, *, time_ns: int | None = None) -> None:
        """Starts an annotation, now or at `time_ns` (CLOCK_MONOTONIC_RAW); an empty text ends the running one."""
        if not self._sender.live:
            return
        when = monotonic_raw_ns() if time_ns is None else time_ns
        rest = (self.number, text, color)
        self._sender.put(Message(self.subjects, encode.size_bound(text), encode.string, when, rest))

    def end(self, *, time_ns: int | None = None) -> None:
        """Ends the running annotation, now or at `time_ns` (CLOCK_MONOTONIC_RAW)."""
        self.start("", time_ns=time_ns)

    @contextlib.contextmanager
    def span(self, text: str, color: Color | None = None) -> Iterator[None]:
        """An annotation around a `with` block, ended also when the block raises."""
        self.start(text, color)
        try:
            yield
        finally:
            self.end()


class Counter:
    """A series of values drawn as a chart; made by `Streamline.counter`.

    Streamline adds the values of a process's threads up, so an absolute value belongs to one thread.
    """

    def __init__(self, sender: Sender, look: CounterLook) -> None:
        self._sender = sender
        self._number = next(_counter_ids)
        self._scale = look.scale
        self._definition = encode.counter(self._number, look)
        self._subjects = (self,)
        _check_size("counter definition", self._definition)

    def definition(self, time_ns: int) -> bytes:
        """The message that defines the counter; the client sends it ahead of the first value on each connection."""
        return self._definition

    def value(self, value: float, *, core: int = 0, time_ns: int | None = None) -> None:
        """One value in the counter's units, now or at `time_ns` (CLOCK_MONOTONIC_RAW); `core` for per-CPU counters.

        A value that is not finite is left out: there is nothing to draw. One that does not fit 64 bits once scaled is
        dropped.
        """
        if not self._sender.live or not math.isfinite(value):
            return
        when = monotonic_raw_ns() if time_ns is None else time_ns
        rest = (core, self._number, round(value * self._scale))
        self._sender.put(Message(self._subjects, encode.size_bound(), encode.counter_value, when, rest))


class Streamline:
    """One client. Safe to use from any thread; a forked child goes on with connections of its own.

    Messages wait in a buffer of 64 KiB per thread, sent every 100 ms, at three quarters full, on `flush`, on `close`
    and at exit. What finds the buffer full (a daemon that does not read) or is larger than 32 KiB is dropped and
    counted, and `close` tells on stderr how many. `os._exit` and a fatal signal lose what was not sent yet.
    """

    def __init__(self, mode: Mode = "auto", endpoints: Endpoints = _DEFAULT_ENDPOINTS) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"annotation mode {mode!r}: must be one of {', '.join(get_args(Mode))}")
        self._sender = Sender(endpoints, enabled=mode != "off", warn=mode == "on")
        self._group_numbers = itertools.count(1)
        self._channel_numbers = itertools.count(1)
        self._groups: dict[str, _Group] = {}

    @property
    def connected(self) -> bool:
        """Whether a daemon is there. It may be between two captures."""
        return self._sender.connected

    @property
    def dropped(self) -> int:
        """Messages dropped so far, of all threads."""
        return self._sender.dropped

    def marker(self, text: str, color: Color | None = None, *, time_ns: int | None = None) -> None:
        """Sets a marker on the time line, now or at `time_ns` (CLOCK_MONOTONIC_RAW)."""
        if not self._sender.live:
            return
        when = monotonic_raw_ns() if time_ns is None else time_ns
        self._sender.put(Message((), encode.size_bound(text), encode.marker, when, (text, color)))

    def channel(self, name: str, group: str | None = None) -> Channel:
        """A new channel, under a group's heading if one is given. ValueError where a name is over 32 KiB."""
        member_of = None
        if group is not None:
            member_of = self._groups.get(group) or self._groups.setdefault(
                group, _Group(next(self._group_numbers), group)
            )
        return Channel(self._sender, next(self._channel_numbers), name, member_of)

    def batch(self, encoded: Callable[[], bytes], n_bytes: int, channels: Iterable[Channel] = ()) -> None:
        """Many messages at the price of one, for programs with thousands of annotations a second.

        `encoded` gives them as bytes (annotate.encode), at most `n_bytes`, and is called when they are sent, in the
        client's own thread; `channels` are those that the messages speak of. They are sent or dropped together, as one
        message. ValueError where `n_bytes` is over 32 KiB.
        """
        if n_bytes > encode.MAX_MESSAGE_BYTES:
            raise ValueError(f"batch: {n_bytes} bytes, must be at most {encode.MAX_MESSAGE_BYTES}")
        if not self._sender.live:
            return
        subjects = tuple(dict.fromkeys(subject for channel in channels for subject in channel.subjects))
        when = monotonic_raw_ns()
        self._sender.put(Message(subjects, n_bytes, lambda time_ns: encoded(), when, ()))

    def counter(
        self,
        title: str,
        name: str,
        *,
        units: str = "",
        description: str = "",
        counter_class: CounterClass = CounterClass.ABSOLUTE,
        display: Display | None = None,
        series: Series = Series.STACKED,
        render: Render = Render.FILL,
        color: Color = _DEFAULT_COUNTER_COLOR,
        scale: int = 1,
        per_cpu: bool = False,
        average_selection: bool = False,
        average_cores: bool = False,
        percentage: bool = False,
    ) -> Counter:
        """A new counter: series `name` of the chart `title`.

        Values travel as integers: round(value * scale), which Streamline divides by `scale` again. `display` defaults
        to the maximum of a bin for absolute counters and to its sum for the others. ValueError where `scale` is below 1
        or the texts are over 32 KiB.
        """
        if scale < 1:
            raise ValueError(f"counter {title}:{name}: scale {scale}, must be at least 1")
        if display is None:
            display = Display.MAXIMUM if counter_class is CounterClass.ABSOLUTE else Display.ACCUMULATE
        look = CounterLook(
            title=title,
            name=name,
            units=units,
            description=description,
            counter_class=counter_class,
            display=display,
            series=series,
            render=render,
            color=color,
            scale=scale,
            per_cpu=per_cpu,
            average_selection=average_selection,
            average_cores=average_cores,
            percentage=percentage,
        )
        return Counter(self._sender, look)

    def flush(self, timeout: float = 1.0) -> bool:
        """Sends what all threads have said so far, waiting `timeout` seconds at most for a socket that is full.

        False where no daemon listens or it did not take everything.
        """
        return self._sender.flush(timeout)

    def close(self) -> None:
        """Flushes, for a second at most, and hangs up; calls after it say nothing. Closing twice is fine."""
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_size(what: str, message: bytes) -> None:
    if len(message) > encode.MAX_MESSAGE_BYTES:
        raise ValueError(f"{what}: {len(message)} bytes as a message, must be at most {encode.MAX_MESSAGE_BYTES}")
