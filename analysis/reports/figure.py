"""What all pictures share: a canvas without a display, colours that colour-blind readers tell apart."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

from analysis.errors import printable

matplotlib.use("Agg")

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: distinct under every common colour blindness, and in grey by lightness where it matters.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"
GREY, LIGHT = "#9A9A9A", "#DDDDDD"
SERIES = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DPI = 130


def figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, with room for every label."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def label(text: str, longest: int = 60) -> str:
    """Text of a capture as a label: printable, of bounded length, and never read as a formula."""
    return printable(text, longest).replace("$", r"\$")


def tidy(axes: Axes) -> None:
    """No frame where no axis is, and a light grid along the values."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def legend_below(drawn: Figure, parts: Sequence[tuple[str, str]]) -> None:
    """One legend under the axes for parts given as (name, colour)."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=name) for name, colour in parts]
    columns = len(parts) if len(parts) <= 6 else -(-len(parts) // 2)
    drawn.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def log_axis(axes: Axes, which: str) -> None:
    """A logarithmic axis, `x` or `y`, with plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def save(drawn: Figure, form: str = "png", dpi: int = _DPI) -> bytes:
    """The picture's bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "analysis"}), warnings.catch_warnings():
        # a name in a script that the font lacks shows as boxes, which is no reason to fail or to warn
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        drawn.savefig(buffer, format=form, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def form_of(path: Path) -> str:
    """png or svg, by the file's name."""
    return path.suffix.lower().removeprefix(".") or "png"
