"""Builds the aarch64 wheel: ``python toolchains/cross.py [--arch ARCH] [--toolchain gnu|clang|zig] [--kernel-test]``.

ARCH (armv8.2-a+dotprod+i8mm, the notation of -march) says which kernels are compiled in; the rest of the wheel is built
for armv8-a, so that it starts on every core and chooses kernels at run time. Without ARCH all kernels are compiled in.
The last line printed is the path of the wheel.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

import wheels
from host import BUILD, NATIVE_ARM, REPO, ToolError, UsageError, apt_install, find_program, main, pip, run, say
from requirements import requirements

# Kernel features that an architecture has without naming them. Source: Arm Architecture Reference Manual (DDI 0487),
# A2: FEAT_DotProd is mandatory from 8.4, FEAT_I8MM from 8.6; 9.0 builds on 8.5 with SVE2, which brings FP16, and FP16
# from 8.4 on brings FHM; 9.1 builds on 8.6.
LEVELS: dict[str, tuple[str, ...]] = {
    "armv8-a": (),
    "armv8.1-a": (),
    "armv8.2-a": (),
    "armv8.3-a": (),
    "armv8.4-a": ("dotprod",),
    "armv8.5-a": ("dotprod",),
    "armv8.6-a": ("dotprod", "i8mm"),
    "armv8.7-a": ("dotprod", "i8mm"),
    "armv8.8-a": ("dotprod", "i8mm"),
    "armv9-a": ("dotprod", "fp16", "fp16fml"),
    "armv9.1-a": ("dotprod", "i8mm", "fp16", "fp16fml"),
    "armv9.2-a": ("dotprod", "i8mm", "fp16", "fp16fml"),
    "armv9.3-a": ("dotprod", "i8mm", "fp16", "fp16fml"),
}
FEATURES = ("dotprod", "i8mm", "fp16", "fp16fml")
IMPLIED = {"fp16fml": "fp16"}  # FMLAL works on the FP16 extension's operands
ALL_KERNELS = "armv8.2-a+dotprod+i8mm+fp16+fp16fml"

TOOLCHAINS = ("gnu", "clang", "zig")
# A wheel's platform promises that it runs there. zig links against the glibc that its target names; the others link
# against whatever glibc the cross packages bring, so their wheels promise nothing beyond "Linux".
PLATFORMS = {"gnu": "linux_aarch64", "clang": "linux_aarch64", "zig": "manylinux_2_28_aarch64"}
CROSS_GCC = 12  # bookworm's; floors of kernels are this compiler's
# The arm64 Python for emulation (arm64_python.py) is Debian bookworm's, which has this glibc.
EMULATED_GLIBC = (2, 36)


@dataclass(frozen=True)
class CrossBuild:
    """One build: its toolchain, architecture, build directory and the wheel that it leaves."""

    toolchain: str
    arch: str

    @property
    def directory(self) -> Path:
        return BUILD / f"aarch64-{self.toolchain}-{self.arch}"

    @property
    def kernel_test(self) -> Path:
        return self.directory / "q4_kernel_test"


def parse_arch(text: str) -> str:
    """ARCH with its implied kernel features spelled out, in a fixed order; UsageError lists what is known."""
    level, *features = text.strip().lower().split("+")
    unknown = [] if level in LEVELS else [level]
    unknown += [feature for feature in features if feature not in FEATURES]
    if unknown:
        raise UsageError(
            f"ARCH={text}: unknown {' '.join(repr(name) for name in unknown)}; known architectures: "
            f"{' '.join(LEVELS)}; known features: {' '.join('+' + name for name in FEATURES)}"
        )
    wanted = {*LEVELS[level], *features}
    wanted |= {IMPLIED[feature] for feature in wanted & IMPLIED.keys()}
    return "+".join([level, *(feature for feature in FEATURES if feature in wanted)])


def cross_gcc_glibc() -> tuple[int, int] | None:
    """The glibc version that the aarch64 gcc links against; None without that gcc."""
    compiler = find_program("aarch64-linux-gnu-gcc")
    if compiler is None:
        return None
    try:
        macros = run([compiler, "-E", "-dM", "-include", "features.h", "-x", "c", os.devnull])
    except ToolError:  # the compiler without its C library
        return None
    numbers = {name: int(value) for name, value in re.findall(r"#define (__GLIBC(?:_MINOR)?__) (\d+)", macros)}
    return numbers["__GLIBC__"], numbers["__GLIBC_MINOR__"]


def cross_gcc_version() -> int | None:
    """The major version of an aarch64 gcc that can link; None without one."""
    if cross_gcc_glibc() is None:
        return None
    return int(run(["aarch64-linux-gnu-gcc", "-dumpversion"]).split(".")[0])


def default_toolchain() -> str:
    """gnu where it is installed and its programs run in the emulated system; else zig, which pip can bring."""
    glibc = cross_gcc_glibc()
    return "gnu" if glibc is not None and (NATIVE_ARM or glibc <= EMULATED_GLIBC) else "zig"


def prepare(toolchain: str) -> dict[str, str]:
    """Makes sure that the compiler is there, and returns the environment that its toolchain file reads."""
    if toolchain == "gnu" and cross_gcc_glibc() is None:
        apt_install(["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"], "aarch64-linux-gnu-gcc is missing")
    if toolchain == "clang" and not (find_program("clang") and find_program("ld.lld") and cross_gcc_glibc()):
        # gcc's package brings the libgcc and start files that clang links with
        apt_install(["clang", "lld", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"], "clang for aarch64 is missing")
    if toolchain != "zig":
        return {}
    if importlib.util.find_spec("ziglang") is None:
        say("installing zig from PyPI (about 100 MB)")
        pip("install", "-qq", *(line for line in requirements("zig") if line.startswith("ziglang")))
        importlib.invalidate_caches()
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise ToolError("ziglang is installed, but cannot be imported")
    return {"Q4_ZIG": str(Path(spec.origin).parent / "zig"), "ZIG_GLOBAL_CACHE_DIR": str(BUILD / "zig-cache")}


def build_wheel(build: CrossBuild) -> Path:
    """Builds unless the last wheel is newer than all sources; returns its path in dist/."""
    environment = prepare(build.toolchain)
    settings = {
        "cmake.toolchain-file": REPO / "toolchains" / f"aarch64-{build.toolchain}.cmake",
        "cmake.define.Q4_ARCH": build.arch,
        "wheel.tags": f"cp311-abi3-{PLATFORMS[build.toolchain]}",
    }
    what = f"the aarch64 wheel with {build.toolchain} for {build.arch}"
    return wheels.build(what, build.directory, settings, environment)


def build_kernel_test(build: CrossBuild) -> Path:
    """Builds the C test program in the directory that the wheel was built in."""
    run(["cmake", "--build", build.directory, "--target", "q4_kernel_test"], prepare(build.toolchain))
    return build.kernel_test


def add_build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arch", default=ALL_KERNELS, help="kernels to compile in, e.g. armv8.2-a+dotprod+i8mm")
    parser.add_argument("--toolchain", choices=TOOLCHAINS, help="default: gnu where installed, else zig")


def build_of(options: argparse.Namespace) -> CrossBuild:
    """The build that these options ask for; UsageError where there is none."""
    return CrossBuild(options.toolchain or default_toolchain(), parse_arch(options.arch))


def cross() -> int:
    parser = argparse.ArgumentParser(description="Build the aarch64 wheel.")
    add_build_options(parser)
    parser.add_argument("--kernel-test", action="store_true", help="build the C test program as well")
    options = parser.parse_args()
    build = build_of(options)
    wheel = build_wheel(build)
    if options.kernel_test:
        print(build_kernel_test(build).relative_to(REPO))
    print(wheel.relative_to(REPO))
    return 0


if __name__ == "__main__":
    main(cross)
