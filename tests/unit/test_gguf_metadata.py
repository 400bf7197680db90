"""Metadata's getters: values of the type asked for, and one line for each that is not there or of another type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_bytes import BOOL, F32, F64, I8, I32, STRING, U8, U32, U64, File, array, pair

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.gguf.metadata import GGUFArray, Metadata
from q4engine.gguf.types import ValueType

PAIRS = [
    pair("count", U32, 7),
    pair("huge", U64, (1 << 64) - 1),
    pair("below", I8, -3),
    pair("eps", F32, 0.5),
    pair("nan", F32, float("nan")),
    pair("inf", F64, float("-inf")),
    pair("on", BOOL, True),
    pair("name", STRING, "höher"),
    array("words", STRING, ["a", "", "é", "d"]),
    array("ids", I32, [3, -1, 2]),
    array("scores", F32, [0.5, -2.0]),
    array("flags", BOOL, [True, False]),
    array("none", U8, []),
    pair("a\nb", U32, 1),
]


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    path = tmp_path / "m.gguf"
    path.write_bytes(File(pairs=PAIRS).build())
    with GGUFFile.open(path) as file:
        yield file.metadata


def test_it_is_a_mapping_in_the_files_order(metadata: Metadata) -> None:
    assert len(metadata) == len(PAIRS) == len(list(metadata))
    assert list(metadata)[:3] == ["count", "huge", "below"]
    assert "name" in metadata and "absent" not in metadata and 7 not in metadata
    assert metadata.get("absent") is None and metadata["name"] == "höher"
    assert (metadata.type_of("below"), metadata.type_of("ids")) == (ValueType.INT8, ValueType.ARRAY)


def test_pairs_lie_in_the_file_as_they_were_written(metadata: Metadata) -> None:
    assert [bytes(metadata.raw(key)) for key in metadata] == PAIRS


def test_scalars_of_the_type_asked_for(metadata: Metadata) -> None:
    assert (metadata.integer("count"), metadata.integer("below")) == (7, -3)
    assert metadata.integer("huge") == (1 << 64) - 1
    assert metadata.string("name") == "höher" and metadata.flag("on") is True
    real = metadata.real("count")  # integers are taken for floats
    assert (real, type(real), metadata.real("eps")) == (7.0, float, 0.5)


def test_defaults_stand_in_for_absent_keys_alone(metadata: Metadata) -> None:
    assert metadata.integer("absent", 5) == 5 and metadata.integer("count", 5) == 7
    assert metadata.real("absent", 2.0) == 2.0 and metadata.string("absent", "") == ""
    assert metadata.flag("absent", False) is False and metadata.flag("on", False) is True
    with pytest.raises(Q4Error, match="key 'name' is of type STRING, expected an integer"):
        metadata.integer("name", 5)
    with pytest.raises(Q4Error, match="key 'absent' is inf, expected a finite number"):
        metadata.real("absent", float("inf"))


Getter = Callable[[Metadata], object]
REFUSED: list[tuple[Getter, str]] = [
    (lambda m: m.integer("absent"), "'absent' is missing, expected an integer"),
    (lambda m: m.integer("eps"), "'eps' is of type FLOAT32, expected an integer"),
    (lambda m: m.integer("on"), "'on' is of type BOOL, expected an integer"),
    (lambda m: m.real("absent"), "'absent' is missing, expected a float"),
    (lambda m: m.real("on"), "'on' is of type BOOL, expected a float"),
    (lambda m: m.real("nan"), "'nan' is nan, expected a finite number"),
    (lambda m: m.real("inf"), "'inf' is -inf, expected a finite number"),
    (lambda m: m.string("count"), "'count' is of type UINT32, expected a string"),
    (lambda m: m.string("words"), "'words' is of type ARRAY, expected a string"),
    (lambda m: m.flag("count"), "'count' is of type UINT32, expected a bool"),
    (lambda m: m.strings("absent"), "'absent' is missing, expected an array of strings"),
    (lambda m: m.strings("name"), "'name' is of type STRING, expected an array of strings"),
    (lambda m: m.strings("ids"), "'ids' is an array of INT32, expected an array of strings"),
    (lambda m: m.string_array("none"), "'none' is an array of UINT8, expected an array of strings"),
    (lambda m: m.integers("scores"), "'scores' is an array of FLOAT32, expected an array of integers"),
    (lambda m: m.integers("flags"), "'flags' is an array of BOOL, expected an array of integers"),
    (lambda m: m.reals("ids"), "'ids' is an array of INT32, expected an array of floats"),
    (lambda m: m["words"].to_numpy(), "'words' is an array of strings, expected numbers"),
    (lambda m: m.string("a\nb"), r"'a\nb' is of type UINT32, expected a string"),
]


@pytest.mark.parametrize(("get", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_wrong_is_one_line(metadata: Metadata, get: Getter, message: str) -> None:
    with pytest.raises(Q4Error) as caught:
        get(metadata)
    assert str(caught.value) == f"{metadata.path}: key {message}"


@pytest.mark.parametrize(
    ("key", "values"),
    [("words", ["a", "", "é", "d"]), ("ids", [3, -1, 2]), ("scores", [0.5, -2.0]), ("flags", [True, False])],
)
def test_arrays_as_plain_values(metadata: Metadata, key: str, values: list[Any]) -> None:
    found = metadata[key]
    assert isinstance(found, GGUFArray) and len(found) == len(values)
    assert found.to_list() == values and type(found.to_list()[0]) is type(values[0])
    assert [found.to_list(limit) for limit in (0, 1, 99)] == [[], values[:1], values]
    assert repr(found) == f"GGUFArray({key!r}, {found.type.name}, {len(values)})"


def test_arrays_of_numbers_are_read_only_views(metadata: Metadata) -> None:
    ids, scores = metadata.integers("ids"), metadata.reals("scores")
    assert (ids.dtype, scores.dtype, ids.tolist()) == (np.dtype("<i4"), np.dtype("<f4"), [3, -1, 2])
    assert not ids.flags.writeable and not ids.flags.owndata
    assert metadata["flags"].to_numpy().tolist() == [1, 0]
    assert metadata.integers("none").size == 0


def test_a_string_is_decoded_only_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(File(pairs=[array("words", STRING, ["fine", b"a\xff", "c"])]).build())
    with GGUFFile.open(path) as file:
        words = file.metadata.string_array("words")
        assert words.to_list(limit=1) == ["fine"]
        with pytest.raises(Q4Error, match=r"m\.gguf: string 1 of key 'words' is not valid UTF-8 \(at byte 1 of"):
            words.to_list(limit=2)
