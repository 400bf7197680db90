"""Usual rows as columns, where hardly two lines are spelled alike: what the table gets of them, and when none is taken.

That it is what the careful parser says is in `test_readers_quick_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from capture_tables import written

from analysis.readers import read, usual_runs
from analysis.readers.usual_runs import Run, Runs
from analysis.table import Table

HEADER = "#           time             counts unit events\n"
EVENTS = [f"ev_{first}{second}" for first in "abcdefghijklmno" for second in "abcdefghijklmno"]


def _text(n: int) -> str:
    """A line that is spelled as none of its neighbours: another event, another number of blanks and decimals."""
    event, metric = EVENTS[n % len(EVENTS)], f"{n * 7 % 1000 + 0.5:.{n % 5 + 1}f}"
    return f"     {n}.100123456 {10**9 + n:,} {event}  # {metric} GHz{' ' * (n % 9)}({n % 90 + 1}.25%)\n"


def _csv(n: int) -> str:
    event, count = EVENTS[n % len(EVENTS)], 7 ** (n % 14)
    return f"{n}.100123456,{count},,{event},/a{n % 7},1000,83.25,1.{n % 9},GHz\n"


def _of(path: Path, taken: list[int]) -> Table:
    with pytest.MonkeyPatch.context() as patch:
        careful: Callable[[Runs, Run], int] = Runs.add
        patch.setattr(Runs, "add", lambda self, run: (taken.append(len(run.codes)), careful(self, run))[1])
        return read(path)


@pytest.mark.parametrize(("first", "line"), [(HEADER, _text), ("", _csv)], ids=["text", "csv"])
def test_lines_of_many_spellings_are_taken_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, line: Callable[[int], str]
) -> None:
    path = written(tmp_path, first + "".join(map(line, range(1, 1001))))
    taken: list[int] = []
    table = _of(path, taken)
    assert sum(taken) > 900
    assert len(table.frame) == 1000
    monkeypatch.setattr(usual_runs, "FEWEST", 1 << 20)
    by_lines = read(path)
    assert table.frame.to_csv() == by_lines.frame.to_csv()
    assert table.events == by_lines.events == [name for name in table.events if name in EVENTS]
    assert (table.meta, table.notes) == (by_lines.meta, by_lines.notes)


def test_no_more_lines_are_looked_at_where_few_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual_runs, "AT_ONCE", 250)
    lines = [_text(n) + f"       # {n * 7 % 1000}.{'1' * (n % 5 + 1)} M/sec\n" for n in range(1, 1001)]
    taken: list[int] = []
    looked_at: list[int] = []
    careful = Runs._runs

    def looked(self: Runs, lines: list[str]) -> list[tuple[int, Run]]:
        looked_at.append(self._n_looked_at)
        return careful(self, lines)

    monkeypatch.setattr(Runs, "_runs", looked)
    table = _of(written(tmp_path, HEADER + "".join(lines)), taken)
    assert not taken
    assert len(looked_at) > 5 and len(set(looked_at)) <= 3
    assert len(table.frame) == 1000


def test_a_row_below_the_last_of_a_run_may_add_to_it(tmp_path: Path) -> None:
    below = "                                          #     12.5 %  tma_retiring\n"
    table = read(written(tmp_path, HEADER + "".join(map(_text, range(1, 401))) + below))
    assert table.frame["source"].iloc[-2:].tolist() == [EVENTS[400 % len(EVENTS)], "tma_retiring"]
    assert table.frame["start_s"].iloc[-1] == table.frame["start_s"].iloc[-2]
