"""Where the Streamline daemon (gatord) listens, and one non-blocking connection to it."""

import contextlib
import errno
import os
import resource
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass

# Only TCP can keep a connect waiting, and only where loopback swallows packets.
_CONNECT_SECONDS = 0.1

# Descriptors that stay for the program: half of what it may have, where that is little.
_RESERVE = 64

_Address = str | tuple[str, int]


@dataclass(frozen=True, slots=True)
class Transport:
    """One way to reach a daemon: both of its sockets in one address family."""

    family: socket.AddressFamily
    parent: _Address
    data: _Address


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Names of the abstract Unix sockets and loopback TCP ports. The defaults are gatord's."""

    parent_name: str = "streamline-annotate-parent"
    data_name: str = "streamline-annotate"
    parent_port: int = 8082
    data_port: int = 8083

    def transports(self) -> Iterator[Transport]:
        """The ways to a daemon, the cheapest first."""
        yield Transport(socket.AF_UNIX, "\0" + self.parent_name, "\0" + self.data_name)
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            yield Transport(family, (host, self.parent_port), (host, self.data_port))


class NoDescriptorError(OSError):
    """The program has few descriptors left, and they are its own."""


class Connection:
    """A stream socket that never keeps its user waiting.

    Made unconnected, so that its owner can hold it before it holds a connection: a fork in between would otherwise
    leave the child with a connected socket that nothing there knows of.
    """

    def __init__(self, family: socket.AddressFamily) -> None:
        """NoDescriptorError where the program would be left with too few descriptors."""
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise NoDescriptorError(*error.args) from None
            raise
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if most != resource.RLIM_INFINITY and self._socket.fileno() >= most - min(_RESERVE, most // 2):
            self._socket.close()  # the lowest number that is free tells how many are taken
            raise NoDescriptorError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._socket.settimeout(0 if family == socket.AF_UNIX else _CONNECT_SECONDS)

    def open(self, address: _Address) -> None:
        """Connects; OSError where nobody listens, where the backlog is full, or after a tenth of a second."""
        self._socket.connect(address)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Closes this process's end alone: a forked relative's copy of the connection stays as it is."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def hung_up(self) -> bool:
        """Whether the other end has closed, which TCP would not tell before a second send."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def send(self, data: bytearray) -> int:
        """Bytes taken, 0 where the socket is full; OSError where the connection is gone."""
        try:
            return self._socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def heard(self) -> bool:
        """Whether the daemon has spoken since the last look; OSError where it is gone."""
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return False
        if not data:
            raise ConnectionResetError("the daemon closed the connection")
        return True
