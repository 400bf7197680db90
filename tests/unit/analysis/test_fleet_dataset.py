"""The dataset: files that are added, the latest rows that count, what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis import outputs
from analysis.errors import AnalysisError
from analysis.fleet import dataset as datasets
from analysis.fleet.dataset import MARKER, Dataset
from analysis.fleet.rows import COLUMNS, Row

pytest.importorskip("pyarrow", reason="the extra `fleet` is not installed")
pytest.importorskip("fsspec", reason="the extra `fleet` is not installed")

JANUARY, MARCH = 1_767_500_000_000_000, 1_772_500_000_000_000


def row(path: str, mark: str = "m", read: int = 1, **values: object) -> Row:
    found: Row = dict.fromkeys(COLUMNS)
    return found | {"path": path, "mark": mark, "read": read, "state": "judged", "started": JANUARY} | values


def test_rows_come_back_by_month(tmp_path: Path) -> None:
    where = tmp_path / "set"
    first = Dataset(str(where))
    first.add([row("/a", tokens_per_s=2.5, phase="prefill"), row("/a", phase="decode"), row("/b", started=MARCH)])
    assert not where.exists()
    first.flush()
    assert sorted(path.name for path in where.iterdir()) == [MARKER, "month=2026-01", "month=2026-03"]
    frame = Dataset(str(where)).frame()
    assert list(frame["path"]) == ["/a", "/a", "/b"] and list(frame["phase"]) == ["prefill", "decode", ""]
    assert frame["tokens_per_s"][0] == 2.5 and frame["started"][2] == pd.Timestamp(MARCH, unit="us", tz="UTC")
    assert list(frame.columns) == list(COLUMNS)
    assert set(pd.read_parquet(where)["month"]) == {"2026-01", "2026-03"}  # as anybody reads it
    assert Dataset(str(where)).known() == {"/a": "m", "/b": "m"}


def test_the_latest_rows_of_a_capture_count(tmp_path: Path) -> None:
    for read, mark, phases in ((1, "old", ("prefill", "decode")), (3, "new", ("decode",)), (2, "middle", ("all",))):
        dataset = Dataset(str(tmp_path))
        dataset.add([row("/a", mark, read, phase=phase) for phase in phases])
        dataset.add([row(f"/only-{read}", read=read)])
        dataset.flush()
    assert Dataset(str(tmp_path)).known() == {"/a": "new"} | {f"/only-{n}": "m" for n in (1, 2, 3)}
    frame = Dataset(str(tmp_path)).frame()
    assert list(frame.loc[frame["path"] == "/a", "phase"]) == ["decode"] and len(frame) == 4


def test_what_was_unreadable_is_not_known(tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path / "set"))
    dataset.add([row("/a", state="unreadable", reason="synthetic"), row("/b", state="broken", reason="synthetic")])
    assert dataset.known() == {"/b": "m"}


def test_in_memory_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = Dataset("")
    assert dataset.frame().empty and list(dataset.frame().columns) == list(COLUMNS)
    dataset.add([row("/a"), row("/b", started=None)])
    assert list(dataset.frame()["path"]) == ["/a", "/b"] and list(tmp_path.iterdir()) == []


def test_many_rows_do_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_ENOUGH", 2)
    dataset = Dataset(str(tmp_path / "set"))
    dataset.add([row("/a")])
    dataset.add([row("/b")])
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_times_that_no_calendar_has(tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path / "set"))
    dataset.add([row("/a", started=1 << 62), row("/b", started=None)])
    dataset.flush()
    assert [path.name for path in (tmp_path / "set").glob("month*")] == ["month=unknown"]


def test_what_is_no_dataset_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert Dataset(str(other)).frame().empty  # an empty folder may become one
    (other / "photo.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / MARKER).write_text("2\n")
    for where, message in (
        (other, "is no dataset of this command, and not empty"),
        (tmp_path / "file", "is a file, and a dataset is a folder"),
        (newer, "has version '2' of the dataset's format, not 1"),
    ):
        with pytest.raises(AnalysisError, match=message):
            Dataset(str(where))


def test_what_cannot_be_written_is_known_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    dataset = Dataset(str(tmp_path / "set"))
    monkeypatch.setattr(outputs, "write", full)
    message = "set/_q4engine_fleet: cannot be written: No space left on device"
    with pytest.raises(AnalysisError, match=message):
        dataset.begin()
    dataset.add([row("/a")])
    with pytest.raises(AnalysisError, match=message):
        dataset.flush()
    assert list((tmp_path / "set").iterdir()) == []


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path))
    dataset.add([row("/a")])
    dataset.flush()
    (part,) = tmp_path.rglob("*.parquet")
    for content in (part.read_bytes()[:-9], b""):
        part.write_bytes(content)
        with pytest.raises(AnalysisError, match=f"{part.name}: cannot be read"):
            Dataset(str(tmp_path)).frame()
    pd.DataFrame({"path": ["/a"]}).to_parquet(part)
    with pytest.raises(AnalysisError, match=f"{part.name}: cannot be read"):
        Dataset(str(tmp_path)).frame()
