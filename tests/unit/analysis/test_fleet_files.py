"""What a fleet's patterns name, and when a capture counts as changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.fleet.files import Listed, brought, listed, opened

pytest.importorskip("fsspec", reason="the extra `fleet` is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.csv", "one/b.csv", "one/two/c.json", "one/two/d.parquet", "[x].csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_patterns_folders_and_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    def names(*patterns: str) -> list[str]:
        return [str(Path(each.name).relative_to(folder)) for each in listed(patterns)]

    assert names("**/*.csv") == ["[x].csv", "a.csv", "one/b.csv"]
    assert names("one") == names(f"{folder}/one/") == ["one/b.csv", "one/two/c.json"]
    assert names("one/two/d.parquet", "*/*.csv", "one/b.csv") == ["one/two/d.parquet", "one/b.csv"]
    assert names("[x].csv") == ["[x].csv"]  # a name before it is a pattern


def test_what_names_nothing(folder: Path) -> None:
    for name, message in (("nowhere.csv", "no such file"), ("*.dat", "no captures"), ("nope://x/y", "nope")):
        with pytest.raises(AnalysisError, match=message):
            listed([name if ":" in name else str(folder / name)])


def test_the_mark_goes_with_size_and_time(folder: Path) -> None:
    path = folder / "a.csv"
    os.utime(path, ns=(0, 1_700_000_000_123_456_000))
    (first,) = listed([str(path)])
    assert (first.size, first.changed_us, first.folder) == (5, 1_700_000_000_123_456, folder.name)
    assert listed([str(path)]) == [first]
    os.utime(path, ns=(0, 1_700_000_000_123_457_000))
    assert listed([str(path)])[0].mark != first.mark
    path.write_text("longer")
    os.utime(path, ns=(0, 1_700_000_000_123_456_000))
    assert listed([str(path)])[0].mark != first.mark


def test_links_are_followed_and_what_is_no_file_is_left_out(folder: Path) -> None:
    target, below = folder / "a.csv", folder / "below"
    below.mkdir()
    (below / "link.csv").symlink_to(target)
    (below / "gone.csv").symlink_to(below / "nowhere.csv")  # a row with the reason, when it is read
    (below / "endless.csv").symlink_to("/dev/zero")
    (below / "folder.csv").symlink_to(folder / "one")
    os.mkfifo(below / "pipe.csv")
    for name in (str(below), f"{below}/*.csv"):
        gone, link = listed([name])
        assert (Path(gone.name).name, Path(link.name).name, link.size) == ("gone.csv", "link.csv", 5)
        assert link.mark == listed([str(target)])[0].mark
    os.utime(target, ns=(0, 1_700_000_000_123_456_000))
    assert listed([str(below)])[1].mark != link.mark
    assert len(listed([str(below / "pipe.csv")])) == 1


def test_remote_files_are_copied_for_the_while(folder: Path) -> None:
    system, _ = opened("memory://bucket/a.csv")
    system.pipe_file("/bucket/deep/a.csv", b"content")
    (one,) = listed(["memory://bucket/**/*.csv"])
    assert one.name.startswith("memory://") and one.folder == "deep" and one.size == 7
    with brought(one) as path:
        assert path.read_bytes() == b"content"
    assert not path.exists()
    system.rm("/bucket", recursive=True)
    with pytest.raises(OSError), brought(one):
        pass
    with brought(Listed(str(folder / "a.csv"), "", 1)) as path:
        assert path == folder / "a.csv"
