"""Holds the q4engine of this interpreter against tests/golden/fingerprints.json: ``python check_fingerprints.py``.

``--features best``: with all that this CPU offers alone, else also with features switched off. Prints how many
fingerprints are equal; exit code 1 names the first that is not.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS), str(TESTS / "support")]  # behind the interpreter's own packages

import bits  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="")
    lists = ["", *([] if parser.parse_args().features == "best" else bits.feature_lists())]
    expected, count = bits.golden(), 0
    with tempfile.TemporaryDirectory() as folder:
        for name in bits.SPECS:
            model = bits.write_model(name, Path(folder))
            for features in lists:
                os.environ["Q4_CPU_FEATURES"] = features
                found = bits.outcome(model, 1 + count % 2, 512).sha256
                if found != expected[name]["logits"]:
                    sys.exit(f"{name} with features {features or 'all'}: {found}, expected {expected[name]['logits']}")
                count += 1
    print(f"{count} fingerprints are equal")


if __name__ == "__main__":
    main()
