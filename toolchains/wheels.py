"""Builds this machine's wheel: ``python toolchains/wheels.py``. cross.py builds those for aarch64.

The last line printed is the path of the wheel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from host import BUILD, DIST, REPO, ToolError, main, pip, say


def package_files() -> Iterator[Path]:
    """Everything that a wheel is made of."""
    yield from (REPO / "pyproject.toml", REPO / "README.md", REPO / "LICENSE")
    for folder in ("native", "q4engine", "annotate", "analysis"):
        yield from (path for path in (REPO / folder).rglob("*") if "__pycache__" not in path.parts)


def wheel_in(folder: Path) -> Path | None:
    """The wheel that a build left there."""
    return next(folder.glob("*.whl"), None)


def build(
    what: str, folder: Path, settings: Mapping[str, object], environment: Mapping[str, str] | None = None
) -> Path:
    """The wheel of these settings; its path in dist/."""
    return publish(make(what, folder, settings, environment))


def make(what: str, folder: Path, settings: Mapping[str, object], environment: Mapping[str, str] | None = None) -> Path:
    """The wheel of these settings, built in folder/wheel unless it is newer than all sources; its path there."""
    out = folder / "wheel"
    wheel = wheel_in(out)
    if wheel is None or wheel.stat().st_mtime < max(path.stat().st_mtime for path in package_files()):
        say(f"building {what}")
        for old in out.glob("*.whl"):
            old.unlink()
        flags = [f"--config-settings={name}={value}" for name, value in {**settings, "build-dir": folder}.items()]
        pip("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, *flags, REPO, env=environment)
        wheel = wheel_in(out)
        if wheel is None:
            raise ToolError(f"the build left no wheel in {out}")
    return wheel


def publish(wheel: Path) -> Path:
    """Puts the wheel into dist/ under the same name."""
    DIST.mkdir(exist_ok=True)
    target = DIST / wheel.name
    part = target.with_suffix(".part")
    part.write_bytes(wheel.read_bytes())
    part.replace(target)
    return target


def build_here() -> int:
    """In the folder of the editable build, whose objects serve both."""
    print(build("the wheel for this machine", BUILD / "native", {}).relative_to(REPO))
    return 0


if __name__ == "__main__":
    main(build_here)
