"""Photographs every page of `analysis`, wide and narrow, light and dark: `python docs/pictures/screens.py [FOLDER]`.

Needs Chromium. The captures are synthetic, made by docs/examples/make.py and the tests' support: no machine was
measured for them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "examples"), str(ROOT / "tests" / "support")]

import make  # noqa: E402
import synthetic_fleet  # noqa: E402
from pages import browser  # noqa: E402
from swept import synthetic_plan, write_results  # noqa: E402

from analysis import (  # noqa: E402
    benchmarks,
    compare,
    fleet,
    functions,
    memory,
    roofline,
    scaling,
    stalls,
    sweep,
    timeline,
)
from analysis.address_map import HEAD  # noqa: E402

WIDTHS, HEIGHT = (1400, 390), 1500
SCALE = 0.6
SCHEMES = {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}
ACCESS = (
    "q4engine  7/8 [001] {:.6f}:  1 memory: {:>16x} {:>16} |OP LOAD|LVL {}|SNP None|TLB Walker hit|LCK No|BLK  N/A"
    " {:>8}  400500 q4_gemv_q4_0+0x10 (/lib/native.so)"
)
LEVELS = {"L1 hit": 4, "L2 hit": 13, "L3 hit": 45, "RAM hit": 320}
PARTS = ("attn_q.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")


def accesses(folder: Path) -> tuple[Path, Path]:
    """Samples of SPE of a token, as perf script prints them, and the map of the tensors they fall into."""
    random = Random(5)
    tensors = [f"blk.{layer}.{part}" for layer in range(6) for part in PARTS]
    begins = {name: (n + 1) << 20 for n, name in enumerate(tensors)}
    rows = [f"{begin:#x},{begin + (1 << 20):#x},weights,{name}" for name, begin in begins.items()]
    (folder / "synthetic-map.csv").write_text("\n".join([HEAD, "start,end,kind,name", *rows, ""]))
    lines = []
    for n in range(1500):
        name = random.choice(tensors)
        far = [1, 2, 3, 9] if "ffn" in name else [6, 4, 2, 1]
        level = random.choices(list(LEVELS), far)[0]
        place = begins[name] + random.randrange(1 << 20)
        lines.append(ACCESS.format(10 + n / 1e3, place, "1e05080021", level, LEVELS[level] + random.randrange(9)))
    (folder / "synthetic-spe.txt").write_text("\n".join([*lines, ""]))
    return folder / "synthetic-spe.txt", folder / "synthetic-map.csv"


def swept(folder: Path) -> Path:
    """A sweep over threads and prompts whose longer prompts share only half of their work."""
    random = Random(5)

    def seconds(combination: Any, block: int, place: float) -> list[float]:
        share = 0.5 if combination["prompt"] == 64 else 1.0
        token = 0.1 * (1 - share + share / (combination.number("threads") or 1))
        return [token * random.gauss(1, 0.005) for _ in range(3)]

    plan = synthetic_plan({"threads": [1, 2, 4], "prompt": [16, 64]}, blocks=6)
    return write_results(folder / "synthetic.sqlite", plan, seconds)


def pages(folder: Path) -> list[Path]:
    """One page of each command. Captures are named as seen from the folder, which is nobody's business on a page."""
    captures = make.captures(folder).relative_to(folder)
    script, markers = (path.relative_to(folder) for path in make.samples(folder))
    before, after = captures / "synthetic-t4-p64.csv", make.slower(folder).relative_to(folder)
    spe, tensors = (path.relative_to(folder) for path in accesses(folder))
    synthetic_fleet.write(folder / "fleet", synthetic_fleet.Plan(calls=7))
    commands = {
        "stalls": (stalls.main, [before]),
        "timeline": (timeline.main, [before]),
        "roofline": (roofline.main, [before, "--compute-peak", "1600"]),
        "scaling": (scaling.main, [captures]),
        "compare": (compare.main, [before, after]),
        "functions": (functions.main, [script, "--markers", markers]),
        "benchmarks": (benchmarks.main, [make.speeds(folder).relative_to(folder)]),
        "memory": (memory.main, [spe, "--address-map", tensors]),
        "sweep": (sweep.main, [swept(folder).relative_to(folder)]),
        "fleet": (fleet.main, ["fleet", "--output", "set"]),
    }
    with chdir(folder):
        for name, (main, arguments) in commands.items():
            main([*map(str, arguments), "--html", f"{name}.html"])
    return [folder / f"{name}.html" for name in commands]


def screen(page: Path, width: int, scheme: str) -> Image.Image:
    """The top of a page as the browser shows it."""
    with tempfile.TemporaryDirectory() as profile:
        out = Path(profile) / "screen.png"
        command = [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        command += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
        command += ["--disable-sync", "--hide-scrollbars", *SCHEMES[scheme], f"--window-size={width},{HEIGHT}"]
        subprocess.run([*command, f"--screenshot={out}", page.as_uri()], check=True, capture_output=True, timeout=180)
        shown = Image.open(out).convert("RGB")
        shown.load()
    return shown


def beside(screens: list[Image.Image]) -> Image.Image:
    """The screens in a row, smaller."""
    gap = 20
    sheet = Image.new("RGB", (sum(one.width for one in screens) + gap * (len(screens) - 1), HEIGHT), "#808080")
    left = 0
    for one in screens:
        sheet.paste(one, (left, 0))
        left += one.width + gap
    size = round(sheet.width * SCALE), round(sheet.height * SCALE)
    return sheet.resize(size, Image.Resampling.LANCZOS)


def main(folder: Path) -> None:
    """Write a sheet a page and scheme."""
    with tempfile.TemporaryDirectory() as scratch:
        for page in pages(Path(scratch)):
            for scheme in SCHEMES:
                sheet = beside([screen(page, width, scheme) for width in WIDTHS])
                sheet.save(folder / f"page-{page.stem}-{scheme}.webp", quality=55, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
