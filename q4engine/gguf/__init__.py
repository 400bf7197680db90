"""GGUF files: reading (mapped, bounds-checked), tensor types, dequantisation, quantisation and writing."""

from q4engine.gguf.metadata import GGUFArray, Metadata
from q4engine.gguf.reader import GGUFFile, TensorInfo
from q4engine.gguf.types import TensorType, ValueType

__all__ = ["GGUFArray", "GGUFFile", "Metadata", "TensorInfo", "TensorType", "ValueType"]
