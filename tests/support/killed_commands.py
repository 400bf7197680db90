"""Every command that writes files, and what makes one of its files whole, for test_kills.py."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from endless import write_endless
from hf_folders import write_folder
from models.tiny import TINY_LLAMA, write_tiny

from q4engine import prompt_cache
from q4engine.engine import Engine

CAPTURE = Path(__file__).parents[1] / "data" / "capture_per_op.csv"
WIDE = TINY_LLAMA.with_changes(dim=256, n_heads=8, n_kv_heads=8, head_dim=32, n_ffn=1024, n_layers=6)
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LAST_QUESTION = b"\n# 2026-01-02 03:04:05.678901\n+earlier\n"


@dataclass
class Command:
    """``words`` of a command that takes a while, ``last`` of one that writes the same files and ends by itself.

    ``outputs``: of each file, whether what is in it is whole; ``folder`` is where they lie. ``typed``: in a terminal.
    ``earlier``: what lies there before, where a line of text would be refused. ``signals`` end it.
    """

    folder: Path
    words: list[str]
    outputs: dict[Path, Callable[[bytes], bool]]
    last: list[str]
    typed: bytes = b""
    typed_last: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict)
    appended: frozenset[Path] = frozenset()  # outputs that grow, over all runs
    earlier: Mapping[Path, bytes] = field(default_factory=dict)
    signals: tuple[signal.Signals, ...] = SIGNALS


def of_quantize(folder: Path) -> Command:
    source, out = folder / "in.gguf", folder / "out.gguf"
    write_tiny(source, WIDE)
    words = ["quantize", str(source), str(out), "--type", "q4_0"]
    return Command(folder, words, {out: same_as_first()}, words)


def of_convert(folder: Path) -> Command:
    source, out = folder / "model", folder / "out.gguf"
    write_tiny(folder / "tiny.gguf", WIDE)
    write_folder(folder / "tiny.gguf", source)
    words = ["convert", str(source), str(out), "--type", "f16"]
    return Command(folder, words, {out: same_as_first()}, words)


def of_run(folder: Path) -> Command:
    model = write_endless(folder / "model.gguf")
    capture, markers, trace = (folder / name for name in ("capture", "markers", "trace"))
    words = ["run", str(model), "-p", "abc", "--no-chat", "--temp", "0", "-t", "1", "--per-op"]
    words += ["--capture", str(capture), "--markers", str(markers), "--trace", str(trace)]
    outputs = {capture: whole_rows, markers: whole_rows, trace: whole_trace}
    return Command(folder, [*words, "-n", "400", "-c", "500"], outputs, [*words, "-n", "2", "-c", "20"])


def of_prompt_cache(folder: Path) -> Command:
    """Some megabytes, in the place of the cache of another prompt."""
    model, text, cache = folder / "model.gguf", folder / "text", folder / "prompt.cache"
    write_tiny(model, WIDE.with_changes(n_ctx_train=4096))
    text.write_text("the quick brown fox jumps over the lazy dog, " * 20)
    with Engine.load(model, n_threads=1) as engine:
        session = engine.session(n_ctx=100)
        session.decode(list(range(3, 60)))
        prompt_cache.save(cache, session, session.n_past)
    other = cache.read_bytes()
    cache.unlink()
    words = ["run", str(model), "-f", str(text), "--no-chat", "-n", "1", "-t", "1", "--prompt-cache", str(cache)]
    return Command(folder, words, {cache: same_as_first()}, words, earlier={cache: other}, signals=(signal.SIGKILL,))


def of_bench(folder: Path) -> Command:
    model, out = write_endless(folder / "model.gguf"), folder / "captures"
    out.mkdir()
    words = ["bench", str(model), "--capture", str(out), "-t", "1", "-r", "2", "-n", "100", "-p", "16,32,64"]
    names = [out / f"model.t01.p{n:04}.csv" for n in (16, 32, 64)]
    return Command(out, words, dict.fromkeys(names, whole_rows), words)


def of_chat(folder: Path) -> Command:
    model = write_endless(folder / "model.gguf")
    talk, questions = folder / "talk.json", folder / "questions"
    words = ["run", str(model), "-n", "20", "-t", "1", "--temp", "0"]
    save = b"/save %s\r" % bytes(talk)
    return Command(
        folder,
        words,
        {talk: whole_talk, questions: whole_questions},
        words,
        typed=b"hello\r" + 100 * (save + b"more\r"),
        typed_last=b"hello\r" + save + b"/quit\r",
        environment={"Q4_HISTORY": str(questions)},
        appended=frozenset({questions}),
    )


def report(name: str, captures: int = 1, *options: str) -> Callable[[Path], Command]:
    """Of a command of `analysis` that writes a page and a picture."""

    def of(folder: Path) -> Command:
        capture, page, plot = folder / "capture.csv", folder / "page.html", folder / "plot.svg"
        shutil.copyfile(CAPTURE, capture)
        words = [f"analysis.{name}", *[str(capture)] * captures, *options, "--html", str(page), "--plot", str(plot)]
        return Command(folder, words, {page: whole_page, plot: whole_plot}, words)

    return of


COMMANDS: dict[str, Callable[[Path], Command]] = {
    "quantize": of_quantize,
    "convert": of_convert,
    "run": of_run,
    "prompt cache": of_prompt_cache,
    "bench": of_bench,
    "chat": of_chat,
    "stalls": report("stalls"),
    "timeline": report("timeline"),
    "compare": report("compare", 2),
    "roofline": report("roofline", 1, "--read-peak", "20"),
    "scaling": report("scaling"),
}


def same_as_first() -> Callable[[bytes], bool]:
    """Whole is what the first run, which nobody disturbs, has written."""
    first: list[bytes] = []

    def same(content: bytes) -> bool:
        first.append(content)
        return first[-1] == first[0]

    return same


def whole_rows(content: bytes) -> bool:
    """Rows to their end, at least one behind their head."""
    rows = [line for line in content.decode().splitlines() if not line.startswith("#")]
    return content.endswith(b"\n") and len(rows) >= 2 and len({row.count(",") for row in rows}) == 1


def whole_trace(content: bytes) -> bool:
    return content.startswith(b'{"displayTimeUnit"') and content.endswith(b"]}\n") and bool(json.loads(content))


def whole_page(content: bytes) -> bool:
    return content.startswith(b"<!") and content.rstrip().endswith(b"</html>")


def whole_plot(content: bytes) -> bool:
    return content.startswith(b"<?xml") and content.rstrip().endswith(b"</svg>")


def whole_talk(content: bytes) -> bool:
    return content.endswith(b"}\n") and len(json.loads(content)["messages"]) >= 2


def whole_questions(content: bytes) -> bool:
    """Those of earlier chats, and lines of prompt_toolkit's to their end."""
    return content.startswith(LAST_QUESTION) and bool(re.fullmatch(rb"(\n# .*\n(\+.*\n)+)+", content))
