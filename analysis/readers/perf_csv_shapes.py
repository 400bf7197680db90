"""Rows of `perf stat -x SEP` by their shape (`shapes`), in blocks that are no columns.

Such have ratios in rows of their own, a control group or a variance behind the event, or another program's lines.
"""

from __future__ import annotations

import re

from analysis.readers import usual_rows
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_csv_row import Dialect, parse
from analysis.readers.perf_rows import LONGEST_ROW, is_transcript, of_group
from analysis.readers.perf_text_row import TextLine
from analysis.readers.shapes import Found, Kind, Shapes, added
from analysis.table import NAN


def shapes_of(dialect: Dialect) -> Shapes | None:
    """None where the separator is longer than a character, or stands in numbers too."""
    separator = dialect.separator
    if len(separator) > 1 or separator in ".%":
        return None
    end, decimals = re.escape(separator), r"[\d.]*" if separator == "," else r"[\d.,]*"
    if dialect.comma:  # a running time before its percentage is longer than what has decimals, save before a unit
        decimals = r"(?:\d*\.\d{9}|\d{0,2},\d\d(?!\d)|\d*,\d\d(?=,[A-Za-z])|\d*)"
    number = re.compile(rf"(\d(?<![^{end} ]\d){decimals})(?=%?(?:{end}|\Z))", re.ASCII)

    def parsed(line: str) -> TextLine:
        row, metrics, group, running = parse(line, dialect)
        if row:
            metrics = tuple(metric._replace(running=NAN) for metric in metrics)  # which is the count's
        return TextLine(row, list(metrics), group, running if running == running else None)

    cut = None if dialect.comma else usual_rows.of_csv(separator)
    return Shapes(_is_plain, Kind(number, parsed, has_errors=True, cut=cut))


def _is_plain(line: str) -> bool:
    return len(line) <= LONGEST_ROW and '"' not in line and not line.startswith("#") and not is_transcript(line)


def add_known(builder: PerfBuilder, found: Found, running: float, group: str) -> tuple[float, str] | None:
    """Adds a line of a known shape; None where the careful parser has to look.

    running, group: of the metrics whose ratios follow, before the line and, returned, behind it.
    """
    shape, values = found
    time_s, share = shape.time_s(values), shape.running(values)
    if share is not None and share > 1:
        return None
    if shape.row:
        if time_s != time_s and builder.n_timed:
            if not shape.row.is_summary:
                return None
            builder.add_sum(shape.row, shape.value(values))
            return NAN, ""
        assert share is not None
        if shape.error >= 0 and (error := values[shape.error]) > 0:
            builder.add_error(shape.row.scope, shape.row.event, error)
        builder.add_rows(added(shape, values, time_s, share))
        return NAN, ""
    if shape.metrics and shape.time < 0 and builder.n_timed:
        return None
    group = shape.group or group
    running = running if share is None else share
    for at, example in shape.metrics:
        metric = of_group(example, group) if group else example
        named = (metric.scope, "", metric.event, metric.status, metric.unit, "", metric.spelling)
        builder.add_rows([(time_s, NAN, values[at], running, *named)])
    return running, group
