"""Lines of values that are taken as columns: what is read of them is what is read of each by itself."""

from __future__ import annotations

from pathlib import Path

from capture_tables import parsed, readings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VALUES = st.one_of(
    st.builds("{:.{}f}".format, st.floats(0, 1000), st.sampled_from([0, 2, 3])),
    st.builds("{:.1f}%".format, st.floats(0, 100)),
    st.sampled_from(["nan", "-1.0", "inf%", "0.00", "007"]),
)
LINES = st.lists(st.lists(VALUES, min_size=2, max_size=2), min_size=2, max_size=20)
TEXT = "#           time  frontend_cycles_idle      %  tma_retiring \n"
OTHER = "#           time      insn per cycle      backend_bound \n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES, st.lists(st.booleans(), min_size=20, max_size=20))
def test_lines_of_text(tmp_path: Path, lines: list[list[str]], changes: list[bool]) -> None:
    text, names, expected = TEXT, TEXT, []
    for n, ((one, two), is_other) in enumerate(zip(lines, changes, strict=False), 1):
        line = f"     {n}.000200300    {one:>12}    {two:>12} \n"
        if is_other:
            names = OTHER if names == TEXT else TEXT
            text += names
        text += line
        expected += _alone(tmp_path, names + line)
    assert _alone(tmp_path, text) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES, st.sampled_from([",", ";", "\t", "|"]), st.booleans())
def test_rows_of_csv(tmp_path: Path, lines: list[list[str]], separator: str, ends: bool) -> None:
    names = separator.join(("time", "frontend_cycles_idle", "%  tma_retiring")) + "\n"
    rows = [
        separator.join((f"     {n}.000200300", *line)) + (separator if ends and n % 2 else "") + "\n"
        for n, line in enumerate(lines, 1)
    ]
    assert _alone(tmp_path, names + "".join(rows)) == [one for row in rows for one in _alone(tmp_path, names + row)]


def _alone(tmp_path: Path, text: str) -> list[object]:
    """The readings; none where every value is one that perf divided by zero."""
    values = [word for line in text.splitlines() if "time" not in line for word in _words(line)[1:]]
    if not any(word[0].isdigit() for word in values):
        return []
    return list(readings(parsed(tmp_path, text)))


def _words(line: str) -> list[str]:
    for separator in ",;\t|":
        line = line.replace(separator, " ")
    return line.split()
