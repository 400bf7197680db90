"""Engine and session: agreement with the NumPy reference, limits, and values that are not finite."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bits
import numpy as np
import pytest
from models.spec import ModelSpec
from models.tiny import TINY_LLAMA, TINY_QWEN2, write_tiny

from q4engine.cpus import default_thread_count, parse_cpu_mask, without_crowd
from q4engine.engine import Backend, Call, Engine, Session
from q4engine.errors import ContextFullError, Q4Error
from q4engine.gguf import GGUFFile, TensorType
from q4engine.kv_forms import KV_FORMS, KVForm


def write(folder: Path, spec: ModelSpec = TINY_LLAMA) -> Path:
    return write_tiny(folder / "synthetic.gguf", spec)


def patch(path: Path, tensor: str, offset: int, data: bytes) -> None:
    with GGUFFile.open(path) as file:
        at = file.tensor(tensor).offset + offset
    with path.open("r+b") as out:
        out.seek(at)
        out.write(data)


@pytest.mark.parametrize("name", bits.SPECS)
def test_agrees_with_the_numpy_reference(name: str, tmp_path: Path) -> None:
    """Activations of 8 bits cost some accuracy; a wrong operation costs all of it."""
    path = bits.write_model(name, tmp_path)
    ours = Engine.load(path, n_threads=2).session().decode(bits.PROMPT, all_logits=True)
    reference = Engine.load(path, backend="numpy").session().decode(bits.PROMPT, all_logits=True)
    error = np.sqrt(np.mean((ours - reference) ** 2)) / np.std(reference)
    assert error < (1e-3 if bits.SPECS[name].weight_type is TensorType.F16 else 0.08)
    correlation = np.corrcoef(ours.ravel(), reference.ravel())[0, 1]
    assert correlation > 0.995


def test_numpy_backend_has_no_kernels(tmp_path: Path) -> None:
    engine = Engine.load(write(tmp_path), backend="numpy")
    assert (engine.backend, engine.kernels, engine.variant) == ("numpy", [], "numpy")


def test_context_takes_every_position_and_refuses_one_more(tmp_path: Path) -> None:
    session = Engine.load(write(tmp_path), n_threads=1).session(n_ctx=100, n_batch=7)
    session.decode([1] * 99)
    with pytest.raises(ContextFullError, match="99 tokens are in it, 2 more were given, it holds 100"):
        session.decode([1, 1])
    assert session.n_past == 99
    session.decode([1])
    with pytest.raises(ContextFullError):
        session.decode([1])


def test_truncate_goes_back_in_time(tmp_path: Path) -> None:
    session = Engine.load(write(tmp_path), n_threads=1).session()
    first = session.decode([1, 2, 3])
    session.decode([9, 8, 7])
    session.truncate(2)
    assert session.decode([3]).tobytes() == first.tobytes()


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_sync_evaluates_what_is_new(backend: Backend, tmp_path: Path) -> None:
    """Longer, shorter, different in the middle, the same again: always the logits of an empty session."""
    engine = Engine.load(write(tmp_path), n_threads=1, backend=backend)
    session = engine.session()
    listener = Listener(session)
    session.observers.append(listener)
    tokens = [1, 2, 3, 4, 5, 6]
    for wanted, n_past, n_eval in (
        (tokens[:4], 0, 4),
        (tokens, 4, 2),
        (tokens, 5, 1),
        (tokens[:3], 2, 1),
        ([1, 2, 9, 4, 5, 6], 2, 4),
        ([7], 0, 1),
    ):
        listener.heard.clear()
        held = session.held(wanted)
        logits = session.sync(wanted)
        assert [(call.n_past, call.n_eval) for when, call, _ in listener.heard if when == "after"] == [(n_past, n_eval)]
        assert held == n_past and list(session.tokens) == wanted and session.n_past == len(wanted)
        if backend == "native":
            assert logits.tobytes() == engine.session().decode(wanted).tobytes()
        else:  # whose sums hang on the number of tokens
            np.testing.assert_allclose(logits, engine.session().decode(wanted), rtol=1e-3, atol=1e-4)


def test_what_sync_refuses_leaves_the_session_usable(tmp_path: Path) -> None:
    session = Engine.load(write(tmp_path), n_threads=1).session(n_ctx=4)
    session.decode([1, 2, 3])
    for wrong in ([], [1, 2, 320], [1, -1]):
        with pytest.raises(Q4Error):
            session.sync(wrong)
        assert list(session.tokens) == [1, 2, 3]
    with pytest.raises(Q4Error, match="token 320 at position 2"):
        session.sync([1, 2, 320])
    with pytest.raises(ContextFullError, match="2 tokens are in it, 3 more were given, it holds 4"):
        session.sync([1, 2, 9, 9, 9])
    assert list(session.tokens) == [1, 2]
    assert session.sync([1, 2, 3, 4]).shape == (320,)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_call_that_ends_behind_the_executor_is_no_part_of_the_timeline(backend: Backend, tmp_path: Path) -> None:
    """As an interrupt does, or an observer that fails: the next call overwrites what it left."""
    engine = Engine.load(write(tmp_path), n_threads=1, backend=backend)
    session = engine.session()
    session.decode([1, 2])

    class Failing:
        def before(self, call: Call) -> None: ...

        def after(self, call: Call) -> None:
            raise KeyboardInterrupt

    session.observers.append(Failing())
    with pytest.raises(KeyboardInterrupt):
        session.decode([7, 8, 9])
    session.observers.clear()
    assert list(session.tokens) == [1, 2]
    again = engine.session()
    again.decode([1, 2])
    assert session.decode([3]).tobytes() == again.decode([3]).tobytes()


def test_tokens_follow_the_cache(tmp_path: Path) -> None:
    session = Engine.load(write(tmp_path), n_threads=1).session(n_batch=2)
    session.decode([1, 2, 3])
    session.decode([4])
    with session.unobserved():
        session.decode([5])
    assert list(session.tokens) == [1, 2, 3, 4, 5]
    session.truncate(2)
    assert list(session.tokens) == [1, 2] and session.n_past == 2


class Listener:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.heard: list[tuple[str, Call, int]] = []

    def before(self, call: Call) -> None:
        self.heard.append(("before", call, self.session.n_past))

    def after(self, call: Call) -> None:
        self.heard.append(("after", call, self.session.n_past))


def test_observers_hear_of_every_call_before_and_after_it_ran(tmp_path: Path) -> None:
    session = Engine.load(write(tmp_path), n_threads=1).session(n_batch=4)
    listener = Listener(session)
    session.observers.append(listener)
    session.decode(list(range(9)))
    session.decode([1])
    calls = [Call(0, 4, "prefill"), Call(4, 4, "prefill"), Call(8, 1, "prefill"), Call(9, 1, "decode")]
    assert listener.heard == [(when, call, call.n_past) for call in calls for when in ("before", "after")]


def test_a_first_token_alone_is_prefill_and_a_failed_call_has_no_after(tmp_path: Path) -> None:
    session = Engine.load(write(tmp_path), n_threads=1).session()
    listener = Listener(session)
    session.observers.append(listener)
    session.decode([1])
    assert listener.heard[0][1].phase == "prefill"
    session._native = None  # a call that raises
    with pytest.raises(AttributeError):
        session.decode([1])
    assert [what for what, _, _ in listener.heard] == ["before", "after", "before"]


def test_the_caller_says_what_a_call_is(tmp_path: Path) -> None:
    """Two guessed tokens checked together are no prompt, a prompt of one token behind another is no decoding."""
    session = Engine.load(write(tmp_path), n_threads=1).session(n_batch=2)
    listener = Listener(session)
    session.observers.append(listener)
    session.decode([1, 2, 3], phase="verify")
    session.decode([1], phase="prefill")
    session.decode([1], phase="verify")
    session.decode([1])
    phases = [call.phase for when, call, _ in listener.heard if when == "after"]
    assert phases == ["verify", "verify", "prefill", "verify", "decode"]


def test_a_warm_up_is_not_observed(tmp_path: Path) -> None:
    session = Engine.load(write(tmp_path), n_threads=1).session()
    listener = Listener(session)
    session.observers.append(listener)
    with session.unobserved():
        session.decode([1, 2])
    assert listener.heard == []
    session.decode([3])
    assert len(listener.heard) == 2


@pytest.mark.parametrize("token", [-1, 320, 2**40])
def test_tokens_out_of_range(token: int, tmp_path: Path) -> None:
    session = Engine.load(write(tmp_path), n_threads=1).session()
    with pytest.raises(Q4Error, match=rf"token {token} at position 1 is not in the vocabulary of 320"):
        session.decode([0, token])
    with pytest.raises(Q4Error, match="no tokens"):
        session.decode([])


def test_sessions_of_one_engine_do_not_disturb_each_other(tmp_path: Path) -> None:
    engine = Engine.load(write(tmp_path), n_threads=2)
    expected = engine.session().decode(bits.PROMPT).tobytes()
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(engine.session().decode(bits.PROMPT).tobytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


HALF_INFINITY = b"\x00\x7c"
HALF_NAN = b"\x01\xfe"
FLOAT_NAN = b"\x00\x00\xc0\x7f"


@pytest.mark.parametrize(
    ("kind", "tensor", "data"),
    [
        (TensorType.Q4_0, "blk.1.ffn_up.weight", HALF_INFINITY),
        (TensorType.Q5_0, "blk.0.ffn_gate.weight", HALF_INFINITY),
        (TensorType.Q5_1, "blk.0.ffn_gate.weight", HALF_INFINITY),
        (TensorType.IQ4_NL, "blk.0.attn_v.weight", HALF_NAN),
        (TensorType.Q8_0, "blk.0.attn_k.weight", HALF_INFINITY),
        (TensorType.F16, "blk.0.attn_output.weight", HALF_INFINITY),
        (TensorType.F32, "output.weight", FLOAT_NAN),
        (TensorType.BF16, "output.weight", b"\x80\x7f"),
        (TensorType.Q4_0, "blk.1.ffn_norm.weight", FLOAT_NAN),
    ],
)
def test_weights_that_are_not_finite_are_refused(kind: TensorType, tensor: str, data: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, TINY_LLAMA.with_changes(weight_type=kind))
    patch(path, tensor, 0, data)
    with pytest.raises(Q4Error, match=rf"{tensor}.*not finite"):
        Engine.load(path, n_threads=2)


@pytest.mark.parametrize(
    ("kind", "offset"),
    [
        (TensorType.Q2_K, 80),
        (TensorType.Q2_K, 82),
        (TensorType.Q3_K, 108),
        (TensorType.Q4_K, 0),
        (TensorType.Q4_K, 2),
        (TensorType.Q5_K, 0),
        (TensorType.Q5_K, 2),
        (TensorType.Q6_K, 208),
        (TensorType.IQ4_XS, 0),
    ],
    ids=lambda value: value.name if isinstance(value, TensorType) else str(value),
)
@pytest.mark.parametrize("data", [HALF_INFINITY, HALF_NAN], ids=["infinite", "NaN"])
def test_super_scales_that_are_not_finite_are_refused(
    kind: TensorType, offset: int, data: bytes, tmp_path: Path
) -> None:
    path = write(tmp_path, TINY_LLAMA.with_changes(dim=256, n_ffn=512, weight_type=kind))
    row = 3 * kind.row_bytes(512)
    patch(path, "blk.1.ffn_down.weight", row + kind.block_bytes + offset, data)  # its second super-block
    with pytest.raises(Q4Error, match=r"tensor 'blk.1.ffn_down.weight', row 3: a weight is not finite"):
        Engine.load(path, n_threads=2)


def test_the_tensor_of_a_fused_weight_is_named(tmp_path: Path) -> None:
    """Q, K and V are one matrix in memory, but three in the file."""
    path = write(tmp_path, TINY_LLAMA.with_changes(weight_type=TensorType.F32))
    patch(path, "blk.1.attn_k.weight", 3 * TINY_LLAMA.dim * 4, FLOAT_NAN)
    with pytest.raises(Q4Error, match=r"gguf: tensor 'blk.1.attn_k.weight', row 3: a weight is not finite"):
        Engine.load(path, n_threads=2)


def test_an_embedding_that_is_not_finite_is_found_when_it_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, TINY_LLAMA.with_changes(types={"token_embd": TensorType.F32}))
    patch(path, "token_embd.weight", 5 * TINY_LLAMA.dim * 4, FLOAT_NAN)
    session = Engine.load(path, n_threads=2).session()
    session.decode([4, 6])
    with pytest.raises(Q4Error, match=r"not finite in token_embd.weight at position 3 of the call past 2, n_eval 3"):
        session.decode([1, 5, 5])
    assert session.n_past == 2


@pytest.mark.parametrize("form", KV_FORMS)
def test_keys_beyond_fp16_are_an_error(form: KVForm, tmp_path: Path) -> None:
    path = write(tmp_path, TINY_QWEN2.with_changes(head_dim=32))
    patch(path, "blk.1.attn_v.bias", 0, np.float32(1e6).tobytes())
    with pytest.raises(Q4Error, match=r"a key or value is beyond fp16 or not finite in blk.1.kv_store at position 0"):
        Engine.load(path, n_threads=1, kv_form=form).session().decode([1, 2])


@contextmanager
def flush_to_zero() -> Iterator[None]:
    """FTZ and DAZ (x86), FZ (Arm) for this thread, through the C library's floating-point environment."""
    libm = ctypes.CDLL("libm.so.6")
    offset, mask = (28, 0x8040) if platform.machine() == "x86_64" else (0, 1 << 24)  # MXCSR, FPCR
    before = ctypes.create_string_buffer(64)
    libm.fegetenv(before)
    changed = ctypes.create_string_buffer(before.raw, 64)
    word = int.from_bytes(changed[offset : offset + 4], "little") | mask
    changed[offset : offset + 4] = word.to_bytes(4, "little")
    libm.fesetenv(changed)
    try:
        yield
    finally:
        libm.fesetenv(before)


@pytest.mark.parametrize("features", bits.feature_lists())
def test_the_callers_flush_to_zero_changes_nothing(
    features: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("Q4_CPU_FEATURES", features)
    path = bits.write_model("qwen2", tmp_path)
    tiny = np.full(4, 1e-40, np.float32)
    with flush_to_zero():
        flushed = (tiny * np.float32(1.0)).any()
        found = bits.outcome(path, 1, 512).sha256
        still = (tiny * np.float32(1.0)).any()
    assert not flushed and not still, "the mode was not set, or not restored by the call"
    assert found == bits.golden()["qwen2"]["logits"]


def test_unknown_features_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q4_CPU_FEATURES", "avx9000")
    with pytest.raises(Q4Error, match="'avx9000' is no known feature; known: none, avx2, avxvnni"):
        Engine.load(write(tmp_path))


def test_cpu_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_cpu_mask("0x1") == [0] == parse_cpu_mask("0")
    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
        assert parse_cpu_mask("7,4-6,7,0") == [7, 4, 5, 6, 0] and parse_cpu_mask("0xd1") == [0, 4, 6, 7]
    for bad in ("", "0x0", "0x", "3-1", "a", "1-", "-1", "99999", "0xfffffffffffffffffffffffffffffffff"):
        with pytest.raises(Q4Error, match=r"names no CPUs|is not available"):
            parse_cpu_mask(bad)
    assert default_thread_count() >= 1


def test_pinned_threads_give_the_same_bits(tmp_path: Path) -> None:
    path = bits.write_model("llama", tmp_path)
    engine = Engine.load(path, cpu_mask=[0])
    assert engine.n_threads == 1
    logits = engine.session().decode(bits.PROMPT)
    assert logits.tobytes() == Engine.load(path, n_threads=2).session().decode(bits.PROMPT).tobytes()
    with pytest.raises(Q4Error, match=r"^cpu_mask: CPU 1024 is not available here, only [0-9,]+$"):
        Engine.load(path, cpu_mask=[0, 1024])


def test_idle_threads_sleep(tmp_path: Path) -> None:
    """A worker stays awake for a moment after a call; then it takes next to no CPU time, where spinning took it all."""
    session = Engine.load(write(tmp_path), n_threads=2).session(n_ctx=8)
    session.decode([1])
    start = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - start < 0.25


def test_commands_start_no_more_threads_than_cpus() -> None:
    n_cpus = len(os.sched_getaffinity(0))
    assert without_crowd(n_cpus, None) == (n_cpus, None) and without_crowd(2, [0, 1]) == (2, None)
    assert without_crowd(3, [0]) == (1, "3 threads would take turns on 1 CPU: 1 is used")
    assert without_crowd(64, [0, 1]) == (2, "64 threads would take turns on 2 CPUs: 2 are used")
    assert without_crowd(n_cpus + 1, None)[0] == n_cpus
