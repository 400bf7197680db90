"""A machine that counts nothing: the first line says so and what to do (`absent_counters`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis_commands import Run
from capture_tables import written

from analysis import absent_counters, stalls
from analysis.phase import NOT_COUNTED, NOT_SUPPORTED, Count, Phase

NAN = float("nan")
TEXT = (
    " Performance counter stats for './a.out':\n\n"
    "          1,234.56 msec task-clock                #    0.950 CPUs utilized\n"
    "               241      context-switches          #  195.211 /sec\n"
    "   {word:>15}      cycles\n   {word:>15}      instructions\n   {word:>15}      branches\n\n"
    "       {seconds} seconds time elapsed\n"
)
CSV = (
    "1234.56,msec,task-clock,1234560000,100.00,0.950,CPUs utilized\n{word},,cycles,0,100.00,,\n{word},,r24,0,100.00,,\n"
)
JSON = '{{"counter-value" : "{word}", "unit" : "", "event" : "cycles", "event-runtime" : 0, "pcnt-running" : 0.00}}\n'


@pytest.mark.parametrize("form", [TEXT, CSV, JSON])
@pytest.mark.parametrize("seconds", ["1.300000000", "9.000000000"])  # the latter looks as if the program slept
@pytest.mark.parametrize(
    ("word", "why", "advice"),
    [
        ("<not supported>", "virtual machine", "where the PMU is passed through"),
        ("<not counted>", "ended too soon", "run it for longer"),
    ],
)
def test_the_first_lines(
    tmp_path: Path, command: Run, form: str, seconds: str, word: str, why: str, advice: str
) -> None:
    path = written(tmp_path, form.format(word=word, seconds=seconds))
    status, out, err = command(stalls.main, path)
    assert (status, err) == (0, "")
    assert out.splitlines()[0].endswith("no counters available here)")
    card = " ".join(out.split("  core ")[0].splitlines()[1:]).replace("     ", " ")
    assert card.split("  ")[2].startswith("no counters available here: every event of the processor (CPU_CYCLES")
    card = " ".join(card.split())
    assert word in card and why in card and advice in card.split("Next: ")[1]
    assert "not in the capture" not in card
    (phase,) = json.loads(command(stalls.main, path, "--json")[1])["captures"][0]["phases"]
    assert phase["summary"]["verdict"] == "no counters available here"


def test_what_the_times_tell_is_told_behind_it(tmp_path: Path, command: Run) -> None:
    path = written(tmp_path, TEXT.format(word="<not supported>", seconds="9.000000000"))
    out = " ".join(command(stalls.main, path)[1].split())
    assert "by the times waiting-bound (medium confidence)" in out


def phase(counts: dict[str, str], **where: str) -> Phase:
    found = {name: Count(1.0 if status == "ok" else NAN, status=status) for name, status in counts.items()}
    return Phase("all", 0, 0, 0.0, 1.0, counts=found, **where)  # type: ignore[arg-type]


def test_where_it_is_not_said() -> None:
    cycles = {"CPU_CYCLES": NOT_SUPPORTED}
    assert absent_counters.of_phase(phase({})) is None
    assert absent_counters.of_phase(phase({"task-clock": "ok", "page-faults": NOT_COUNTED})) is None
    assert absent_counters.of_phase(phase({"CPU_CYCLES": "ok", "STALL_BACKEND": NOT_SUPPORTED})) is None
    assert absent_counters.of_phase(phase({**cycles, "metric:backend_bound": "ok"})) is None
    assert absent_counters.of_phase(phase({**cycles, "sched:sched_switch": "ok"})) is not None


def test_one_of_several_pmus_or_scopes() -> None:
    for where in ({"pmu": "apple_icestorm_pmu"}, {"scope": "cpu:3"}):
        found = absent_counters.of_phase(phase({"CPU_CYCLES": NOT_COUNTED}, **where))
        assert found is not None and found.verdict == f"nothing counted on {next(iter(where.values()))}"
