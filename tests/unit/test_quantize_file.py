"""Quantising a file: the policy, what is carried over, one whole file or none, and the command."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
from pathlib import Path

import gguf
import numpy as np
import pytest
from cli_runs import Cli
from gguf_bytes import F32, STRING, U32, File, Tensor, array, pair
from heard_signals import heard
from models.spec import ModelSpec
from models.tiny import TINY_LLAMA, TINY_QWEN2, write_tiny

from analysis.outputs import Output
from q4engine.cli import main
from q4engine.cli import quantize as command
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFArray, GGUFFile, TensorType
from q4engine.gguf.dequantize import dequantize_tensor
from q4engine.gguf.mixtures import TARGETS
from q4engine.gguf.quantize_file import quantize_file
from q4engine.gguf.write import GGUFWriter
from q4engine.models import read_model

SPEC = TINY_LLAMA.with_changes(weight_type=TensorType.F32, n_ffn=172)  # 172 columns of ffn_down fit no block


def model(path: Path, spec: ModelSpec = SPEC) -> Path:
    return write_tiny(path / "in.gguf", spec)


def types_of(path: Path) -> dict[str, str]:
    with GGUFFile.open(path) as file:
        return {name: info.type.name for name, info in file.tensors.items()}


@pytest.mark.parametrize(
    ("target", "dim", "embedding", "matrix"),
    [
        ("q4_0", 64, "Q8_0", "Q4_0"),
        ("q4_0", 256, "Q6_K", "Q4_0"),
        ("q4_1", 256, "Q6_K", "Q4_1"),
        ("q8_0", 256, "Q8_0", "Q8_0"),
        ("f16", 256, "F16", "F16"),
    ],
)
def test_policy(tmp_path: Path, target: str, dim: int, embedding: str, matrix: str) -> None:
    source, out = model(tmp_path, SPEC.with_changes(dim=dim)), tmp_path / "out.gguf"
    summary = quantize_file(source, out, TARGETS[target])
    types = types_of(out)
    assert types["token_embd.weight"] == types["output.weight"] == embedding
    assert types["blk.0.attn_q.weight"] == types["blk.1.ffn_up.weight"] == matrix
    assert types["blk.1.ffn_down.weight"] == "F16"
    assert types["blk.0.attn_norm.weight"] == types["output_norm.weight"] == "F32"
    assert summary.n_tensors == len(types) == 21
    assert summary.n_converted == 16
    assert summary.n_bytes_after < summary.n_bytes_before
    with GGUFFile.open(out) as file:
        read_model(file)


@pytest.mark.parametrize("kind", [TensorType.BF16, TensorType.Q5_0], ids=lambda kind: kind.name)
def test_the_gguf_package_reads_it_and_values_are_near(kind: TensorType, tmp_path: Path) -> None:
    source, out = model(tmp_path, TINY_QWEN2.with_changes(weight_type=kind)), tmp_path / "out.gguf"
    quantize_file(source, out, TARGETS["q4_0"])
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(out).tensors}
    with GGUFFile.open(source) as before, GGUFFile.open(out) as after:
        assert list(theirs) == list(before.tensors) == list(after.tensors)
        for name, info in after.tensors.items():
            assert theirs[name].data_offset == info.offset
            old, new = dequantize_tensor(before.tensors[name]), dequantize_tensor(info)
            if len(info.shape) == 1:
                assert np.array_equal(old, new)
            else:
                assert np.sqrt(np.mean((old - new) ** 2)) < 0.1 * old.std()


def test_metadata_is_carried_over(tmp_path: Path) -> None:
    source, out = model(tmp_path), tmp_path / "out.gguf"
    quantize_file(source, out, TARGETS["q8_0"])
    with GGUFFile.open(source) as before, GGUFFile.open(out) as after:
        assert list(before.metadata) == list(after.metadata)
        for key, value in before.metadata.items():
            new = after.metadata[key]
            if key == "general.file_type":
                assert (value, new) == (0, 7)
            elif isinstance(value, GGUFArray):
                assert value.to_list() == new.to_list()
            else:
                assert value == new
                assert before.metadata.type_of(key) == after.metadata.type_of(key)


def test_keys_that_tell_the_type_are_added_and_the_alignment_kept(tmp_path: Path) -> None:
    path, out = tmp_path / "plain.gguf", tmp_path / "out.gguf"
    pairs = [pair("general.alignment", U32, 128), pair("x", STRING, "é"), array("a", F32, [1.0])]
    path.write_bytes(File(pairs=pairs, tensors=[Tensor("w.weight", (32, 1), 1)], alignment=128, data_bytes=128).build())
    quantize_file(path, out, TARGETS["q4_0"])
    with GGUFFile.open(out) as file:
        assert file.alignment == 128
        assert file.tensors["w.weight"].offset % 128 == 0
        assert list(file.metadata) == [
            "general.alignment",
            "x",
            "a",
            "general.file_type",
            "general.quantization_version",
        ]
        assert file.metadata["general.file_type"] == 2


def test_tensors_that_have_their_type_are_copied(tmp_path: Path) -> None:
    source, out = model(tmp_path, TINY_LLAMA.with_changes(weight_type=TensorType.Q4_0)), tmp_path / "out.gguf"
    quantize_file(source, out, TARGETS["q4_0"])
    with GGUFFile.open(source) as before, GGUFFile.open(out) as after:
        name = "blk.1.ffn_gate.weight"
        assert np.array_equal(before.tensors[name].data, after.tensors[name].data)
        assert before.tensors["output.weight"].type is not after.tensors["output.weight"].type


@pytest.mark.parametrize("method", ["search", "reference"])
def test_threads_and_chunks_do_not_show(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = model(tmp_path)
    digests = set()
    for n_threads, chunk in [(1, 1 << 19), (2, 1 << 19), (3, 1000), (2, 1)]:
        monkeypatch.setattr("q4engine.gguf.quantize_file._CHUNK_WEIGHTS", chunk)
        quantize_file(source, tmp_path / "out.gguf", TARGETS["q4_0"], method, n_threads)  # type: ignore[arg-type]
        digests.add(hashlib.sha256((tmp_path / "out.gguf").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_progress_counts_every_weight(tmp_path: Path) -> None:
    source = model(tmp_path)
    seen: dict[str, int] = {}

    def progress(name: str, n_weights: int) -> None:
        seen[name] = seen.get(name, 0) + n_weights

    quantize_file(source, tmp_path / "out.gguf", TARGETS["q4_0"], progress=progress)
    with GGUFFile.open(source) as file:
        assert seen == {name: info.n_elements for name, info in file.tensors.items()}


def test_nothing_is_left_where_a_tensor_cannot_be_quantised(tmp_path: Path) -> None:
    """An earlier OUT stays as it was."""
    source, out = model(tmp_path), tmp_path / "out.gguf"
    with GGUFFile.open(source) as file:
        offset = file.tensors["blk.1.attn_k.weight"].offset
    content = bytearray(source.read_bytes())
    content[offset + 64 * 4 * 3 : offset + 64 * 4 * 3 + 4] = np.float32(np.nan).tobytes()
    source.write_bytes(content)
    out.write_bytes(b"earlier")
    with pytest.raises(Q4Error, match=r"in\.gguf: tensor 'blk\.1\.attn_k\.weight', row 3: a value is not finite"):
        quantize_file(source, out, TARGETS["q4_0"])
    assert out.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gguf", "out.gguf"]


def test_a_scale_that_is_not_finite_is_one_error_without_warnings(tmp_path: Path) -> None:
    source, middle = model(tmp_path), tmp_path / "middle.gguf"
    quantize_file(source, middle, TARGETS["q8_0"])
    with GGUFFile.open(middle) as file:
        offset = file.tensors["blk.1.attn_k.weight"].offset
    content = bytearray(middle.read_bytes())
    content[offset : offset + 2] = np.float16(np.inf).tobytes()
    middle.write_bytes(content)
    with pytest.raises(Q4Error, match=r"tensor 'blk\.1\.attn_k\.weight', row 0: a value is not finite"):
        quantize_file(middle, tmp_path / "out.gguf", TARGETS["q4_0"])


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    def progress(name: str, n_weights: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_file(model(tmp_path), tmp_path / "out.gguf", TARGETS["q4_0"], progress=progress)
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    source, out = model(tmp_path), tmp_path / "out.gguf"
    write = GGUFWriter.write
    seen: list[str] = []

    def signalled(writer: GGUFWriter, data: np.ndarray | bytes) -> None:
        write(writer, data)
        seen.extend(path.name for path in tmp_path.glob(".q4-*.part"))
        os.kill(os.getpid(), number)

    drop = Output.drop

    def signalled_again(output: Output) -> None:
        if number != signal.SIGINT:
            os.kill(os.getpid(), number)
        drop(output)

    monkeypatch.setattr(GGUFWriter, "write", signalled)
    monkeypatch.setattr(Output, "drop", signalled_again)
    with heard(number):
        assert main(["quantize", str(source), str(out)]) == 128 + number
    assert len(seen) == 1 and list(tmp_path.iterdir()) == [source]


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = GGUFWriter.write

    def signalled(writer: GGUFWriter, data: np.ndarray | bytes) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        write(writer, data)

    monkeypatch.setattr(GGUFWriter, "write", signalled)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert main(["quantize", str(model(tmp_path)), str(tmp_path / "out.gguf")]) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    source = model(tmp_path)
    before = source.read_bytes()
    with pytest.raises(Q4Error, match="is the file to read"):
        quantize_file(source, source, TARGETS["q4_0"])
    with pytest.raises(Q4Error, match="no such file"):
        quantize_file(tmp_path / "absent.gguf", tmp_path / "out.gguf", TARGETS["q4_0"])
    with pytest.raises(Q4Error, match=r"out\.gguf: cannot be written: No such file or directory"):
        quantize_file(source, tmp_path / "absent" / "out.gguf", TARGETS["q4_0"])
    with pytest.raises(Q4Error, match="is a directory"):
        quantize_file(source, tmp_path, TARGETS["q4_0"])
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """A pipe stands for /dev/null, which a rename by root would turn into a file."""
    out = tmp_path / "pipe"
    os.mkfifo(out)
    with pytest.raises(Q4Error, match="pipe: is no regular file, expected the name of a file to write"):
        quantize_file(model(tmp_path), out, TARGETS["q4_0"])
    assert out.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gguf", "pipe"]


@pytest.mark.parametrize("name", ["", "."])
def test_the_current_directory_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Q4Error, match=r"\.: is a directory"):
        quantize_file(model(tmp_path), name, TARGETS["q4_0"])


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, out = tmp_path / "elsewhere" / "out.gguf", tmp_path / "link.gguf"
    out.symlink_to(target)
    for _ in range(2):  # the target does not exist the first time
        quantize_file(model(tmp_path), out, TARGETS["q4_0"])
        assert out.is_symlink() and types_of(target)["output_norm.weight"] == "F32"
    assert [path.name for path in target.parent.iterdir()] == ["out.gguf"]


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = model(tmp_path)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Q4Error, match=r"out\.gguf: cannot be written: No space left on device"):
        quantize_file(source, tmp_path / "out.gguf", TARGETS["q4_0"])
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]


def test_unusable_types_are_named(tmp_path: Path) -> None:
    path = tmp_path / "q8_1.gguf"
    path.write_bytes(File(tensors=[Tensor("w.weight", (32, 1), 9)]).build())
    with pytest.raises(Q4Error, match=r"tensor 'w\.weight' has the unsupported type Q8_1"):
        quantize_file(path, tmp_path / "out.gguf", TARGETS["q4_0"])
    assert not (tmp_path / "out.gguf").exists()


def parse(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="q4engine")
    command.add_parser(parser.add_subparsers())
    return parser.parse_args([str(word) for word in ("quantize", *words)])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.gguf"
    args = parse(model(tmp_path), out, "--type", "q8_0", "--method", "reference", "-t", 1)
    assert args.run(args) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"{out}: 0.2 MB of tensors (were ")
    assert "16 of 21 tensors converted" in captured.err
    assert types_of(out)["token_embd.weight"] == "Q8_0"
    assert set(command._TYPES) == set(TARGETS)


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\3\0\0\0")
    assert main(["quantize", str(tmp_path / "bad.gguf"), str(tmp_path / "out.gguf")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {tmp_path / 'bad.gguf'}: the file ends inside the number of tensors")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("words", [["--type", "q2_0"], ["-t", "0"], ["-t", "x"], ["--method", "best"]])
def test_usage_errors(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("in.gguf", "out.gguf", *words)
    assert caught.value.code == 2


def test_progress_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    args = parse(model(tmp_path), tmp_path / "out.gguf")
    assert args.run(args) == 0
    assert types_of(tmp_path / "out.gguf")["blk.0.attn_q.weight"] == "Q4_0"


def test_llama_quantize_s_spellings(tmp_path: Path, q4: Cli) -> None:
    source, out = model(tmp_path), tmp_path / "out.gguf"
    assert q4("quantize", source, out, "--type", "q8_0").code == 0
    wanted = out.read_bytes()
    for words in ((out, "Q8_0"), (out, "q8_0", 1), (out, 7), (out, "--type", "Q8_0"), (out, "Q8_0", "-t", 2)):
        out.unlink()
        assert q4("quantize", source, *words).code == 0 and out.read_bytes() == wanted
    assert q4("quantize", source, "Q8_0", 2).code == 0
    assert source.with_name("ggml-model-Q8_0.gguf").read_bytes() == wanted
    assert command._type_of("Q4_K") == "q4_k_m" and set(command._NUMBERED.values()) == set(TARGETS)
    assert all(TARGETS[name].file_type == int(number) for number, name in command._NUMBERED.items())
    for words, message in (
        ((out, "q9"), "there is no type 'q9', expected one of q4_0, q4_1, "),
        ((out, "q8_0", 0), "argument N: '0' is out of range, expected 1 to 256"),
        (("q8_0", 0), "argument N: '0' is out of range, expected 1 to 256"),
        (("q8_0", 2, 3), "expected IN OUT TYPE N or IN TYPE N"),
        ((out, "q8_0", "--type", "q8_0"), "a type and a number of threads are given once"),
        ((out, "q8_0", 2, "-t", 2), "a type and a number of threads are given once"),
        ((), "the following arguments are required: OUT"),
    ):
        result = q4("quantize", source, *words)
        assert result.code == 2 and message in result.err


def test_a_source_that_is_quantised_is_told_of(tmp_path: Path, q4: Cli) -> None:
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    assert "was quantised already" not in q4("quantize", model(tmp_path), first, "q8_0").err
    told = q4("quantize", first, second, "q4_0").err
    assert "note: first.gguf was quantised already (Q8_0): what was lost then is not brought back" in told
    assert "was quantised already" not in q4("quantize", first, second, "q4_0", "--allow-requantize").err
    assert "was quantised already" not in q4("quantize", first, second, "q8_0").err
