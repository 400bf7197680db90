"""A mapped file: it tells of changes, and lets go of its descriptors."""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path

import pytest

from q4engine.errors import Q4Error
from q4engine.gguf.mapping import MappedFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    time.sleep(0.02)  # file systems count in ticks
    return path


def test_a_file_that_nobody_writes_to(path: Path) -> None:
    mapped = MappedFile(path)
    path.read_bytes()
    path.chmod(0o600)
    mapped.require_unchanged()
    assert mapped.data[:] == b"content"


@pytest.mark.parametrize(
    ("content", "what"), [(b"CONTENT", "changed"), (b"longer content", "changed"), (b"c", "cut short")]
)
def test_a_file_that_somebody_writes_to(path: Path, content: bytes, what: str) -> None:
    mapped = MappedFile(path)
    with path.open("r+b") as file:
        file.write(content)
        file.truncate(len(content))
    with pytest.raises(Q4Error, match=f"{path}: the file was {what} while it was in use"):
        mapped.require_unchanged()


def test_a_file_that_is_replaced_or_removed_stays_what_it_was(path: Path) -> None:
    mapped = MappedFile(path)
    other = path.with_name("other")
    other.write_bytes(b"another")
    other.replace(path)
    mapped.require_unchanged()
    path.unlink()
    mapped.require_unchanged()
    assert mapped.data[:] == b"content"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_descriptors_go_with_it(path: Path) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    mapped = MappedFile(path)
    mapped.close()
    mapped.close()
    mapped.require_unchanged()
    with pytest.raises(Q4Error, match="the file was closed"):
        mapped.data  # noqa: B018
    MappedFile(path)
    view = memoryview(MappedFile(path).data)
    assert bytes(view) == b"content"
    del view
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_a_copy_that_fails_leaves_nothing_to_tell_of(path: Path) -> None:
    with pytest.raises(TypeError):
        copy.deepcopy(MappedFile(path))
