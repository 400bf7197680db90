"""The emulator's plugin against programs whose every instruction, byte and refill was counted by hand."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from a64_forms import FORMS
from cross import prepare
from emulate import __main__ as emulate_command
from emulate import plugin
from host import find_program
from qemu import find_qemu

Counts = Mapping[str, int]
# A mark itself: six moves, and the system call, which is none of the classes.
MARK = {"INST_RETIRED": 7, "DP_SPEC": 6}

PROLOGUE = """\
.macro mark stamp, kind=1
    mov x8, #167            // prctl
    movz w0, #0x4d4b
    movk w0, #0x5134, lsl #16
    mov x1, #\\kind
    mov x2, #0
    mov x3, #\\stamp
    svc #0
.endm
.macro exit
    mov x0, #0
    mov x8, #93
    svc #0
.endm
.global _start
_start:
"""

Capture = pytest.CaptureFixture[str]
Runner = Callable[..., dict[int, dict[str, int]]]


def arm_compiler(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What assembles and links for aarch64 here: gcc, or zig where it is set up."""
    march = "-march=armv8.6-a+crypto+sha3+fp16fml"
    if gcc := find_program("aarch64-linux-gnu-gcc"):
        return [gcc, march]
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("needs aarch64-linux-gnu-gcc or zig")
    environment = prepare("zig")
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", environment["ZIG_GLOBAL_CACHE_DIR"])
    return [environment["Q4_ZIG"], "cc", "-target", "aarch64-linux-gnu", f"-Wa,{march}"]


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Assembles a program, runs it, and returns what was counted before each stamp since the mark before."""
    qemu = find_qemu(plugins=True)
    if qemu is None or find_program("cc", "gcc", "clang") is None:
        pytest.skip("needs a qemu-aarch64 that takes plugins, and a C compiler")
    compiler = arm_compiler(monkeypatch)

    def run(body: str, caches: plugin.Caches | None = None) -> dict[int, dict[str, int]]:
        source, program, out = (tmp_path / name for name in ("hand_counted.S", "hand_counted", "counts"))
        tail = "\n.p2align 6\ndata: .zero 256\n.bss\n.p2align 12\nbuffer: .zero 1 << 21\n"
        source.write_text(f"{PROLOGUE}{body}\n    exit\n{tail}")
        subprocess.run([*compiler, "-nostdlib", "-static", source, "-o", program], check=True)
        option = plugin.option(plugin.build(), out, caches or plugin.Caches())
        env = {**os.environ, "QEMU_CPU": "max,sve=off"}
        subprocess.run([qemu, "-plugin", option, program], check=True, env=env)
        marks = plugin.read_marks(out)
        assert [mark.kind for mark in marks] == [plugin.THREAD] * len(marks)
        pairs = pairwise(marks)
        return {b.stamp: {name: count - a.counts[name] for name, count in b.counts.items()} for a, b in pairs}

    return run


def plain(counts: Counts) -> dict[str, int]:
    """Counts without the mark's own, and without zeros."""
    return {name: left for name, count in counts.items() if (left := count - MARK.get(name, 0))}


def test_a_loop_of_known_length(counted: Runner) -> None:
    found = counted("""
    adrp x20, buffer + 4096 // where the stack begins hangs on the environment
    mark 1
    mov x9, #1000
1:  ldp q0, q1, [x20, #-64]
    sdot v2.4s, v0.16b, v1.16b
    fmadd s3, s3, s3, s3
    str w9, [x20, #-128]
    subs x9, x9, #1
    bl 2f
    b.ne 1b
    mark 2
    b 3f
2:  ret
3:  mark 3
    """)
    assert plain(found[2]) == {
        "INST_RETIRED": 8001, "DP_SPEC": 1001, "LD_SPEC": 1000, "ST_SPEC": 1000, "ASE_SPEC": 1000, "dot_products": 1000,
        "VFP_SPEC": 1000, "BR_IMMED_SPEC": 2000, "BR_INDIRECT_SPEC": 1000,
        "bytes_loaded": 32000, "bytes_stored": 4000,
        "L1D_CACHE_REFILL": 2, "L2D_CACHE_REFILL": 2, "L3D_CACHE_REFILL": 2,
    }  # fmt: skip
    assert plain(found[3]) == {"INST_RETIRED": 1, "BR_IMMED_SPEC": 1}


def test_every_form_of_instruction_is_in_its_class(counted: Runner) -> None:
    """Each runs once, between marks of its own, so that a wrong class has a name."""
    forms = [(kind, form) for kind, many in FORMS.items() for form in many]
    body = ["adr x25, 9f", "mark 0"]
    for number, (_, form) in enumerate(forms, 1):
        # what the form needs: x20 and x22 addresses with room around them, x21 an offset; x22 is aligned to a pair
        body += ["adrp x20, buffer", "add x20, x20, #1024", "add x22, x20, #1024", "mov x21, #16"]
        body += [form, f"mark {number}"]
    body += ["br x25", "9: mark 9000", "bl 8f", "mark 9001", "b 7f", "8: ret", "7:"]
    found = counted("\n    ".join(body))
    wrong = []
    for number, (kind, form) in enumerate(forms, 1):
        left = plain(found[number])
        expected = {kind} - {""}
        expected |= {"ASE_SPEC"} if kind.endswith("products") else set()
        classes = {name for name in left if not name.startswith(("bytes", "L1D", "L2D", "L3D", "INST", "DP_SPEC"))}
        if left["DP_SPEC"] != 4 + (kind == "DP_SPEC") or classes != expected - {"DP_SPEC"} or left["INST_RETIRED"] != 5:
            wrong.append((form, left))
    assert not wrong
    assert plain(found[9000]) == {"INST_RETIRED": 1, "BR_INDIRECT_SPEC": 1}
    assert plain(found[9001]) == {"INST_RETIRED": 2, "BR_IMMED_SPEC": 1, "BR_INDIRECT_SPEC": 1}


STREAM = """
    adrp x20, buffer
    mov x9, #{bytes} / 32
1:  ldp q0, q1, [x20], #32
    subs x9, x9, #1
    b.ne 1b
"""
SMALL = plugin.Caches(l1=(32 << 10, 4), l2=(256 << 10, 8), l3=(2 << 20, 16))


@pytest.mark.parametrize("line", [32, 64, 128])
def test_a_streaming_read_refills_what_does_not_fit(counted: Runner, line: int) -> None:
    """1 MiB, twice: cyclic use of a set leaves nothing for the second round under LRU, unless all of it fits."""
    size = 1 << 20
    stream = STREAM.format(bytes=size)
    found = counted(f"mark 1\n{stream}\n mark 2\n{stream}\n mark 3", plugin.Caches(SMALL.l1, SMALL.l2, SMALL.l3, line))
    lines = size // line
    assert found[2]["bytes_loaded"] == found[3]["bytes_loaded"] == size
    assert [found[2][f"L{i}D_CACHE_REFILL"] for i in (1, 2, 3)] == [lines, lines, lines]
    assert [found[3][f"L{i}D_CACHE_REFILL"] for i in (1, 2, 3)] == [lines, lines, 0]


def test_what_fits_the_first_level_is_read_once(counted: Runner) -> None:
    stream = STREAM.format(bytes=16384)
    found = counted(f"mark 1\n{stream}\n mark 2\n{stream}\n mark 3", SMALL)
    assert found[2]["L1D_CACHE_REFILL"] == 256
    assert found[3]["L1D_CACHE_REFILL"] == 0


def test_absent_levels_have_no_events(counted: Runner) -> None:
    found = counted("mark 1\n ldr x0, [sp]\n mark 2", plugin.Caches(l3=(0, 0)))
    assert "L3D_CACHE_REFILL" not in found[2]
    assert found[2]["L2D_CACHE_REFILL"] == 1


def touch(stamp: int, way: int) -> str:
    """Loads a line; lines of all ways fall into one set of a 16 KiB cache with 4 ways: 4 KiB apart."""
    return f"adrp x20, buffer + {way << 12}\n ldr x0, [x20]\n mark {stamp}\n"


def test_the_line_used_longest_ago_is_replaced(counted: Runner) -> None:
    order = [0, 1, 2, 3, 0, 4, 0, 1]
    body = "mark 1\n" + "".join(touch(stamp, way) for stamp, way in enumerate(order, 2))
    found = counted(body, plugin.Caches(l1=(16 << 10, 4)))
    # the 4 replaces the 1: a queue would have dropped the 0, which came first
    assert [found[stamp]["L1D_CACHE_REFILL"] for stamp in range(2, 10)] == [1, 1, 1, 1, 0, 1, 0, 1]


def test_stores_refill_and_an_access_across_lines_needs_both(counted: Runner) -> None:
    found = counted("""
    adrp x20, buffer
    mark 1
    str q0, [x20]
    mark 2
    add x20, x20, #124
    ldr x0, [x20]
    mark 3
    """)
    assert (found[2]["bytes_stored"], found[2]["L1D_CACHE_REFILL"]) == (16, 1)
    assert (found[3]["bytes_loaded"], found[3]["L1D_CACHE_REFILL"]) == (8, 2)


@pytest.mark.parametrize(
    ("caches", "part"),
    [
        (plugin.Caches(line=48), "power of two"),
        (plugin.Caches(l1=(1000, 4)), "L1 cache: the size"),
        (plugin.Caches(l2=(96 << 10, 8)), "L2 cache: size / ways / line"),
        (plugin.Caches(l2=(0, 0)), "no level without"),
    ],
)
def test_impossible_caches_are_refused(caches: plugin.Caches, part: str, tmp_path: Path) -> None:
    qemu = find_qemu(plugins=True)
    if qemu is None:
        pytest.skip("needs a qemu-aarch64 that takes plugins")
    option = plugin.option(plugin.build(), tmp_path / "counts", caches)
    result = subprocess.run([qemu, "-plugin", option, "/bin/true"], capture_output=True, text=True)
    assert result.returncode != 0
    assert part in result.stderr
    found = plugin.problem(qemu, caches)
    assert found is not None and part in found and "plugin" not in found
    assert plugin.problem(qemu, plugin.Caches()) is None


def test_impossible_caches_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    if find_qemu(plugins=True) is None:
        pytest.skip("needs a qemu-aarch64 that takes plugins")
    (tmp_path / "model.gguf").touch()
    monkeypatch.setattr(sys, "argv", ["emulate", "--model", str(tmp_path / "model.gguf"), "--l1", "64K/3"])
    assert emulate_command.emulate() == 2
    assert capfd.readouterr().err == "error: L1 cache: the size must be a multiple of ways times line\n"


@pytest.mark.parametrize(("text", "expected"), [("64K/4", (65536, 4)), ("1m/8", (1 << 20, 8)), ("none", (0, 0))])
def test_sizes_of_caches(text: str, expected: tuple[int, int]) -> None:
    assert plugin.parse_cache(text) == expected


@pytest.mark.parametrize("text", ["64K", "K/4", "-1/2", "64K/4/2", ""])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="SIZE/WAYS"):
        plugin.parse_cache(text)
