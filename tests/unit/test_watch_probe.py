"""q4engine watch --uprobe: where functions stand in files, what hits say, what the kernel refuses; and a static program
where it does not."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import synthetic_llama

from q4engine.errors import Q4Error
from q4engine.watch import probe
from q4engine.watch.functions import offset_of
from q4engine.watch.outputs import phase_of
from q4engine.watch.probe import Fork, Hit, Target

SECONDS = 120
needs_compiler = pytest.mark.skipif(synthetic_llama.compiler() is None, reason="no C compiler")

MARKED = """
__asm__(".globl marked, long_marked\\n.type marked, %function\\n.type long_marked, %function\\n"
        "long_marked: .ascii \\"another one\\"\\nmarked: .ascii \\"here it is.\\"\\n.balign 8");
int main(void) { return 0; }
"""

STATIC = """
#include <stdio.h>
struct llama_batch { int n_tokens, *token; float *embd; int *pos, *n_seq_id, **seq_id; signed char *logits; };
__attribute__((noinline)) int llama_decode(void *context, struct llama_batch batch) {
    __asm__ volatile("" : : "r"(context), "r"(batch.n_tokens) : "memory");
    return 0;
}
int main(void) {
    const int sizes[] = {5, 1, 1, 7, 1};
    for (int i = 0; i < 5; i++)
        llama_decode(0, (struct llama_batch){sizes[i], 0, 0, 0, 0, 0, 0});
    puts("text of the program");
    return 7;
}
"""


def build(folder: Path, text: str, *flags: str) -> Path:
    source, program = folder / "program.c", folder / "program"
    source.write_text(text)
    words = [str(synthetic_llama.compiler()), "-O1", *flags, str(source), "-o", str(program)]
    if subprocess.run(words, capture_output=True).returncode != 0:
        pytest.skip(f"this compiler does not link with {' '.join(flags)}")
    return program


@needs_compiler
@pytest.mark.parametrize("flags", [(), ("-static",), ("-shared", "-fPIC"), ("-shared", "-fPIC", "-s")])
def test_where_a_function_stands(tmp_path: Path, flags: tuple[str, ...]) -> None:
    file = build(tmp_path, MARKED, *flags)
    for name, text in (("marked", b"here it is."), ("long_marked", b"another one")):
        offset = offset_of(file, name)
        assert offset is not None
        assert file.read_bytes()[offset : offset + len(text)] == text
    assert offset_of(file, "arked") is None
    assert offset_of(file, "no_such_function") is None
    whole = file.read_bytes()
    for length in range(64, len(whole), max(1, len(whole) // 40)):  # cut off
        file.write_bytes(whole[:length])
        offset_of(file, "marked")


def test_files_without_functions(tmp_path: Path) -> None:
    file = tmp_path / "script"
    for content in (b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + b"\xff" * 500):
        file.write_bytes(content)
        assert offset_of(file, "main") is None
    with pytest.raises(Q4Error, match="no symbol table names a function 'main'"):
        probe.target(f"{file}:main", None)
    with pytest.raises(Q4Error, match="cannot be read for --uprobe: No such file"):
        probe.target(f"{tmp_path}/absent:main", None)
    with pytest.raises(Q4Error, match="the program is not there"):
        probe.target("main", None)


def sample(*words: int, stack: bytes = b"", filled: int | None = None) -> bytes:
    """Process 41, thread 42, at 1000 ns; registers; then the stack."""
    told = struct.pack("<Q", len(stack)) + stack + struct.pack("<Q", len(stack) if filled is None else filled)
    return struct.pack(f"<IIQ{len(words)}Q", 41, 42, 1000, *words) + told


@pytest.mark.parametrize(
    ("arch", "content", "n_eval"),
    [
        ("x86_64", sample(stack=bytes(8) + struct.pack("<i", 5) + bytes(20)), 5),
        ("x86_64", sample(stack=bytes(8) + struct.pack("<i", 5) + bytes(20), filled=8), None),
        ("x86_64", sample(stack=bytes(8) + struct.pack("<i", -5) + bytes(20)), None),
        ("x86_64", sample(), None),
        ("x86_64", sample()[:16], None),
        ("aarch64", sample(2, 7016, 7000, stack=bytes(16) + struct.pack("<i", 9) + bytes(12)), 9),
        ("aarch64", sample(2, 9000, 7000, stack=bytes(16) + struct.pack("<i", 9) + bytes(12)), None),
        ("aarch64", sample(2, 6000, 7000, stack=bytes(16) + struct.pack("<i", 9) + bytes(12)), None),
        ("aarch64", sample(0, stack=bytes(64)), None),
    ],
)
def test_tokens_of_a_batch_by_value(arch: str, content: bytes, n_eval: int | None) -> None:
    assert probe.hit_of(content, False, "llama_decode", arch) == Hit(1000, 41, 42, False, n_eval)
    assert probe.hit_of(content, False, "step", arch).n_eval is None


AT = Target(Path("/opt/llama-cli"), "llama_decode", 64)


def test_calls_of_the_programs_processes_alone() -> None:
    """Its children's too; a call that did not return is not finished; others' hits are none."""
    forks = [Fork(30, 12, 11), Fork(10, 11, 7), Fork(20, 11, 11), Fork(5, 99, 98)]
    begins = [
        Hit(40, 11, 21, False, 5),
        Hit(60, 12, 22, False, None),
        Hit(70, 99, 99, False, 3),
        Hit(80, 11, 21, False, 1),
    ]
    ends = [Hit(50, 11, 21, True), Hit(65, 12, 22, True), Hit(75, 99, 99, True), Hit(45, 12, 22, True)]
    one, other = probe.processes(AT, begins + ends, forks, 7)
    assert [(call.start_ns, call.end_ns, call.n_past, call.n_eval) for call in one.calls] == [(40, 50, 0, 5)]
    assert (one.number, one.unfinished, other.number, other.unfinished) == (11, 1, 12, 0)
    assert [(call.start_ns, call.end_ns, call.n_past, call.n_eval) for call in other.calls] == [(60, 65, 0, 1)]
    assert [phase_of(call) for call in one.calls + other.calls] == ["prefill", "decode"]
    assert one.noted("engine") == ["llama.cpp"] and one.noted("probe") == ["llama_decode"]
    step = Target(Path("/opt/engine"), "step", 64)
    assert probe.processes(step, begins, forks, 7)[0].noted("engine") == ["engine"]


# ---- the kernel ---------------------------------------------------------------------------------


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """As sysfs has the PMU of uprobes."""
    (tmp_path / "uprobe/format").mkdir(parents=True)
    (tmp_path / "uprobe/type").write_text("8\n")
    (tmp_path / "uprobe/format/retprobe").write_text("config:0\n")
    return tmp_path


def refused(devices: Path, error: int = errno.EINVAL) -> str:
    with pytest.raises(Q4Error) as caught, probe.opened(AT, devices, lambda attributes, cpu: -error):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_kernel_without_probes(tmp_path: Path) -> None:
    assert "CONFIG_UPROBE_EVENTS" in refused(tmp_path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errno.EACCES, "root may use them, and who has CAP_PERFMON"),
        (errno.EPERM, "root may use them"),
        (errno.ENOSYS, "no perf_event_open"),
        (errno.EINVAL, "cannot be opened: Invalid argument"),
    ],
)
def test_what_the_kernel_refuses(devices: Path, error: int, said: str) -> None:
    assert said in refused(devices, error)


@pytest.mark.parametrize(("name", "text"), [("type", "eight"), ("format/retprobe", "config1:0-31")])
def test_a_pmu_of_another_form(devices: Path, name: str, text: str) -> None:
    (devices / "uprobe" / name).write_text(text)
    assert "expected the uprobe PMU's number" in refused(devices)


def records(*content: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("<IHH", kind, 0, 8 + len(text)) + text for kind, text in content)


def test_records_of_a_ring(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring in a file stands for the kernel's; what it has begins before the ring's end and goes on at its begin."""
    monkeypatch.setattr(probe.cpus, "SYSFS_CPU", devices)  # one CPU
    page, size = os.sysconf("SC_PAGE_SIZE"), 64 * os.sysconf("SC_PAGE_SIZE")
    begin = size - 40
    written = records(
        (7, struct.pack("<IIIIQ", 41, os.getpid(), 41, 1, 10)),
        (9, struct.pack("<IIQ", 41, 42, 1000)),
        (2, bytes(8) + b"\3" + bytes(7)),
    )
    opened: list[tuple[bytes, int]] = []
    files: list[int] = []

    def attempt(attributes: bytes, cpu: int) -> int:
        opened.append((attributes, cpu))
        files.append(os.memfd_create("ring"))
        os.ftruncate(files[-1], page + size)
        return os.dup(files[-1])

    with probe.opened(AT, devices, attempt) as found:
        for at, byte in enumerate(written):
            os.pwrite(files[0], bytes([byte]), page + (begin + at) % size)
        os.pwrite(files[1], struct.pack("<IHHIIQ", 9, 0, 24, 41, 42, 1500), page)
        for file, head, tail in ((files[0], begin + len(written), begin), (files[1], 24, 0)):
            os.pwrite(file, struct.pack("<QQ", head, tail), 1024)
        found.look()
        found.look()
        tails = [struct.unpack("<Q", os.pread(file, 8, 1032))[0] for file in files]
    for file in files:
        os.close(file)
    (process,) = found.processes()
    assert [(call.start_ns, call.end_ns, call.n_eval) for call in process.calls] == [(1000, 1500, 1)]
    assert found.n_lost == 3
    assert tails == [begin + len(written), 24]
    assert [cpu for _, cpu in opened] == [0, 0]
    begins, returns = (attributes for attributes, _ in opened)
    assert len(begins) == 112
    assert struct.unpack_from("<IIQQ", begins) == (8, 112, 0, 1) and struct.unpack_from("<Q", begins, 64) == (64,)
    assert struct.unpack_from("<Q", returns, 8) == (1,)


@pytest.fixture
def static(tmp_path: Path) -> Iterator[Path]:
    yield build(tmp_path, STATIC, "-static")


def watch(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "q4engine", "watch", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)


@needs_compiler
def test_a_static_program(static: Path, tmp_path: Path) -> None:
    capture, markers = tmp_path / "run.csv", tmp_path / "markers.csv"
    result = watch("--uprobe", "llama_decode", "--capture", capture, "--markers", markers, "--", static)
    if result.returncode == 1 and "--uprobe: " in result.stderr:
        assert len(result.stderr.splitlines()) == 1 and result.stdout == ""
        pytest.skip(result.stderr.strip())
    assert (result.returncode, result.stdout, result.stderr) == (7, "text of the program\n", "")
    table = pd.read_csv(capture, comment="#", keep_default_na=False)
    assert table[["phase", "n_past", "n_eval"]].to_numpy().tolist() == [
        ["prefill", 0, 5], ["decode", 5, 1], ["decode", 6, 1], ["prefill", 7, 7], ["decode", 14, 1],
    ]  # fmt: skip
    assert (table["duration_ns"] > 0).all()
    assert "\n# probe: llama_decode\n" in capture.read_text() and "\n# engine: llama.cpp\n" in capture.read_text()
    assert len(markers.read_text().splitlines()) == 7
    never = watch("--uprobe", f"{static}:llama_decode", "--capture", tmp_path / "none.csv", "--", "true")
    assert (never.returncode, never.stdout) == (0, "")
    assert never.stderr == "note: true never called llama_decode, so there is nothing to capture\n"
    assert not (tmp_path / "none.csv").exists()


@needs_compiler
def test_programs_of_newer_llama_cpp_evaluate_by_another_function(tmp_path: Path) -> None:
    code = "void llama_decode(void) {}\nvoid llama_process(void) {}\nint main(void) { llama_process(); return 0; }"
    program = build(tmp_path, code, "-static")
    both = [probe.target(name, str(program)).other() for name in ("llama_decode", "llama_process", "main")]
    assert both == ["llama_process", "llama_decode", None]
    result = watch("--uprobe", "llama_decode", "--capture", tmp_path / "run.csv", "--", program)
    if "--uprobe: " in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.stderr.endswith("nothing to capture; there is llama_process too (--uprobe llama_process)\n")


def test_usage(tmp_path: Path) -> None:
    for options in (["--per-op"], ["--events", "default"], ["--annotate", "on"]):
        result = watch("--uprobe", "f", "--capture", tmp_path / "run.csv", *options, "--", "true")
        assert result.returncode == 2 and "--uprobe sees calls when the program has ended" in result.stderr
    result = watch("--uprobe", "no_such_function", "--capture", tmp_path / "run.csv", "--", "true")
    assert result.returncode == 1
    true = shutil.which("true")
    assert (
        result.stderr
        == f"error: {true}: no symbol table names a function 'no_such_function' (stripped, or in another file?)\n"
    )
    assert list(tmp_path.iterdir()) == []
