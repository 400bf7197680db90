"""``PYTHONPATH=toolchains python -m emulate [options] --model MODEL -- ARGS``: ``q4engine run`` under the emulator.

Leaves a capture with a row for each operation, whose counts are the emulator's: instructions by class, bytes loaded and
stored, refills of simulated caches. With one thread (-t 1, the default here) they are exact; more threads also count
how long they spin at barriers, which here is a matter of the emulator's speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from arm import DEFAULT_CPU, environment, python_command, set_up
from cross import add_build_options, build_of
from host import BUILD, NATIVE_ARM, ToolError, main, run, say
from qemu import require_qemu

from emulate import plugin
from emulate.capture import complete

OUT = BUILD / "emulate" / "capture.csv"


LINES = (16, 32, 64, 128, 256)


def _cache(text: str) -> tuple[int, int]:
    try:
        return plugin.parse_cache(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parser() -> argparse.ArgumentParser:
    default = plugin.Caches()
    found = argparse.ArgumentParser(prog="emulate", description="Count what q4engine run does, without Arm hardware.")
    found.add_argument("--model", type=Path, required=True)
    found.add_argument("arguments", nargs="*", help="arguments of q4engine run, after --")
    found.add_argument("--out", type=Path, default=OUT, help="the capture (default: build/emulate/capture.csv)")
    found.add_argument("--cpu", default=DEFAULT_CPU, help="qemu's name of a core (default: %(default)s)")
    add_build_options(found)
    for name, shape in (("l1", default.l1), ("l2", default.l2), ("l3", default.l3)):
        text = f"{shape[0] >> 10}K/{shape[1]}"
        found.add_argument(
            f"--{name}", metavar="SIZE/WAYS", type=_cache, default=shape, help=f"simulated cache, or none ({text})"
        )
    found.add_argument(
        "--line", metavar="BYTES", type=int, choices=LINES, default=default.line, help="of all caches (%(default)s)"
    )
    return found


def command(option: str, arguments: Sequence[str], cpu: str) -> tuple[list[str], dict[str, str]]:
    """The emulated Python with the plugin, as command and environment."""
    qemu = require_qemu(plugins=True)
    env = {**environment(cpu), "Q4_QEMU": qemu, "QEMU_PLUGIN": f"file={option}", "Q4_EMULATOR_MARKS": "1"}
    words = [*python_command(), *arguments]
    return ([qemu, "-L", "/", *words] if NATIVE_ARM else words), env


def emulated_capture(
    model: Path, arguments: Sequence[str], out: Path, cpu: str = DEFAULT_CPU, caches: plugin.Caches | None = None
) -> None:
    """Runs the model and writes the capture; its own output goes where ours goes. ToolError where it fails."""
    words = ["run", str(model), *arguments]
    options = ["--per-op", "--events", "none", "--no-peak", "--capture"]
    emulated_program(["-m", "q4engine", *words, *options], " ".join(["q4engine", *words]), out, cpu, caches)


def emulated_program(
    program: Sequence[str], name: str, out: Path, cpu: str = DEFAULT_CPU, caches: plugin.Caches | None = None
) -> None:
    """The same of a Python program, whose last argument will be the file that it writes its capture to."""
    shapes = caches or plugin.Caches()
    library = plugin.build()
    version = run([require_qemu(plugins=True), "--version"]).splitlines()[0].replace(" version", "")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".emulate-") as folder:
        capture, counts = Path(folder) / "capture.csv", Path(folder) / "counts"
        line, env = command(plugin.option(library, counts, shapes), [*program, str(capture)], cpu)
        result = subprocess.run(line, env=env, stdin=subprocess.DEVNULL)
        if result.returncode != 0:
            raise ToolError(f"the emulated q4engine ended with exit code {result.returncode}")
        header = {"cpu": "emulated", "emulator": f"{version}, CPU {cpu}", "simulated_caches": str(shapes)}
        header["command"] = name
        complete(capture, out, plugin.read_marks(counts), {key: _one_line(text) for key, text in header.items()})


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def emulate() -> int:
    options = parser().parse_args()
    build = build_of(options)
    if not options.model.is_file():
        raise ToolError(f"{options.model}: there is no such model")
    caches = plugin.Caches(options.l1, options.l2, options.l3, options.line)
    if refused := plugin.problem(require_qemu(plugins=True), caches):  # before minutes of setting up
        print(f"error: {refused}", file=sys.stderr)
        return 2
    set_up(build)
    say(f"counting on an emulated {options.cpu}; this takes minutes, and its times mean nothing")
    emulated_capture(options.model, ["-t", "1", *options.arguments], options.out, options.cpu, caches)
    say(f"the capture is {os.path.relpath(options.out)}")
    return 0


if __name__ == "__main__":
    main(emulate)
