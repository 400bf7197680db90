"""Mixtures of experts: their graphs, what is refused, which weights a token reads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.blocks import random_tensor
from models.spec import ModelSpec, TensorSpec
from models.tiny import TINY_OLMOE, TINY_QWEN2MOE, TINY_QWEN3MOE, write_tiny
from models.vocabulary import synthetic_bpe
from models.write import write_model

from q4engine import engine as engine_module
from q4engine.engine import Backend, Engine
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile, TensorType
from q4engine.models import read_model
from q4engine.models.graph import Graph
from q4engine.models.mixture import MixtureTransformer
from q4engine.models.olmoe import OLMoE
from q4engine.models.qwen2moe import Qwen2MoE
from q4engine.models.qwen3moe import Qwen3MoE
from q4engine.profiling.observer import Observation, observe
from q4engine.profiling.recording import operations, weight_bytes_per_token
from q4engine.reference import ReferenceModel
from q4engine.reference.forward import OPERATIONS, Call, KVCache


def read(folder: Path, spec: ModelSpec) -> tuple[MixtureTransformer, Graph]:
    with GGUFFile.open(write_tiny(folder / "synthetic-tiny.gguf", spec)) as file:
        config, graph = read_model(file)
    assert isinstance(config, MixtureTransformer)
    return config, graph


def write_changed(folder: Path, spec: ModelSpec, change: dict[str, np.ndarray]) -> Path:
    """A tiny model, tensors of it with values of one's own (float32)."""
    rng = np.random.default_rng(spec.seed)

    def data(tensor: TensorSpec) -> np.ndarray:
        own = random_tensor(tensor, rng)
        return change[tensor.name].view(np.uint8).reshape(own.shape) if tensor.name in change else own

    path = folder / "changed.gguf"
    write_model(path, spec, synthetic_bpe(spec.vocab_size, spec.pre_tokenizer), data)
    return path


def test_a_layer_with_a_network_that_all_tokens_go_to(tmp_path: Path) -> None:
    config, graph = read(tmp_path, TINY_QWEN2MOE)
    assert (config.n_experts, config.n_used, config.n_expert_ffn, config.n_shared_ffn) == (6, 3, 64, 96)
    layer = [op for op in graph.ops if op.layer == 0]
    kinds = [op.kind for op in layer[[op.kind for op in layer].index("attention") :]]
    assert kinds[3:] == [
        "rms_norm", "matmul", "router", "quantize", "experts", "swiglu", "quantize", "experts",
        "matmul", "swiglu", "quantize", "matmul", "experts_sum",
    ]  # fmt: skip
    names = [op.name for op in layer if op.kind in ("matmul", "experts", "router")][2:]
    assert names[0] == "blk.0.ffn_gate_inp.weight+blk.0.ffn_gate_inp_shexp.weight"
    assert names[1:4] == [
        "blk.0.router", "blk.0.ffn_gate_exps.weight+blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight",
    ]  # fmt: skip
    assert graph.buffers["experts"].width == 4 * 64 and graph.buffers["routing"].width == 7


@pytest.mark.parametrize(("spec", "normalised", "norms"), [(TINY_QWEN3MOE, True, 4), (TINY_OLMOE, False, 1)])
def test_experts_alone(tmp_path: Path, spec: ModelSpec, normalised: bool, norms: int) -> None:
    """Qwen3 norms heads, OLMoE whole rows."""
    config, graph = read(tmp_path, spec)
    (router, *_) = (op for op in graph.ops if op.kind == "router")
    assert bool(router.fields["normalised"]) is normalised and config.n_shared_ffn == 0
    heads = [op.fields["count"] for op in graph.ops if op.kind == "rms_norm" and "attn_q_norm" in op.name]
    assert heads == [norms] * 2 and isinstance(config, Qwen3MoE if normalised else OLMoE)


def test_gate_and_up_of_two_types(tmp_path: Path) -> None:
    _, graph = read(tmp_path, TINY_OLMOE.with_changes(types={"ffn_up": TensorType.Q8_0}))
    experts = [op for op in graph.ops if op.kind == "experts" and op.layer == 0]
    assert [op.fields["out_col"] for op in experts] == [0, 2 * 96, 0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (TINY_QWEN3MOE.with_changes(n_used=9), "qwen3moe.expert_used_count' is 9, expected 1 to 8"),
        (TINY_QWEN3MOE.with_changes(n_used=0), "qwen3moe.expert_used_count' is 0, expected 1 to 8"),
        (TINY_QWEN3MOE.with_changes(keys={"expert_gating_func": 2}), "expert_gating_func' is 2, expected 0 or 1"),
        (TINY_QWEN3MOE.with_changes(keys={"expert_weights_scale": 2.5}), "expert_weights_scale' is 2.5, expected 0 or"),
        (TINY_QWEN3MOE.with_changes(keys={"expert_group_count": 4}), "expert_group_count' is 4, expected 0 or 1"),
        (TINY_QWEN3MOE.with_changes(keys={"expert_weights_norm": False}), "expert_weights_norm' is false, which is"),
        (TINY_OLMOE.with_changes(keys={"expert_weights_norm": True}), "expert_weights_norm' is true, which is"),
        (TINY_OLMOE.with_changes(keys={"expert_shared_count": 1}), "expert_shared_count' is 1, expected 0"),
        (TINY_OLMOE.with_changes(keys={"leading_dense_block_count": 1}), "leading_dense_block_count' is 1, expected 0"),
        (TINY_OLMOE.with_changes(keys={"attention.clamp_kqv": 8.0}), "attention.clamp_kqv' is 8, expected 0"),
    ],
)  # fmt: skip
def test_keys_that_are_refused(tmp_path: Path, spec: ModelSpec, words: str) -> None:
    with pytest.raises(Q4Error) as caught:
        read(tmp_path, spec)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("expert_count", 0, "qwen2moe.expert_count' is 0, expected 1 to 4096"),
        ("expert_count", 4097, "qwen2moe.expert_count' is 4097, expected 1 to 4096"),
        ("expert_count", (1 << 32) - 1, "qwen2moe.expert_count' is 4294967295, expected 1 to 4096"),
        ("expert_count", 5, "tensor 'blk.0.ffn_gate_inp.weight' has shape (6, 64), expected (5, 64)"),
        ("expert_count", 4096, "tensor 'blk.0.ffn_gate_inp.weight' has shape (6, 64), expected (4096, 64)"),
        ("expert_used_count", (1 << 32) - 1, "expert_used_count' is 4294967295, expected 1 to 6"),
        ("expert_feed_forward_length", 32, "blk.0.ffn_gate_exps.weight' has shape (6, 64, 64), expected (6, 32, 64)"),
        ("expert_feed_forward_length", 0, "expert_feed_forward_length' is 0, expected 1 to"),
        ("expert_shared_feed_forward_length", 64, "ffn_gate_shexp.weight' has shape (96, 64), expected (64, 64)"),
    ],
)
def test_counts_that_lie(tmp_path: Path, key: str, value: int, words: str) -> None:
    path = write_tiny(tmp_path / "lying.gguf", TINY_QWEN2MOE)
    raw = path.read_bytes()
    at = raw.index(f"qwen2moe.{key}".encode()) + len(f"qwen2moe.{key}") + 4
    path.write_bytes(raw[:at] + value.to_bytes(4, "little") + raw[at + 4 :])
    with pytest.raises(Q4Error) as caught:
        Engine.load(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"])
def test_a_tensor_of_another_number_of_experts(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModelSpec.tensors

    def one_less(spec: ModelSpec) -> list[TensorSpec]:
        return [
            TensorSpec(t.name, (5, *t.shape[1:]), t.type, std=t.std) if t.name == f"blk.1.{name}.weight" else t
            for t in real(spec)
        ]

    monkeypatch.setattr(ModelSpec, "tensors", one_less)
    with pytest.raises(Q4Error, match=rf"tensor 'blk.1.{name}.weight' has shape \(5, .*expected \(6, "):
        read(tmp_path, TINY_QWEN2MOE)


def test_a_router_that_is_not_finite(tmp_path: Path) -> None:
    scores = np.zeros((5, 64), np.float32)
    scores[3, 7] = np.nan
    path = write_changed(tmp_path, TINY_OLMOE, {"blk.1.ffn_gate_inp.weight": scores})
    with pytest.raises(Q4Error, match=r"tensor 'blk.1.ffn_gate_inp.weight', row 3: a weight is not finite"):
        Engine.load(path)
    with pytest.raises(Q4Error, match=r"tensor 'blk.1.ffn_gate_inp.weight' holds values that are not finite"):
        Engine.load(path, backend="numpy").session().decode([1, 2])


def test_a_weight_of_an_expert_that_is_not_finite(tmp_path: Path) -> None:
    spec = TINY_OLMOE.with_changes(weight_type=TensorType.F32)
    up = np.zeros((5, 96, 64), np.float32)
    up[4, 95, 0] = np.inf
    path = write_changed(tmp_path, spec, {"blk.0.ffn_up_exps.weight": up})
    with pytest.raises(Q4Error, match=r"tensor 'blk.0.ffn_up_exps.weight', expert 4, row 95: a weight is not finite"):
        Engine.load(path)


@pytest.mark.parametrize("tokens", [[1], [1, 2, 3]])
def test_scores_that_overflow_are_an_error_that_names_the_router(tmp_path: Path, tokens: list[int]) -> None:
    norm, scores = np.full(64, 3e38, np.float32), np.full((5, 64), 3e38, np.float32)
    change = {"blk.0.ffn_norm.weight": norm, "blk.0.ffn_gate_inp.weight": scores}
    session = Engine.load(write_changed(tmp_path, TINY_OLMOE, change), n_threads=2).session()
    with pytest.raises(Q4Error, match=r"not finite in blk.0.router at position 0 of the call past 0"):
        session.decode(tokens)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_equal_scores_take_the_first_experts(tmp_path: Path, backend: Backend) -> None:
    """With a router of zeros every token goes to experts 0 and 1: what the others hold changes nothing."""
    spec = TINY_OLMOE.with_changes(weight_type=TensorType.F32)
    flat = {f"blk.{layer}.ffn_gate_inp.weight": np.zeros((5, 64), np.float32) for layer in (0, 1)}
    down = np.random.default_rng(1).standard_normal((5, 64, 96)).astype(np.float32)
    found = []
    for others in (0.0, 1.0):
        down[2:] = others
        path = write_changed(tmp_path, spec, flat | {"blk.1.ffn_down_exps.weight": down})
        with Engine.load(path, n_threads=1, backend=backend) as engine:
            found.append(engine.session().decode([5, 9, 77], all_logits=True).tobytes())
    assert found[0] == found[1]


def test_a_token_reads_the_weights_of_its_experts(tmp_path: Path) -> None:
    with Engine.load(write_tiny(tmp_path / "tiny.gguf", TINY_QWEN2MOE), n_threads=1) as engine:
        assert isinstance(engine.config, Qwen2MoE)
        rows = [row for row in operations(engine) if row.kind == "experts"]
        gate_up, down = (sum(engine.gguf.tensor(f"blk.0.ffn_{part}_exps.weight").n_bytes for part in parts)
                         for parts in (("gate", "up"), ("down",)))  # fmt: skip
        assert [row.bytes_read(1, experts=3) for row in rows[:2]] == [gate_up // 2, down // 2]
        assert [(row.type, row.shape) for row in rows[:2]] == [("Q4_0", "384x64"), ("Q4_0", "192x64")]
        packed = {choice.tensor: choice.packed_bytes for choice in engine.kernels}
        unread = sum(n for name, n in packed.items() if "_exps" in name) // 2
        read = weight_bytes_per_token(engine)
        norms = sum(engine.gguf.tensor(name).n_bytes for name in engine.gguf.tensors if name.endswith("norm.weight"))
        biases = sum(engine.gguf.tensor(name).n_bytes for name in engine.gguf.tensors if name.endswith("bias"))
        assert read == sum(packed.values()) - unread + norms + biases + TensorType.Q4_0.row_bytes(64)


@pytest.mark.parametrize(
    ("kind", "name", "value", "reason"),
    [
        ("router", "used", 0, "0 of 6 experts"),
        ("router", "used", 7, "7 of 6 experts"),
        ("router", "used", 2, "the scores of 6 experts do not fit"),
        (
            "router",
            "experts",
            5,
            "blk.0.ffn_gate_exps.weight.*blk.0.router does not choose 3 experts for it|do not fit",
        ),
        ("router", "experts", 1 << 20, "3 of 1048576 experts; at most 4096"),
        ("router", "out", 1, "the scores of 6 experts do not fit"),
        ("experts", "experts", 5, "3 of 5 experts, whose weight has those of 6"),
        ("experts", "used", 2, "does not choose 2 experts for it|do not fit"),
        ("experts", "routing", 0, "token_embd.weight does not choose 3 experts for it"),
        ("experts", "out_col", 8, "matrices of 64 x 64 do not fit their buffers"),
        ("experts", "weight", 0, "3 of 6 experts, whose weight has those of 0"),
        ("matmul", "weight", 4, "a product of all tokens with the matrices of experts"),
        ("experts_sum", "count", 3, "3 pieces of 64 columns do not fit"),
        ("experts_sum", "used", 2, "pieces of 64 columns do not fit"),
        ("experts_sum", "routing", 1, "pieces of 64 columns do not fit"),
    ],
)
def test_what_the_native_core_refuses(tmp_path: Path, kind: str, name: str, value: int, reason: str) -> None:
    with Engine.load(write_tiny(tmp_path / "tiny.gguf", TINY_QWEN2MOE)) as engine:
        graph = engine.graph
        at = next(i for i, op in enumerate(graph.ops) if op.kind == kind)
        graph.ops[at] = replace(graph.ops[at], fields=graph.ops[at].fields | {name: value})
        with pytest.raises(Q4Error) as caught:
            engine_module._build_native(engine.gguf, graph, engine.config.n_layers, (1, 1), None)
        assert re.search(reason, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_capture_counts_the_experts_that_a_call_met(tmp_path: Path, n_threads: int) -> None:
    """What the NumPy reference routes its tokens to, layer by layer."""
    path = write_tiny(tmp_path / "tiny.gguf", TINY_QWEN3MOE.with_changes(n_experts=40, n_expert_ffn=32))
    text = [(i * 37) % 300 for i in range(9)]
    with Engine.load(path, n_threads=n_threads) as engine:
        session, capture = engine.session(n_batch=4), tmp_path / "capture.csv"
        with observe(session, Observation(capture=capture, per_op=True)):
            session.decode(text)
        bytes_of_one = engine.gguf.tensor("blk.0.ffn_down_exps.weight").n_bytes // 40
    rows = [line.split(",") for line in capture.read_text().splitlines() if "ffn_down_exps" in line]
    met = {(int(row[0]), int(row[5])): int(row[10]) // bytes_of_one for row in rows if row[4] == "experts"}
    assert met == met_by_the_reference(path, [text[:4], text[4:8], text[8:]])
    assert met[2, 0] == met[2, 1] == 2 and 2 < met[0, 0] <= 8


def met_by_the_reference(path: Path, batches: list[list[int]]) -> dict[tuple[int, int], int]:
    """(Call, layer) -> experts."""
    met: dict[tuple[int, int], int] = {}
    with GGUFFile.open(path) as file:
        _, graph = read_model(file)
        model = ReferenceModel(graph)
        cache, past = KVCache(graph, 64), 0
        for number, batch in enumerate(batches):
            call = Call(graph, model.weights, cache, np.array(batch), np.arange(past, past + len(batch)), False)
            for op in graph.ops:
                OPERATIONS[op.kind](call, op)
                if op.kind == "router":
                    met[number, op.layer] = len(np.unique(call.rows(op, "out")[:, : op.index("used")]))
            past += len(batch)
    return met
