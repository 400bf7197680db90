"""Outputs: whole or not at all, never over what is read, nothing left behind by writers that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest
from file_limits import files_of_at_most

from analysis import outputs
from analysis.outputs import Output, Rows, conflict


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_from_before_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("earlier")
    path.chmod(0o640)
    with Output(path) as output:
        output.file.write(b"new")
        assert path.read_text() == "earlier" and len(names(tmp_path)) == 2
    assert path.read_text() == "new" and names(tmp_path) == ["out"]
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out"
    path.write_text("earlier")
    with pytest.raises(error), Output(path) as output:
        output.file.write(b"new")
        raise error
    assert path.read_text() == "earlier" and names(tmp_path) == ["out"]


def test_a_disk_that_becomes_full_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("earlier")
    with files_of_at_most(100), pytest.raises(OSError, match="File too large"):
        outputs.write(path, "x" * 101)
    assert path.read_text() == "earlier" and names(tmp_path) == ["out"]


def test_the_longest_name(tmp_path: Path) -> None:
    outputs.write(tmp_path / ("n" * 255), b"x")
    assert names(tmp_path) == ["n" * 255]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "out")
    for text in ("one", "two"):
        outputs.write(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "elsewhere" / "out").read_text() == text


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with Output(pipe) as output:
        output.file.write(b"text")
        assert not output.is_file
    assert os.read(reader, 10) == b"text" and pipe.is_fifo()
    os.close(reader)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("earlier")
    path.chmod(0o400)
    with pytest.raises(PermissionError):
        Output(path)


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Output(tmp_path)


KILLED = """
import sys
from analysis.outputs import Output
output = Output(sys.argv[1])
output.file.write(b"half")
output.file.flush()
print("there", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_writer_left_goes_with_the_next_output(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("earlier")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == "there\n"
    outputs.write(tmp_path / "other", "x")  # it is at work
    assert len(names(tmp_path)) == 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert len(names(tmp_path)) == 3
    outputs.write(tmp_path / "other", "x")
    assert names(tmp_path) == ["other", "out"] and path.read_text() == "earlier"


KILLED_IN_A_FOLDER = """
import sys
from pathlib import Path
from analysis.outputs import working_folder
with working_folder(Path(sys.argv[1])) as folder:
    (folder / "below").mkdir()
    (folder / "below" / "file").write_text("x")
    print("there", flush=True)
    sys.stdin.read()
"""


def test_a_folder_to_work_in(tmp_path: Path) -> None:
    with outputs.working_folder(tmp_path) as folder:
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("x")
        outputs.write(tmp_path / "out", "x")
        assert (folder / "file").exists(), "it is no abandoned one"
    assert names(tmp_path) == ["out"]
    with pytest.raises(FileNotFoundError), outputs.working_folder(tmp_path / "absent"):
        pass
    with pytest.raises(NotADirectoryError), outputs.working_folder(tmp_path / "out"):
        pass


def test_a_folder_of_a_killed_process_goes_with_the_next_output(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_IN_A_FOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"there\n"
        process.kill()
    (left,) = names(tmp_path)
    assert (tmp_path / left / "below" / "file").exists()
    outputs.write(tmp_path / "out", "x")
    assert names(tmp_path) == ["out"]


def test_other_files_of_such_a_name_stay(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".q4-00000000.part")
    (tmp_path / ".q4-00000001.part").symlink_to("/nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("")
    (tmp_path / ".q4-00000002.part").symlink_to(tmp_path / "folder")
    (tmp_path / ".q4-0000000z.part").write_text("")
    before = names(tmp_path)
    outputs.remove_abandoned(tmp_path)
    assert names(tmp_path) == before and names(tmp_path / "folder") == ["file"]


def test_rows_appear_with_the_first_and_end_with_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text("earlier")
    rows = Rows(path, b"head......\n")
    assert path.read_text() == "earlier"
    rows.write(b"one\n")
    assert path.read_text() == "head......\none\n"
    rows.rewrite(4, b"ed  ")
    rows.write(b"two\n")
    with files_of_at_most(25), pytest.raises(OSError, match="File too large"):
        rows.write(b"three and more\n")
    assert not rows.is_open
    rows.close()
    assert path.read_text() == "headed  ..\none\ntwo\n" and names(tmp_path) == ["rows"]


def test_rows_are_written_so_that_a_kill_cuts_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel is given ends with a row, and lies on one page unless it is a single row."""
    rows = Rows(tmp_path / "rows", b"head\n")
    rows.write(b"first\n")
    ends, write = [len(b"head\nfirst\n")], outputs._write_all

    def noted(file: BinaryIO, data: bytes) -> None:
        write(file, data)
        ends.append(file.tell())

    monkeypatch.setattr(outputs, "_write_all", noted)
    rows.write(b"".join(b"%d,%s\n" % (row, b"x" * (row % 150)) for row in range(1000)))
    rows.write(b"y" * 9000 + b"\nlast\n")
    rows.close()
    content = (tmp_path / "rows").read_bytes()
    assert ends[-1] == len(content) and content.count(b"\n") == 1004 and len(ends) > 20
    for start, end in pairwise(ends):
        assert content[end - 1 : end] == b"\n"
        assert start // 4096 == (end - 1) // 4096 or content.count(b"\n", start, end) == 1


def test_without_rows_there_is_no_file(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows", b"head\n")
    rows.rewrite(0, b"H")
    rows.close()
    rows.close()
    assert names(tmp_path) == []
    (tmp_path / "rows").write_text("earlier")
    rows = Rows(tmp_path / "rows", b"head\n")
    with files_of_at_most(5), pytest.raises(OSError, match="File too large"):
        rows.write(b"one\n")
    assert (tmp_path / "rows").read_text() == "earlier" and names(tmp_path) == ["rows"]


def test_what_is_read_is_never_written(tmp_path: Path) -> None:
    own, link, hard, pipe = (tmp_path / name for name in ("own.csv", "link.png", "hard.html", "pipe"))
    own.write_text("x")
    link.symlink_to(own)
    hard.hardlink_to(own)
    os.mkfifo(pipe)
    for path in (own, link, hard, tmp_path / "." / "own.csv", tmp_path / "absent" / ".." / "own.csv"):
        assert conflict([("--html", path)], [("the capture", own)]) == (
            f"--html {path} is the file of the capture: give another"
        )
    assert conflict([("--html", tmp_path / "own.csv")], [("the captures", tmp_path)]) is not None
    assert conflict([("--plot", tmp_path / "new"), ("--html", str(tmp_path / "new"))], []) == (
        f"--html {tmp_path / 'new'} is the file of --plot: give another"
    )
    with own.open() as file:
        assert conflict([("--html", own)], [("standard input", file.fileno())]) is not None
    assert conflict([("--html", tmp_path / "new"), ("--plot", None)], [("a", own), ("b", None), ("c", 99999)]) is None
    assert conflict([("--html", pipe)], [("a", pipe)]) is None


def test_nothing_but_the_standard_library() -> None:
    code = "import sys; before = set(sys.modules); import analysis.outputs; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in eval(done.stdout)}
    assert loaded <= {*sys.stdlib_module_names, "analysis"}
