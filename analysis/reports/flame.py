"""Flame graphs as one SVG that needs nothing else: a graph for each phase and event, callers below what they call.

Places are percentages of the width, so that a narrow window shows all of a graph; labels are cut off there, not made
smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from analysis import palette, stacks
from analysis.perf_script import Frame
from analysis.reports.svg import text
from analysis.terminal import shortened

_WIDTH, _SIDE, _ROW, _HEAD, _GAP = 1180, 10, 17, 26, 14
_WHOLE = _WIDTH + 2 * _SIDE
_LETTER = 6.6  # px that a character of the labels takes at most
_LEAST_PX = 0.4
"""Frames narrower than that are left out, with what they call."""
_LEAST_LABEL_PX = 42
_MOST_GRAPHS = 40
_KERNEL = "[kernel"


@dataclass
class _Node:
    """A function called by one chain of others. amount: events within it."""

    frame: Frame
    amount: float = 0.0
    inner: dict[Frame, _Node] = field(default_factory=dict)


def graphs(phases: stacks.Phases, title: str) -> str:
    """The whole file. Widths are events within a function; neighbours are in the order of their names."""
    shapes: list[str] = []
    top = float(_HEAD)
    drawn = list(stacks.by_event(phases))
    for phase, event, samples in drawn[:_MOST_GRAPHS]:
        root = _tree(stacks.summed(samples))
        rows = list(_placed(root))
        deepest = max((depth for _, depth, _, _ in rows), default=0)
        words = f"{phase}, by {event}: {len(samples)} samples"
        shapes.append(f'<text class="head" x="{_percent(_SIDE)}" y="{top + 14:.0f}">{text(words)}</text>')
        bottom = top + _HEAD + _ROW * deepest
        shapes += [_box(node, bottom - _ROW * depth, x, width, root.amount, phase) for node, depth, x, width in rows]
        top = bottom + _ROW + _GAP
    more = f", the first {_MOST_GRAPHS} of {len(drawn)} graphs" if len(drawn) > _MOST_GRAPHS else ""
    height = round(top)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="page" width="{_WHOLE}" height="{height}" '
        f'role="img" aria-label="{text(title)}"><style>{_style()}</style>'
        f'<rect width="100%" height="100%"/><text class="title" x="{_percent(_SIDE)}" y="19">'
        f"{text(title + more)}</text>{''.join(shapes)}</svg>\n"
    )


def _style() -> str:
    (page, dark_page), (ink, dark_ink) = palette.PAGE["page"], palette.PAGE["text"]
    fonts = "text{font:11px ui-monospace,monospace}.title{font-size:14px;font-weight:bold}.head{font-size:13px}"
    narrow = f"@media(max-width:{_WHOLE - 1}px){{.page{{width:100%}}}}"

    def colours(page: str, ink: str) -> str:
        return f".page{{background:{page}}}.page>rect{{fill:{page}}}.page>text{{fill:{ink}}}.f rect{{stroke:{page}}}"

    light, dark = colours(page, ink), colours(dark_page, dark_ink)
    return f"{fonts}.f rect{{stroke-width:.8}}{narrow}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _percent(px: float) -> str:
    """Of the picture's width."""
    return f"{100 * px / _WHOLE:.5g}%"


def _tree(sums: dict[tuple[Frame, ...], float]) -> _Node:
    root = _Node(("all", ""))
    for frames, amount in sums.items():
        root.amount += amount
        node = root
        for frame in frames:
            node = node.inner.setdefault(frame, _Node(frame))
            node.amount += amount
    return root


def _placed(root: _Node) -> Iterator[tuple[_Node, int, float, float]]:
    """(node, depth, x, width) of every function that is wide enough; the root is at depth 0."""
    waiting = [(root, 0, float(_SIDE), float(_WIDTH))]
    while waiting:
        node, depth, x, width = waiting.pop()
        yield node, depth, x, width
        at = x
        for inner in sorted(node.inner.values(), key=lambda each: each.frame):
            share = width * inner.amount / node.amount if node.amount else 0.0
            if share >= _LEAST_PX:
                waiting.append((inner, depth + 1, at, share))
            at += share


def _box(node: _Node, y: float, x: float, width: float, whole: float, phase: str) -> str:
    name, image = node.frame
    hue = _hue(name, image)
    of = f" ({image.rpartition('/')[2]})" if image else ""
    share = 100 * node.amount / whole if whole else 0.0
    tip = text(f"{name}{of}: {node.amount:,.0f} events, {share:.2f} % of {phase}")
    label = ""
    if width >= _LEAST_LABEL_PX:
        words = text(shortened(name, int((width - 6) / _LETTER)))
        label = f'<text x="3" y="12" fill="{palette.ink(hue)}">{words}</text>'
    shape = f'<rect width="100%" height="{_ROW}" fill="{palette.colour(hue)}"/>'
    place = f'x="{_percent(x)}" y="{y:.0f}" width="{_percent(width)}" height="{_ROW}"'
    return f'<svg class="f" {place}><title>{tip}</title>{shape}{label}</svg>'


def _hue(name: str, image: str) -> str:
    """Its operation's, where its name tells one; the kernel has one, and all others."""
    return palette.function(name) or ("slate" if image.startswith(_KERNEL) else "mauve")
