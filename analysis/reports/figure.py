"""What all pictures share: a canvas without a display, labels that are no formulas, bytes that repeat."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib

from analysis import palette
from analysis.errors import printable

matplotlib.use("Agg")

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

GREY = palette.colour(palette.OTHER)
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


def legend_below(drawn: SubFigure, parts: Sequence[tuple[str, str]], most: int) -> None:
    """One legend under the axes for parts given as (name, hue), at most so many beside each other."""
    from matplotlib.patches import Patch

    white = palette.PAGE["page"][0]
    handles = [
        Patch(
            facecolor=palette.colour(hue),
            edgecolor=white,
            linewidth=0,
            hatch="//" if hue == palette.WAITING else None,
            label=label(name, 40),
        )
        for name, hue in parts
    ]
    rows = -(-len(parts) // most)
    columns = -(-len(parts) // rows)
    drawn.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def save(drawn: Figure, form: str = "png", dpi: int = _DPI) -> bytes:
    """The picture's bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "analysis"}), warnings.catch_warnings():
        # a name in a script that the font lacks shows as boxes, which is no reason to fail or to warn
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        drawn.savefig(buffer, format=form, dpi=dpi, metadata=metadata)
    return buffer.getvalue()
