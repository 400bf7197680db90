"""A sustained run as a table and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis import palette
from analysis.reports.charts import Axis, Plot, Series
from analysis.reports.model import Report
from q4engine.bench.statistics import median
from q4engine.bench.sustained import Sample, Verdict

_ROWS = 12
Value = Callable[[Sample], float | None]
COLUMNS: tuple[tuple[str, str, int, Value], ...] = (
    ("tokens/s", palette.PHASES["decode"], 2, lambda sample: sample.rate),
    ("MHz", palette.CAUSES["core"], 0, lambda sample: sample.reading.mhz),
    ("°C", "gold", 1, lambda sample: sample.reading.celsius),
    ("W", "violet", 1, lambda sample: sample.watts),
)
"""Title, hue, decimals, value; a column that nobody tells is left out."""


def known(samples: Sequence[Sample]) -> list[tuple[str, str, int, Value]]:
    return [column for column in COLUMNS if any(column[3](sample) is not None for sample in samples)]


def table(samples: Sequence[Sample]) -> list[str]:
    """Markdown of a dozen lines, each the medians of its time."""
    columns = known(samples)
    width = -(-len(samples) // _ROWS)
    lines = ["|   seconds | " + " | ".join(f"{title:>9}" for title, *_ in columns) + " |"]
    lines.append("|----------:|" + "|".join("-" * 10 + ":" for _ in columns) + "|")
    for at in range(0, len(samples), max(1, width)):
        part = samples[at : at + width]
        cells = []
        for _, _, decimals, value in columns:
            told = [found for sample in part if (found := value(sample)) is not None]
            cells.append(f"{median(told):.{decimals}f}" if told else "–")
        span = f"{part[0].start:.0f}–{part[-1].end:.0f}"
        lines.append(f"| {span:>9} | " + " | ".join(f"{cell:>9}" for cell in cells) + " |")
    return lines


def csv_lines(samples: Sequence[Sample]) -> list[str]:
    """All samples."""
    head = "start_s,end_s,tokens_per_second,mhz,celsius,throttles,cooling,allowed,watts"
    rows = []
    for sample in samples:
        reading = sample.reading
        values = (sample.start, sample.end, sample.rate, reading.mhz, reading.celsius, reading.throttles,
                  reading.cooling, reading.allowed, sample.watts)  # fmt: skip
        rows.append(",".join("" if value is None else f"{value:.6g}" for value in values))
    return [head, *rows]


def report(title: str, samples: Sequence[Sample], verdict: Verdict | None) -> Report:
    """What the picture shows: a plot of each column over time."""
    plots = []
    for name, hue, _, value in known(samples):
        points = tuple((sample.end, found) for sample in samples if (found := value(sample)) is not None)
        remark = verdict.text if verdict is not None and name == "tokens/s" else ""
        plots.append([Plot(name, Axis("seconds"), Axis(name, low=0.0), (Series(name, hue, points),), remark=remark)])
    return Report(title, "generation over time", (), (), (), (), picture=plots)
