"""Broken and hostile GGUF containers: each ends in one clear Q4Error that names the file, and in nothing else."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from gguf_bytes import ARRAY, BOOL, F32, I32, STRING, U32, U64, File, Tensor, array, pair, string
from hypothesis import given, settings
from hypothesis import strategies as st

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.cursor import MAX_TEXT_BYTES
from q4engine.gguf.types import USABLE_TYPES

VALID = File().build()
HUGE = 1 << 62


def refusal(path: Path, content: bytes | None = None) -> str:
    """Open the file, which must fail with one line that starts with its name; returns the rest of that line."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Q4Error) as caught:
        GGUFFile.open(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_the_valid_file_opens(path: Path) -> None:
    """Everything below is a change to this file, so it must be the change that is refused."""
    path.write_bytes(VALID)
    with GGUFFile.open(path) as file:
        assert list(file.tensors) == ["one", "two"]


def test_missing(path: Path) -> None:
    assert refusal(path) == "no such file"


def test_directory(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)


def test_pipe_does_not_hang(path: Path) -> None:
    os.mkfifo(path)
    assert "no regular file" in refusal(path)


def test_empty(path: Path) -> None:
    assert "empty" in refusal(path, b"")


def test_truncated_at_every_byte(path: Path) -> None:
    """The last byte of tensor 'two' is the last that the file needs."""
    for length in range(1, len(VALID)):
        assert "file" in refusal(path, VALID[:length]), length


def test_wrong_magic(path: Path) -> None:
    assert "b'GGML'" in refusal(path, File(magic=b"GGML").build())


def test_big_endian(path: Path) -> None:
    assert "big-endian" in refusal(path, File(version=struct.pack(">I", 3)).build())


@pytest.mark.parametrize("version", [0, 1, 4, 99, 0xFFFFFFFF])
def test_version(path: Path, version: int) -> None:
    assert f"version {version}, expected 2 or 3" in refusal(path, File(version=struct.pack("<I", version)).build())


def test_version_2_is_read(path: Path) -> None:
    path.write_bytes(File(version=struct.pack("<I", 2)).build())
    assert GGUFFile.open(path).version == 2


@pytest.mark.parametrize("count", [5, 1000, 1 << 32, HUGE, (1 << 64) - 1])
def test_absurd_counts(path: Path, count: int) -> None:
    refusal(path, File(n_pairs=count).build())
    refusal(path, File(n_tensors=count).build())


def test_more_than_any_model_has(path: Path) -> None:
    """What a file of that size can hold, but takes minutes to read."""
    pairs = [pair(f"k{index}", U32, index) for index in range((1 << 14) + 1)]
    assert "16385 metadata pairs, expected at most 16384" in refusal(path, File(pairs=pairs).build())
    content = File(n_tensors=(1 << 16) + 1, data_bytes=0).build() + bytes(4_000_000)
    assert "65537 tensors, expected at most 65536" in refusal(path, content)


@pytest.mark.parametrize("count", [1 << 20, (1 << 64) - 1])
def test_absurd_counts_are_named(path: Path, count: int) -> None:
    assert f"{count} metadata pairs" in refusal(path, File(n_pairs=count).build())
    assert f"{count} tensors" in refusal(path, File(n_tensors=count, pairs=[]).build())


@pytest.mark.parametrize("length", [1 << 12, 1 << 31, 1 << 63, (1 << 64) - 1])
def test_string_length_past_the_end(path: Path, length: int) -> None:
    value = string("k") + struct.pack("<I", STRING) + string("x", length)
    assert "'k'" in refusal(path, File(pairs=[value]).build())
    key = string("k", length) + struct.pack("<IB", 0, 0)
    assert "key" in refusal(path, File(pairs=[key]).build())
    tensor_name = File(tensors=[], n_tensors=1).build() + string("t", length) + bytes(64)
    assert "name of tensor 0" in refusal(path, tensor_name)
    element = string("k") + struct.pack("<IIQ", ARRAY, STRING, 3) + string("a") + string("b", length) + string("c")
    assert "string of key 'k' runs past the end" in refusal(path, File(pairs=[element]).build())


@pytest.mark.parametrize("kind", [U32, U64, F32, BOOL, STRING])
@pytest.mark.parametrize("count", [1000, 1 << 61, (1 << 61) + 1, (1 << 64) - 1])
def test_array_count_times_size_overflows(path: Path, kind: int, count: int) -> None:
    assert "'k'" in refusal(path, File(pairs=[array("k", kind, [], count)]).build())


def test_nested_array(path: Path) -> None:
    nested = string("k") + struct.pack("<IIQ", ARRAY, ARRAY, 1) + struct.pack("<IQ", U32, 1) + bytes(4)
    assert "array of arrays" in refusal(path, File(pairs=[nested]).build())


@pytest.mark.parametrize("kind", [13, 255, 0xFFFFFFFF])
def test_unknown_value_type(path: Path, kind: int) -> None:
    assert f"value type {kind}" in refusal(path, File(pairs=[string("k") + struct.pack("<IQ", kind, 0)]).build())
    elements = string("k") + struct.pack("<IIQ", ARRAY, kind, 0)
    assert f"value type {kind}" in refusal(path, File(pairs=[elements]).build())


def test_bool_that_is_neither(path: Path) -> None:
    assert "byte 2" in refusal(path, File(pairs=[pair("k", BOOL, 2)]).build())


@pytest.mark.parametrize("alignment", [0, 1, 3, 4, 24, 48, 1 << 17, 1 << 31, (1 << 32) - 1])
def test_alignment(path: Path, alignment: int) -> None:
    content = File(pairs=[pair("general.alignment", U32, alignment)]).build()
    assert f"'general.alignment' is {alignment}, expected a power of two" in refusal(path, content)


def test_alignment_of_the_wrong_type(path: Path) -> None:
    assert "STRING, expected an integer" in refusal(path, File(pairs=[pair("general.alignment", STRING, "32")]).build())


@pytest.mark.parametrize("dims", [(1 << 40, 1 << 40), (1 << 63, 2), (32, 1 << 59, 1 << 3), ((1 << 64) - 32,)])
def test_dimension_product_overflows(path: Path, dims: tuple[int, ...]) -> None:
    assert "past the end of the file" in refusal(path, File(tensors=[Tensor(dims=dims)]).build())


@pytest.mark.parametrize("n_dims", [0, 5, 1 << 31, 0xFFFFFFFF])
def test_number_of_dimensions(path: Path, n_dims: int) -> None:
    assert f"{n_dims} dimensions" in refusal(path, File(tensors=[Tensor(n_dims=n_dims)]).build())


def test_dimension_zero(path: Path) -> None:
    assert "expected none to be 0" in refusal(path, File(tensors=[Tensor(dims=(32, 0))]).build())


@pytest.mark.parametrize(
    ("type_id", "columns", "block"),
    [(2, 48, 32), (3, 31, 32), (6, 48, 32), (8, 1, 32), (10, 16, 256), (12, 128, 256), (14, 128, 256), (23, 288, 256)],
)
def test_block_misaligned_rows(path: Path, type_id: int, columns: int, block: int) -> None:
    content = File(tensors=[Tensor(dims=(columns, 64), type_id=type_id)], data_bytes=250).build()
    assert f"{columns} columns, expected a multiple of {block}" in refusal(path, content)


@pytest.mark.parametrize("kind", USABLE_TYPES, ids=lambda kind: kind.name)
def test_data_a_byte_short(path: Path, kind: TensorType) -> None:
    tensor = Tensor(dims=(2 * kind.block_size, 3), type_id=int(kind))
    whole = File(tensors=[tensor], data_bytes=0).build() + bytes(3 * kind.row_bytes(2 * kind.block_size))
    path.write_bytes(whole)
    with GGUFFile.open(path) as file:
        assert [info.type for info in file.tensors.values()] == [kind]
    assert "past the end of the file" in refusal(path, whole[:-1])


@pytest.mark.parametrize("offset", [1, 16, 33])
def test_offset_unaligned(path: Path, offset: int) -> None:
    message = refusal(path, File(tensors=[Tensor(offset=offset)]).build())
    assert f"offset {offset}, expected a multiple of 32" in message


@pytest.mark.parametrize("offset", [96, 128, 1 << 40, 1 << 63, (1 << 64) - 32])
def test_offset_past_the_end(path: Path, offset: int) -> None:
    assert "past the end of the file" in refusal(path, File(tensors=[Tensor(offset=offset)]).build())
    assert "past the end of the file" in refusal(path, File(tensors=[Tensor(offset=offset, type_id=250)]).build())


def test_overlapping_tensors(path: Path) -> None:
    tensors = [Tensor("a", (32, 2)), Tensor("b", (8,), type_id=0, offset=32)]
    assert "'b' at byte" in (message := refusal(path, File(tensors=tensors).build()))
    assert "overlaps tensor 'a'" in message
    tensors = [Tensor("a", (32, 1)), Tensor("b", (32, 1))]
    assert "overlaps" in refusal(path, File(tensors=tensors).build())


def test_duplicates(path: Path) -> None:
    assert "'k' occurs twice" in refusal(path, File(pairs=[pair("k", U32, 1), pair("k", I32, 1)]).build())
    tensors = [Tensor("t", (32, 1)), Tensor("t", (32, 1), offset=32)]
    assert "tensor 't' occurs twice" in refusal(path, File(tensors=tensors).build())


def test_empty_names(path: Path) -> None:
    assert "empty" in refusal(path, File(pairs=[pair("", U32, 1)]).build())
    assert "empty" in refusal(path, File(tensors=[Tensor("")]).build())


def test_name_longer_than_allowed(path: Path) -> None:
    assert "at most 65535" in refusal(path, File(pairs=[pair("k" * 65536, U32, 1)]).build())
    assert "at most 65535" in refusal(path, File(tensors=[Tensor("t" * 65536)]).build())


def test_holes_are_no_texts(path: Path) -> None:
    """A file that is small on disk and whose names and texts are not: NUL is a character too."""
    lead = File(pairs=[], n_pairs=1, tensors=[], n_tensors=0, data_bytes=0).build()[:24]
    cases = {
        "value": lead + string("k") + struct.pack("<IQ", STRING, MAX_TEXT_BYTES),
        "array": lead + string("k") + struct.pack("<IIQQ", ARRAY, STRING, 1, MAX_TEXT_BYTES + 1),
    }
    for name, content in cases.items():
        path.write_bytes(content)
        os.truncate(path, len(content) + MAX_TEXT_BYTES + 64)
        tracemalloc.start()
        try:
            if name == "value":
                assert f"and all names and texts more than {MAX_TEXT_BYTES}" in refusal(path)
            else:
                with GGUFFile.open(path) as file, pytest.raises(Q4Error, match="'k' has strings of more than"):
                    file.metadata.strings("k")
            assert tracemalloc.get_traced_memory()[1] < 300_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("raw", [b"\xff", b"ok\xc3", b"\xed\xa0\x80"])
def test_invalid_utf8(path: Path, raw: bytes) -> None:
    assert "not valid UTF-8" in refusal(path, File(pairs=[pair(raw, U32, 1)]).build())
    assert "'k' is not valid UTF-8" in refusal(path, File(pairs=[pair("k", STRING, raw)]).build())
    assert "not valid UTF-8" in refusal(path, File(tensors=[Tensor(raw)]).build())
    path.write_bytes(File(pairs=[array("k", STRING, ["fine", raw])]).build())
    with GGUFFile.open(path) as file, pytest.raises(Q4Error, match="string 1 of key 'k' is not valid UTF-8"):
        file.metadata.strings("k")


def test_hostile_names_cannot_forge_lines_or_flood(path: Path) -> None:
    """A key with newlines or escape codes is quoted, a long one cut."""
    nasty = "x\n\x1b[2Jerror: y" + "z" * 5000
    message = refusal(path, File(pairs=[pair(nasty, U32, 1), pair(nasty, U32, 1)]).build())
    assert len(message) < 200


@pytest.mark.parametrize("type_id", [4, 16, 31, 77, 250, 0xFFFFFFFF])
def test_unusable_types_show_but_do_not_compute(path: Path, type_id: int) -> None:
    path.write_bytes(File(tensors=[Tensor("t", (256, 1), type_id=type_id)], data_bytes=144).build())
    with GGUFFile.open(path) as file:
        assert file.metadata["general.architecture"] == "llama"
        info = file.tensors["t"]
        with pytest.raises(Q4Error, match=rf"tensor 't' has the unsupported type {info.type_name}, expected F32"):
            _ = info.data


@pytest.mark.parametrize(
    ("getter", "key"),
    [
        ("strings", "numbers"),
        ("strings", "scalar"),
        ("integers", "strings"),
        ("integers", "floats"),
        ("reals", "numbers"),
        ("reals", "strings"),
        ("integer", "text"),
        ("integer", "numbers"),
        ("real", "text"),
        ("real", "nan"),
        ("string", "scalar"),
        ("string", "strings"),
        ("flag", "scalar"),
        ("strings", "absent"),
        ("integer", "absent"),
    ],
)
def test_value_of_the_wrong_type(path: Path, getter: str, key: str) -> None:
    pairs = [
        array("numbers", I32, [1, 2]),
        array("floats", F32, [1.0]),
        array("strings", STRING, ["a"]),
        pair("scalar", U32, 1),
        pair("text", STRING, "x"),
        pair("nan", F32, float("nan")),
    ]
    path.write_bytes(File(pairs=pairs).build())
    with GGUFFile.open(path) as file, pytest.raises(Q4Error, match=rf"model\.gguf: key '{key}' is"):
        getattr(file.metadata, getter)(key)


def test_absurd_files_allocate_nothing(path: Path) -> None:
    """A file of a few hundred bytes that promises 2^62 of everything costs less memory than a small table."""
    contents = [
        File(n_pairs=HUGE).build(),
        File(n_tensors=HUGE).build(),
        File(pairs=[array("k", STRING, [], HUGE)]).build(),
        File(pairs=[string("k") + struct.pack("<I", STRING) + string("x", HUGE)]).build(),
        File(tensors=[Tensor(dims=(1 << 40, 1 << 20))]).build(),
    ]
    for content in contents:
        path.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(Q4Error):
                GGUFFile.open(path)
            assert tracemalloc.get_traced_memory()[1] < 300_000
        finally:
            tracemalloc.stop()


FLIPS = st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=6)


@settings(max_examples=600, deadline=None)
@given(flips=FLIPS, length=st.one_of(st.just(len(VALID)), st.integers(0, len(VALID))))
def test_fuzz_bytes_and_length(tmp_path_factory: pytest.TempPathFactory, flips: list, length: int) -> None:
    """Whatever is flipped or cut: the file opens and everything in it can be read, or it is a Q4Error."""
    content = bytearray(VALID)
    for position, value in flips:
        content[position] = value
    path = tmp_path_factory.getbasetemp() / "fuzz.gguf"
    path.write_bytes(content[:length])
    try:
        with GGUFFile.open(path) as file:
            for value in file.metadata.values():
                if hasattr(value, "to_list"):
                    assert len(value.to_list()) == len(value)
            for info in file.tensors.values():
                assert info.offset + info.n_bytes <= length
                assert not info.type.usable or len(info.data) == info.n_bytes
    except Q4Error as error:
        assert str(error).startswith(f"{path}: ")
