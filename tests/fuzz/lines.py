"""Single lines and fields of captures, given to the functions that take them apart: tens of thousands a second."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path

from analysis import formula
from analysis.errors import AnalysisError, printable
from analysis.events import canonical
from analysis.metric_names import metric_name
from analysis.readers import csv_rows, formats, json_records, locale_numbers, perf_csv_row, perf_rows, perf_text_row
from analysis.readers.perf_csv_dialect import Dialect, sniff
from fuzz.mutations import NUMBERS, WORDS

_DATA = Path(__file__).resolve().parents[1] / "data"
_LONGEST = 300  # of a sample; a repeated word makes it longer
_FIELDS = (
    "1", "0.83", "44,847,565,198", "12.345.678", "1 234 567", "4,47,565", "1e5", "-3", "100.00", "0:01.5", "1:02:03",
    "<not counted>", "cpu-cycles", "armv8_cortex_a76/stall_backend/", "CPU3", "S0-D0-C1", "msec",
    "%  tma_backend_bound", "Backend Bound", "bash-1234", "STALL_BACKEND / CPU_CYCLES * 100", "(A + B) / (C - 2)",
    "r003c", "0x24",
)  # fmt: skip
_SPLICES = (*WORDS, *map(str, NUMBERS), "(", ")", "/", "<", ">", "e", ".", "\t", "\u00a0", "٣", "²", "\ud800", "_" * 9)
_LOCALE_NUMBER = re.compile(locale_numbers.VALUE)
_TIMES = (1, 1, 1, 1, 1, 2, 30, 400)


class Lines:
    """What is read as a number is the number that was written; every other answer is as good as a refusal."""

    refused = (AnalysisError, perf_rows.Malformed)

    def __init__(self) -> None:
        files = [path for path in sorted(_DATA.rglob("*")) if path.suffix in (".csv", ".txt", ".json")]
        lines = {line[:_LONGEST] for path in files for line in path.read_text("utf-8", "replace").splitlines()[:40]}
        self._lines = sorted(lines)
        self._dialects = [dialect for line in self._lines if (dialect := sniff([line]))][:8]
        self._of_lines: tuple[Callable[[str], object], ...] = (
            perf_text_row.parse, perf_text_row.is_row_like, csv_rows.fields_of, json_records.records, _recognise,
            lambda line: sniff([line]),
        )  # fmt: skip
        self._of_fields: tuple[Callable[[str], object], ...] = (
            _number, _locale_number, _cell, perf_rows.event_name, perf_rows.unit_name, perf_rows.grouped_scope,
            perf_rows.thread_scope, lambda text: perf_rows.metric_row(0.0, "", 1.0, text), canonical, metric_name,
            lambda text: formula.evaluate(text, {"CPU_CYCLES": 4.0, "STALL_BACKEND": 2.0, "A": 0.0, "B": None}),
            _printable,
        )  # fmt: skip

    def case(self, rng: random.Random) -> None:
        if rng.random() < 0.6:
            rng.choice(self._of_fields)(_spliced(rng.choice(_FIELDS), rng))
            return
        line = _spliced(rng.choice(self._lines), rng)
        if rng.random() < 0.25:
            _parse(line, rng.choice(self._dialects))
        else:
            rng.choice(self._of_lines)(line)


def _spliced(text: str, rng: random.Random) -> str:
    """A piece taken out, and another put there."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(text) + 1)
        end = at + rng.choice((0, 0, 1, 2, 9))
        text = text[:at] + rng.choice(_SPLICES) * rng.choice(_TIMES) + text[end:]
    return text


def _parse(line: str, dialect: Dialect) -> None:
    perf_csv_row.parse(line, dialect)


def _recognise(line: str) -> None:
    formats.recognise([line])


def _number(text: str) -> None:
    value = perf_rows.number(text, "it")
    assert value == float(text) and math.isfinite(value) and value >= 0


def _locale_number(text: str) -> None:
    if not _LOCALE_NUMBER.fullmatch(text):  # which readers look for before
        return
    plain = locale_numbers.plain(text, True)
    assert [digit for digit in plain if digit.isdigit()] == [digit for digit in text if digit.isdigit()]
    float(plain)


def _cell(text: str) -> None:
    value = csv_rows.cell_number(text, "it")
    assert math.isnan(value) or value == float(text)
    assert csv_rows.seconds(text, "it") == value or math.isnan(value) or ":" in text


def _printable(text: str) -> None:
    shown = printable(text)
    assert len(shown) <= 80 * 10 and "\n" not in shown and "\x1b" not in shown
