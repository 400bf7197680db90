"""The daemon's side of the annotation sockets, for tests; `python annotate_daemon.py NAME` runs one to be killed."""

import contextlib
import itertools
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

from annotate_decode import Stream, decode_stream

from annotate import Endpoints

FAMILIES = {"unix": socket.AF_UNIX, "tcp4": socket.AF_INET, "tcp6": socket.AF_INET6}
_HOSTS = {"tcp4": "127.0.0.1", "tcp6": "::1"}
_numbers = itertools.count()


@contextlib.contextmanager
def private_endpoints() -> Iterator[Endpoints]:
    """Names and ports of this test's own. The ports are bound and not listened on, so connecting is refused."""
    name = f"q4-test-{os.getpid()}-{next(_numbers)}"
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(2):
            holder = stack.enter_context(socket.socket(socket.AF_INET))
            holder.bind(("127.0.0.1", 0))
            ports.append(holder.getsockname()[1])
        yield Endpoints(f"{name}-parent", f"{name}-data", *ports)


def has_family(family: str) -> bool:
    """Whether this machine lets a socket of the family listen."""
    if family == "unix":
        return True
    try:
        with socket.socket(FAMILIES[family]) as probe:
            probe.bind((_HOSTS[family], 0))
    except OSError:
        return False
    return True


def tcp_endpoints(family: str) -> Endpoints:
    """Free loopback ports, and a Unix name that nobody listens on."""
    ports = []
    for _ in range(2):
        with socket.socket(FAMILIES[family]) as probe:
            probe.bind((_HOSTS[family], 0))
            ports.append(probe.getsockname()[1])
    name = f"q4-test-{os.getpid()}-{next(_numbers)}"
    return Endpoints(f"{name}-parent", f"{name}-data", *ports)


class Daemon:
    """Listens on the parent and data sockets of one family and keeps what each data connection says.

    `capturing=False` listens on the parent socket alone, as between two captures; `reading=False` leaves data unread;
    `backlog`: as of listen().
    """

    def __init__(
        self,
        endpoints: Endpoints,
        family: str = "unix",
        *,
        capturing: bool = True,
        reading: bool = True,
        backlog: int = 64,
    ) -> None:
        self._backlog = backlog
        self._family = family
        self._endpoints = endpoints
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._parents: list[socket.socket] = []
        self._data: dict[socket.socket, int] = {}
        self._raw: list[bytearray] = []
        self.closed_connections = 0
        self._reading = reading
        self._running = True
        if capturing:
            self.capture()
        self._listen("parent")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def capture(self) -> None:
        """Starts to listen for data."""
        self._listen("data")

    def signal(self) -> None:
        """What the daemon says when a capture starts."""
        with self._lock:
            for parent in self._parents:
                parent.send(b"\0")

    def read(self) -> None:
        """Begins to read what was left unread."""
        with self._lock:
            self._reading = True
            for connection in self._data:
                self._selector.register(connection, selectors.EVENT_READ, "stream")

    def end_capture(self) -> None:
        """Closes the data connections, and goes on listening for those of the next capture."""
        with self._lock:
            for connection in list(self._data):
                self._forget(connection)

    def stop(self) -> None:
        """Closes every socket, as the daemon's death does."""
        self._running = False
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        for connection in [*self._data, *self._parents]:
            connection.close()
        self._selector.close()

    @property
    def parent_connections(self) -> int:
        """Clients that have come to the parent socket so far."""
        return len(self._parents)

    @property
    def streams(self) -> list[Stream]:
        """Every data connection so far, in the order of their arrival."""
        return [decode_stream(data) for data in self.raw_streams if len(data) >= 20]

    @property
    def raw_streams(self) -> list[bytes]:
        """What every data connection said so far, as it came."""
        with self._lock:
            return [bytes(data) for data in self._raw]

    @property
    def markers(self) -> list[str]:
        """Texts of all markers, connection by connection."""
        return [text for stream in self.streams for text in stream.markers]

    def wait(self, until: Callable[[], bool]) -> None:
        wait(until, lambda: f"the daemon heard {self.streams}")

    def _listen(self, role: str) -> None:
        listener = socket.socket(FAMILIES[self._family], socket.SOCK_STREAM)
        if self._family == "unix":
            name = self._endpoints.parent_name if role == "parent" else self._endpoints.data_name
            listener.bind("\0" + name)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port = self._endpoints.parent_port if role == "parent" else self._endpoints.data_port
            listener.bind((_HOSTS[self._family], port))
        listener.listen(self._backlog)
        self._selector.register(listener, selectors.EVENT_READ, role)

    def _serve(self) -> None:
        while self._running:
            for key, _ in self._selector.select(0.02):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if key.data == "stream":
                    self._receive(ready)
                else:
                    self._accept(ready, key.data)

    def _accept(self, listener: socket.socket, role: str) -> None:
        connection, _ = listener.accept()
        with self._lock:
            if role == "parent":
                self._parents.append(connection)
                return
            self._data[connection] = len(self._raw)
            self._raw.append(bytearray())
            if self._reading:
                self._selector.register(connection, selectors.EVENT_READ, "stream")

    def _receive(self, connection: socket.socket) -> None:
        with self._lock:
            if connection not in self._data:
                return
            data = connection.recv(1 << 16)
            self._raw[self._data[connection]] += data
            if not data:
                self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._data[connection]
        connection.close()
        self.closed_connections += 1


def wait(until: Callable[[], bool], state: Callable[[], str] = lambda: "") -> None:
    """Waits for something that must come; the limit is there to fail instead of hanging."""
    for _ in range(2000):
        if until():
            return
        time.sleep(0.01)
    raise AssertionError(f"waited in vain; {state()}")


if __name__ == "__main__":
    with Daemon(Endpoints(f"{sys.argv[1]}-parent", f"{sys.argv[1]}-data")):
        print("ready", flush=True)
        sys.stdin.read()
