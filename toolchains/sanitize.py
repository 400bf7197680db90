"""Runs what uses the native core on a build with AddressSanitizer and UndefinedBehaviorSanitizer and on one with
ThreadSanitizer: the C test program, the unit tests, commands on a real model, the fuzzers of plans and calls.

``python toolchains/sanitize.py [OPTIONS OF PYTEST]``. The sanitized modules live in build/sanitize and are used by the
base interpreter of the virtual environment, with the environment's packages (and not its own) behind it; .venv keeps
its own build. Leaks are looked for in the C test program alone: an interpreter frees little at exit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from checks import Check, Result, summary
from host import BUILD, REPO, ToolError, cmake_build, find_program, main, pip, run, say

FOLDER = BUILD / "sanitize"
MODEL = REPO / ".models" / "smollm2-135m-instruct-q4_0.gguf"
SOURCE = REPO / ".models" / "smollm2-135m-instruct-q4_1.gguf"
PROMPT = "One two three one two three one two"  # which repeats itself, for --lookup
_RUN = ("run", MODEL, "-p", PROMPT, "-t", "2", "--temp", "0", "-n", "6")
COMMANDS: dict[str, tuple[str | Path, ...]] = {  # in a folder of each build
    "run, a chat with a capture": (*_RUN, "--capture", "capture.csv", "--trace", "trace.json"),
    "run, operations one by one": (*_RUN, "--no-chat", "--capture", "per_op.csv", "--per-op", "--no-peak"),
    "run --lookup 3": (*_RUN, "--no-chat", "--lookup", "3"),
    "quantize": ("quantize", SOURCE, "out.gguf", "--type", "q4_0"),
    "perplexity": ("perplexity", MODEL, "-p", PROMPT, "-c", "8", "-t", "2"),
}
FUZZED = ("plans", "calls", "--minutes", "0.5", "--counts", "counts.json")
# In one process: ThreadSanitizer knows no threads of forked ones.
FUZZED_IN_PLACE = ("plans", "--seed", "0", "--cases", "300")
# Unit tests that never enter the native core, or only to open a model's file, as many others do.
ELSEWHERE = (
    "annotate*", "chat_template*", "cli", "cli_co*", "cli_llama_cpp", "conversion", "convert*", "cpu*", "doctor",
    "documents", "gbnf", "hf_config", "house_rules", "hub", "mcp", "memory_nodes", "models_for_tests", "power",
    "sustained", "sweep*", "tokenizer*", "tuned",
)  # fmt: skip
# … and of those with many cases so many, spread over them: each takes ten times its time.
MOST_CASES = {"Q4_MOST_CASES": "4"}
# Of the unit tests those that start threads, in all ways there are.
TESTS_OF_THREADS = (
    "engine",
    "engine_lifetimes",
    "engine_bits",
    "generate",
    "interrupts",
    "native_arguments",
    "speculation",
)
OPTIONS = {
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "ASAN_OPTIONS": "detect_leaks=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
OPTIONS_OF_PYTHON = {
    # What was freed stays out of use, but not much of it: the fuzzer holds its targets to some memory. What a limit
    # refuses is no memory, as without sanitizers, and not the end.
    "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1",
    "PYTHONMALLOC": "malloc",
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's own threads are not looked at, so what they hand over looks like a race
    "PYTHONSAFEPATH": "1",  # processes that tests start must not find the sources, which lack the module
}


@dataclass(frozen=True)
class Build:
    """What the compiler is asked for, its runtime library, and arguments of the C test program."""

    name: str
    sanitizers: str
    runtime: str
    arguments: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def site(self) -> Path:
        return FOLDER / f"site-{self.name}"

    def launcher(self) -> list[str | Path]:
        """Words before a program. The runtime of ThreadSanitizer in gcc before 14 expects addresses with no more than
        28 random bits; newer kernels have 32."""
        bits = Path("/proc/sys/vm/mmap_rnd_bits")
        if self is THREAD and bits.exists() and int(bits.read_text()) > 28 and (setarch := find_program("setarch")):
            return [setarch, "-R"]
        return []


MEMORY = Build("memory", "address,undefined", "libasan.so")
# A case takes ten times its time under ThreadSanitizer, and its races show in the first ones.
THREAD = Build("thread", "thread", "libtsan.so", ("--cases", "30"))


def gcc() -> str:
    """The compiler, whose sanitizers these are."""
    compiler = find_program(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise ToolError("gcc is missing; sanitizer runs need it")
    return compiler


def preloaded_libraries(compiler: str, runtime: str) -> str:
    """The runtime that an unsanitized interpreter must load first; libstdc++ with it, whose exceptions ASan wraps."""
    paths = [run([compiler, f"-print-file-name={name}"]).strip() for name in (runtime, "libstdc++.so.6")]
    missing = [path for path in paths if not Path(path).is_absolute()]
    if missing:
        raise ToolError(f"{compiler} has no {' '.join(missing)}; sanitizer runs need gcc")
    return " ".join(paths)


def check_kernels(build: Build, show: bool = True) -> Result:
    """The C test program, built so."""
    gcc()
    say(f"building the C test program with -fsanitize={build.sanitizers}")
    cmake_build(build.folder, "q4_kernel_test", [f"-DQ4_SANITIZE={build.sanitizers}"])
    command = [*build.launcher(), build.folder / "q4_kernel_test", *build.arguments]
    return Check(f"C kernel tests, {build.name} sanitized", command, env=OPTIONS).run(show)


@dataclass(frozen=True)
class Python:
    """An interpreter with a sanitized module of its own."""

    build: Build
    command: Sequence[str | Path]
    env: dict[str, str]

    @classmethod
    def install(cls, build: Build) -> Python:
        compiler = gcc()
        say(f"building the module with -fsanitize={build.sanitizers}")
        # The C test program is then built of the same objects.
        defined = (f"cmake.define.Q4_SANITIZE={build.sanitizers}", f"build-dir={build.folder}")
        settings = [f"--config-settings={option}" for option in defined]
        pip("install", "-q", "--upgrade", "--target", build.site, "--no-deps", "--no-build-isolation", *settings, REPO)
        env = {
            **OPTIONS,
            **OPTIONS_OF_PYTHON,
            "LD_PRELOAD": preloaded_libraries(compiler, build.runtime),
            "PYTHONPATH": f"{build.site}:{sysconfig.get_paths()['purelib']}",
        }
        return cls(build, [*build.launcher(), getattr(sys, "_base_executable", sys.executable), "-PS"], env).checked()

    def checked(self) -> Python:
        """This, if it loads the module of its build."""
        where = subprocess.run(
            [*self.command, "-c", "import q4engine._native as native; print(native.__file__)"],
            env={**os.environ, **self.env},
            cwd=REPO,
            capture_output=True,
            text=True,
        )
        if str(self.build.site) not in where.stdout:
            raise ToolError(f"the sanitized module does not load: {(where.stderr or where.stdout).strip()}")
        return self

    def pytest(self, files: Sequence[Path], part: str = "") -> Result:
        options = ("-p", "no:cacheprovider", "--durations=10", *sys.argv[1:])
        command = [*self.command, "-m", "pytest", *options, *files]
        name = f"unit tests{part}, {self.build.name} sanitized"
        return Check(name, command, env=self.env | MOST_CASES).run(show=False)

    def commands(self) -> list[Result]:
        """Commands from end to end, and the fuzzers of what the core takes."""
        folders = (self.env["PYTHONPATH"], *(str(REPO / folder) for folder in ("tests", "toolchains", "tests/support")))
        env = {**self.env, "PYTHONPATH": ":".join(folders)}
        commands = {f"q4engine {name}": ["-m", "q4engine", *words] for name, words in COMMANDS.items()}
        fuzzed = FUZZED_IN_PLACE if self.build is THREAD else FUZZED
        commands[f"fuzz {' '.join(takewhile(str.isalpha, fuzzed))}"] = ["-m", "fuzz", *fuzzed]
        return [self._ends_well(name, words, env) for name, words in commands.items()]

    def _ends_well(self, name: str, words: Sequence[str | Path], env: dict[str, str]) -> Result:
        name, command = f"{name}, {self.build.name} sanitized", [*self.command, *words]
        return Check(name, command, counts=False, env=env, folder=self.build.folder).run(show=False)


def unit_tests() -> list[Path]:
    """Files of those that enter the core."""
    folder = REPO / "tests" / "unit"
    elsewhere = {path for name in ELSEWHERE for path in folder.glob(f"test_{name}.py")}
    return sorted({*folder.glob("test_*.py"), *(folder / "profiling").glob("test_*.py")} - elsewhere)


def checks(memory: Python, thread: Python) -> list[Callable[[], list[Result]]]:
    """All that is run, what takes longest first."""
    tests = unit_tests()
    threads = [REPO / "tests" / "unit" / f"test_{name}.py" for name in TESTS_OF_THREADS]
    return [
        lambda: [memory.pytest(tests[::2], ", 1 of 2")],
        lambda: [memory.pytest(tests[1::2], ", 2 of 2")],
        lambda: [thread.pytest(threads)],
        lambda: [check_kernels(MEMORY, show=False)],
        lambda: [check_kernels(THREAD, show=False)],
        memory.commands,
        thread.commands,
    ]


def sanitize() -> int:
    """Two parts at a time; each is shown when it has ended."""
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        memory, thread = pool.map(Python.install, (MEMORY, THREAD))
        results = [result for part in pool.map(lambda run: run(), checks(memory, thread)) for result in part]
    print(*results, summary(results), sep="\n")
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    main(sanitize)
