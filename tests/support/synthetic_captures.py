"""Synthetic captures with known answers: per-call counts written out as the formats that analysis reads.

Nothing here was measured on any machine. A `Call` says what a call into the engine did and counted; the writers spell a
list of calls as one of our captures, as `perf stat -I` with a markers file, or as a Streamline export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """One call. counts: of all of it.  running: share of it in which a group counted, by group; 0 for not at all."""

    label: str
    n_past: int
    n_eval: int
    seconds: float
    counts: Mapping[str, float]
    running: Mapping[str, float] = field(default_factory=dict)
    frequency: float | None = None
    migrations: int = 0


Counts = Mapping[str, float]
Groups = Mapping[str, Sequence[str]]


def decode(n: int, seconds: float, counts: Counts, *, past: int = 512, wobble: float = 0.02) -> list[Call]:
    """`n` calls of one token each. Counts and time rise and fall together by up to `wobble`, in a fixed pattern."""
    calls = []
    for i in range(n):
        scale = 1 + wobble * ((i * 7) % 5 - 2) / 2
        scaled = {event: count * scale for event, count in counts.items()}
        calls.append(Call("decode", past + i, 1, seconds * scale, scaled))
    return calls


def prefill(tokens: int, seconds: float, counts: Counts, *, batches: int = 1) -> list[Call]:
    """A prompt of `tokens`, cut into equal batches; counts and seconds are of the whole prompt."""
    size = tokens // batches
    share = {event: count / batches for event, count in counts.items()}
    return [Call("prefill", i * size, size, seconds / batches, share) for i in range(batches)]


def relabelled(calls: Sequence[Call], names: Mapping[str, str]) -> list[Call]:
    """The same calls under other labels."""
    return [replace(call, label=names.get(call.label, call.label)) for call in calls]


def write_capture(
    path: Path,
    calls: Sequence[Call],
    header: Mapping[str, object] | None = None,
    groups: Groups | None = None,
    pmus: Mapping[str, str] | None = None,
) -> Path:
    """A capture of ours. groups: events by group, all in one `g0` without it.  pmus: PMU by group."""
    events = list(dict.fromkeys(event for call in calls for event in call.counts))
    groups = groups if groups is not None else ({"g0": events} if events else {})
    keys: dict[str, object] = {
        "format_version": 1,
        "emulated": "no",
        "counters": "available",
        "clock": "CLOCK_MONOTONIC_RAW",
        "model": "synthetic",
    }
    keys |= dict(header or {})
    for name, members in groups.items():
        keys[f"group.{name}"] = f"pmu={(pmus or {}).get(name, 'armv8_pmuv3_0')} events={','.join(members)}"
    lines = ["# q4engine capture", *(f"# {key}: {value}" for key, value in keys.items())]
    columns = ["call", "phase", "n_past", "n_eval", "op", "start_ns", "duration_ns", "migrations", "freq_hz"]
    for name, members in groups.items():
        columns += [f"time_enabled_ns@{name}", f"time_running_ns@{name}", *(f"{event}@{name}" for event in members)]
    lines.append(",".join(columns))
    start_ns = 1_000_000_000
    for number, call in enumerate(calls):
        duration_ns = round(call.seconds * 1e9)
        speed = "" if call.frequency is None else f"{call.frequency:.0f}"
        cells = [number, call.label, call.n_past, call.n_eval, "", start_ns, duration_ns, call.migrations, speed]
        for name, members in groups.items():
            share = call.running.get(name, 1.0)
            cells += [duration_ns, round(duration_ns * share)]
            cells += [round(call.counts[event] * share) if share and event in call.counts else "" for event in members]
        lines.append(",".join(str(cell) for cell in cells))
        start_ns += duration_ns
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class Part:
    """One operation of a call, alike on every thread. seconds: of one thread alone, for one token.

    rates: counts a second while it runs, the capture's own without.  when: `prompt` or `token` for an operation of only
    that kind of call.
    """

    op: str
    seconds: float
    shape: str = ""
    scales: bool = True
    rates: Counts | None = None
    when: str = ""


def write_per_op(
    path: Path,
    parts: Sequence[Part],
    *,
    threads: int,
    prompt: int,
    n_decode: int,
    header: Mapping[str, object] | None = None,
    counts_per_second: Counts | None = None,
) -> Path:
    """A per-operation capture: one prompt, then tokens. A part that scales takes 1/threads of its time on each thread.

    Every row counts `counts_per_second` x its duration in group g0.
    """
    rates = counts_per_second or {}
    keys: dict[str, object] = {"format_version": 1, "emulated": "no", "counters": "available", "model": "synthetic"}
    keys |= {"clock": "CLOCK_MONOTONIC_RAW", "n_threads": threads} | dict(header or {})
    columns = "call,phase,n_past,n_eval,op,layer,tensor,type,shape,kernel,thread,start_ns,duration_ns"
    lines = ["# q4engine capture", *(f"# {key}: {value}" for key, value in keys.items())]
    lines.append(",".join([columns, *(f"{event}@g0" for event in rates)]))
    now = 1_000_000_000
    for call in range(1 + n_decode):
        n_past, n_eval = (0, prompt) if call == 0 else (prompt + call - 1, 1)
        label, start, rows = ("prefill" if call == 0 else "decode"), now, []
        for number, part in enumerate(parts):
            if part.when == ("token" if call == 0 else "prompt"):
                continue
            wobble = 1 + 0.01 * (call * 3 % 5)
            duration = round(1e9 * part.seconds * n_eval * wobble / (threads if part.scales else 1))
            counted = part.rates if part.rates is not None else rates
            for thread in range(threads):
                kind = "Q4_0" if part.shape else ""
                head = [call, label, n_past, n_eval, part.op, number, f"blk.0.{part.op}", kind, part.shape, "", thread]
                rows.append([*head, now, duration, *(round(counted[event] * duration / 1e9) for event in rates)])
            now += duration
        sums = [sum(row[13 + column] for row in rows) for column in range(len(rates))]
        whole = [call, label, n_past, n_eval, "", "", "", "", "", "", "", start, now - start, *sums]
        lines += [",".join(map(str, row)) for row in [whole, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_markers(path: Path, calls: Sequence[Call], start_s: float = 1.0) -> Path:
    """The markers file of the calls, back to back from `start_s`, closed by an end marker."""
    lines, now = ["time_ns,n_past,n_eval,phase"], start_s
    for call in calls:
        lines.append(f"{round(now * 1e9)},{call.n_past},{call.n_eval},{call.label}")
        now += call.seconds
    last = calls[-1]
    lines.append(f"{round(now * 1e9)},{last.n_past + last.n_eval},0,")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def binned(calls: Sequence[Call], bin_s: float) -> list[tuple[float, dict[str, float]]]:
    """(end of the bin, counts in it) at a fixed interval: what a tool that samples by time sees of the calls."""
    total = sum(call.seconds for call in calls)
    events = list(dict.fromkeys(event for call in calls for event in call.counts))
    n = max(1, round(total / bin_s))
    bins = [((i + 1) * bin_s, dict.fromkeys(events, 0.0)) for i in range(n)]
    begin = 0.0
    for call in calls:
        end = begin + call.seconds
        for i in range(int(begin / bin_s), min(n, int(end / bin_s) + 1)):
            overlap = min(end, (i + 1) * bin_s) - max(begin, i * bin_s)
            for event, count in call.counts.items():
                bins[i][1][event] += count * max(0.0, overlap) / call.seconds
        begin = end
    return bins


def write_perf_interval(
    path: Path, calls: Sequence[Call], bin_s: float, *, running: float = 100.0, pmu: str = ""
) -> Path:
    """`perf stat -x, -I`: a row an interval and event, times from perf's own start."""
    lines = ["# started on Thu Jan  1 00:00:00 1970 (synthetic)", ""]
    for end, counts in binned(calls, bin_s):
        for event, count in counts.items():
            name = f"{pmu}/{event.lower()}/" if pmu else event
            lines.append(f"{end:15.9f},{round(count)},,{name},{round(bin_s * 1e9 * running / 100)},{running:.2f},,")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_perf_total(path: Path, counts: Counts, seconds: float, running: Counts | None = None) -> Path:
    """`perf stat -x,` over a whole run. running: percent by event, 100 without; 0 writes `<not counted>`."""
    lines = []
    for event, count in counts.items():
        share = (running or {}).get(event, 100.0)
        shown = f"{round(count)}" if share else "<not counted>"
        lines.append(f"{shown},,{event},{round(seconds * 1e9 * share / 100)},{share:.2f},,")
    lines.append(f"{seconds * 1e9:.0f},ns,duration_time,{seconds * 1e9:.0f},100.00,,")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


STREAMLINE = {
    "CPU_CYCLES": "Cycles:CPU Cycles",
    "STALL_BACKEND": "Stalls:Backend",
    "STALL_FRONTEND": "Stalls:Frontend",
    "STALL_BACKEND_MEM": "Stalls:Backend (Memory Stall Cycles)",
    "L3D_CACHE_REFILL": "L3 Data Cache:Refill",
    "L2D_CACHE_REFILL": "L2 Data Cache:Refill",
    "INST_RETIRED": "Instructions (Executed):All",
}


def write_streamline(folder: Path, calls: Sequence[Call], bin_s: float) -> Path:
    """A Streamline export: `timeline.csv` of one core and `log.csv` with the engine's markers."""
    folder.mkdir(parents=True, exist_ok=True)
    events = list(dict.fromkeys(event for call in calls for event in call.counts))
    preamble = ["Synthetic capture", "not measured", "", ""]
    lines = [*preamble, ",".join(["Index (s)", *(f"{STREAMLINE[event]} [0]" for event in events)])]
    for end, counts in binned(calls, bin_s):
        lines.append(",".join([f"{end - bin_s:.6f}", *(str(round(counts[event])) for event in events)]))
    (folder / "timeline.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    log, now = [*preamble, "When (s),Message"], 0.0
    for call in calls:
        log.append(f'{now:.6f},"past {call.n_past}, n_eval {call.n_eval}"')
        now += call.seconds
    (folder / "log.csv").write_text("\n".join(log) + "\n", encoding="utf-8")
    return folder
