"""The tensors of a folder's safetensors files: their library reads and checks the heads, the data is mapped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q4engine.convert.json_file import JsonObject
from q4engine.convert.pickles import PICKLED_NAMES
from q4engine.errors import Q4Error, shown
from q4engine.gguf import TensorType
from q4engine.gguf.decoders import bf16

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TYPES = {"F32": TensorType.F32, "F16": TensorType.F16, "BF16": TensorType.BF16}
_MOST_TENSORS = 1 << 16  # as of a GGUF file
_MOST_HEAD_BYTES = 1 << 23  # in which so many fit, if their names are usual


@dataclass(frozen=True)
class StoredTensor:
    """A tensor where it lies. ``shape`` as PyTorch has it: rows first."""

    name: str
    path: Path
    type: TensorType
    shape: tuple[int, ...]
    offset: int

    def read(self) -> np.ndarray:
        """As float32, in its shape. Q4Error where the file has become too short."""
        count = math.prod(self.shape)
        try:
            raw = np.memmap(self.path, np.uint8, "r", self.offset, count * self.type.row_bytes(1))
        except (OSError, ValueError) as error:
            raise Q4Error(f"{self.path}: tensor {shown(self.name)} cannot be read: {error}") from None
        if self.type is TensorType.BF16:
            values = bf16(raw)
        else:
            values = raw.view("<f4" if self.type is TensorType.F32 else "<f2")
        return np.asarray(values, np.float32).reshape(self.shape)


def read_weights(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a folder by name. Q4Error for heads that lie, files that are missing, and types that are none."""
    tensors: dict[str, StoredTensor] = {}
    for path in _files(folder):
        for tensor in _read_file(path):
            if tensor.name in tensors:
                raise Q4Error(f"{path}: tensor {shown(tensor.name)} is also in {tensors[tensor.name].path.name}")
            tensors[tensor.name] = tensor
    return tensors


def _files(folder: Path) -> list[Path]:
    whole = folder / _WHOLE
    if whole.is_file():  # beside which some folders have the same weights in another form
        return [whole]
    index = folder / _INDEX
    if index.exists():
        names = JsonObject.read(index).object("weight_map").values.values()
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise Q4Error(f"{index}: names the file {shown(name)}, expected one of this folder")
        paths = [folder / str(name) for name in sorted(set(names))]
        for path in paths:
            if not path.is_file():
                raise Q4Error(f"{path}: no such file; {_INDEX} names it")
        return paths
    paths = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if not paths:
        pickles = [path.name for pattern in PICKLED_NAMES for path in folder.glob(pattern)]
        more = f"; {pickles[0]} is a pickle, which can run code when it is opened" if pickles else ""
        raise Q4Error(f"{folder}: has no *.safetensors{more}")
    return paths


def _read_file(path: Path) -> list[StoredTensor]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise Q4Error("reading safetensors needs a package: pip install 'q4engine[convert]'") from None
    tensors: list[StoredTensor] = []
    try:
        with path.open("rb") as file:
            head_bytes = int.from_bytes(file.read(8), "little")
        if _MOST_HEAD_BYTES < head_bytes <= path.stat().st_size:
            raise Q4Error(f"{path}: has a head of {head_bytes} bytes, expected at most {_MOST_HEAD_BYTES}")
        with safe_open(path, "np") as opened:  # which checks that the tensors cover the file, one after the other
            offset = 8 + head_bytes
            names = opened.offset_keys()
            if len(names) > _MOST_TENSORS:
                raise Q4Error(f"{path}: has {len(names)} tensors, expected at most {_MOST_TENSORS}")
            for name in names:
                view = opened.get_slice(name)
                kind, shape = view.get_dtype(), tuple(view.get_shape())
                if kind not in _TYPES:
                    raise Q4Error(f"{path}: tensor {shown(name)} is {kind}, expected {', '.join(_TYPES)}")
                tensors.append(StoredTensor(name, path, _TYPES[kind], shape, offset))
                offset += math.prod(shape) * _TYPES[kind].row_bytes(1)
    except SafetensorError as error:
        raise Q4Error(f"{path}: is no whole safetensors file: {shown(' '.join(str(error).split()), 300)}") from None
    except OSError as error:
        raise Q4Error(f"{path}: cannot be read: {error.strerror or error}") from None
    return tensors
