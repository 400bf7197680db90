"""Engine and session: a loaded model, immutable and shareable, and timelines over it.

>>> engine = Engine.load("model.gguf", n_threads=4)
>>> session = engine.session(n_ctx=2048)
>>> logits = session.decode(engine.tokenizer.encode("Hello"))  # float32 [vocab_size]
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

import numpy as np

from q4engine.cpus import default_thread_count, require_available
from q4engine.errors import ContextFullError, Q4Error, shown
from q4engine.gguf import GGUFFile, TensorInfo
from q4engine.kv_forms import KV_FORMS, KVForm
from q4engine.models import ModelConfig, read_model
from q4engine.models.graph import Graph

if TYPE_CHECKING:
    from q4engine.reference import Decoder, ReferenceModel
    from q4engine.tokenizer import Tokenizer

Backend = Literal["native", "numpy"]
Phase = Literal["prefill", "decode", "verify"]
"""What a call is, as its caller says: a label for people, which changes nothing else.

prefill: a prompt, or a part of one. decode: a token that was sampled. verify: guessed tokens, checked together.
"""

DEFAULT_BATCH = 512
DEFAULT_CONTEXT = 4096


class Call(NamedTuple):
    """One call of the executor: ``n_eval`` tokens after ``n_past`` in the cache."""

    n_past: int
    n_eval: int
    phase: Phase
    all_logits: bool = False


PHASES: tuple[Phase, ...] = ("prefill", "decode", "verify")
"""By the numbers that native records have for them, from 1 on; 0 is for calls that are not recorded."""


def phase_of(n_past: int, n_eval: int) -> Phase:
    """What a call is taken for whose caller does not say: a single token after others is decode, else prefill."""
    return "decode" if n_eval == 1 and n_past else "prefill"


class CallObserver(Protocol):
    """Told of every call; ``after`` only of those that succeed."""

    def before(self, call: Call) -> None: ...

    def after(self, call: Call) -> None: ...


@dataclass(frozen=True)
class KernelChoice:
    """Which kernels multiply one packed weight."""

    tensor: str
    type: str
    rows: int
    columns: int
    packed_bytes: int
    layout: str
    gemv: str
    gemm: str


class Engine:
    """A loaded model. Weights are packed once; any number of sessions share them. Use :meth:`load`."""

    def __init__(
        self,
        file: GGUFFile,
        config: ModelConfig,
        graph: Graph,
        native: Any | None,
        n_threads: int,
        load_seconds: float,
        n_threads_batch: int | None = None,
        kv_form: KVForm = "f16",
    ) -> None:
        self.gguf = file
        self.config = config
        self.graph = graph
        self.n_threads = n_threads
        self.n_threads_batch = n_threads_batch or n_threads
        self.kv_form = kv_form
        self.load_seconds = load_seconds
        self._native = native
        self._closed = False

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        n_threads: int | None = None,
        cpu_mask: Sequence[int] | None = None,
        backend: Backend = "native",
        overrides: Mapping[str, int | float | bool | str] | None = None,
        n_threads_batch: int | None = None,
        kv_form: KVForm = "f16",
    ) -> Engine:
        """Open, check and pack a GGUF model.

        ``n_threads`` defaults to the CPUs of ``cpu_mask`` (to which threads are pinned), else to as many as make it
        faster (``cpus.choose_threads``); ``n_threads_batch``, of the same team, walk calls of more tokens than the GEMV
        kernels take, which are prompts (default: as many). ``overrides``: metadata values by key that replace the
        file's, or are added. ``kv_form``: how sessions keep keys and values. Q4Error names the file and what is wrong
        with it, or the CPU that is not available.
        """
        if backend not in get_args(Backend):
            raise Q4Error(f"there is no backend {shown(backend)}, expected {' or '.join(get_args(Backend))}")
        if cpu_mask is not None:
            require_available(cpu_mask, "cpu_mask")
        start = time.perf_counter()
        file = GGUFFile.open(Path(path))
        try:
            for key, value in (overrides or {}).items():
                file.metadata.override(key, value)
            config, graph = read_model(file)
            _require_kv_form(file, graph, kv_form)
            threads = n_threads or (len(cpu_mask) if cpu_mask else default_thread_count())
            batch = n_threads_batch or threads
            native = None
            if backend == "native":
                native = _build_native(file, graph, config.n_layers, (threads, batch), cpu_mask, kv_form)
            file.require_unchanged()  # what was packed is of one file
            return cls(file, config, graph, native, threads, time.perf_counter() - start, batch, kv_form)
        except BaseException:
            file.close()
            raise

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.n_threads} threads, {self.variant}"
        return f"<{type(self).__name__} {self.gguf.path.name}: {self.config.architecture}, {state}>"

    @property
    def native(self) -> Any | None:
        """The native model, for what asks about its memory and threads; None for the NumPy backend."""
        return self._native

    @property
    def backend(self) -> Backend:
        return "numpy" if self._native is None else "native"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The file's tokenizer, made on first use."""
        from q4engine.tokenizer import Tokenizer

        return Tokenizer.from_gguf(self.gguf)

    @cached_property
    def reference(self) -> ReferenceModel:
        """The model in plain NumPy, made on first use."""
        from q4engine.reference import ReferenceModel

        return ReferenceModel(self.graph, self.kv_form)

    @property
    def kernels(self) -> list[KernelChoice]:
        """The kernels of every packed weight, in execution order; empty for the NumPy backend."""
        return [] if self._native is None else [KernelChoice(*row) for row in self._native.kernels()]

    @property
    def variant(self) -> str:
        """The variant of the operations that are not matrix products: base, avx2, …"""
        return "numpy" if self._native is None else str(self._native.variant())

    def threads_for(self, n_tokens: int) -> int:
        """How many threads walk a call of so many tokens."""
        few = self._native is None or n_tokens < self._native.batch_tokens()
        return self.n_threads if few else self.n_threads_batch

    def close(self) -> None:
        """Lets go of file, weights and threads; they go at once, or with the last session. Closing twice is fine."""
        self._closed = True
        self._native = None
        self.gguf.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def session(self, n_ctx: int | None = None, n_batch: int = DEFAULT_BATCH) -> Session:
        """A new timeline of at most ``n_ctx`` tokens (default: the model's, up to 4096), prompts in ``n_batch``."""
        if self._closed:
            raise Q4Error(f"{self.gguf.path}: the engine was closed")
        context = min(self.config.n_ctx_train, DEFAULT_CONTEXT) if n_ctx is None else n_ctx
        for value in (context, n_batch):
            if not isinstance(value, Integral):
                raise Q4Error(f"a context of {context!r} tokens in batches of {n_batch!r}: expected integers")
        if context < 1 or n_batch < 1:
            raise Q4Error(f"a context of {context} tokens in batches of {n_batch}: both must be at least 1")
        return Session(self, context, min(n_batch, context))


class Session:
    """One timeline: the KV cache and the tokens that it holds."""

    def __init__(self, engine: Engine, n_ctx: int, n_batch: int) -> None:
        self.engine = engine
        self.n_ctx = n_ctx
        self.n_batch = n_batch
        self._tokens: list[int] = []
        self.observers: list[CallObserver] = []
        """Told of every call of the executor; see also :meth:`unobserved`."""
        self.collect: Callable[[], object] | None = None
        """Called behind a call when the recorder's log is to be taken (``recorder.remind``)."""
        self._phase_begins: Callable[[Phase], object] | None = None
        self._phase: Phase | None = None
        self._unobserved = False
        self._native: Any = None
        self._reference: Decoder | None = None
        if engine._native is None:
            self._reference = engine.reference.session(n_ctx)
        else:
            from q4engine import _native

            try:
                self._native = _native.Session(engine._native, n_ctx, n_batch)
            except ValueError as error:
                raise Q4Error(str(error)) from None

    def __repr__(self) -> str:
        return f"<Session of {self.engine.gguf.path.name}: {self.n_past} of {self.n_ctx} tokens>"

    @property
    def n_past(self) -> int:
        """How many tokens the cache holds."""
        return len(self._tokens)

    @property
    def tokens(self) -> Sequence[int]:
        """The tokens that the cache holds, the oldest first; they grow and shrink with it."""
        return self._tokens

    def sync(self, tokens: Sequence[int], *, phase: Phase | None = None) -> np.ndarray:
        """Hold these tokens and no others; float32 logits of the last, [vocab_size].

        What the session holds is kept as far as ``tokens`` begin with it (:meth:`held`), the rest is forgotten, and
        only what is new is evaluated: the same bits as from an empty session. Errors and ``phase`` as of
        :meth:`decode`; where the tokens do not fit, those that were kept stay.
        """
        ids = self._check(tokens, 0)
        kept = self.held(tokens)
        self.truncate(kept)
        return self.decode(ids[kept:], phase=phase)

    def in_common(self, tokens: Sequence[int]) -> int:
        """How many of these tokens, from the first on, are in the cache."""
        most = min(len(self._tokens), len(tokens))
        return next((i for i in range(most) if self._tokens[i] != tokens[i]), most)

    def held(self, tokens: Sequence[int]) -> int:
        """How many of them need not be evaluated again for the logits of the last: that one always is."""
        return max(0, min(self.in_common(tokens), len(tokens) - 1))

    def decode(
        self, tokens: Sequence[int] | np.ndarray, *, all_logits: bool = False, phase: Phase | None = None
    ) -> np.ndarray:
        """Append tokens; float32 logits of the last, [vocab_size], or with ``all_logits`` of all, [n, vocab_size].

        ``phase`` is what observers are told (``phase_of`` where it is None).

        More than ``n_batch`` tokens are evaluated in batches, with the same bits. ContextFullError (before anything is
        computed) where they do not fit; Q4Error on a token out of range or a value that is not finite.
        """
        ids = self._check(tokens, self.n_past)
        if self.n_past + len(ids) > self.n_ctx:
            raise ContextFullError(self.n_past, len(ids), self.n_ctx)
        vocab = self.engine.config.vocab_size
        phase = phase or phase_of(self.n_past, len(ids))
        if phase != self._phase and not self._unobserved:
            self._phase = phase
            if self._phase_begins is not None:
                self._phase_begins(phase)
        logits = np.empty((len(ids) if all_logits else 1, vocab), np.float32)
        for start in range(0, len(ids), self.n_batch):
            batch = ids[start : start + self.n_batch]
            out = logits[start : start + len(batch)] if all_logits else logits
            call = Call(self.n_past, len(batch), phase, all_logits)
            for observer in self.observers:
                observer.before(call)
            self._call(call, batch, out)
            self.engine.gguf.require_unchanged()  # the embedding is read from it
            for observer in self.observers:
                observer.after(call)
            self._tokens += batch.tolist()
        return logits if all_logits else logits[0]

    @contextmanager
    def unobserved(self) -> Iterator[None]:
        """Calls in this block are no part of the run, as a warm-up is not: nobody hears of them."""
        observers, self.observers, self._unobserved = self.observers, [], True
        try:
            yield
        finally:
            self.observers, self._unobserved = observers, False

    def tell_phases(self, begins: Callable[[Phase], object] | None) -> None:
        """Has it called before the next call, and before each call of another phase than the one before."""
        self._phase_begins, self._phase = begins, None

    @property
    def recorder(self) -> Any | None:
        """The native session, whose ``record``, ``select`` and ``recorded`` time and count; None for NumPy."""
        return self._native

    @property
    def reference(self) -> Decoder | None:
        """The timeline in NumPy, whose ``watch`` is told of operations; None for the native backend."""
        return self._reference

    def truncate(self, n_past: int) -> None:
        """Forget all tokens from position ``n_past`` on."""
        if not 0 <= n_past <= self.n_past:
            raise ValueError(f"cannot go from {self.n_past} tokens to {n_past}")
        del self._tokens[n_past:]
        if self._reference is not None:
            self._reference.n_past = n_past

    def saved(self, n: int) -> bytearray:
        """Keys and values of the first ``n`` positions, the same bytes on every machine. Q4Error without the native
        backend."""
        native = self._require_native()
        out = bytearray(native.kv_bytes(n))
        native.save_kv(n, out)
        return out

    def restore(self, tokens: Sequence[int], saved: memoryview | bytes | bytearray) -> None:
        """Hold these tokens, whose keys and values :meth:`saved` gave in a session of the same model.

        Q4Error where they do not fit or the bytes are not as many, and without the native backend.
        """
        ids = self._check(tokens, 0)
        native = self._require_native()
        if len(ids) > self.n_ctx:
            raise ContextFullError(0, len(ids), self.n_ctx)
        if len(saved) != native.kv_bytes(len(ids)):
            raise Q4Error(f"{len(saved)} bytes for {len(ids)} positions, expected {native.kv_bytes(len(ids))}")
        self._tokens.clear()
        native.load_kv(len(ids), saved)
        self._tokens += ids.tolist()

    def _require_native(self) -> Any:
        if self._native is None:
            raise Q4Error("keys and values are saved with the native backend alone")
        return self._native

    def _check(self, tokens: Sequence[int] | np.ndarray, first: int) -> np.ndarray:
        """As int32; Q4Error where one is not in the vocabulary. first: the position of the first."""
        if isinstance(tokens, (str, bytes)):
            raise TypeError("expected token ids, got text: engine.tokenizer.encode(text) gives its ids")
        ids = np.asarray(tokens)
        if ids.ndim == 1 and len(ids) == 0:
            raise Q4Error("there are no tokens to evaluate")
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            what = f"an array of {ids.ndim} dimensions" if ids.ndim > 1 else f"{type(tokens).__name__} of {ids.dtype}"
            raise TypeError(f"expected token ids, a list of integers or an array of one dimension, got {what}")
        bad = np.flatnonzero((ids < 0) | (ids >= self.engine.config.vocab_size))
        if len(bad):
            at = int(bad[0])
            raise Q4Error(
                f"token {ids[at]} at position {first + at} is not in the vocabulary of {self.engine.config.vocab_size}"
            )
        return ids.astype(np.int32)

    def _call(self, call: Call, batch: np.ndarray, out: np.ndarray) -> None:
        if self._reference is not None:
            self._reference.n_past = call.n_past  # an interrupted call may have left it further on
            out[:] = self._reference.decode(batch.tolist(), all_logits=call.all_logits)
            return
        phase = 0 if self._unobserved else 1 + PHASES.index(call.phase)
        try:
            waiting = self._native.decode(batch, call.n_past, call.all_logits, out, phase)
        except ValueError as error:
            raise Q4Error(f"{self.engine.gguf.path}: {error}") from None
        if waiting and self.collect is not None:
            self.collect()


def _require_kv_form(file: GGUFFile, graph: Graph, form: KVForm) -> None:
    """Q4Error where there is no such form, or a head has no whole number of its blocks."""
    if form not in KV_FORMS:
        raise Q4Error(f"keys and values as {shown(form)}, expected {' or '.join(KV_FORMS)}")
    columns = KV_FORMS[form]
    for op in graph.ops:
        if op.kind == "kv_store" and op.index("head_dim") % columns:
            raise Q4Error(
                f"{file.path}: heads of {op.index('head_dim')} dimensions; "
                f"keys and values as {form} need a multiple of {columns}"
            )


def _build_native(
    file: GGUFFile,
    graph: Graph,
    n_layers: int,
    n_threads: tuple[int, int],
    cpus: Sequence[int] | None,
    kv_form: KVForm = "f16",
) -> Any:
    """The graph with its tensors packed, as a native Model. n_threads: of calls of few tokens, and of more."""
    from q4engine import _native

    try:
        return _native.Model(
            n_threads=n_threads[0],
            n_threads_batch=n_threads[1],
            cpus=None if cpus is None else list(cpus),
            features=os.environ.get("Q4_CPU_FEATURES"),
            kv_form=kv_form,
            n_layers=n_layers,
            tables=[(t.data, t.type.value, t.shape[0], t.shape[1]) for t in graph.tables],
            vectors=[_vector(file, tensors) for tensors in graph.vectors],
            rope_tables=[(t.dim, t.base, t.factors, t.magnitude, t.far, t.far_from) for t in graph.rope_tables],
            weights=[_weight(tensors) for tensors in graph.weights],
            buffers=[buffer.width for buffer in graph.buffers.values()],
            plan=[(op.kind, op.name, op.layer, op.last, op.fields) for op in graph.ops],
            release=True,
        )
    except ValueError as error:
        raise Q4Error(f"{file.path}: {error}") from None


def _vector(file: GGUFFile, tensors: Sequence[TensorInfo]) -> np.ndarray:
    """Norm weights or biases, side by side, as float32; Q4Error where one is not finite."""
    parts = [tensor.data.view(np.float32) for tensor in tensors]
    for tensor, part in zip(tensors, parts, strict=True):
        if not np.isfinite(part).all():
            raise Q4Error(f"{file.path}: tensor {shown(tensor.name)} holds a value that is not finite")
    return np.concatenate(parts)


def _weight(tensors: Sequence[TensorInfo]) -> tuple[str, int, int, int, list[tuple[np.ndarray, int]]]:
    """Name, type, columns, experts (0: there are none), and the tensors' bytes with the number of their rows."""
    name, shape = "+".join(tensor.name for tensor in tensors), tensors[0].shape
    sources = [(tensor.data, tensor.n_elements // shape[-1]) for tensor in tensors]
    return name, tensors[0].type.value, shape[-1], shape[0] if len(shape) == 3 else 0, sources
