"""Writes tests/golden/fingerprints.json from the portable kernels. Only a deliberate change of the arithmetic
(docs/arithmetic.md), or a model more, is a reason to run it: ``python tests/golden/refresh_fingerprints.py``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests"), str(REPO / "tests" / "support")]

import bits  # noqa: E402


def main() -> None:
    os.environ["Q4_CPU_FEATURES"] = "none"
    expected = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in bits.SPECS:
            model = bits.write_model(name, Path(folder))
            expected[name] = {"model": bits.file_sha256(model), "logits": bits.outcome(model, 1, 512).sha256}
    bits.GOLDEN.write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
