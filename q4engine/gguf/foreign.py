"""What a file is that is no GGUF file, by how it begins or is called, and what to do with it."""

from __future__ import annotations

import re
from pathlib import Path

from q4engine.errors import shown

HEAD_BYTES = 1024
"""So much of a file tells."""

PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_TO_SAFETENSORS = "save it as safetensors and `q4engine convert` the folder"
_CONVERTIBLE = "`q4engine convert` makes one of it"
_OLD = "a model of the time before GGUF"
_AGAIN = "get the model in GGUF, or convert what it was made of"

# How files begin, what they are, and the way out.
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it: gunzip"),
    (b"BZh", "compressed by bzip2", "unpack it: bunzip2"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unpack it: unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it: unzstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it: 7z x"),
    (b"PK\x03\x04", "a zip archive", "unpack it: unzip"),
    *((start, "a pickle, as older checkpoints of PyTorch are", _TO_SAFETENSORS) for start in PICKLES),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes", _AGAIN),
    (b"\x93NUMPY", "an array of NumPy's", _AGAIN),
    (b"lmgg", f"{_OLD} (ggml)", _AGAIN),
    (b"fmgg", f"{_OLD} (ggmf)", _AGAIN),
    (b"tjgg", f"{_OLD} (ggjt)", _AGAIN),
    (b"24ka", "a checkpoint of llama2.c's", _CONVERTIBLE),
    (b"\x7fELF", "a program", _AGAIN),
    (b"%PDF-", "a PDF", _AGAIN),
)
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head)\b", re.IGNORECASE)
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n.*?^size ([0-9]{1,20})$", re.DOTALL | re.MULTILINE
)
_PIECE = re.compile(
    r"(?i).*\.gguf[.-](?:(?:split|part)[-_.]?(?:[0-9]{1,5}|[a-z]{1,2})|[0-9]{2,5})(?:[-_]?of[-_]?[0-9]{1,5})?"
)
# The version, then the text, graph or operators of another field.
_ONNX = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]")
_ADDRESS = re.compile(r"(?:https?|ftp|s3|hf):/")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?::[\w.-]+)?")
_FIRST_CHARACTERS = 60


def what_it_is(path: Path, head: bytes) -> str | None:
    """Of a file that begins with ``head``; None where nothing tells."""
    found = _kind(head) or _by_name(path) or _text(head)
    return None if found is None else f"is {found[0]}, expected a GGUF file: {found[1]}"


def why_missing(path: Path) -> str:
    """What to say of a path where nothing is: the words of people who took it for something else."""
    text = str(path)
    if _ADDRESS.match(text):
        return "is an address, expected a file: get it with curl -LO, or from Hugging Face with -hf USER/REPO"
    if _HUB_NAME.fullmatch(text) and not text.lower().endswith(".gguf") and not path.parent.exists():
        return f"no such file; a model of that name on Hugging Face: -hf {text}"
    return "no such file"


def in_folder(path: Path) -> str:
    """What to say of a folder that was given for a model."""
    models = sorted(found.name for found in path.glob("*.gguf"))[:1]
    if models:
        return f"is a directory, expected a GGUF file, as {shown(models[0])} in it"
    if next(path.glob("*.safetensors"), None) is not None:
        return "is a directory, expected a GGUF file: `q4engine convert` makes one of it"
    return "is a directory, expected a GGUF file"


def joined(path: Path) -> str:
    """What to add where a file ends too early; empty unless its name is that of a piece."""
    found = _by_name(path)
    return "" if found is None else f"; by its name it is {found[0]}: {found[1]}"


def _kind(head: bytes) -> tuple[str, str] | None:
    if _PAGE.match(head):
        return "an HTML page", (
            "a page was saved in its place; Hugging Face's addresses of files have /resolve/, and some want a login"
        )
    if match := _POINTER.match(head):
        return "a Git LFS pointer", f"`git lfs pull` gets the file itself, of {int(match[1])} bytes"
    if head[:4] == b"PK\x03\x04" and b"/data.pkl" in head:
        return "a checkpoint of PyTorch's, a zip archive with pickles", _TO_SAFETENSORS
    for start, what, advice in _STARTS:
        if head.startswith(start):
            return what, advice
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= 100 << 20:
        return "a safetensors file", "`q4engine convert` makes one of the folder that it lies in"
    if head[257:262] == b"ustar":
        return "a tar archive", "unpack it: tar xf"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", _AGAIN
    if _ONNX.match(head):
        return "an ONNX model", _AGAIN
    return None


def _by_name(path: Path) -> tuple[str, str] | None:
    if _PIECE.fullmatch(path.name) is None:
        return None
    return "a piece of a file that was cut up", "join all of them in order: cat"


def _text(head: bytes) -> tuple[str, str] | None:
    """Servers say in a line of text why they have no file."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character that is cut in two
            return None
        text = head[: error.start].decode("utf-8-sig")
    if not text.strip() or not all(char.isprintable() or char in "\t\r\n" for char in text):
        return None
    first = text.strip().splitlines()[0]
    return f"a text that begins with {shown(first, _FIRST_CHARACTERS)}", "the model may not have been where it was got"
