"""Importance matrices, synthetic and of a tiny model: both forms, broken ones, and what quantising does by them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from accuracy.make_imatrix import collect, write_gguf, write_legacy
from gguf_bytes import STRING, U32, File, Tensor, pair
from models.tiny import TINY_LLAMA, write_tiny
from quantize_samples import samples

from q4engine import _native
from q4engine.cli import main
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.dequantize import dequantize, dequantize_tensor
from q4engine.gguf.imatrix import ImportanceMatrix
from q4engine.gguf.mixtures import TARGETS
from q4engine.gguf.quantize_file import quantize_file, quantize_rows

SPEC = TINY_LLAMA.with_changes(dim=256, weight_type=TensorType.F32)
SYNTHETIC = {
    "a.weight": (np.arange(32, dtype=np.float32), 8),
    "b.weight": (np.full(64, 2.0, np.float32), 4),
}
KINDS = [
    TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q2_K, TensorType.Q3_K,
    TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K, TensorType.IQ4_NL, TensorType.IQ4_XS,
]  # fmt: skip


def test_both_forms_give_mean_squares(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", SYNTHETIC, 512, 2, "text")
    write_legacy(tmp_path / "m.dat", SYNTHETIC, 2, "text")
    assert gguf.GGUFReader(tmp_path / "m.gguf").get_tensor(0).name == "a.weight.in_sum2"
    for name in ("m.gguf", "m.dat"):
        found = ImportanceMatrix.open(tmp_path / name)
        assert found.n_chunks == 2 and list(found.entries) == ["a.weight", "b.weight"]
        assert np.array_equal(found.entries["a.weight"], np.arange(32, dtype=np.float32) / 8)
        assert np.array_equal(found.entries["b.weight"], np.full(64, 0.5, np.float32))


def test_old_files_end_behind_the_entries(tmp_path: Path) -> None:
    path = tmp_path / "m.dat"
    path.write_bytes(struct.pack("<ii1sii2f", 1, 1, b"a", 0, 2, 3.0, 4.0))  # no calls counted: values as they are
    found = ImportanceMatrix.open(path)
    assert found.n_chunks == 0 and found.entries["a"].tolist() == [3.0, 4.0]


def imatrix(tensors: list[tuple[str, tuple[int, ...], list[float]]], kind: str = "imatrix", number: int = 0) -> bytes:
    """A file in GGUF; shapes with columns first."""
    table, data = [], b""
    for name, shape, values in tensors:
        table.append(Tensor(name, shape, number, len(data)))
        data += np.asarray(values, np.float16 if number else np.float32).tobytes()
        data += b"\0" * (-len(data) % 32)
    pairs = [pair("general.type", STRING, kind), pair("imatrix.chunk_count", U32, 3)]
    return File(pairs=pairs, tensors=table, data_bytes=0).build() + data


def test_experts_that_nothing_chose_count_alike(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(imatrix([("e.in_sum2", (2, 3), [2, 4, 0, 0, 9, 0]), ("e.counts", (1, 3), [2, 0, 3])]))
    assert ImportanceMatrix.open(path).entries["e"].tolist() == [1, 2, 1, 1, 3, 0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (imatrix([("a.in_sum2", (2,), [1, 2])], kind="model"), "'general.type' is 'model', expected 'imatrix'"),
        (imatrix([("a.in_sum2", (2,), [1, 2])]), "tensor 'a.counts' is missing"),
        (imatrix([("a.counts", (1,), [1])]), "tensor 'a.in_sum2' is missing"),
        (imatrix([("a.weight", (1,), [1])]), "tensor 'a.weight' is neither of sums"),
        (imatrix([]), "has no entries"),
        (imatrix([("a.in_sum2", (3,), [1, 2, 3]), ("a.counts", (2,), [1, 1])]), "'a' has 3 sums and 2 counts"),
        (imatrix([("a.in_sum2", (2,), [1, np.nan]), ("a.counts", (1,), [1])]), "'a': sum 1 is nan"),
        (imatrix([("a.in_sum2", (2,), [-1, 1]), ("a.counts", (1,), [1])]), "'a': sum 0 is -1.0"),
        (imatrix([("a.in_sum2", (2,), [1, 1]), ("a.counts", (1,), [-2])]), "'a': count 0 is -2.0"),
        (imatrix([("a.in_sum2", (2,), [1, 1]), ("a.counts", (1,), [np.inf])]), "'a': count 0 is inf"),
        (imatrix([("a.in_sum2", (2,), [3e38, 1]), ("a.counts", (1,), [1e-8])]), "'a': mean 0 is inf"),
        (imatrix([("a.in_sum2", (2,), [1, 1]), ("a.counts", (1,), [1])], number=1), "is F16, expected F32"),
        (imatrix([("a.in_sum2", (2,), [1, 1]), ("a.counts", (1,), [1])])[:-32], "m: "),
        (b"\x01", "the number of entries: 4 bytes are needed, 1 are left"),
        (struct.pack("<i", 0), "the number of entries is 0"),
        (struct.pack("<i", -5), "the number of entries is -5"),
        (b"PK\x03\x04" + bytes(90), "the number of entries is 67324752, expected 1 to 65536"),
        (struct.pack("<ii", 1, 1 << 30), "entry 1 of 1: the length of its name is 1073741824"),
        (struct.pack("<ii3s", 1, 9, b"abc"), "entry 1 of 1: 9 bytes are needed, 3 are left"),
        (struct.pack("<ii1sii", 1, 1, b"\xff", 1, 1), "entry 1 of 1: its name is no UTF-8"),
        (struct.pack("<ii1sii", 1, 1, b"a", -1, 1), "entry 1 of 1: the number of calls is -1"),
        (struct.pack("<ii1sii", 1, 1, b"a", 1, 0), "entry 1 of 1: the number of values is 0"),
        (struct.pack("<ii1siif", 1, 1, b"a", 1, 1 << 30, 1.0), "entry 1 of 1: 4294967296 bytes are needed, 4 are left"),
        (struct.pack("<ii1siif", 1, 1, b"a", 1, 1, np.nan), "'a': value 0 is nan"),
        (struct.pack("<ii1siif", 1, 1, b"a", 1, 1, -1.0), "'a': value 0 is -1.0"),
        (struct.pack("<i", 2) + 2 * struct.pack("<i1siif", 1, b"a", 1, 1, 1.0), "entry 2 of 2: 'a' is there twice"),
    ],
)  # fmt: skip
def test_broken_files_are_one_line(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "m"
    path.write_bytes(content)
    with pytest.raises(Q4Error) as error:
        ImportanceMatrix.open(path)
    assert told in str(error.value) and "\n" not in str(error.value) and str(error.value).startswith(str(path))


def weighted_error(rows: np.ndarray, kind: TensorType, counts: np.ndarray, importance: np.ndarray | None) -> float:
    decoded = dequantize(quantize_rows(rows, kind, importance=importance).reshape(-1), kind, rows.shape)
    return float((((decoded.astype(np.float64) - rows) ** 2) * counts).sum())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["bell", "heavy", "one side"])
def test_what_matters_more_is_nearer(kind: TensorType, name: str) -> None:
    """One column in eight matters 64 times as much as the others, in blocks of every type."""
    rows = samples(32, 512)[name]
    importance = np.where(np.arange(512) % 8 == 3, 1.0, 1 / 64).astype(np.float32)
    plain, told = (weighted_error(rows, kind, importance, given) for given in (None, importance))
    assert told < (0.99 if kind in (TensorType.Q2_K, TensorType.Q4_1, TensorType.Q5_1) else 0.95) * plain


@pytest.mark.parametrize("kind", [*KINDS, TensorType.Q8_0, TensorType.F16], ids=lambda kind: kind.name)
def test_importance_of_any_size_keeps_values_near(kind: TensorType) -> None:
    rows = samples(8, 512)["heavy"]
    rows[1] *= np.float32(1e-30)
    rows[2] = 60000
    rows[3] = 60000 + np.float32(2**-7) * np.arange(512, dtype=np.float32) % 1
    importance = np.where(np.arange(512) % 256 < 250, np.float32(2**-20), np.float32(1))
    decoded = dequantize(quantize_rows(rows, kind, importance=importance).reshape(-1), kind, rows.shape)
    assert np.isfinite(decoded).all()
    assert (np.abs(decoded - rows).max(axis=1) <= 1.2 * np.abs(rows).max(axis=1)).all()


@pytest.mark.parametrize(
    "importance",
    [np.zeros(32, np.float32), np.full(32, 2, np.float32), np.full(32, np.nan, np.float32), np.ones(31, np.float32),
     np.ones(33, np.float32), np.ones(129, np.uint8)[1:], b"x" * 127, "text"],
)  # fmt: skip
def test_importance_is_checked(importance: object) -> None:
    rows, out = np.zeros((2, 32), np.float32), np.zeros((2, 18), np.uint8)
    with pytest.raises(ValueError, match="is not 32 floats above 0"):
        _native.quantize_rows(rows, out, 2, 2, 32, "search", importance)  # type: ignore[arg-type]


def made(folder: Path) -> tuple[Path, Path]:
    """A tiny model, and what its matrices are multiplied with over 128 tokens."""
    source, path = write_tiny(folder / "in.gguf", SPEC), folder / "m.gguf"
    with Engine.load(source, backend="numpy") as engine:
        ids = [int(i) for i in np.random.default_rng(3).integers(3, engine.config.vocab_size, 128)]
        write_gguf(path, collect(engine, ids, 64, 2), 64, 2, "random tokens")
    return source, path


def test_the_model_s_own_activations(tmp_path: Path) -> None:
    """Errors of what a matrix gives, in its own words, are smaller by its importance; the file says what was used."""
    source, path = made(tmp_path)
    found = ImportanceMatrix.open(path)
    with GGUFFile.open(source) as file:
        matrices = {name for name, info in file.tensors.items() if len(info.shape) == 2}
        assert set(found.entries) == matrices - {"token_embd.weight"}
    errors = []
    for importance in (None, found):
        out = tmp_path / "out.gguf"
        summary = quantize_file(source, out, TARGETS["iq4_nl"], importance=importance)
        assert summary.unweighted == (() if importance is None else ("token_embd.weight",))
        with GGUFFile.open(source) as before, GGUFFile.open(out) as after:
            name = "blk.1.ffn_down.weight"
            assert after.tensors[name].type is TensorType.IQ4_NL
            gap = dequantize_tensor(before.tensors[name]).astype(np.float64) - dequantize_tensor(after.tensors[name])
            errors.append(float((gap**2 * found.entries[name]).sum()))
            assert after.metadata.get("quantize.imatrix.entries_count") == (len(matrices) - 1 if importance else None)
    assert errors[1] < 0.97 * errors[0]


def test_experts_have_their_own(tmp_path: Path) -> None:
    """Rows of each expert go by its importance, whatever the pieces that threads take."""
    rows = samples(8, 64)["heavy"].reshape(2, 4, 64)
    path, out = tmp_path / "in.gguf", tmp_path / "out.gguf"
    tensor = Tensor("e.weight", (64, 4, 2), 0)
    path.write_bytes(File(pairs=[pair("x", STRING, "y")], tensors=[tensor], data_bytes=0).build() + rows.tobytes())
    counts = np.stack([np.arange(64), 63 - np.arange(64)]).astype(np.float32)
    (tmp_path / "m.gguf").write_bytes(
        imatrix([("e.weight.in_sum2", (64, 2), counts.ravel().tolist()), ("e.weight.counts", (1, 2), [1, 1])])
    )
    quantize_file(path, out, TARGETS["q5_0"], importance=ImportanceMatrix.open(tmp_path / "m.gguf"))
    with GGUFFile.open(out) as file:
        for expert in range(2):
            weights = np.maximum(counts[expert] / 63, np.float32(2.0**-20))
            expected = quantize_rows(rows[expert], TensorType.Q5_0, importance=weights)
            assert np.array_equal(file.tensors["e.weight"].data.reshape(2, -1)[expert], expected.ravel())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda entries: {name: values[:-1] for name, values in entries.items()}, "has 255 columns, expected 256"),
        (lambda entries: {f"other.{name}": values for name, values in entries.items()}, "has none of the"),
    ],
)
def test_a_matrix_of_another_model(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], told: str
) -> None:
    source, path = made(tmp_path)
    found = ImportanceMatrix.open(path)
    other = ImportanceMatrix(path, change(dict(found.entries)), 1)
    with pytest.raises(Q4Error, match=told):
        quantize_file(source, tmp_path / "out.gguf", TARGETS["q4_0"], importance=other)
    assert not (tmp_path / "out.gguf").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, path = made(tmp_path)
    out = tmp_path / "out.gguf"
    assert main(["quantize", str(source), str(out), "--imatrix", str(path), "--type", "q4_k_m"]) == 0
    assert "m.gguf says nothing of token_embd.weight\n" in capsys.readouterr().err
    assert main(["quantize", str(source), str(out), "--imatrix", str(source)]) == 1
    assert "'general.type'" in capsys.readouterr().err
    assert main(["quantize", str(source), str(path), "--imatrix", str(path)]) == 1
    assert "is the file to read" in capsys.readouterr().err
    assert main(["quantize", str(source), str(out), "--imatrix", str(path), "--method", "reference"]) == 2
