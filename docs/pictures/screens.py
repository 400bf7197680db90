"""Photographs every page of `analysis`, wide and narrow, light and dark: `python docs/pictures/screens.py [FOLDER]`.

Needs Chromium. The captures are synthetic, the ones of docs/examples/make.py: no machine was measured for them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "examples"), str(ROOT / "tests" / "support")]

import make  # noqa: E402
from pages import browser  # noqa: E402

from analysis import compare, functions, roofline, scaling, stalls, timeline  # noqa: E402

WIDTHS, HEIGHT = (1400, 390), 1500
SCALE = 0.6
SCHEMES = {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}


def pages(folder: Path) -> list[Path]:
    """One page of each command. Captures are named as seen from the folder, which is nobody's business on a page."""
    captures = make.captures(folder).relative_to(folder)
    script, markers = (path.relative_to(folder) for path in make.samples(folder))
    before, after = captures / "synthetic-t4-p64.csv", make.slower(folder).relative_to(folder)
    commands = {
        "stalls": (stalls.main, [before]),
        "timeline": (timeline.main, [before]),
        "roofline": (roofline.main, [before, "--compute-peak", "1600"]),
        "scaling": (scaling.main, [captures]),
        "compare": (compare.main, [before, after]),
        "functions": (functions.main, [script, "--markers", markers]),
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
