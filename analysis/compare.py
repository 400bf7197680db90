"""`python -m analysis.compare A B`: what changed between two captures, with intervals."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence

from analysis import metrics
from analysis.changes import Change, Comparison, compare
from analysis.command_line import OK, Parser, add_input_options, file, options_of, run, say_which
from analysis.errors import printable
from analysis.judging import Capture, load
from analysis.reports.data import number
from analysis.terminal import aligned, fitted, holds_all

_MOST_PARTS = 10
_KINDS = ("speed", "operation", "metric", "event")


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.compare",
        description="Compares two captures phase by phase; a change counts where its 95 % interval leaves 0 out.",
    )
    parser.add_argument("left", type=file, metavar="A")
    parser.add_argument("right", type=file, metavar="B")
    parser.add_argument("--json", action="store_true", help="everything as JSON on standard output")
    parser.add_argument("--all", action="store_true", help="show what did not change as well")
    add_input_options(parser)
    given = parser.parse_args(arguments)
    options = options_of(given)
    left, right = load(given.left, options), load(given.right, options)
    say_which(left, right)
    result = compare(left, right)
    sys.stdout.write(
        _data(left, right, result) if given.json else "\n".join(fitted(_text(left, right, result, given.all))) + "\n"
    )
    return OK


def _text(left: Capture, right: Capture, result: Comparison, show_all: bool) -> Iterator[str]:
    yield f"A  {printable(str(left.path), 500)}"
    yield f"B  {printable(str(right.path), 500)}"
    if left.is_emulated != right.is_emulated:
        yield "WARNING: one of the two is emulated, the other measured; only counts of instructions may be compared"
    for key, one, other in result.settings:
        yield f"  {key}: {one} -> {other}"
    for title in result.unmatched:
        yield f"  only in one of them: {title}"
    for title, one, other in result.verdicts:
        yield ""
        yield f"{title}: {one}" + (f" -> {other}" if one != other else " in both")
        changes = [change for change in result.changes if change.phase == title]
        for _, side, what in [entry for entry in result.alone if entry[0] == title]:
            yield f"  only in {side}: {what}"
        rows = [
            _row(change)
            for change in _ordered(changes)
            if show_all or change.kind == "speed" or change.has_changed or change.only_in
        ]
        yield from aligned(rows, indent="  ")
        yield from _parts(changes)
        unsure = sum(change.has_changed is None and not change.only_in for change in changes)
        if unsure:
            yield f"  {unsure} quantities without an interval (too few steps){'' if show_all else '; --all shows them'}"
        if changes and not unsure and not any(change.has_changed for change in changes):
            yield "  nothing changed beyond noise"


def _parts(changes: list[Change]) -> Iterator[str]:
    """How the operations' differences make up the whole one, in ms a token."""
    parts = [change for change in changes if change.kind == "operation"]
    whole = next((change for change in changes if change.kind == "speed"), None)
    if not parts or whole is None:
        return
    yield "  the difference by operation, ms a token:"
    largest = sorted(parts, key=lambda change: -abs(change.difference))
    shown, others = largest[:_MOST_PARTS], largest[_MOST_PARTS:]
    rows = [[f"  {change.name}", f"{1e3 * change.difference:+.4f}", _only(change)] for change in shown]
    if others:
        rows.append([f"  {len(others)} others", f"{1e3 * sum(change.difference for change in others):+.4f}", ""])
    rows.append(["  all together", f"{1e3 * whole.difference:+.4f}", ""])
    yield from aligned(rows, indent="  ")


def _only(change: Change) -> str:
    return f"only in {change.only_in}" if change.only_in else ""


def _ordered(changes: list[Change]) -> list[Change]:
    def size(change: Change) -> float:
        return -abs(change.relative) if math.isfinite(change.relative) else 0.0

    return sorted(changes, key=lambda change: (_KINDS.index(change.kind), size(change)))


def _row(change: Change) -> list[str]:
    relative = f"{100 * change.relative:+.1f} %" if math.isfinite(change.relative) else "-"
    interval = (
        f"[{100 * change.interval[0]:+.1f}, {100 * change.interval[1]:+.1f}]" if change.interval else "no interval"
    )
    values = f"{_value(change.left, change.unit)} -> {_value(change.right, change.unit)}"
    word = _only(change) or ("" if change.has_changed is None else "changed" if change.has_changed else "same")
    return [f"{change.kind} {change.name}", values, relative, interval, word]


def _value(value: float, unit: str) -> str:
    if unit.startswith("s"):
        return metrics.describe(value, unit) if unit == "share" else f"{1e3 * value:.4g} ms"
    return metrics.describe(value, unit)


def _data(left: Capture, right: Capture, result: Comparison) -> str:
    document = {
        "left": str(left.path),
        "right": str(right.path),
        "settings": [dict(zip(("key", "left", "right"), setting, strict=True)) for setting in result.settings],
        "verdicts": [dict(zip(("phase", "left", "right"), verdict, strict=True)) for verdict in result.verdicts],
        "unmatched": result.unmatched,
        "alone": [dict(zip(("phase", "capture", "what"), entry, strict=True)) for entry in result.alone],
        "changes": [
            {
                "phase": change.phase,
                "kind": change.kind,
                "name": change.name,
                "unit": change.unit,
                "left": change.left,
                "right": change.right,
                "relative": number(change.relative),
                "difference": number(change.difference),
                "only_in": change.only_in or None,
                "interval": list(change.interval) if change.interval else None,
                "changed": change.has_changed,
            }
            for change in result.changes
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=not holds_all(), allow_nan=False) + "\n"


if __name__ == "__main__":
    sys.exit(run(main))
