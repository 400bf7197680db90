"""Draws a trace of ``q4engine run --trace``: the calls of the run, and the first layers of one decode call by thread.

``python toolchains/draw_trace.py TRACE.json OUT.png [--layers 2]``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from analysis import palette

Event = dict[str, Any]

MS = 1e-3  # of a trace's microseconds
WHITE = palette.PAGE["page"][0]


def _of_phase(name: str) -> str:
    return palette.colour(palette.phase(name))


def _of_operation(name: str) -> str:
    return palette.colour(palette.operation(name))


def read_slices(path: Path) -> list[Event]:
    """The slices of a trace, in order of time."""
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    return sorted((event for event in events if event["ph"] == "X"), key=lambda event: float(event["ts"]))


def draw(path: Path, out: Path, layers: int) -> None:
    """Writes the picture, of the fastest decode call: the least disturbed one."""
    slices = read_slices(path)
    calls = [event for event in slices if event["cat"] == "call"]
    chosen = min((event for event in calls if event["name"] == "decode"), key=lambda event: float(event["dur"]))
    figure, (above, below) = plt.subplots(2, 1, figsize=(11, 4.6), height_ratios=[1, 2.2], layout="constrained")
    _draw_calls(above, calls, chosen)
    _draw_operations(below, slices, chosen, layers)
    figure.savefig(out, dpi=110, metadata={"Software": None})


def _draw_calls(axes: Axes, calls: list[Event], chosen: Event) -> None:
    start = calls[0]["ts"]
    for event in calls:
        span = [((event["ts"] - start) * MS, event["dur"] * MS)]
        axes.broken_barh(span, (0, 1), color=_of_phase(event["name"]), edgecolor=WHITE, linewidth=0.3)
    axes.annotate("below", ((chosen["ts"] - start) * MS, 1), ha="center", va="bottom", fontsize=8)
    axes.set(title="calls", xlabel="ms", yticks=[], ylim=(0, 1.25))
    axes.legend(
        handles=[Patch(color=_of_phase(name), label=name) for name in ("prefill", "decode")],
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )


def _draw_operations(axes: Axes, slices: list[Event], chosen: Event, layers: int) -> None:
    inside = [
        event
        for event in slices
        if event["cat"] == "operation"
        and event["name"] not in ("begin", "end")
        and chosen["ts"] <= event["ts"] < chosen["ts"] + chosen["dur"]
        and (event["name"] == "embedding" or event.get("args", {}).get("layer", layers) < layers)
    ]
    start = min(event["ts"] for event in inside)
    threads = sorted({event["tid"] for event in inside})
    for event in inside:
        at = threads.index(event["tid"])
        axes.broken_barh([(event["ts"] - start, event["dur"])], (at, 0.85), color=_of_operation(event["name"]))
    there = {event["name"] for event in inside}
    shown = [name for name in palette.OPERATIONS if name in there] + sorted(there - set(palette.OPERATIONS))
    args = chosen["args"]
    axes.set(
        title=f"past {args['n_past']}, n_eval {args['n_eval']}: the first {layers} layers",
        xlabel="µs",
        yticks=[i + 0.43 for i in range(len(threads))],
        yticklabels=[f"thread {i}" for i in range(len(threads))],
    )
    axes.invert_yaxis()
    axes.legend(
        handles=[Patch(color=_of_operation(name), label=name) for name in shown],
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Draw a trace of q4engine run --trace.")
    parser.add_argument("trace", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=2, help="how many of its layers (default: %(default)s)")
    args = parser.parse_args()
    draw(args.trace, args.out, args.layers)


if __name__ == "__main__":
    main()
