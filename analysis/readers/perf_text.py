"""`perf stat`'s table for people: from "Performance counter stats for" to "seconds time elapsed", or the rows alone.

What stands around the table (output of the program, a shell's prompts, sums that somebody worked out below it) is
skipped and counted. Within the table nothing is: a line that begins as a count does is read or refused.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import printable
from analysis.events import is_known_event
from analysis.readers.locale_numbers import VALUE, plain, with_point
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_metric_columns import MetricColumns, columns_of, is_value_line, split
from analysis.readers.perf_metric_lines import MetricLines
from analysis.readers.perf_rows import LONGEST_ROW, Malformed, PerfRow, check_length, count, of_group
from analysis.readers.perf_text_row import TextLine, is_row_like, parse
from analysis.readers.shape_blocks import Lines
from analysis.readers.shapes import Shape, Shapes, Values, added, pending_row
from analysis.readers.source import Source
from analysis.readers.surroundings import TITLE, bare, bare_block, is_decoration
from analysis.readers.usual_runs import Run, Runs
from analysis.table import NAN, Table

FORMAT = "perf-text"

MOST_MARKS = 20_000
EVER = 1 << 62
BEHIND = 20
"""Lines behind a table's end in which its `seconds user` and `sys` stand."""

# A title, the header of intervals and `# started on` begin a table. Apart, since a search for a literal is fast.
_END, _TITLE = re.compile(rb"seconds time[ \t\r\n>]{1,12}elapsed"), re.compile(rb"Performance counter stats for")
_HEADER = re.compile(rb"#(?:[ \t]{1,40}time[ \t]| started on )")
_MOST_BEFORE = 40
_SECONDS = re.compile(
    rf"\s*({VALUE})\s*(?:\+-\s*[\d.,]{{1,30}}\s+)?seconds (time(?: elapsed\b|$)|(?:user|sys)\b)"
    r"(?:\s{0,20}\(\s{0,8}\+-\s{0,12}(\d{1,6}(?:[.,]\d{1,6})?)\s?%)?"
)
_INTERVAL_HEADER = re.compile(r"\s{0,40}#\s+time\b")
_NO_ROW = re.compile(r"\s*(?:\$|#(?!\s+\d))")
_QUOTED = re.compile(r"=(20|3D|09)")
_RUNS = re.compile(r" \((\d{1,9}) runs\)$")


@dataclass
class _Pending:
    """A count and the metrics that perf printed behind and below it, until the next count comes."""

    row: PerfRow | None = None
    metrics: list[PerfRow] = field(default_factory=list)
    group: str = ""


def read(source: Source) -> Table:
    """Raises AnalysisError where a line of the table is wrong or no count is found."""
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.builder = PerfBuilder(source, FORMAT)
        self.pending = _Pending()
        self.columns: MetricColumns | None = None
        self.unread: tuple[int, str] | None = None  # a line that may be the names of metrics, if values follow
        self.is_inside, self.has_titles = True, False
        self.is_between = False  # two tables of a file without titles
        self.is_table_of_runs = self.is_title_open = False
        self.lines = Lines(Shapes(_is_plain))
        self.runs = Runs(self.lines, self.builder)
        self.values = MetricLines(self.builder)
        self.held: tuple[Shape, Values, float, float] | None = None  # a row that the next line may add to
        self.is_mail = False
        self.n_rows = 0  # of this run
        self.time_s = NAN  # of the interval that is being read
        self.in_interval: set[tuple[str, str]] = set()  # scopes and events of it
        self.ends: list[int] = []  # lines that end a table, the next of them first when reversed
        self.titles: list[int] = []

    def read(self) -> Table:
        self._find_tables()
        self.has_titles = bool(self.titles)
        self.is_inside = not self.titles
        for row, line in self._joined(self._lines()):
            if self._quick(row, line):
                continue
            text = bare(line)
            self._settle()
            try:
                if text:
                    self._take(row, text)
            except Malformed as problem:
                self.source.reject(row, str(problem))
        self._settle()
        self._flush()
        self._give_up_unread()
        return self.builder.table()

    def _quick(self, row: int, line: str) -> bool:
        """Takes a row of a shape that has been seen before. False for any other line."""
        if self.columns:
            return self._quick_values(line)
        if not self.may_take():
            return False
        found = self.lines.find(row, line)
        if found is None:
            return False
        shape, values = found
        time_s, running = shape.time_s(values), shape.running(values)
        if running is not None and running > 1:
            return False
        if running is None or shape.row is None:
            self._settle()
            if running is None and time_s == self.time_s and self._continues(shape):
                self.pending.metrics += shape.ratios(values, time_s)
            else:
                self._found(shape.line(values, running))
            return True
        if time_s != time_s and (self.builder.n_timed or self.time_s == self.time_s):
            return False
        if self.pending.row or self.pending.metrics:
            self._flush()
        self._release()
        if time_s == time_s:
            if time_s != self.time_s:
                self.time_s = time_s
                self.in_interval.clear()
            self.in_interval.add((shape.row.scope, shape.row.event))
        self.held = (shape, values, time_s, running)
        return True

    def may_take(self) -> bool:
        """Whether a row is one of the table, and as it stands."""
        return self.is_inside and not (self.columns or self.unread or self.is_table_of_runs or self.is_mail)

    def take(self, run: Run) -> None:
        """Takes rows of the table that have a time."""
        self._flush()
        self._release()
        self.n_rows += self.runs.add(run)
        intervals = np.flatnonzero(np.diff(run.times, prepend=self.time_s))
        if len(intervals):
            self.in_interval.clear()
        self.time_s = float(run.times[-1])
        rows = (self.runs.shapes[code].row for code in set(run.codes[intervals.max(initial=0) :].tolist()))
        self.in_interval.update((row.scope, row.event) for row in rows if row)

    def _continues(self, shape: Shape) -> bool:
        """Whether ratios of that shape, of the same interval, belong to the row above as they are."""
        pending = self.pending
        above = pending.row or (pending.metrics[0] if pending.metrics else None)
        return above is not None and not above.scope and not shape.group

    def _quick_values(self, line: str) -> bool:
        """Takes a line of values that is spelled like the one above."""
        if not self.is_inside or self.is_table_of_runs or self.pending.row or self.pending.metrics:
            return False
        n = self.values.take(line)
        self.n_rows += n
        return n > 0

    def _release(self) -> None:
        """The row that no line added to goes to the table."""
        if self.held:
            shape, values, _, _ = self.held
            if shape.row and shape.error >= 0 and (error := values[shape.error]) > 0:
                self.builder.add_error(shape.row.scope, shape.row.event, error)
            rows = added(*self.held)
            self.builder.add_rows(rows)
            self.n_rows += len(rows)
            self.held = None

    def _settle(self) -> None:
        """A line follows that may add to the row."""
        self.values.flush()
        if self.held:
            row, metrics = pending_row(*self.held)
            self.pending, self.held = _Pending(row, metrics), None

    def _find_tables(self) -> None:
        """Where tables begin and end, so that a table knows whether its end is still to come."""
        for row, block in self.source.blocks():
            found = [match.start() for match in _END.finditer(block)]
            titles = [match.start() for match in _TITLE.finditer(block)]
            titles += [match.start() for match in _HEADER.finditer(block) if _begins_line(block, match.start())]
            lines = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n")) if found or titles else None
            if lines is not None:
                self.ends += (row + np.searchsorted(lines, found)).tolist()
                self.titles += (row + np.searchsorted(lines, sorted(titles))).tolist()
            if len(self.titles) + len(self.ends) > MOST_MARKS:
                raise self.source.error(f"more than {MOST_MARKS} tables of perf stat in one file")
        self.ends.reverse()
        self.titles.reverse()

    def _regions(self) -> list[tuple[int, int]]:
        """First and last line of what has to be looked at, in order: each table, and the lines right behind it."""
        ends = self.ends[::-1]
        titles = self.titles[::-1] or [1, *(end + 1 for end in ends[:-1])]
        regions = []
        for title, following in zip(titles, [*titles[1:], EVER], strict=True):
            at = bisect_left(ends, title)
            end = ends[at] if at < len(ends) else EVER
            regions.append((title, min(end + BEHIND, following - 1)))
        return regions

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines of the regions. The others are counted, without a look at each: there may be millions of them."""
        regions = self._regions()
        at = 0
        for row, block in self.source.blocks():
            ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
            are_filled = np.diff(ends, prepend=-1) > 1
            n, next_row = len(ends), row
            while at < len(regions) and regions[at][0] < row + n:
                first, last = max(regions[at][0], row), min(regions[at][1], row + n - 1)
                self.source.skipped += int(are_filled[next_row - row : first - row].sum())
                begin = int(ends[first - row - 1]) + 1 if first > row else 0
                part = bare_block(block[begin : int(ends[last - row]) + 1])
                yield from self.runs.besides(self.lines.of_block(self.source, first, part, exact=False), self)
                next_row = last + 1
                if regions[at][1] >= row + n:
                    break
                at += 1
            self.source.skipped += int(are_filled[next_row - row :].sum())

    def _joined(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """The lines with those in one that a mail broke (quoted-printable: `=` at the end)."""
        broken = ""
        for row, line in lines:
            whole, broken = broken + line, ""
            if self.is_inside and whole.endswith("=") and len(whole) < LONGEST_ROW:
                self.is_mail, broken = True, whole[:-1]
                continue
            yield row, _QUOTED.sub(lambda match: chr(int(match[1], 16)), whole) if self.is_mail else whole

    def _take(self, row: int, text: str) -> None:
        while self.ends and self.ends[-1] < row:
            self.ends.pop()
        while self.titles and self.titles[-1] <= row:
            self.titles.pop()
        if TITLE in text:
            self._title(text)
        elif _INTERVAL_HEADER.match(text):
            self.is_inside = True
            self.columns = columns_of(text[text.index("time") + 4 :])
            self.values.forget()
        elif match := (_SECONDS.match(text) if "seconds " in text else None):
            self._seconds(match)
        elif not self.is_inside and not self._begins_untitled(text):
            if text.startswith("# started on"):
                self._header(text)
            else:
                self.source.skipped += 1
        else:
            self._line(row, text)

    def _begins_untitled(self, text: str) -> bool:
        """Whether the first row of a further table without a title is here, be it a wrong one."""
        if not self.is_between or len(text) > LONGEST_ROW:
            return False
        try:
            found = parse(text)
            is_row = found is not None and found.row is not None
        except Malformed:
            is_row = any(map(is_known_event, text.split()[:3]))
        if not is_row:
            return False
        self.builder.next_run()
        self.is_inside, self.is_between, self.n_rows, self.time_s = True, False, 0, NAN
        return True

    def _title(self, text: str) -> None:
        self._flush()
        self._give_up_unread()
        builder = self.builder
        if not builder.n_timed:  # behind intervals stands their sum
            builder.next_run()
        what = text[text.index(TITLE) + len(TITLE) :].strip().rstrip(":")
        runs = _RUNS.search(what)
        if runs:
            builder.meta["repeats"] = int(runs[1])
            what = what[: runs.start()]
        builder.meta["target"] = what.strip("'")
        self.is_title_open = not text.endswith(":") and (not what or what.count("'") == 1)
        self.is_inside, self.n_rows, self.columns, self.time_s = True, 0, None, NAN

    def _goes_on(self, text: str) -> bool:
        """Takes the rest of a title that a mail or a terminal broke: up to its last quote."""
        if self.n_rows or self.pending.row or self.pending.metrics or text.lstrip()[:1] in "0123456789<":
            self.is_title_open = False
            return False
        self.is_title_open = not text.endswith((":", "'"))
        target = f"{self.builder.meta['target']} {text.strip()}".strip().rstrip(":").strip("'")
        self.builder.meta["target"] = target[:LONGEST_ROW]
        return True

    def _seconds(self, match: re.Match[str]) -> None:
        self._flush()
        value = count(plain(match[1], may_have_decimals=True))
        if match[2].startswith("time"):
            self.builder.elapsed_s = value
            if match[3]:
                self.builder.meta["elapsed_error"] = float(with_point(match[3])) / 100
            self.is_inside = self.is_table_of_runs = False
            self.is_between = not self.has_titles and len(self.ends) > 1
        else:
            self.builder.meta[f"{match[2]}_s"] = value

    def _header(self, text: str) -> None:
        if text.startswith("# started on"):
            self._flush()
        self.builder.header_line(text)

    def _line(self, row: int, text: str) -> None:
        check_length(text)
        if self.is_title_open and self._goes_on(text):
            return
        if self.is_table_of_runs or "# Table of individual measurements" in text:
            self.is_table_of_runs = "# Final result" not in text
            return
        if text.startswith("#") and not re.match(r"#\s+[\d.]", text):
            self._header(text)
            return
        if text.startswith("$ "):
            self.builder.header_line(text)
        if is_decoration(text):
            self.source.skip(row)
            return
        if self.columns is None and self.unread is not None and is_value_line(text):
            self.columns = columns_of(self.unread[1])
            self.values.forget()
            self.unread = None
        if self.columns is not None and is_value_line(text):
            self._add_all(self.columns.rows(text))
            time_s, scope, values = split(text.split())
            if time_s == time_s and not scope:
                self.values.learn(self.columns.names, values, " {1,200}")
            return
        found = parse(text)
        if found is None:
            self._no_row(row, text)
        else:
            self._found(found)

    def _timed(self, found: TextLine) -> TextLine:
        """The line with the time of its interval, which need not stand in each: not in rows that continue one above.

        Rows that the interval has already are the sums of all, below the last one.
        """
        row = found.row
        time_s = row.time_s if row else found.metrics[0].time_s if found.metrics else NAN
        if time_s == time_s:
            if time_s != self.time_s:
                self.time_s = time_s
                self.in_interval.clear()
        elif self.time_s == self.time_s and (row is None or (row.scope, row.event) not in self.in_interval):
            row = row and row._replace(time_s=self.time_s)
            found = found._replace(row=row, metrics=[m._replace(time_s=self.time_s) for m in found.metrics])
        else:
            self.time_s = NAN
        if row:
            self.in_interval.add((row.scope, row.event))
        return found

    def _found(self, found: TextLine) -> None:
        self._give_up_unread()
        found = self._timed(found)
        pending = self.pending
        above = pending.row or (pending.metrics[-1] if pending.metrics else None)
        if above and above.scope and not found.row and not found.group:
            # some releases leave out the CPU or control group in lines that continue the one above
            found = found._replace(metrics=[m._replace(scope=m.scope or above.scope) for m in found.metrics])
        if found.row or found.group:
            self._flush()
            self.pending = _Pending(found.row, list(found.metrics), found.group)
            if found.group and found.running is not None:
                self.pending.metrics = [m._replace(running=found.running) for m in found.metrics]
        elif found.running is not None and pending.row:
            pending.row = pending.row._replace(running=found.running)
            pending.metrics += found.metrics
        elif found.running is not None and not found.metrics and pending.metrics:
            pending.metrics[-1] = pending.metrics[-1]._replace(running=found.running)
        else:
            running = found.running
            pending.metrics += [m if running is None else m._replace(running=running) for m in found.metrics]

    def _no_row(self, row: int, text: str) -> None:
        is_closed = bool(self.ends) and (not self.titles or self.ends[-1] < self.titles[-1])
        is_prose = not self.has_titles and not self.n_rows
        if is_row_like(text) or (is_closed and self.unread is not None and not is_prose):
            raise Malformed(f"expected a count and an event, found '{printable(text.strip())}'")
        if not self.n_rows and not self.pending.row and not self.pending.metrics:
            self._give_up_unread()
            self.unread = (row, text)
        elif is_closed or text.startswith("  "):
            raise Malformed(f"expected a count and an event, found '{printable(text.strip())}'")
        else:
            self.source.skip(row)

    def _give_up_unread(self) -> None:
        if self.unread is not None:
            row, text = self.unread
            self.unread = None
            if not self.has_titles and (self.ends or not text.startswith(" ")) and not is_row_like(text):
                self.source.skip(row)  # above the rows that somebody took out of a table
                return
            self.source.reject(row, f"expected a count and an event, found '{printable(text.strip())}'")

    def _flush(self) -> None:
        """The count that is complete, with its metrics: they were counted for the same share of the time."""
        pending, self.pending = self.pending, _Pending()
        running = pending.row.running if pending.row else 1.0
        metrics = pending.metrics
        if pending.group.endswith(")"):
            metrics = [of_group(m, pending.group) for m in metrics]
        self._add_all([*([pending.row] if pending.row else []), *metrics], running)

    def _add_all(self, rows: list[PerfRow], running: float = NAN) -> None:
        """running: of ratios that have no share of their own."""
        self.builder.add_all(rows, running)
        self.n_rows += len(rows)


def _begins_line(block: bytes, at: int) -> bool:
    """Whether nothing but quote marks and blanks stands before that place in its line."""
    end_above = block.rfind(b"\n", max(0, at - _MOST_BEFORE - 1), at)
    return (end_above >= 0 or at <= _MOST_BEFORE) and not block[end_above + 1 : at].strip(b"> \t")


def _is_plain(line: str) -> bool:
    """Whether a line may be a row and nothing that has to be looked at before rows are."""
    text = line.rstrip()
    return not (
        len(text) > LONGEST_ROW
        or bare(line) != text
        or TITLE in text
        or "seconds" in text
        or text.endswith("=")
        or _NO_ROW.match(text)
        or "# Table of " in text
        or is_decoration(text)
    )
