"""Inputs that once took minutes, gigabytes or a file with them, and their kin, each given to the command that reads it:
one line within two seconds of CPU time and 200 MB above what the command takes for a small input, or a right answer."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from endless import write_endless
from gguf_bytes import STRING, U32, File, pair, string
from hf_folders import write_folder
from hostile_files import CAPTURE, COLUMNS, operation
from models.tiny import TINY_LLAMA, write_tiny
from swept import synthetic_plan, write_results
from vocab_files import vocab_pairs

pytestmark = pytest.mark.long

SECONDS, MEMORY = 2.0, 200 << 20
DATA = Path(__file__).parents[1] / "data"
MESSAGE_ONLY = "{% for m in messages %}{{ m.content }}{% endfor %}"


@dataclass
class Done:
    code: int
    out: str
    err: str
    cpu_seconds: float
    memory: int


STARTER = """
import os, sys
status, usage = os.wait4(os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ), 0)[1:]
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, file=open(3, "w"))
"""


def run(folder: Path, words: str) -> Done:
    """A command with its processes, as the kernel accounts for them; until it is one of its own it has the memory of
    the process that starts it, which is therefore a small one."""
    module, _, rest = words.partition(" ")
    command = ["-m", module, *rest.split()] if module.startswith("analysis.") else ["-m", "q4engine", *words.split()]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 3>usage', "sh", sys.executable, "-S", "-c", STARTER, *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    code, seconds, memory = (folder / "usage").read_text().split()
    return Done(int(code), done.stdout, done.stderr, float(seconds), int(memory))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_endless(folder / "model.gguf")
    (folder / "plain.jinja").write_text(MESSAGE_ONLY)
    (folder / "perf.csv").write_text("5,,cycles,100,100.00,,\n")
    (folder / "capture.csv").write_bytes((DATA / "capture_per_op.csv").read_bytes())
    write_folder(write_tiny(folder / "tiny.gguf", TINY_LLAMA), folder / "source")
    write_results(folder / "results.sqlite", synthetic_plan({"threads": [1, 2]}, blocks=2), lambda *_: [0.1])
    (folder / "small.toml").write_text('[axes]\nmodel = ["model.gguf"]\n')
    return folder


@pytest.fixture(scope="module")
def base(folder: Path) -> Callable[[str], Done]:
    """The same command with a small input, each once."""
    small = {
        "run": "run model.gguf -p abc -n 1 --chat-template plain.jinja",
        "inspect": "inspect model.gguf",
        "tokenize": "tokenize model.gguf -p abc",
        "quantize": "quantize model.gguf small.gguf --type q4_0",
        "convert": "convert source out.gguf",
        "sweep": "sweep small.toml --dry-run",
        "analysis.sweep": "analysis.sweep results.sqlite",
        "analysis.stalls": "analysis.stalls perf.csv",
        "analysis.functions": f"analysis.functions {DATA / 'printed' / 'perf-script' / 'chains.txt'}",
    }
    known: dict[str, Done] = {}

    def of(words: str) -> Done:
        name = words.split()[0]
        if name not in known:
            known[name] = run(folder, small[name])
            assert known[name].code == 0, known[name].err
        return known[name]

    return of


def held(found: Done, base: Done) -> None:
    assert found.cpu_seconds < base.cpu_seconds + SECONDS, (
        f"{found.cpu_seconds:.2f} s, {base.cpu_seconds:.2f} s of it base"
    )
    assert found.memory < base.memory + MEMORY, f"{found.memory >> 20} MB, {base.memory >> 20} MB of it base"


def refused(found: Done, message: str) -> None:
    lines = found.err.splitlines()
    assert found.code == 1 and lines and lines[-1].startswith("error: ") and re.search(message, lines[-1]), found.err
    assert all(line.startswith(("note: ", "warning: ")) for line in lines[:-1]), found.err


# ---- chat templates --------------------------------------------------------------------------------------------------

TEMPLATES = {
    "rfind": "{{('a'*4000000).rfind('ab'+'a'*2000000)}}",
    "rsplit": "{{('a'*4000000).rsplit('ab'+'a'*2000000)}}",
    "rpartition": "{{('a'*4000000).rpartition('ab'+'a'*2000000)}}",
    "trim": "{{('a'*4000000)|trim('b'*4000000 ~ 'a')}}",
    "equal hashes": "{% set P = 2305843009213693951 %}{{ range(0,P*99999,P)|unique|list|length }}",
    "the meter's own name": "{{ [1]|map('q4 step',size=-10**18)|list }}",
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for m in messages %}{% set y = m.role %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "replace": "{{ ['a'*1000000]|map('replace','a','b'*4000)|list|length }}",
    "a list replaced": "{{ ['a'*1000000]|replace('a','b'*4000) }}",
    "sixty strings": "".join(f"{{% set a{i} = '\U0001f600'*4000000 %}}" for i in range(60)) + "x",
    "sort": "{{ ('\u4e00'*4000000)|sort|length }}",
    "a chain": "{% set ns = namespace(x=0) %}{% for i in range(99999) %}{% for j in range(99) %}"
    "{% set ns.x = namespace(x=ns.x) %}{% endfor %}{% endfor %}",
    "memory": "{{ 'a' * 10**10 }}",
}


REFUSED = "it takes more than|it needs more than 160 MB|it writes [0-9]+ characters|No filter named"


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates(name: str, folder: Path, base: Callable[[str], Done]) -> None:
    (folder / "hostile.jinja").write_text(TEMPLATES[name])
    words = "run model.gguf -p abc -n 1 --chat-template hostile.jinja"
    found = run(folder, words)
    held(found, base(words))
    if found.code:
        refused(found, REFUSED)
        assert name != "memory" or "160 MB" in found.err


# ---- files that are large or odd -------------------------------------------------------------------------------------


def many_tensors(count: int) -> bytes:
    head = File(n_tensors=count, tensors=[], data_bytes=0).build()
    rows = (b"%s\x01\0\0\0\x20\0\0\0\0\0\0\0\x02\0\0\0%s" % (name(i), bytes(8)) for i in range(count))
    return head + b"".join(rows)


def name(index: int) -> bytes:
    return (9).to_bytes(8, "little") + b"t%08d" % index


FILES: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
    "a prompt of ten million letters": ("run model.gguf --no-chat -n 1 -f", lambda: "a" * 10**7, "context|tokens"),
    "a prompt of ten million words": ("run model.gguf --no-chat -n 1 -f", lambda: "a " * 5_000_000, "context|tokens"),
    "a prompt for a chat": ("run model.gguf -n 1 -f", lambda: "a" * 10**7, "characters, more than"),
    "a word to tokenise": ("tokenize model.gguf -f", lambda: "a" * 10**7, "word|bytes"),
    "a million tensors": ("inspect", lambda: many_tensors(1_000_000), "tensors"),
    "two million keys": (
        "inspect",
        lambda: (
            File(pairs=[], n_pairs=2_000_000).build()[:24] + b"".join(pair(f"k{i}", U32, i) for i in range(2_000_000))
        ),
        "pairs",
    ),
    "JSON without an end": ("analysis.stalls", lambda: '{"a":}' + " " * 65_000, "."),
    "columns of times": ("analysis.stalls", lambda: "time," * 12_000, "."),
    "an interval's head": ("analysis.stalls", lambda: "# time " + "counts " * 9_200, "."),
    "ten megabytes of blanks": ("analysis.stalls", lambda: ("  1 x #" + " " * 1900 + "\n") * 5_200, "."),
    "400,000 columns": (
        "analysis.stalls",
        lambda: "# q4engine capture\n# format_version: 1\n" + ",".join(f"c{i}@g" for i in range(400_000)) + "\n0\n",
        ".",
    ),
    "a key that stands twice": (
        "analysis.stalls",
        lambda: '{"counter-value" : "5", "counter-value" : "6", "event" : "cycles", "event-runtime" : 1}\n',
        "stands twice",
    ),
    "calls that overlap": (
        "analysis.stalls",
        lambda: (
            "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: available\n"
            "call,n_past,n_eval,op,start_ns,duration_ns,CPU_CYCLES@g0\n0,0,4,,0,1000,5\n1,4,1,,500,1000,5\n"
        ),
        "overlap|before",
    ),
    "samples of 100,000 events": (
        "analysis.functions",
        lambda: "".join(f"a 1 [0] {i}.0: 5 ev{i}: ffff f+0x1 (x)\n" for i in range(100_000)),
        "more than 1024 events",
    ),
    "symbols without their counter": (
        "analysis.functions",
        lambda: "uid,image,symbol,inlined from\n1,a,main\n2,b,main\n",
        "no column is a counter",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, folder: Path, base: Callable[[str], Done]) -> None:
    words, content, message = FILES[name]
    made = content()
    path = folder / "input.csv"
    path.write_bytes(made if isinstance(made, bytes) else made.encode())
    found = run(folder, f"{words} input.csv")
    refused(found, message)
    held(found, base(words))


def test_a_total_is_not_added_to_its_cores(folder: Path) -> None:
    """Cycles and back-end stalls of a timeline and of perf's CSV: 0.4 of them, whatever is added to what."""
    timeline = "Index (s),Cycles:CPU Cycles,Stalls:Backend,Cycles:CPU Cycles [0],Stalls:Backend [0],"
    timeline += "Cycles:CPU Cycles [1],Stalls:Backend [1]\n" + "".join(
        f"{at / 10:.1f},2000000,800000,1000000,800000,1000000,0\n" for at in range(20)
    )
    (folder / "timeline.csv").write_text(timeline)
    rows = [("", 2, 0.4), ("CPU0,", 1, 0.8), ("CPU1,", 1, 0.0)]
    perf = "".join(
        f"{cpu}{n * 10**9},,cycles,1000000000,100.00,,\n{cpu}{int(n * share * 10**9)},,stalled-cycles-backend,"
        "1000000000,100.00,,\n"
        for cpu, n, share in rows
    )
    (folder / "totals.csv").write_text(perf)
    for path in ("timeline.csv", "totals.csv"):
        found = run(folder, f"analysis.stalls {path}")
        assert found.code == 0 and "back-end stalls / cycles 40.0 %" in found.out
        assert "both total and parts are listed, the total is used" in found.out


# ---- folders to convert, plans, results ------------------------------------------------------------------------------

TOKENIZERS: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
    "a million merges": (
        "tokenizer.json",
        lambda: '{"model": {"merges": [' + ",".join(f'"a{i} b"' for i in range(1_000_000)) + "]}}",
        "expected at most|more than",
    ),
    "ten megabytes of lists": ("tokenizer.json", lambda: '{"a":[' + "[]," * 3_300_000 + "[]]}", "commas and brackets"),
    "thirty megabytes of strings": (
        "tokenizer.json",
        lambda: '{"a":["' + '","'.join(["\U0001f600a"] * 3_000_000) + '"]}',
        "beside its merges|commas",
    ),
    "sixteen megabytes in one string": (
        "tokenizer.json",
        lambda: '{"a":"\U0001f600' + "a" * 16_700_000 + '"}',
        "'model' is missing",
    ),
    "fields without an end": ("tokenizer.model", lambda: b"\x12\x02\x08\x01" * 2_000_000, "is no SentencePiece model"),
    "lists in lists": ("config.json", lambda: "[" * 1_000_000, "is no JSON"),
    "a head that is none": (
        "model.safetensors",
        lambda: (9 << 20).to_bytes(8, "little") + b"{" + b" " * (9 << 20),
        "has a head of",
    ),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_folders(name: str, folder: Path, base: Callable[[str], Done]) -> None:
    file, content, message = TOKENIZERS[name]
    made = content()
    shutil.rmtree(folder / "changed", ignore_errors=True)
    shutil.copytree(folder / "source", folder / "changed")
    (folder / "changed" / file).write_bytes(made if isinstance(made, bytes) else made.encode())
    found = run(folder, "convert changed out.gguf")
    refused(found, message)
    held(found, base("convert"))


MANY_THREADS = ",".join(map(str, range(1, 257)))
PLANS = {
    "combinations": (f"prompt = [{','.join(map(str, range(1, 9000)))}]\nthreads = [{MANY_THREADS}]", "combinations"),
    "runs": (f"prompt = [{','.join(map(str, range(1, 9000)))}]", "are more than 100000 runs"),
    "a mask": (f'mask = ["0x{"f" * 60_000}"]', "names no CPUs"),
    "parts of a key": (f"a{'.a' * 30_000} = 1", "more than 1000 dots"),
    "bytes": (f"prompt = [{','.join(map(str, range(1, 100_000)))}]", "is larger than 64 KiB"),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(name: str, folder: Path, base: Callable[[str], Done]) -> None:
    axes, message = PLANS[name]
    skip = "" if name == "runs" else 'skip = "threads > 0"\n'
    (folder / "plan.toml").write_text(f'repetitions = 100\n{skip}[axes]\nmodel = ["model.gguf"]\n{axes}\n')
    found = run(folder, "sweep plan.toml --dry-run")
    refused(found, message)
    held(found, base("sweep"))


@pytest.mark.parametrize("command", ["analysis.sweep endless.sqlite", "sweep export endless.sqlite -o out.csv"])
def test_results_without_an_end(command: str, folder: Path, base: Callable[[str], Done]) -> None:
    (folder / "endless.sqlite").write_bytes((folder / "results.sqlite").read_bytes())
    with contextlib.closing(sqlite3.connect(folder / "endless.sqlite")) as results:
        results.executescript(
            "DROP TABLE samples; CREATE VIEW samples AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            "SELECT 1 AS run, 'prefill' AS phase, i AS number, 1 AS tokens, 1.0 AS seconds FROM n"
        )
    found = run(folder, command)
    refused(found, "has a view 'samples'")
    held(found, base(command))


@pytest.mark.parametrize("kind", ["tokens", "holes"])
def test_vocabularies(kind: str, folder: Path, base: Callable[[str], Done]) -> None:
    tokens, scores = [f"t{index:07}" for index in range(1 << 20)], [0.0] * (1 << 20)
    path = folder / "vocabulary.gguf"
    if kind == "tokens":
        pairs = vocab_pairs("llama", tokens, [1] * len(tokens), scores=scores)
        path.write_bytes(File(pairs=pairs, tensors=[], data_bytes=0).build())
    else:
        head = File(pairs=[], n_pairs=1, tensors=[], n_tensors=0, data_bytes=0).build()[:24]
        path.write_bytes(head + string("k") + struct.pack("<IQ", STRING, 1 << 30))
        os.truncate(path, (1 << 30) + 4096)
    found = run(folder, "tokenize vocabulary.gguf -p abc")
    refused(found, "expected at most 524288" if kind == "tokens" else "all names and texts more than")
    held(found, base("tokenize"))


# ---- much that is right ----------------------------------------------------------------------------------------------

MANY = (
    "analysis.stalls many.csv",
    "analysis.stalls many.csv --json",
    "analysis.stalls many.csv --plot many.png",
    "analysis.stalls many.csv --html many.html",
    "analysis.compare many.csv many.csv",
    "analysis.compare many.csv many.csv --plot many.png",
    "analysis.roofline many.csv --plot many.png",
    "analysis.timeline many.csv --plot many.png",
    "analysis.fleet many.csv --workers 0",
)


@pytest.mark.parametrize("words", MANY)
@pytest.mark.parametrize("per_op", [False, True])
def test_captures_of_many_phases(words: str, per_op: bool, folder: Path) -> None:
    """Each judged, the first ones of them; what is left out is told."""
    chance = Random(1)
    rows = (
        operation(50 * call + of, chance).replace("decode", f"p{call}")
        for call in range(2000 if per_op else 20_000)
        for of in range(50 if per_op else 1)
    )
    (folder / "many.csv").write_text(CAPTURE + COLUMNS + "".join(rows))
    found, small = run(folder, words), run(folder, words.replace("many.csv", "capture.csv"))
    assert found.code == 0
    told = found.out if "fleet" in words else " ".join((found.out + found.err).split())
    assert "fleet" in words or f"the first {200 if per_op else 1600} of {2000 if per_op else 20_000} phases" in told
    held(found, small)


TEXTS = {
    "digits": "0123456789" * 300_000,
    "what may begin special tokens": "< " * 2_000_000,
    "no spaces": "abcdefghij" * 200_000,
    "a book": "It was the best of times, it was the worst of times. " * 100_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, folder: Path, base: Callable[[str], Done]) -> None:
    (folder / "long.txt").write_text(TEXTS[name])
    found = run(folder, "tokenize model.gguf -f long.txt --count")
    held(found, base("tokenize"))
    if found.code:
        refused(found, "a word of [0-9]+ bytes")
    else:
        assert int(found.out) > 100_000


# ---- outputs ---------------------------------------------------------------------------------------------------------


def test_outputs_that_are_inputs(folder: Path) -> None:
    own = folder / "capture.csv"
    before, model = own.read_bytes(), (folder / "model.gguf").read_bytes()
    (folder / "link.png").unlink(missing_ok=True)
    (folder / "link.png").symlink_to(own)
    for words in (
        "analysis.stalls capture.csv --html capture.csv",
        "analysis.stalls capture.csv --plot link.png",
        "quantize model.gguf model.gguf --type q4_0",
        "run model.gguf -p a --no-chat -n 1 --capture model.gguf",
    ):
        found = run(folder, words)
        assert found.code in (1, 2) and found.out == "", words
        assert re.fullmatch("error: .*(is the file of|is the file to read).*\n", found.err), found.err
    assert own.read_bytes() == before and (folder / "model.gguf").read_bytes() == model
    long_name = "n" * 250
    assert run(folder, f"quantize model.gguf {long_name} --type q4_0").code == 0
    (folder / "short.gguf").write_bytes(model[:-5000])
    refused(run(folder, "quantize short.gguf of-short.gguf --type q4_0"), "short.gguf")
    missing = run(folder, "analysis.stalls capture.csv --html none/a.html --plot none/b.svg")
    refused(missing, "a.html.*b.svg|b.svg.*a.html")
    assert (
        not [path.name for path in folder.iterdir() if path.name.startswith(".q4-")]
        and not (folder / "of-short.gguf").exists()
    )


def test_an_infinite_scale(folder: Path) -> None:
    """One line of ours and none of NumPy's."""
    write_tiny(folder / "f32.gguf", TINY_LLAMA)
    content = bytearray((folder / "f32.gguf").read_bytes())
    content[-4096:] = b"\0\x7c" * 2048  # what is last is a matrix: infinite halves, in any type
    (folder / "infinite.gguf").write_bytes(content)
    found = run(folder, "quantize infinite.gguf out.gguf --type q8_0")
    refused(found, "finite|infinite|not a number")
