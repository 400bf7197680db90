"""q4engine watch on programs that cannot be watched: one line, and they run as they would."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic_llama
from watch_commands import NOTHING, SECONDS, command

from q4engine.watch import program


@pytest.mark.parametrize(
    ("words", "code"), [(["-c", "print('hello')"], 0), (["-c", "import sys; sys.exit(3)"], 3), (["-c", "1/0"], 1)]
)
def test_another_program(tmp_path: Path, words: list[str], code: int) -> None:
    result = subprocess.run(
        [*command("--capture", tmp_path / "run.csv"), "--", sys.executable, *words],
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert result.returncode == code
    assert result.stderr.count(NOTHING) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_is_none(tmp_path: Path) -> None:
    result = subprocess.run(
        [*command("--capture", tmp_path / "run.csv"), "--", "q4-no-such-program"],
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == "error: 'q4-no-such-program' cannot be started: No such file or directory\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give --capture, --markers, --trace, --address-map or --annotate on"),
        (["--markers", "m.csv", "--per-op"], "--per-op needs --capture"),
        (["--markers", "m.csv", "--no-peak"], "--no-peak needs --capture"),
        (["--markers", "m.csv", "--html", "m.html"], "--html needs --capture"),
        (["--capture", "a.csv", "--html", "a.csv"], "is the file of"),
        (["--capture", "a.csv", "--markers", "a.csv"], "is the file of"),
    ],
)
def test_usage(options: list[str], said: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "q4engine", "watch", *options, "--", "true"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr


@pytest.mark.skipif(synthetic_llama.compiler() is None, reason="no C compiler for the program")
def test_a_static_program(tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("static"); return 5; }\n')
    built = subprocess.run(
        [str(synthetic_llama.compiler()), "-static", source, "-o", tmp_path / "program"], capture_output=True
    )
    if built.returncode != 0:
        pytest.skip("this compiler links no static programs")
    words = [*command("--capture", tmp_path / "run.csv"), "--", str(tmp_path / "program")]
    result = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    assert (result.returncode, result.stdout) == (5, "static\n")
    assert result.stderr == f"note: {tmp_path / 'program'} cannot be watched: it is statically linked\n"


def test_musl_and_privileges(tmp_path: Path) -> None:
    """By the head of the file; such programs are rare on machines that have the other C library."""
    true = Path(shutil.which("true") or "/bin/true").resolve()
    text = true.read_bytes()
    named = text.find(b"/ld-linux")
    if named < 0:
        pytest.skip("true is no program of the usual loader")
    musl = tmp_path / "musl"
    musl.write_bytes(text.replace(b"/ld-linux", b"/ld-musl-"))
    musl.chmod(0o755)
    assert program.why_unwatched(str(musl)) == "it runs with musl, the library with glibc"
    assert program.why_unwatched(str(true)) is None
    script = tmp_path / "script"
    script.write_text(f"#!{musl}\n")
    script.chmod(0o755)
    assert program.why_unwatched(str(script)) == "it runs with musl, the library with glibc"
    if os.geteuid() == 0:
        privileged = tmp_path / "setuid"
        shutil.copy(true, privileged)
        os.chown(privileged, 12345, -1)
        privileged.chmod(0o755 | stat.S_ISUID)
        assert "setuid" in str(program.why_unwatched(str(privileged)))


def test_another_machine(tmp_path: Path) -> None:
    head = bytearray(Path(sys.executable).resolve().read_bytes()[:4096])
    head[18:20] = (243).to_bytes(2, "little")  # RISC-V
    other = tmp_path / "other"
    other.write_bytes(head)
    other.chmod(0o755)
    assert "machine 243" in str(program.why_unwatched(str(other)))


@pytest.mark.parametrize(("at", "number"), [(32, 1 << 63), (32, (1 << 64) - 1), (54, 65535), (54, 0)])
def test_programs_that_lie_about_their_parts(tmp_path: Path, at: int, number: int) -> None:
    """Where the table of segments is, and how long a row: what becomes of them, starting them tells."""
    head = bytearray(Path(sys.executable).resolve().read_bytes()[:4096])
    head[at : at + (8 if at == 32 else 2)] = number.to_bytes(8 if at == 32 else 2, "little")
    head[56:58] = b"\xff\xff"
    path = tmp_path / "program"
    path.write_bytes(head)
    path.chmod(0o755)
    assert program.why_unwatched(str(path)) is None
    os.mkfifo(tmp_path / "pipe", 0o755)
    assert program.why_unwatched(str(tmp_path / "pipe")) is None
