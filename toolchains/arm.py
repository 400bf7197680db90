"""Runs ``q4engine ARGS`` on aarch64: ``python toolchains/arm.py [--cpu CPU] [--arch A] [--toolchain T] -- ARGS``.

On an Arm host that is the installed q4engine itself; elsewhere the cross-built wheel runs under qemu as CPU
(qemu's name, such as cortex-a72, neoverse-n1 or max,sve=off). Emulation is for correctness: its speed says nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

import arm64_python
from cross import CrossBuild, add_build_options, build_of, build_wheel
from host import NATIVE_ARM, main

DEFAULT_CPU = "max,sve=off"
# What the tests run on: neither dotprod nor i8mm; dotprod; dotprod, i8mm, FP16 and FHM.
CPUS = ("cortex-a72", "neoverse-n1", "max,sve=off")


def python_command() -> list[str]:
    """The aarch64 Python of this machine."""
    return [sys.executable] if NATIVE_ARM else [str(arm64_python.PYTHON)]


def environment(cpu: str) -> Mapping[str, str]:
    return {**os.environ, "QEMU_CPU": cpu}


def set_up(build: CrossBuild) -> None:
    """Makes `python_command` work with q4engine installed."""
    if not NATIVE_ARM:
        arm64_python.install(build_wheel(build))


def run_q4engine(arguments: Sequence[str], cpu: str) -> int:
    """Replaces this process, so that signals and the terminal are q4engine's."""
    command = [*python_command(), "-m", "q4engine", *arguments]
    os.execve(command[0], command, dict(environment(cpu)))


def arm() -> int:
    parser = argparse.ArgumentParser(description="Run q4engine on aarch64.")
    parser.add_argument("--cpu", default=DEFAULT_CPU)
    add_build_options(parser)
    parser.add_argument("arguments", nargs="*", help="arguments of q4engine, after --")
    options = parser.parse_args()
    build = build_of(options)
    set_up(build)
    return run_q4engine(options.arguments, options.cpu)


if __name__ == "__main__":
    main(arm)
