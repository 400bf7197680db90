"""The native core. Everything here raises ValueError with a message for the user where an argument does not fit.

Arrays are C-contiguous buffers of the type that is named.
"""

from typing import Any, TypedDict

import numpy as np

Weight = tuple[str, int, int, int, list[tuple[np.ndarray, int]]]
"""name, type, columns, experts or 0, [(GGUF rows as bytes, number of rows), …]"""
Table = tuple[np.ndarray, int, int, int]
"""GGUF rows as bytes, type, rows, columns"""
RopeTable = tuple[int, float, np.ndarray | None, float, np.ndarray | None, int]
"""dim, base, factors, magnitude, factors of contexts of more positions than the last number"""
Op = tuple[str, str, int, bool, dict[str, int | float]]
"""kind, name, layer or -1, last, all of the kind's fields (``operations``)"""
Group = list[tuple[int, int, bool]]
"""Events counted together: type, config, exclude_kernel (perf_event_attr)"""

class Recorded(TypedDict):
    """A call as a session recorded it."""

    n_past: int
    n_eval: int
    phase: int
    all_logits: bool
    start_ns: int
    end_ns: int
    own_ns: int
    stamps: bytes
    facts: bytes
    counts: bytes
    tallies: bytes

def constants() -> dict[str, dict[str, int]]: ...
def operations() -> dict[str, tuple[int, dict[str, str]]]: ...
def cpu_features(list: str | None = None, /) -> list[str]: ...
def tensor_types() -> list[tuple[str, int, int, int, bool]]: ...
def skip_strings(data: Any, position: int, count: int, /) -> int: ...
def tell_of_truncation(line: bytes, /) -> None: ...
def quantize_rows(
    x: np.ndarray,
    out: np.ndarray,
    type: int,
    rows: int,
    columns: int,
    method: str,
    importance: np.ndarray | None = None,
    /,
) -> int: ...

class Model:
    def __new__(
        cls,
        n_threads: int,
        n_threads_batch: int,
        cpus: list[int] | None,
        features: str | None,
        kv_form: str | None,
        n_layers: int,
        tables: list[Table],
        vectors: list[np.ndarray],
        rope_tables: list[RopeTable],
        weights: list[Weight],
        buffers: list[int],
        plan: list[Op],
        release: bool,
    ) -> Model: ...
    def kernels(self) -> list[tuple[str, str, int, int, int, str, str, str]]: ...
    def few_tokens(self) -> int: ...
    def variant(self) -> str: ...
    def kv_bytes_per_position(self) -> int: ...

class Session:
    def __new__(cls, model: Model, n_ctx: int, n_batch: int) -> Session: ...
    def decode(
        self, tokens: np.ndarray, n_past: int, all_logits: bool, logits: np.ndarray, phase: int = 1, /
    ) -> bool: ...
    def address_ranges(self) -> list[tuple[str, str, int, int]]: ...
    def kv_bytes(self, n: int, /) -> int: ...
    def save_kv(self, n: int, out: Any, /) -> None: ...
    def load_kv(self, n: int, source: Any, /) -> None: ...
    def record(self, level: int, groups: list[Group], /) -> None: ...
    def select(self, groups: int, /) -> None: ...
    def remind(self, nanoseconds: int, bytes: int, /) -> None: ...
    def recorded(self) -> list[Recorded]: ...
    def record_cost(self) -> tuple[float, float]: ...

def sample(
    logits: np.ndarray,
    recent: Any,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    repeat_penalty: float,
    frequency: float,
    presence: float,
    state: int,
    /,
) -> tuple[int, int]: ...
def random_state(seed: int, /) -> int: ...
def pmu_try(group: Group, thread: int = 0, /) -> tuple[int, int]: ...

class Counters:
    """Counts of threads by the kernel's numbers; OSError names what it refuses."""

    def __new__(cls, threads: list[int], groups: list[Group]) -> Counters: ...
    def select(self, groups: int, /) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def read(self) -> bytes: ...
    def close(self) -> None: ...

def probe_read(model: Model, most: int = ..., /) -> tuple[int, float]: ...
def probe_memory(n_bytes: int, n_threads: int, looks: int, /) -> float: ...
def probe_int8(model: Model, macs: int, /) -> tuple[str, int, float] | None: ...
