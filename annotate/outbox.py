"""What one thread has said and the daemon has not heard yet.

An outbox has one writer, its thread, and one reader, whoever holds the sender's lock; so the thread needs no lock, and
a signal handler, a finalizer or a fork in the middle of a call finds nothing locked.
"""

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from annotate.connection import Connection, NoDescriptorError, Transport
from annotate.encode import MAX_MESSAGE_BYTES, handshake

BUFFER_BYTES = 64 * 1024


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


class ThreadLife:
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

    def pump(self, transport: Transport, may_connect: bool) -> bool:
        """Sends what the socket takes, connecting first where need be; OSError where nobody takes connections.

        False where the daemon has yet to accept connections made before: what is queued waits for the next time.
        """
        if self.connection is not None and self.connection.hung_up():
            self.disconnect()
        self.stuck = False
        if self.connection is None and self._messages and not (may_connect and self._connect(transport)):
            self.stuck = True
            return False
        self._stage()
        self._send()
        return True

    def _connect(self, transport: Transport) -> bool:
        """False where the queue for connections is full, or too few descriptors are left."""
        try:
            self.connection = Connection(transport.family)
            self.connection.open(transport.data)
        except (BlockingIOError, TimeoutError, NoDescriptorError):  # of a Unix socket, of TCP
            self.disconnect()
            return False
        self._outgoing += self._handshake
        return True

    def _send(self) -> None:
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
