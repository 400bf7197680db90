"""A stand-in for an object store that speaks S3, on the loopback: lists, heads, reads and writes of objects in memory.

It checks no signature and knows no multipart uploads. Lists come in pages, as those of S3 do.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_CHANGED, _CHANGED_XML = "Sun, 01 Mar 2026 00:00:00 GMT", "2026-03-01T00:00:00.000Z"
_PAGE = 7


class S3Server(ThreadingHTTPServer):
    """objects: content by `bucket/key`.  read: names of objects that were read, in their order."""

    daemon_threads = True

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects = objects
        self.read: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in order to find it, and to ask nobody else."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_address[1]}",
            "AWS_ACCESS_KEY_ID": "synthetic",
            "AWS_SECRET_ACCESS_KEY": "synthetic",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "NO_PROXY": "127.0.0.1",
        }

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: S3Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    @property
    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def do_HEAD(self) -> None:
        self._object(body=False)

    def do_GET(self) -> None:
        if "/" in self._name:
            self._object(body=True)
        else:
            self._list()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/" in self._name:
            self.server.objects[self._name] = content
        self._send(200, b"", {"ETag": _tag(content)})

    def _object(self, body: bool) -> None:
        content = self.server.objects.get(self._name)
        if content is None:
            code = "NoSuchKey" if "/" in self._name else "NoSuchBucket"
            self._send(404, f"<Error><Code>{code}</Code><Message>none</Message></Error>".encode(), {}, body)
            return
        if body:
            self.server.read.append(self._name)
        headers = {"ETag": _tag(content), "Last-Modified": _CHANGED, "Accept-Ranges": "bytes"}
        status, asked = 200, self.headers.get("Range", "").removeprefix("bytes=")
        if asked:
            first, _, last = asked.partition("-")
            begin, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {begin}-{end}/{len(content)}"
            status, content = 206, content[begin : end + 1]
        self._send(status, content, headers, body)

    def _list(self) -> None:
        """ListObjectsV2; a bucket is there if it has objects."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        bucket, prefix, cut = self._name, query.get("prefix", ""), query.get("delimiter", "")
        if not any(name.startswith(bucket + "/") for name in self.server.objects):
            self._send(404, b"<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>", {})
            return
        found: dict[str, str] = {}
        for name, content in sorted(self.server.objects.items()):
            key = name.removeprefix(bucket + "/")
            if not name.startswith(bucket + "/") or not key.startswith(prefix):
                continue
            inside = key[len(prefix) :]
            if cut and cut in inside:
                folder = prefix + inside.partition(cut)[0] + cut
                found[folder] = f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            else:
                found[key] = (
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>{_tag(content)}</ETag>"
                    f"<LastModified>{_CHANGED_XML}</LastModified></Contents>"
                )
        names = list(found)
        at = int(query.get("continuation-token", 0))
        end = at + min(_PAGE, int(query.get("max-keys", _PAGE)))
        page, rest = names[at:end], end < len(names)
        following = f"<NextContinuationToken>{end}</NextContinuationToken>" if rest else ""
        text = (
            f"<ListBucketResult><Name>{escape(bucket)}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(page)}</KeyCount><IsTruncated>{str(rest).lower()}</IsTruncated>{following}"
            f"{''.join(found[name] for name in page)}</ListBucketResult>"
        )
        self._send(200, text.encode(), {"Content-Type": "application/xml"})

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


def _tag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


@contextmanager
def serving(objects: dict[str, bytes]) -> Iterator[S3Server]:
    """The server, in a thread of its own for this block."""
    server = S3Server(objects)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
