"""Prompt caches: the tokens of a prompt and their keys and values in a file, so that they need not be evaluated again.

A file is a line of JSON, the tokens (int32) and what :meth:`Session.saved` gives, little-endian; the line says of which
model, layout and arithmetic they are and has a CRC of all that follows. Logits behind a prompt that was reloaded are
those of the run without it, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import outputs
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.engine import Engine, Session

_KIND = "q4engine prompt cache"
_VERSION = 1
"""Of the file."""
_ARITHMETIC = {"f16": 1, "q8_0": 2}
"""Of docs/arithmetic.md, by form: counted up with every change of it that changes keys or values, or their order."""
_LONGEST_HEAD = 1000
_PIECE = 4096


def model_digest(engine: Engine) -> str:
    """What tells models apart, in hexadecimal: every tensor's name, type and shape, and three pieces of its data."""
    digest = hashlib.sha256()
    for name, tensor in sorted(engine.gguf.tensors.items()):
        digest.update(f"{name} {tensor.type_id} {tensor.shape}\n".encode())
        data = tensor.data.reshape(-1)
        for start in (0, len(data) // 2, max(len(data) - _PIECE, 0)):
            digest.update(data[start : start + _PIECE].tobytes())
    for key in sorted(engine.gguf.metadata):
        if not key.startswith(("general.", "tokenizer.")):
            digest.update(f"{key} {engine.gguf.metadata[key]}\n".encode())
    return digest.hexdigest()


def save(path: str | os.PathLike[str], session: Session, n: int) -> None:
    """Writes the first ``n`` tokens that the session holds. Q4Error where that fails; a file from before stays then."""
    import numpy as np

    tokens = np.asarray(session.tokens[:n], "<i4").tobytes()
    saved = session.saved(n)
    form = session.engine.kv_form
    head = {
        "kind": _KIND, "version": _VERSION, "arithmetic": _ARITHMETIC[form], "model": model_digest(session.engine),
        "tokens": n, "bytes": len(saved), "crc32": zlib.crc32(saved, zlib.crc32(tokens)),
    }  # fmt: skip
    if form != "f16":  # which files without a word have
        head["kv_form"] = form
    try:
        with outputs.Output(path) as output:
            output.file.write(json.dumps(head).encode() + b"\n" + tokens)
            output.file.write(saved)
    except OSError as error:
        raise Q4Error(f"{path}: cannot write the prompt cache: {error.strerror}") from None


def load(path: str | os.PathLike[str], session: Session) -> None:
    """Has the session hold what the file holds. Q4Error with one line where it is another model's, layout's or
    version's, is damaged, or does not fit; nothing has changed then."""
    import numpy as np

    if session.recorder is None:
        raise Q4Error("keys and values are saved with the native backend alone")
    try:
        if not Path(path).is_file():  # a pipe, or a device without an end
            raise Q4Error(f"{path}: no prompt cache: it is no regular file")
        with Path(path).open("rb") as file:
            head, at = _head(path, file.read(_LONGEST_HEAD))
            n, n_bytes = head["tokens"], head["bytes"]
            found = os.fstat(file.fileno()).st_size - at
            if found != 4 * n + n_bytes:
                raise Q4Error(f"{path}: {found} bytes of tokens, keys and values, expected {4 * n + n_bytes}")
            if head.get("model") != model_digest(session.engine):
                raise Q4Error(f"{path}: a prompt cache of another model than {session.engine.gguf.path.name}")
            if (form := head.get("kv_form", "f16")) != session.engine.kv_form:
                raise Q4Error(f"{path}: keys and values as {form!r}, expected {session.engine.kv_form!r} (-ctk, -ctv)")
            if n > session.n_ctx:
                raise Q4Error(f"{path}: a prompt of {n} tokens does not fit a context of {session.n_ctx}")
            if n_bytes != (expected := session.recorder.kv_bytes(n)):
                raise Q4Error(f"{path}: {n_bytes} bytes of keys and values for {n} tokens, expected {expected}")
            file.seek(at)
            data = memoryview(file.read(found))
    except OSError as error:
        raise Q4Error(f"{path}: cannot read the prompt cache: {error.strerror}") from None
    if len(data) != found or zlib.crc32(data) != head["crc32"]:
        raise Q4Error(f"{path}: the prompt cache is damaged: its checksum is another")
    try:
        session.restore(np.frombuffer(data[: 4 * n], "<i4").tolist(), data[4 * n :])
    except Q4Error as error:
        raise Q4Error(f"{path}: {error}") from None


def _head(path: str | os.PathLike[str], data: bytes) -> tuple[dict[str, Any], int]:
    """The first line, checked, and where what follows it begins."""
    line, end, _ = data.partition(b"\n")
    try:
        head = json.loads(line) if end else None
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("kind") != _KIND:
        raise Q4Error(f"{path}: no prompt cache: it does not begin with a line that says so")
    arithmetic = _ARITHMETIC.get(str(head.get("kv_form", "f16")), 1)
    for name, expected in (("version", _VERSION), ("arithmetic", arithmetic)):
        if head.get(name) != expected:
            raise Q4Error(f"{path}: a prompt cache of {name} {head.get(name)!r}, expected {expected}")
    sizes = ("tokens", "bytes", "crc32")
    if not all(type(head.get(name)) is int and head[name] >= 0 for name in sizes) or head["tokens"] == 0:
        raise Q4Error(f"{path}: the prompt cache's first line lacks a size")
    return head, len(line) + 1
