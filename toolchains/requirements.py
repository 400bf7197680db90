"""Prints requirements of pyproject.toml, one a line: of the package, of extras, or of the build.

``python toolchains/requirements.py [--build-system | EXTRA ...]``
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(*extras: str) -> list[str]:
    """What the package needs at run time, and what each of `extras` adds."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    return list(project["dependencies"]) + [line for name in extras for line in project["optional-dependencies"][name]]


def build_requirements() -> list[str]:
    return list(tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"])


if __name__ == "__main__":
    names = sys.argv[1:]
    print("\n".join(build_requirements() if names == ["--build-system"] else requirements(*names)))
