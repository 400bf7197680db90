"""The house's rules hold by themselves: no circles, arrows that run one way, sizes, names, a test for every module.

The rules are tables. A file that its table does not know is a failure too: a new one is given its place there. What
would break a rule for good reason stands in EXCEPTIONS, with that reason.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest
import source_graph as graph
from source_graph import REPO, Function

PYTHON = ("q4engine", "analysis", "annotate", "toolchains")
C_PARTS = ("native", "toolchains/emulate", "toolchains/kernel_cost")  # each linked on its own
MOST_LINES, MOST_LINES_OF_A_TEST, MOST_LINES_OF_A_FUNCTION = 500, 540, 60

Layers = Sequence[tuple[str, ...]]

# A file uses what stands in its own row or below.
Q4ENGINE: Layers = (
    ("__main__.py",),
    ("cli/*",),
    ("explain/*", "sweep/*", "mcp_server.py"),
    ("mcp_tools.py",),
    ("bench/*", "diagnosis.py", "tuned.py", "watch/*"),
    ("llm.py",),
    (
        "conversation.py",
        "draft_cost.py",
        "generate.py",
        "prompt_cache.py",
        "scoring.py",
        "speculation.py",
        "convert/*",
        "profiling/*",
    ),
    ("engine.py",),
    ("reference/*",),
    ("models/*",),
    ("sampling/*", "tokenizer/*"),
    ("hub.py",),
    ("gguf/*",),
    ("cpu_time.py", "memory_nodes.py"),
    ("__init__.py", "cpus.py", "errors.py", "home.py", "interrupts.py", "kv_forms.py", "machine.py"),
)
NATIVE: Layers = (
    ("python/*", "tests/*", "watch/hooks.c"),
    ("build.[ch]", "watch/calls.[ch]"),
    ("execute/[!o]*.[ch]",),
    ("session.[ch]",),
    ("kv_cache.[ch]", "fuse.[ch]", "pack.c", "watch/tensors.[ch]", "watch/op_counts.[ch]"),
    ("model.[ch]", "plan.c", "watch/slots.[ch]"),
    ("plan.h", "execute/operations.[ch]"),  # the list of classes: who walks a plan needs no more of execute/
    ("recorder.[ch]", "probe.[ch]", "quantize.[ch]", "sampling.[ch]", "watch/re*.[ch]"),
    ("types/[!t]*", "types/types.c", "matmul/*", "arm/*", "x86/*"),  # but see KERNELS
    ("ops/*",),
    (  # what a type, a form of activations and one of keys and values are; the types themselves stand above
        "types/types.h",
        "acts.[ch]",
        "kv_form.[ch]",
    ),
    (
        "cpu.[ch]",
        "emulator.[ch]",
        "memory.[ch]",
        "pages.[ch]",
        "peak.[ch]",
        "pmu.[ch]",
        "q4.[ch]",
        "slice.[ch]",
        "threads.[ch]",
    ),
    ("interrupt.[ch]",),
    ("clock.[ch]",),
)
# Kernels include their own kind and these, and nobody else includes them.
KERNELS = ("arm", "x86")
FOR_KERNELS = (
    "native/cpu.h",
    "native/peak.h",
    "native/matmul/matmul.h",
    "native/ops/*.h",
    "native/types/super.h",
    "native/types/iq4.h",
)

# What a package may import of another, beyond the standard library and what pip installs. The engine takes of analysis
# only modules that need nothing but the standard library; so much of it is loaded with every engine.
STANDARD_LIBRARY_ALONE = ("analysis/events.py", "analysis/outputs.py", "analysis/palette.py", "analysis/terminal.py")
ACROSS = (
    ("q4engine/cli/*", ("annotate/*", "analysis/*")),
    ("q4engine/bench/*", ("annotate/*", "analysis/*")),
    ("q4engine/sweep/*", ("analysis/*",)),
    ("q4engine/*", ("annotate/*", *STANDARD_LIBRARY_ALONE)),
    ("toolchains/*", ("q4engine/*", "analysis/*", "annotate/*")),
    ("analysis/*", ()),
    ("annotate/*", STANDARD_LIBRARY_ALONE),
)
# Files that may be called alike: kernels of the two kinds of CPU, an operation and its arithmetic (execute/x.c and
# ops/x.c), and each package's plain names.
ALIKE = ("__init__.py", "__main__.py", "native/arm/*", "native/x86/*", "native/execute/*")

EXCEPTIONS: dict[str, tuple[str, ...]] = {}


def breaking(rule: str, found: Iterable[str]) -> list[str]:
    """What of `found` is no known exception of the rule."""
    return sorted(set(found) - set(EXCEPTIONS.get(rule, ())))


def layer_of(name: str, layers: Layers) -> int:
    for number, row in enumerate(layers):
        if any(fnmatch(name, pattern) for pattern in row):
            return number
    raise AssertionError(f"{name} has no layer: give it one in {Path(__file__).name}")


def upwards(folder: str, uses: graph.Graph, layers: Layers) -> list[str]:
    """Uses within the folder that run against the layers, as "file -> file"."""
    inside = {file: {other for other in others if other.startswith(folder + "/")} for file, others in uses.items()}
    number = {file: layer_of(file.removeprefix(folder + "/"), layers) for file in uses}
    return [f"{file} -> {other}" for file, others in inside.items() for other in others if number[other] < number[file]]


@pytest.mark.parametrize("language", ["Python", "C"])
def test_no_circles_among_files(language: str) -> None:
    if language == "Python":
        found = graph.circles(graph.python_graph(*PYTHON))
    else:
        found = [circle for part in C_PARTS for circle in graph.circles(graph.c_calls_graph(part))]
        found += graph.circles(graph.c_includes_graph("native", "toolchains"))
    assert breaking(f"{language} circles", (" ".join(circle) for circle in found)) == []


def test_arrows_within_q4engine() -> None:
    found = upwards("q4engine", graph.python_graph("q4engine"), Q4ENGINE)
    assert breaking("q4engine", found) == []


def test_arrows_between_packages() -> None:
    found = []
    for file, others in graph.python_graph(*PYTHON).items():
        allowed = next(patterns for own, patterns in ACROSS if fnmatch(file, own))
        outside = (other for other in others if other.split("/")[0] != file.split("/")[0])
        found += [f"{file} -> {x}" for x in outside if not any(fnmatch(x, pattern) for pattern in allowed)]
    assert breaking("packages", found) == []


@pytest.mark.parametrize("file", STANDARD_LIBRARY_ALONE)
def test_what_the_engine_takes_of_analysis_is_light(file: str) -> None:
    outside = graph.outside_modules(file) - sys.stdlib_module_names - {"analysis"}
    assert outside == set()
    assert graph.imports(file) - {"analysis/__init__.py"} <= set(STANDARD_LIBRARY_ALONE)


def test_arrows_within_native() -> None:
    uses = {file: graph.includes(file) for file in graph.c_files("native") if "stable_abi" not in file}
    found = upwards("native", uses, NATIVE)
    for file, others in uses.items():
        for other in others:
            kind, of_other = file.split("/")[1], other.split("/")[1]
            if kind in KERNELS and of_other != kind and not any(fnmatch(other, pattern) for pattern in FOR_KERNELS):
                found.append(f"{file} -> {other}")
            if of_other in KERNELS and kind != of_other:
                found.append(f"{file} -> {other}")
    assert breaking("native", found) == []


def test_every_public_module_is_named_by_a_test() -> None:
    named = graph.named_by_tests()
    modules = [file for file in graph.files("q4engine", "analysis", "annotate") if not Path(file).stem.startswith("_")]
    assert breaking("no test", (file for file in modules if file not in named and Path(file).stem not in named)) == []


def all_sources() -> list[str]:
    return sorted({*graph.c_files("native", "toolchains"), *graph.files(*PYTHON, "tests")})


def test_files_are_short() -> None:
    found = []
    for file in all_sources():
        most = MOST_LINES_OF_A_TEST if file.startswith("tests/") else MOST_LINES
        if (REPO / file).read_text().count("\n") > most:
            found.append(file)
    assert breaking("long files", found) == []


def test_file_names_can_be_typed() -> None:
    """What a command left by mistake has seldom a name that anybody would give."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("no git repository")
    names = [name for name in listed.stdout.split(b"\0") if name]
    assert names and [name for name in names if re.fullmatch(rb"[\w.+,-]+(/[\w.+,-]+)*", name) is None] == []


def functions(file: str) -> list[Function]:
    if file.endswith(".py"):
        return graph.python_functions(file)
    return graph.c_functions(file) if file.endswith((".c", ".h")) else []


def test_archives_are_unpacked_by_the_oldest_python() -> None:
    """Debian 12's is 3.11.2; extractall's ``filter`` came with 3.11.4, and ``extraction_filter`` harms none before."""
    given = re.compile(r"extract(all)?\([^)]*filter=")
    assert given.search('tar.extractall(folder, filter="data")')
    assert [file for file in all_sources() if file.endswith(".py") and given.search((REPO / file).read_text())] == [
        "tests/unit/test_house_rules.py"
    ]


def test_functions_fit_on_a_screen() -> None:
    files = (file for file in all_sources() if not file.startswith("tests/"))
    found = (f"{file}: {f.name}" for file in files for f in functions(file) if f.lines > MOST_LINES_OF_A_FUNCTION)
    assert breaking("long functions", found) == []


@pytest.mark.parametrize("package", [*PYTHON, "native"])
def test_file_names_are_unique_in_a_package(package: str) -> None:
    files = graph.c_files(package) if package == "native" else graph.files(package)
    named: dict[str, list[str]] = {}
    for file in files:
        if not any(fnmatch(file, pattern) or Path(file).name == pattern for pattern in ALIKE):
            named.setdefault(Path(file).name, []).append(file)
    found = (" ".join(group) for group in named.values() if len(group) > 1)
    assert breaking(f"names in {package}", found) == []


def test_the_checks_would_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A circle through an import inside a function, one through calls in C, and what a parser could miss."""
    monkeypatch.setattr(graph, "REPO", tmp_path)
    texts = {
        "pkg/__init__.py": "",
        "pkg/a.py": "import pkg.b\n",
        "pkg/b.py": "def f():\n    from . import c\n",
        "pkg/c.py": "from pkg.a import x\n",
        "one.c": '#include "one.h"\nint q4_one(int n) { return n ? q4_two(n - 1) : 0; }\nstatic void own(void) {}\n',
        "one.h": "int q4_one(int n); // {\n",
        "two.c": 'const char *q4_text[] = {"}", "{"};\nint\nq4_two(int n)\n{\n    return q4_one(n); /* } */\n}\n',
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert graph.circles(graph.python_graph("pkg")) == [["pkg/a.py", "pkg/b.py", "pkg/c.py"]]
    assert graph.circles(graph.c_calls_graph(".")) == [["one.c", "two.c"]]
    assert graph.c_includes_graph(".")["one.c"] == {"one.h"}
    assert graph.c_definitions("two.c") == {"q4_text", "q4_two"}
    assert graph.c_functions("one.c") == [Function("q4_one", 2, 1), Function("own", 3, 1, local=True)]
    assert graph.c_functions("two.c") == [Function("q4_two", 2, 5)]
    assert upwards("pkg", {"pkg/low.py": {"pkg/high.py"}, "pkg/high.py": set()}, (("high.py",), ("low.py",))) == [
        "pkg/low.py -> pkg/high.py"
    ]


def test_only_tests_name_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "REPO", tmp_path)
    texts = dict.fromkeys(("m/__init__.py", "m/imported.py", "m/started.py", "m/shared.py", "m/told.py"), "")
    texts |= {
        "tests/test_two_words.py": '"""Of m.told."""\nimport m.imported\nCOMMAND = ["-m", "m.started"]\n',
        "tests/shared.py": "import m.shared\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert graph.named_by_tests() == {"m/imported.py", "m/started.py", "two_words", "words"}
