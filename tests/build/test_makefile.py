"""What make notices by itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_a_module_that_comes_or_goes_is_a_change_of_the_install(tmp_path: Path) -> None:
    for folder in ("native", "q4engine", "analysis/fleet", "annotate"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(REPO / "Makefile", tmp_path)
    module, stamp = tmp_path / "analysis" / "fleet.py", tmp_path / "build" / "stamps" / "modules"

    def made() -> int:
        subprocess.run(["make", "-s", "build/stamps/modules"], cwd=tmp_path, check=True)
        return stamp.stat().st_mtime_ns

    module.write_text("a = 1\n")
    times = [made()]
    module.write_text("a = 2\n")
    times.append(made())
    module.rename(tmp_path / "analysis" / "fleet" / "rows.py")
    times.append(made())
    assert times[0] == times[1] < times[2] and stamp.read_text() == "analysis/fleet/rows.py\n"
