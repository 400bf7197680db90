"""The way from a calling thread to the daemon: one outbox a thread, one sender thread that empties them all.

A call costs its thread a time stamp and an append: no lock, no system call, and the encoding is the sender's. Each
outbox has one writer, its thread, and one reader, whoever holds the sender's lock; so a signal handler, a finalizer or
a fork in the middle of a call finds nothing locked.
"""

import atexit
import contextlib
import os
import queue
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from annotate.connection import Connection, Endpoints, Transport
from annotate.encode import MAX_MESSAGE_BYTES, handshake

BUFFER_BYTES = 64 * 1024
_WAKE_BYTES = BUFFER_BYTES * 3 // 4
_DRAIN_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 1.0
_ROOM_SECONDS = 0.1
_FULL_SOCKET_SECONDS = 0.002


class Subject(Protocol):
    """What a message speaks of (a group, a channel, a counter): each connection must hear its definition first."""

    def definition(self, time_ns: int) -> bytes:
        """The message that defines it, stamped in CLOCK_MONOTONIC_RAW nanoseconds."""


class Message(NamedTuple):
    """Something said, not encoded yet: `encode(time_ns, *rest)` gives the bytes, `size` is what they take at most."""

    subjects: tuple[Subject, ...]
    size: int
    encode: Callable[..., bytes]
    time_ns: int
    rest: tuple[object, ...]


class _ThreadLife:
    """Held by nothing but a thread's local storage, so it goes when the thread goes."""


class Outbox:
    """What one thread has said and the daemon has not heard yet."""

    def __init__(self, thread_life: object) -> None:
        self._thread_life = weakref.ref(thread_life)
        self._handshake = handshake(threading.get_native_id(), os.getpid())
        self._messages: deque[Message] = deque()
        # Running totals, each with one writer: the thread adds to the first, the lock's holder to the second.
        self._put_bytes = 0
        self._taken_bytes = 0
        self.dropped = 0  # no room; counted by the thread
        self.refused = 0  # too long or not encodable; counted under the lock
        self.stuck = False  # the daemon did not read when last asked to
        self.connection: Connection | None = None
        self._announced: set[Subject] = set()
        self._outgoing = bytearray()

    def fill(self) -> int:
        """Bytes that wait. For the outbox's own thread, as `put` is."""
        return self._put_bytes - self._taken_bytes

    def put(self, message: Message) -> None:
        """Queues a message that there is room for."""
        self._put_bytes += message.size
        self._messages.append(message)

    def ended(self) -> bool:
        """Whether the thread has ended, also one that Python did not start and `threading` knows nothing of."""
        return self._thread_life() is None

    def mark(self) -> int:
        """A point in the outbox: all that its thread has said so far."""
        return self._put_bytes

    def sent(self, mark: int) -> bool:
        """Whether the kernel has taken everything up to the mark."""
        return self._taken_bytes >= mark and not self._outgoing

    # The rest is for the holder of the sender's lock.

    def discard(self) -> None:
        """Forgets what is queued. Bounded by what is there now: the thread may go on talking."""
        for _ in range(len(self._messages)):
            self._taken_bytes += self._messages.popleft().size

    def disconnect(self) -> None:
        """Drops the connection and what was cut to go through it; what is still queued can go through the next."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self._announced.clear()
        # A new one, since a fork can leave the child with the old one in the middle of a send, where it cannot shrink.
        self._outgoing = bytearray()

    def pump(self, transport: Transport) -> None:
        """Sends what the socket takes, connecting first where need be; OSError where nobody takes connections."""
        if self.connection is not None and self.connection.hung_up():
            self.disconnect()
        if self.connection is None and self._messages:
            self.connection = Connection(transport.family)
            self.connection.open(transport.data)
            self._outgoing += self._handshake
        self._stage()
        self.stuck = False
        while self._outgoing and self.connection is not None and not self.stuck:
            taken = self.connection.send(self._outgoing)
            del self._outgoing[:taken]
            self.stuck = not taken

    def _stage(self) -> None:
        while self._messages and len(self._outgoing) < BUFFER_BYTES:
            subjects, size, encode, time_ns, rest = self._messages.popleft()
            try:
                message = encode(time_ns, *rest)
            except Exception:  # a value of the wrong type must not stop the thread that sends all others
                message = b""
            if not 0 < len(message) <= MAX_MESSAGE_BYTES:
                self.refused += 1
            else:
                for subject in subjects:
                    if subject not in self._announced:
                        self._announced.add(subject)
                        self._outgoing += subject.definition(time_ns)
                self._outgoing += message
            self._taken_bytes += size


class Sender:
    """Finds the daemon, keeps finding it, and carries every thread's outbox there in the background.

    `live` is what a caller looks at before it does any work: False means that nobody listens. `connected` tells
    whether a daemon is there, which may be between two captures.
    """

    def __init__(self, endpoints: Endpoints, *, enabled: bool, warn: bool) -> None:
        self.live = False
        self.connected = False
        self._endpoints = endpoints
        self._warn = warn
        self._closed = not enabled  # nothing is to be started any more
        self._over = not enabled  # nothing is to be sent any more
        self._parent: Connection | None = None
        self._transport: Transport
        self._outboxes: list[Outbox] = []
        self._reset()
        if enabled:
            _senders.add(self)
            # The first look is the caller's, so that a marker right after the start is not lost.
            with self._lock:
                self._turn()
            self._start()

    @property
    def dropped(self) -> int:
        """Messages that were not sent: over 32 KiB, no room in the thread's buffer, or nothing that can be encoded."""
        return self._ended_dropped + sum(outbox.dropped + outbox.refused for outbox in list(self._outboxes))

    def put(self, message: Message) -> None:
        """Queues a message of the calling thread, or drops it where there is no room."""
        try:
            outbox: Outbox = self._local.outbox
        except AttributeError:
            self._local.life = life = _ThreadLife()
            outbox = self._local.outbox = Outbox(life)
            self._outboxes.append(outbox)
        size = message.size
        fill = outbox.fill() + size
        if fill > BUFFER_BYTES and not self._make_room(outbox, size):
            outbox.dropped += 1
            return
        outbox.put(message)
        if fill >= _WAKE_BYTES > fill - size:
            self._wake.put(None)
        if self._thread is None:
            self._start()

    def flush(self, timeout: float) -> bool:
        """Sends what every thread has said so far; False where the daemon is absent or took too long (seconds)."""
        deadline = time.monotonic() + timeout
        marks = [(outbox, outbox.mark()) for outbox in list(self._outboxes)]
        while self.live and not all(outbox.sent(mark) for outbox, mark in marks):
            if not self._turn_here(max(0.0, deadline - time.monotonic())):
                return False
            if all(outbox.sent(mark) for outbox, mark in marks):
                break
            if time.monotonic() >= deadline:
                return False
            time.sleep(_FULL_SOCKET_SECONDS)
        return self.live

    def close(self) -> None:
        """Sends what is left, for a second at most, and hangs up. Calls after this say nothing."""
        with self._state:
            if self._closed:
                return
            self._closed = True
        try:
            self._wake.put(None)
            thread = self._thread
            if thread is not None and thread.is_alive() and thread is not threading.current_thread():
                thread.join(_CLOSE_SECONDS)
            self.flush(_CLOSE_SECONDS)
        finally:
            lock = self._lock
            locked = lock.acquire(timeout=_CLOSE_SECONDS)
            self._over = True
            self.live = False
            if locked:
                self._hang_up()
                lock.release()
            _senders.discard(self)
        if self.dropped:
            _say(f"{self.dropped} annotations dropped: over 32 KiB, or the daemon did not read them in time")

    def after_fork_in_child(self) -> None:
        """The child starts anew on its next call; what its parent queued is its parent's to send."""
        self._hang_up()
        self._reset()
        self.live = not self._closed  # until the child's own first look says otherwise

    def _reset(self) -> None:
        """All that must not outlive a fork: locks that nobody will release, a thread that is not there."""
        self._lock = threading.Lock()  # guards connections and the reading end of every outbox
        self._state = threading.RLock()  # guards the choice to start or to close
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()  # its put may interrupt itself, unlike an Event's set
        self._local = threading.local()
        self._thread: threading.Thread | None = None
        self._outboxes = []
        self._ended_dropped = 0
        self._retry_at = 0.0

    def _make_room(self, outbox: Outbox, size: int) -> bool:
        """A thread that talks faster than the sender gets to run sends for itself, unless the socket is full."""
        return not outbox.stuck and self._turn_here(_ROOM_SECONDS) and outbox.fill() + size <= BUFFER_BYTES

    def _turn_here(self, timeout: float) -> bool:
        """A turn in the caller's thread; False where the lock was not to be had in time (seconds)."""
        lock = self._lock  # the one to release, also where a signal handler forks in between
        if not lock.acquire(timeout=timeout):
            return False
        try:
            self._turn()
        finally:
            lock.release()
        return True

    def _start(self) -> None:
        with self._state:
            if self._closed or self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="annotate", daemon=True)
            # An interpreter that is going down starts no threads; close() sends what is left.
            with contextlib.suppress(RuntimeError):
                self._thread.start()

    def _run(self) -> None:
        try:
            while not self._closed:
                with self._lock:
                    self._turn()
                    pause = _DRAIN_SECONDS if self.connected else _RETRY_SECONDS
                self._sleep(pause)
        except BaseException:
            self.live = False
            raise

    def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._wake.get(timeout=seconds)
            while True:
                self._wake.get_nowait()

    # From here on the lock is held.

    def _turn(self) -> None:
        if self._over or not self._find_daemon():
            return
        try:
            if self.live:
                self._pump()
            if self._parent is not None and self._parent.heard():
                self._retry_at = 0.0  # a capture starts, or the daemon is about to hang up
        except OSError:
            self._hang_up()
            self.live = False

    def _find_daemon(self) -> bool:
        """Whether a daemon is there; makes the client live where one may be capturing."""
        if self._parent is None:
            for transport in self._endpoints.transports():
                try:
                    self._parent = Connection(transport.family)
                    self._parent.open(transport.parent)
                except OSError:
                    self._drop_parent()
                else:
                    self._transport = transport
                    self._retry_at = 0.0
                    break
        if self._parent is None:
            self.live = False
            if self._warn:
                self._warn = False
                _say("no Streamline daemon (gatord) listens; trying again every second")
            return False
        if not self.live and time.monotonic() >= self._retry_at:
            for outbox in list(self._outboxes):
                outbox.discard()  # said just before the last capture ended
            self.live = True
        self.connected = True
        return True

    def _pump(self) -> None:
        for outbox in list(self._outboxes):
            ended = outbox.ended()  # asked before the pump: what the thread said last must go out too
            try:
                outbox.pump(self._transport)
            except OSError:
                outbox.disconnect()
                self.live = False  # a daemon between two captures; its signal or the next retry tells
                self._retry_at = time.monotonic() + _RETRY_SECONDS
            if ended and outbox.sent(outbox.mark()):
                outbox.disconnect()
                self._ended_dropped += outbox.dropped + outbox.refused
                self._outboxes.remove(outbox)

    def _hang_up(self) -> None:
        for outbox in list(self._outboxes):
            outbox.disconnect()
        self._drop_parent()

    def _drop_parent(self) -> None:
        self.connected = False
        if self._parent is not None:
            self._parent.close()
        self._parent = None


def _say(text: str) -> None:
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed; an annotation is no reason to fail
        print(f"annotate: {text}", file=sys.stderr)


_senders: set[Sender] = set()


def _after_fork_in_child() -> None:
    for sender in list(_senders):
        sender.after_fork_in_child()


def _close_all() -> None:
    for sender in list(_senders):
        sender.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
