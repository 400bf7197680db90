"""A model of how `perf stat` prints its counts: synthetic captures in every form, by version, option and locale."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reading:
    """status: 'ok' or perf's words without brackets. value: a whole number, of clocks in ms. percent: of time."""

    scope: str
    event: str
    value: float
    status: str = "ok"
    percent: float = 100.0
    cgroup: str = ""

    @property
    def is_clock(self) -> bool:
        return self.event in ("task-clock", "cpu-clock")


@dataclass(frozen=True)
class Locale:
    thousands: str = ","
    point: str = "."

    def number(self, value: float, decimals: int, grouped: bool) -> str:
        text = f"{value:,.{decimals}f}" if grouped else f"{value:.{decimals}f}"
        whole, _, rest = text.partition(".")
        return whole.replace(",", self.thousands) + (self.point + rest if rest else "")


@dataclass(frozen=True)
class Capture:
    """readings: of every interval, or of the whole run where times is empty. elapsed_s: of the run, in text."""

    readings: list[list[Reading]]
    times: list[float] = field(default_factory=list)
    elapsed_s: float = 1.5

    def rows(self, tells_elapsed: bool) -> list[tuple[float, float, str, str, float, str, float, str]]:
        """(start, duration, scope, event, value, status, running, unit) as a reader should have them."""
        found = []
        before = 0.0
        for number, readings in enumerate(self.readings):
            end = self.times[number] if self.times else (self.elapsed_s if tells_elapsed else math.nan)
            for one in readings:
                scope = f"{scope_name(one.scope)} cgroup:{one.cgroup}".strip() if one.cgroup else scope_name(one.scope)
                value = one.value if one.status == "ok" else math.nan
                running = 0.0 if one.status == "not supported" else one.percent / 100
                unit = "msec" if one.is_clock else ""
                found.append((before, end - before, scope, one.event, value, one.status, running, unit))
            before = end if self.times else 0.0
        return found


_GROUPS = {
    "core": re.compile(r"S\d(-D\d)?-C\d"),  # without a die before perf 5.3
    "cluster": re.compile(r"S\d-D\d-CLS\d"),
    "cache": re.compile(r"S\d-D\d-L\d-ID\d"),
    "die": re.compile(r"S\d-D\d"),
    "socket": re.compile(r"S\d"),
    "node": re.compile(r"N\d"),
}


def scope_name(scope: str) -> str:
    """`cpu:3` of `CPU3`, `core:S0-D0-C1`, `socket:S1`, `thread:comm-7`."""
    if scope.startswith("CPU"):
        return f"cpu:{scope[3:]}"
    for kind, pattern in _GROUPS.items():
        if pattern.fullmatch(scope):
            return f"{kind}:{scope}"
    return f"thread:{scope}" if scope else ""


def is_thread(scope: str) -> bool:
    return scope_name(scope).startswith("thread:")


def text(capture: Capture, locale: Locale, version: int, variance: bool, metrics: bool) -> str:
    """For people. version: 3 to 6."""
    lines = [] if capture.times else [" Performance counter stats for 'synthetic':", ""]
    if capture.times:
        lines.append("#           time             counts unit events")
    for number, readings in enumerate(capture.readings):
        for one in readings:
            lines.append(
                _text_row(one, capture.times[number] if capture.times else None, locale, version, variance, metrics)
            )
    if not capture.times:
        lines += ["", f"{locale.number(capture.elapsed_s, 9, False):>18} seconds time elapsed", "", ""]
    return "\n".join(lines) + "\n"


def _text_row(one: Reading, time_s: float | None, locale: Locale, version: int, variance: bool, metrics: bool) -> str:
    row = "" if time_s is None else f"{time_s:16.9f} "
    if is_thread(one.scope):
        row += f"{one.scope:>24} "
    elif one.scope.startswith("CPU"):
        row += f"{one.scope:<10} "
    elif one.scope:
        row += f"{one.scope:<18} {2:>4} "
    decimals = (6 if version == 3 else 2) if one.is_clock else 0
    grouped = bool(locale.thousands) and not (one.is_clock and version < 5)
    value = locale.number(one.value, decimals, grouped) if one.status == "ok" else f"<{one.status}>"
    event = f"{one.event} (msec)" if one.is_clock and version == 4 else one.event
    unit = "msec " if one.is_clock and version >= 5 else "     " if version >= 5 else ""
    row += f"{value:>18} {unit}{event:<32}"
    if one.cgroup:
        row += f" {one.cgroup:<16}"
    if metrics and one.status == "ok":
        row += f" # {locale.number(2.3456, 3, False):>8} {'M/sec':<30}"
    if variance:
        row += f"  ( +-{locale.number(1.25, 2, False):>6}% )"
    if one.percent != 100:
        share = locale.number(one.percent, 2, False)
        row += f" [{share:>5}%]" if version == 3 else f"  ({share}%)"
    return row


def csv(
    capture: Capture, locale: Locale, separator: str, variance: bool, metrics: bool, thresholds: bool = False
) -> str:
    """`-x SEPARATOR`. thresholds: with the column that perf has for them since 6.13."""
    lines = ["# started on a synthetic day", ""]
    for number, readings in enumerate(capture.readings):
        for one in readings:
            fields = [f"{capture.times[number]:16.9f}"] if capture.times else []
            fields += [one.scope] if one.scope else []
            fields += ["2"] if one.scope and not is_thread(one.scope) and not one.scope.startswith("CPU") else []
            number_text = locale.number(one.value, 2 if one.is_clock else 0, False)
            fields += [
                number_text if one.status == "ok" else f"<{one.status}>",
                "msec" if one.is_clock else "",
                one.event,
            ]
            fields += [one.cgroup] if one.cgroup else []
            fields += [f"{locale.number(1.25, 2, False)}%"] if variance else []
            fields += ["123456", locale.number(one.percent, 2, False)]
            fields += ["2", "M/sec"] if metrics and one.status == "ok" else ["", ""]
            fields += ["unknown"] if thresholds and metrics and one.status == "ok" else []
            lines.append(separator.join(fields))
    return "\n".join(lines) + "\n"


def json_lines(capture: Capture, locale: Locale, version: int, variance: bool, metrics: bool) -> str:
    """`-j`: numbers bare in version 5, quoted in 6; decimals as the locale has them."""
    lines = []
    for number, readings in enumerate(capture.readings):
        for one in readings:
            pairs = [f'"interval" : {capture.times[number]:.9f}'] if capture.times else []
            if one.scope:
                kind = scope_name(one.scope).partition(":")[0]
                pairs.append(f'"{kind}" : {json.dumps(one.scope.removeprefix("CPU"))}')
                pairs += [] if kind in ("cpu", "thread") else ['"aggregate-number" : 2']
            value = locale.number(one.value, 6, False) if one.status == "ok" else f"<{one.status}>"
            pairs.append(f'"counter-value" : "{value}"')
            pairs.append(f'"unit" : "{"msec" if one.is_clock else "(null)" if version == 6 else ""}"')
            pairs += [f'"cgroup" : "{one.cgroup}"'] if one.cgroup else []
            pairs.append(f'"event" : "{one.event}"')
            pairs += [f'"variance" : {locale.number(1.25, 2, False)}'] if variance else []
            pairs.append(f'"event-runtime" : 123456, "pcnt-running" : {locale.number(one.percent, 2, False)}')
            metric = locale.number(2.3456, 6, False)
            quoted = f'"{metric}"' if version == 6 else metric
            pairs += [f'"metric-value" : {quoted}, "metric-unit" : "M/sec"'] if metrics and one.status == "ok" else []
            lines.append("{" + ", ".join(pairs) + "}")
    return "\n".join(lines) + "\n"
