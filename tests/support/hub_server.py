"""A stand-in for Hugging Face's server on the loopback: one repository, resumable downloads, a log of requests."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PIECE = 1 << 16


class HubServer(ThreadingHTTPServer):
    """Serves ``files`` of ``repo``; ``cut`` drops the connection after so many bytes of a file, once; ``pause`` is in
    seconds, before each piece of a file."""

    daemon_threads = True

    def __init__(self, repo: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repo, self.files = repo, files
        self.requests: list[tuple[str, str, str | None]] = []
        self.cut: int | None = None
        self.pause = 0.0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path, self.headers.get("Range")))
        prefix = f"/{self.server.repo}/resolve/"
        if path.startswith(f"/api/models/{self.server.repo}"):
            names = [
                {"type": "file", "rfilename": name, "path": name, "size": len(content), "oid": "0" * 40}
                for name, content in self.server.files.items()
            ]
            whole = {"id": self.server.repo, "sha": COMMIT, "siblings": names, "private": False, "tags": []}
            self._send(200, json.dumps(names if "/tree/" in path else whole).encode(), {}, body)
        elif path.startswith(prefix) and (name := path[len(prefix) :].partition("/")[2]) in self.server.files:
            self._send_file(self.server.files[name], body)
        else:
            self._send(404, b'{"error": "no such repository"}', {"X-Error-Code": "RepoNotFound"}, body)

    def _send_file(self, content: bytes, body: bool) -> None:
        headers = {
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        start = self.headers.get("Range")
        status, first = 200, 0
        if start is not None:
            status, first = 206, int(start.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._send(status, content[first:], headers, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        if self.server.cut is not None and len(content) > self.server.cut:
            self.wfile.write(content[: self.server.cut])
            self.wfile.flush()
            self.server.cut = None
            self.close_connection = True
            self.connection.close()
            return
        for at in range(0, len(content), _PIECE):
            time.sleep(self.server.pause)
            self.wfile.write(content[at : at + _PIECE])


@contextmanager
def serving(repo: str, files: dict[str, bytes]) -> Iterator[HubServer]:
    server = HubServer(repo, files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
