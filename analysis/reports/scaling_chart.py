"""How prefill and decode scale: six rows of pictures, one column for each of the two, and the same as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from analysis import combinations
from analysis.calls import WAITING
from analysis.combinations import KINDS, Combination
from analysis.reports import figure as draw
from analysis.terminal import aligned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LINES = 8


def picture(found: Sequence[Combination], title: str, form: str = "png") -> bytes:
    """All views in one picture."""
    rows: tuple[Callable[[Axes, Sequence[Combination]], None], ...] = (
        _speed_up,
        _rates,
        _component_times,
        _component_speed_up,
        _boxes,
        _steps,
    )
    drawn = draw.figure(14.0, 3.9 * len(rows))
    grid = drawn.subplots(len(rows), len(KINDS), squeeze=False)
    for column, kind in enumerate(KINDS):
        mine = combinations.of_kind(found, kind)
        for row, view in enumerate(rows):
            axes = grid[row][column]
            draw.tidy(axes)
            if mine:
                view(axes, mine)
            else:
                axes.text(0.5, 0.5, f"no {kind} in these captures", transform=axes.transAxes, ha="center")
            axes.set_title(f"{kind}: {axes.get_title(loc='left')}".removesuffix(": "), loc="left", fontsize=11)
    drawn.suptitle(draw.label(title, 90), fontsize=13)
    return draw.save(drawn, form, dpi=90)


def render(found: Sequence[Combination]) -> str:
    """Tokens a second and speed-up by threads and prompt length, and the components' shares, ending in a line break."""
    lines = []
    for kind in KINDS:
        mine = combinations.of_kind(found, kind)
        if not mine:
            continue
        threads = combinations.threads_in(mine)
        components = combinations.leading_components(mine)
        head = ["prompt", "threads", "tokens/s", f"speed-up over {threads[0]}", "of ideal", *components]
        rows = [head]
        for entry in sorted(mine, key=lambda entry: (entry.prompt, entry.threads)):
            gain = combinations.speed_up(mine, entry.threads, entry.prompt)
            ideal = entry.threads / threads[0]
            shares = [entry.share(name) for name in components]
            rows.append(
                [
                    str(entry.prompt),
                    str(entry.threads),
                    f"{entry.rate:.1f}",
                    f"{gain:.2f}" if math.isfinite(gain) else "-",
                    f"{100 * gain / ideal:.0f} %" if math.isfinite(gain) else "-",
                    *(f"{100 * share:.1f} %" if share > 0 else "-" for share in shares),
                ]
            )
        lines += ["", kind, *aligned(rows, ())]
    return "\n".join(lines[1:]) + "\n"


def _style(number: int) -> dict[str, Any]:
    return {"color": draw.SERIES[number % len(draw.SERIES)], "marker": draw.MARKERS[number % len(draw.MARKERS)]}


def _speed_up(axes: Axes, mine: Sequence[Combination]) -> None:
    threads = combinations.threads_in(mine)
    for number, prompt in enumerate(combinations.prompts_in(mine)[:_MOST_LINES]):
        gains = [combinations.speed_up(mine, count, prompt) for count in threads]
        axes.plot(threads, gains, label=f"{prompt} tokens", **_style(number))
    axes.plot(threads, [count / threads[0] for count in threads], "--", color=draw.GREY, label="ideal")
    _finish(axes, "speed-up over threads", "threads", f"speed-up over {threads[0]} thread{'s' * (threads[0] > 1)}")
    axes.set_xticks(threads)
    axes.set_ylim(bottom=0)


def _rates(axes: Axes, mine: Sequence[Combination]) -> None:
    for number, count in enumerate(combinations.threads_in(mine)[:_MOST_LINES]):
        entries = [entry for entry in mine if entry.threads == count]
        label = f"{count} thread{'s' * (count > 1)}"
        axes.plot([e.prompt for e in entries], [e.rate for e in entries], label=label, **_style(number))
    _finish(axes, "speed over prompt length", "prompt (tokens)", "tokens/s")
    _prompt_axis(axes, mine)
    axes.set_ylim(bottom=0)


def _component_times(axes: Axes, mine: Sequence[Combination]) -> None:
    count = combinations.threads_in(mine)[-1]
    entries = [entry for entry in mine if entry.threads == count]
    names = combinations.leading_components(mine)
    for number, name in enumerate(names):
        values = [1e3 * entry.per_token(name) for entry in entries]
        axes.plot([e.prompt for e in entries], values, label=draw.label(name, 24), **_style(number))
    text = f"time by component, {count} thread{'s' * (count > 1)}"
    _finish(axes, text, "prompt (tokens)", "time per token (ms)", empty=not names)
    if names:
        _prompt_axis(axes, mine)
        draw.log_axis(axes, "y")


def _component_speed_up(axes: Axes, mine: Sequence[Combination]) -> None:
    prompt = combinations.prompts_in(mine)[-1]
    threads = combinations.threads_in(mine)
    names = combinations.leading_components(mine)
    for number, name in enumerate(names):
        gains = [combinations.speed_up(mine, count, prompt, name) for count in threads]
        if name in WAITING:
            continue  # a thread alone waits for nobody, so there is nothing to compare with
        axes.plot(threads, gains, label=draw.label(name, 24), **_style(number))
    if names:
        axes.plot(threads, [count / threads[0] for count in threads], "--", color=draw.GREY, label="ideal")
        axes.set_xticks(threads)
        axes.set_ylim(bottom=0)
    text = f"speed-up by component, {prompt} tokens"
    waiting_apart = f"speed-up over {threads[0]}, without waiting"
    _finish(axes, text, "threads", waiting_apart, empty=not names)


def _boxes(axes: Axes, mine: Sequence[Combination]) -> None:
    entry = mine[-1]
    names = combinations.leading_components([entry])
    if names:
        values = [[1e3 * value for value in entry.components[name]] for name in names]
        labels = [f"{draw.label(name, 24)}\n{100 * entry.share(name):.1f} %".replace("_", "\n") for name in names]
        boxes = axes.boxplot(values, tick_labels=labels, patch_artist=True, medianprops={"color": draw.BLACK})
        for box in boxes["boxes"]:
            box.set_facecolor(draw.SKY)
        axes.tick_params(axis="x", labelsize=9)
    text = f"spread and share by component, {entry.prompt} tokens, {entry.threads} thread{'s' * (entry.threads > 1)}"
    _finish(axes, text, "component, share of the time", "time per step (ms)", empty=not names, legend=False)
    if names:
        draw.log_axis(axes, "y")


def _steps(axes: Axes, mine: Sequence[Combination]) -> None:
    """Decode: a line over the positions, of the longest prompt. Prefill: a point a batch, over its tokens."""
    is_prefill = mine[0].kind == combinations.PREFILL
    prompt = combinations.prompts_in(mine)[-1]
    shown = [entry for entry in mine if is_prefill or entry.prompt == prompt]
    for number, count in enumerate(combinations.threads_in(shown)[:_MOST_LINES]):
        entries = [entry for entry in shown if entry.threads == count]
        if is_prefill:
            points = [(n, seconds) for e in entries for n, (_, seconds) in zip(e.tokens, e.steps, strict=True)]
        else:
            points = sorted(step for entry in entries for step in entry.steps)
        style = _style(number) | {"markersize": 5 if is_prefill else 3, "linestyle": "none" if is_prefill else "-"}
        label = f"{count} thread{'s' * (count > 1)}"
        axes.plot([x for x, _ in points], [1e3 * seconds for _, seconds in points], label=label, **style)
    if is_prefill:
        _finish(axes, "every batch of every prompt", "tokens in the batch", "step length (ms)")
        _prompt_axis(axes, mine)
        draw.log_axis(axes, "y")
    else:
        _finish(axes, f"every step, {prompt} tokens", "position (tokens in the KV cache)", "step length (ms)")
        axes.set_ylim(bottom=0)


def _prompt_axis(axes: Axes, mine: Sequence[Combination]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(combinations.prompts_in(mine)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _finish(axes: Axes, title: str, x: str, y: str, *, empty: bool = False, legend: bool = True) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=draw.LIGHT)
    if empty:
        axes.text(0.5, 0.5, "no per-operation rows (--per-op)", transform=axes.transAxes, ha="center", color=draw.GREY)
    elif legend:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
