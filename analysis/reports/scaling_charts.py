"""The charts of captures over threads and prompt lengths, each of one kind of phase."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis import combinations, palette
from analysis.calls import WAITING
from analysis.combinations import Combination
from analysis.reports.charts import Axis, Bar, Bars, Kind, Part, Plot, Series
from analysis.reports.model import fixed

_MOST_LINES = 8
OTHER, WAITED = "other", "waiting"


def leading(found: Sequence[Combination]) -> list[str]:
    """The operations that took most time, waiting left out."""
    return [name for name in combinations.leading_components(found, most=9) if name not in WAITING][:6]


def seconds_by_part(entry: Combination, names: Sequence[str]) -> dict[str, float]:
    """Seconds a token in each of `names`, in what is left, and waiting; {} where operations were not timed."""
    if not entry.components or not sum(entry.tokens):
        return {}
    parts = {name: _seconds(entry, name) for name in names}
    waited = sum(_seconds(entry, name) for name in WAITING)
    total = sum(seconds for _, seconds in entry.steps) / sum(entry.tokens)
    return parts | {OTHER: max(0.0, total - waited - sum(parts.values())), WAITED: waited}


def _seconds(entry: Combination, name: str) -> float:
    seconds = entry.per_token(name)
    return seconds if math.isfinite(seconds) else 0.0


def speed_up(mine: Sequence[Combination], kind: str) -> Plot:
    """A line a prompt length over the threads, and the ideal."""
    threads = combinations.threads_in(mine)
    series = [_ideal(threads)]
    for number, prompt in enumerate(combinations.prompts_in(mine)[:_MOST_LINES]):
        gains = [(count, combinations.speed_up(mine, count, prompt)) for count in threads]
        series.append(_line(f"{prompt} tokens", number, gains, "times as fast with {x:g} threads"))
    x = Axis("threads", low=0.0, ticks=tuple(map(float, threads)))
    return Plot(f"{kind}: speed-up", x, Axis(f"speed-up over {_threads(threads[0])}", low=0.0), tuple(series))


def time_of_a_token(mine: Sequence[Combination], kind: str) -> Bars:
    """A bar a number of threads, of the longest prompt: milliseconds a token, stacked by operation."""
    prompt, names = combinations.prompts_in(mine)[-1], leading(mine)
    title = f"{kind}: what a token's time is made of, {prompt} tokens"
    bars = []
    for entry in [entry for entry in mine if entry.prompt == prompt]:
        seconds = seconds_by_part(entry, names)
        label = _threads(entry.threads)
        parts = tuple(
            Part(name, 1e3 * value, palette.operation(name), f"{label}, {name}: {1e3 * value:.3g} ms a token")
            for name, value in seconds.items()
            if value > 0
        )
        total = sum(step for _, step in entry.steps) / max(1, sum(entry.tokens))
        note = f"{1e3 * total:.3g} ms a token" if math.isfinite(total) else ""
        bars.append(Bar(label, parts, note, "" if parts else "no per-operation rows (--per-op)"))
    return Bars(title, "ms a token", tuple(bars), decimals=fixed([bar.total for bar in bars]))


def rates(mine: Sequence[Combination], kind: str) -> Plot:
    """A line a number of threads over the prompt length."""
    series = []
    for number, count in enumerate(combinations.threads_in(mine)[:_MOST_LINES]):
        points = [(entry.prompt, entry.rate) for entry in mine if entry.threads == count]
        series.append(_line(_threads(count), number, points, "tokens/s at {x:g} tokens"))
    return Plot(f"{kind}: speed over prompt length", _prompts(mine), Axis("tokens/s", low=0.0), tuple(series))


def components(mine: Sequence[Combination], kind: str) -> Plot:
    """A line an operation over the prompt length, with most threads."""
    count, names = combinations.threads_in(mine)[-1], leading(mine)
    title = f"{kind}: time by operation, {_threads(count)}"
    series = []
    for number, name in enumerate(names):
        points = [(entry.prompt, 1e3 * entry.per_token(name)) for entry in mine if entry.threads == count]
        series.append(_line(name, number, points, "ms a token at {x:g} tokens", palette.operation(name)))
    return Plot(title, _prompts(mine), Axis("ms a token", log=True), tuple(series), empty=_untimed(names))


def component_speed_up(mine: Sequence[Combination], kind: str) -> Plot:
    """A line an operation over the threads. Waiting is left out: a thread alone waits for nobody."""
    prompt, threads, names = combinations.prompts_in(mine)[-1], combinations.threads_in(mine), leading(mine)
    series = [_ideal(threads)]
    for number, name in enumerate(names):
        gains = [(count, combinations.speed_up(mine, count, prompt, name)) for count in threads]
        series.append(_line(name, number, gains, "times as fast with {x:g} threads", palette.operation(name)))
    x = Axis("threads", low=0.0, ticks=tuple(map(float, threads)))
    title = f"{kind}: speed-up by operation, {prompt} tokens"
    y = Axis(f"speed-up over {_threads(threads[0])}", low=0.0)
    return Plot(title, x, y, tuple(series), empty=_untimed(names))


def steps(mine: Sequence[Combination], kind: str) -> Plot:
    """Decode: every step over the positions, of the longest prompt. Prefill: every batch over its tokens."""
    is_prefill, prompt = kind == combinations.PREFILL, combinations.prompts_in(mine)[-1]
    shown = [entry for entry in mine if is_prefill or entry.prompt == prompt]
    series = []
    for number, count in enumerate(combinations.threads_in(shown)[:_MOST_LINES]):
        entries = [entry for entry in shown if entry.threads == count]
        if is_prefill:
            pairs = [(float(n), s) for e in entries for n, (_, s) in zip(e.tokens, e.steps, strict=True)]
        else:
            pairs = sorted((float(past), seconds) for entry in entries for past, seconds in entry.steps)
        points = [(x, 1e3 * seconds) for x, seconds in pairs]
        if not is_prefill:
            line = tuple(points[:: -(-len(points) // 200)])
            series.append(Series(_threads(count), palette.SERIES[number], line, Kind.RULE, mark=number))
        else:
            series.append(_line(_threads(count), number, points, "ms for {x:g} tokens", dots=True))
    if is_prefill:
        x, y = _prompts(mine), Axis("batch (ms)", log=True)
        return Plot(f"{kind}: every batch of every prompt", x, y, tuple(series))
    ends = [point[0] for one in series for point in one.points]
    x = Axis("position (tokens in the KV cache)", low=min(ends, default=0.0), high=max(ends, default=1.0))
    return Plot(f"{kind}: every step, {prompt} tokens", x, Axis("step length (ms)", low=0.0), tuple(series))


LEADING = (speed_up, time_of_a_token, rates)
DETAILS = (component_speed_up, components, steps)


def _line(
    name: str, number: int, points: Sequence[tuple[float, float]], words: str, hue: str = "", dots: bool = False
) -> Series:
    """A series of the points that are known. words: behind the value in a tip, `{x}` is the point's place."""
    known = tuple((float(x), y) for x, y in points if math.isfinite(y))
    tips = tuple(f"{name}: {y:.3g} {words.format(x=x)}" for x, y in known)
    kind = Kind.DOTS if dots else Kind.LINE
    return Series(name, hue or palette.SERIES[number % len(palette.SERIES)], known, kind, tips, mark=number)


def _ideal(threads: Sequence[int]) -> Series:
    points = tuple((float(count), count / threads[0]) for count in threads)
    return Series("ideal", palette.FAINT, points, Kind.RULE, dashed=True)


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _untimed(names: Sequence[str]) -> str:
    return "" if names else "no per-operation rows (--per-op)"


def _prompts(mine: Sequence[Combination]) -> Axis:
    return Axis("prompt (tokens)", log=True, ticks=tuple(map(float, combinations.prompts_in(mine))))
