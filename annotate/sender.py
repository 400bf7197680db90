"""The way from a calling thread to the daemon: one outbox a thread, one sender thread that empties them all.

A call costs its thread a time stamp and an append; the encoding and the system calls are the sender's.
"""

import atexit
import contextlib
import os
import queue
import sys
import threading
import time

from annotate.connection import Connection, Endpoints, Transport
from annotate.outbox import BUFFER_BYTES, Message, Outbox, ThreadLife

_WAKE_BYTES = BUFFER_BYTES * 3 // 4
_DRAIN_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 1.0
_LAST_SECONDS = 0.5  # for a daemon that does not read: who is ended by a signal is to be gone within a second
_ROOM_SECONDS = 0.1
_FULL_SOCKET_SECONDS = 0.002
_BACKLOG_SECONDS = 0.01


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
            self._local.life = life = ThreadLife()
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
        """Sends what is left, for half a second at most, and hangs up. Calls after this say nothing."""
        with self._state:
            if self._closed:
                return
            self._closed = True
        try:
            self._wake.put(None)
            thread = self._thread
            if thread is not None and thread.is_alive() and thread is not threading.current_thread():
                thread.join(_CLOSE_SECONDS)
            self.flush(_LAST_SECONDS)
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
        self._accepting = True  # False while the daemon's queue for connections is full

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
                    pause = self._pause()
                self._sleep(pause)
        except BaseException:
            self.live = False
            raise

    def _pause(self) -> float:
        if not self.connected:
            return _RETRY_SECONDS
        return _DRAIN_SECONDS if self._accepting else _BACKLOG_SECONDS

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
        self._accepting = True
        for outbox in list(self._outboxes):
            ended = outbox.ended()  # asked before the pump: what the thread said last must go out too
            try:
                self._accepting &= outbox.pump(self._transport, self._accepting)
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
