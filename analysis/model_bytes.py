"""How many bytes one token must read, from a GGUF file's header alone: metadata and tensor table, no tensor data."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from analysis.errors import AnalysisError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_LONGEST_STRING = 1 << 20
_MOST_ENTRIES = 1 << 20
_MOST_DIMENSIONS = 4
_F16_BYTES = 2


@dataclass(frozen=True)
class ModelBytes:
    """weights: bytes that one decoded token reads.  kv: bytes of fp16 KV cache per token and cached position."""

    weights: int
    kv: int


def read(path: str | Path) -> ModelBytes:
    """Scan the header of a GGUF file (version 2 or 3); raises AnalysisError with the file and what is wrong."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _Scan(path, file, path.stat().st_size).run()
    except OSError as error:
        raise AnalysisError(error.strerror or str(error), path=path) from error


class _Scan:
    """Reads forward through the header. Every count is checked against the file's size before it is believed."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path = path
        self.file = file
        self.size = size

    def run(self) -> ModelBytes:
        if self._take(4) != _MAGIC:
            raise self._error("no GGUF file: the magic is not 'GGUF'")
        (version,) = struct.unpack("<I", self._take(4))
        if version not in _VERSIONS:
            raise self._error(f"GGUF version {version}, 2 or 3 are read")
        n_tensors, n_entries = struct.unpack("<QQ", self._take(16))
        if max(n_tensors, n_entries) > _MOST_ENTRIES:
            raise self._error(f"{n_tensors} tensors and {n_entries} metadata entries cannot be")
        metadata = dict(self._entry() for _ in range(n_entries))
        tensors = dict(self._tensor() for _ in range(n_tensors))
        return ModelBytes(_weights(tensors, metadata), _kv_bytes(metadata))

    def _error(self, reason: str) -> AnalysisError:
        return AnalysisError(reason, path=self.path)

    def _take(self, n_bytes: int) -> bytes:
        data = self.file.read(n_bytes)
        if len(data) != n_bytes:
            raise self._error(f"the header ends early, at byte {self.size}")
        return data

    def _skip(self, n_bytes: int) -> None:
        if n_bytes > self.size - self.file.tell():
            raise self._error(f"an array of {n_bytes} bytes passes the end of the file")
        self.file.seek(n_bytes, 1)

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def _string(self) -> str:
        length = self._number("<Q")
        if length > _LONGEST_STRING:
            raise self._error(f"a name of {length} bytes cannot be")
        return self._take(length).decode("utf-8", "replace")

    def _entry(self) -> tuple[str, object]:
        key = self._string()
        kind = self._number("<I")
        if kind == _ARRAY:
            self._skip_array()
            return key, None
        if kind == _STRING:
            self._skip(self._number("<Q"))
            return key, None
        if kind not in _SCALARS:
            raise self._error(f"metadata {key!r} has the unknown type {kind}")
        return key, struct.unpack(_SCALARS[kind], self._take(struct.calcsize(_SCALARS[kind])))[0]

    def _skip_array(self) -> None:
        kind, length = self._number("<I"), self._number("<Q")
        if kind == _STRING:
            if length > self.size:
                raise self._error(f"an array of {length} strings cannot be")
            for _ in range(length):
                self._skip(self._number("<Q"))
        elif kind in _SCALARS:
            self._skip(length * struct.calcsize(_SCALARS[kind]))
        else:
            raise self._error(f"an array of the unknown type {kind}")

    def _tensor(self) -> tuple[str, int]:
        name = self._string()
        n_dimensions = self._number("<I")
        if not 1 <= n_dimensions <= _MOST_DIMENSIONS:
            raise self._error(f"tensor {name!r} has {n_dimensions} dimensions")
        shape = [self._number("<Q") for _ in range(n_dimensions)]
        kind = self._number("<I")
        self._number("<Q")  # its offset
        block, block_bytes = self._block(name, kind)
        n_bytes = prod(shape) // block * block_bytes
        if n_bytes > self.size:
            raise self._error(f"tensor {name!r} of {n_bytes} bytes is larger than the file")
        return name, n_bytes

    def _block(self, name: str, kind: int) -> tuple[int, int]:
        """Weights and bytes of a block of the type. The table is gguf's, imported here since it costs 0.2 s."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        try:
            block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except (KeyError, ValueError):
            raise self._error(f"tensor {name!r} has the unknown type {kind}") from None
        return int(block), int(block_bytes)


def _weights(tensors: dict[str, int], metadata: dict[str, object]) -> int:
    """Bytes that one token reads: of the embedding one row only, unless it is the output matrix as well."""
    is_tied = "output.weight" not in tensors
    used, experts = _value(metadata, ".expert_used_count"), _value(metadata, ".expert_count")
    share = used / experts if used and experts else 1.0
    total = 0.0
    for name, n_bytes in tensors.items():
        if name == "token_embd.weight" and not is_tied:
            continue
        total += n_bytes * (share if "_exps." in name else 1.0)
    return round(total)


def _kv_bytes(metadata: dict[str, object]) -> int:
    """K and V of every layer in fp16, for one position."""
    layers, heads = _value(metadata, ".block_count"), _value(metadata, ".attention.head_count")
    width = _value(metadata, ".embedding_length")
    kv_heads = _value(metadata, ".attention.head_count_kv") or heads
    head = _value(metadata, ".attention.key_length") or (width // heads if heads else 0)
    return 2 * layers * kv_heads * head * _F16_BYTES


def _value(metadata: dict[str, object], suffix: str) -> int:
    def found() -> Iterator[int]:
        for key, value in metadata.items():
            if key.endswith(suffix) and isinstance(value, int) and 0 < value < 1 << 31:
                yield value

    return next(found(), 0)
