"""The native core. Everything here raises ValueError with a message for the user where an argument does not fit.

Arrays are C-contiguous buffers of the type that is named.
"""

from typing import Any

import numpy as np

Weight = tuple[str, int, int, list[tuple[np.ndarray, int]]]
"""name, type, columns, [(GGUF rows as bytes, number of rows), …]"""
Table = tuple[np.ndarray, int, int, int]
"""GGUF rows as bytes, type, rows, columns"""
Op = tuple[str, str, int, int, int, int, int, int, int, int, int, int]
"""kind, name, layer, in, in_col, out, out_col, heads, weight, vector, table, flags (native/model.h)"""
Group = list[tuple[int, int, bool]]
"""Events counted together: type, config, exclude_kernel (perf_event_attr)"""
Recorded = tuple[int, int, int, bool, int, int, int, bytes, bytes, bytes]
"""n_past, n_eval, phase, all_logits, start_ns, end_ns, own_ns, stamps, facts, counts (observer.py)"""

def cpu_features(list: str | None = None, /) -> list[str]: ...
def skip_strings(data: Any, position: int, count: int, /) -> int: ...
def tell_of_truncation(line: bytes, /) -> None: ...
def quantize_rows(x: np.ndarray, out: np.ndarray, type: int, rows: int, columns: int, method: str, /) -> int: ...

class Model:
    def __new__(
        cls,
        n_threads: int,
        cpus: list[int] | None,
        features: str | None,
        params: dict[str, Any],
        tables: list[Table],
        vectors: list[np.ndarray],
        weights: list[Weight],
        buffers: list[int],
        plan: list[Op],
        rope_factors: int,
        release: bool,
    ) -> Model: ...
    def kernels(self) -> list[tuple[str, str, int, int, int, str, str, str]]: ...
    def variant(self) -> str: ...

class Session:
    def __new__(cls, model: Model, n_ctx: int, n_batch: int) -> Session: ...
    def decode(
        self, tokens: np.ndarray, n_past: int, all_logits: bool, logits: np.ndarray, phase: int = 1, /
    ) -> bool: ...
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
    state: int,
    /,
) -> tuple[int, int]: ...
def random_state(seed: int, /) -> int: ...
def pmu_try(group: Group, /) -> tuple[int, int]: ...
def probe_read(model: Model, /) -> tuple[int, float]: ...
def probe_int8(model: Model, macs: int, /) -> tuple[str, int, float] | None: ...
