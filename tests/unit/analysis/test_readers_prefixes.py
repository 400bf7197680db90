"""What logs put before each line is taken off, whatever it is, and told (`prefixes`). All input is synthetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from capture_tables import parsed, readings, written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.prefixes import find, is_two_in_one

TEXT = (
    " Performance counter stats for './a.out':\n\n"
    "          1,234.56 msec task-clock                #    0.950 CPUs utilized\n"
    "     3,000,000,000      cycles                    #    2.430 GHz                      (83.33%)\n"
    "     1,200,000,000      stalled-cycles-backend    #   40.00% backend cycles idle      (83.33%)\n\n"
    "       1.300000000 seconds time elapsed\n"
)
INTERVALS = (
    "#           time             counts unit events\n"
    "     1.000123456      3,000,000      cycles\n     1.000123456      1,000,000      stalled-cycles-backend\n"
    "     2.000223456      4,000,000      cycles\n     2.000223456      2,000,000      stalled-cycles-backend\n"
)
CSV = "1234.56,msec,task-clock,1234560000,100.00,,\n3000000,,cycles,1234560000,100.00,,\n500,,r24,1234560000,100.00,,\n"
JSON = '{"counter-value" : "300", "unit" : "", "event" : "cycles", "event-runtime" : 1, "pcnt-running" : 100.00}\n'
SIMPLEPERF = (
    "Performance counter statistics:\n\n#           count  event_name                # count / runtime\n"
    "   3,000,000,000  cpu-cycles                # 2.43 GHz  (100%)\n"
    "   1,200,000,000  raw-stall-backend         # 0.9 G/sec  (100%)\n\nTotal test time: 1.000000 seconds.\n"
)
Log = Callable[[int, str], str]
LOGS: dict[str, Log] = {
    "cat -n": lambda n, line: f"{n + 8:6d}\t{line}",
    "grep -n": lambda n, line: f"{n}:{line}",
    "streams": lambda n, line: f"[stderr] {line}",
    "docker logs -t": lambda n, line: f"2024-11-05T09:00:{n:02d}.{n * 7919:09d}Z {line}",
    "docker compose": lambda n, line: f"\x1b[36mbench-1  |\x1b[0m {line}",
    "journal": lambda n, line: f"Nov {8 + n % 3:2d} 09:00:{n:02d} host bench[123]: {line}",
    "journal, iso": lambda n, line: f"2024-11-05T09:00:{n:02d}+0100 host bench[123]: {line}",
    "logcat": lambda n, line: f"11-05 09:00:{n:02d}.123  {990 + n}  1234 {'IEW'[n % 3]} bench   : {line}",
    "logcat -v brief": lambda n, line: f"I/bench   ({990 + n:5d}): {line}",
    "GitLab": lambda n, line: f"2024-11-05T09:00:{n:02d}.123456Z 01{'OE'[n % 2]} {line}",
    "GitHub": lambda n, line: f"bench\tRun perf\t2024-11-05T09:00:{n:02d}.1234567Z {line}",
    "Jenkins": lambda n, line: f"[2024-11-05T09:00:{n:02d}.123Z] {line}",
    "logging": lambda n, line: f"2024-11-05 09:00:{n:02d},123 - {'INFO' if n % 2 else 'ERROR'} - {line}",
    "BuildKit": lambda n, line: f"#12 {n * 0.777:.3f} {line}",
    "MPI": lambda n, line: f"[1,0]<stderr>:{line}",
    "kubectl": lambda n, line: f"[pod/bench-abc12/bench] {line}",
    "dmesg": lambda n, line: f"[{n * 9.99:12.6f}] {line}",
    "a new file's diff": lambda n, line: f"+{line}",
    "an old file's diff": lambda n, line: f"-{line}",
    "a comment": lambda n, line: f"// {line}",
    "a shell's comment": lambda n, line: f"# {line}",
    "quotes": lambda n, line: f"> {line}",
    "an editor": lambda n, line: f"{n:3d} | {line}",
}


def logged(text: str, log: Log) -> str:
    """A log trims what ends its lines."""
    return "".join(f"{log(n, line).rstrip()}\n" for n, line in enumerate(text.splitlines(), 1))


@pytest.mark.parametrize("text", [TEXT, INTERVALS, CSV, JSON + JSON.replace("300", "200"), SIMPLEPERF])
@pytest.mark.parametrize("name", LOGS)
def test_taken_off_and_told(tmp_path: Path, text: str, name: str) -> None:
    wanted = parsed(tmp_path, text)
    found = parsed(tmp_path, logged(text, LOGS[name]))
    assert readings(found) == readings(wanted) and found.meta["format"] == wanted.meta["format"]
    assert found.meta.get("elapsed_s") == wanted.meta.get("elapsed_s")
    (note,) = [note for note in found.notes if "which was taken off" in note]
    assert int(note.split()[0]) >= sum(bool(line.strip()) for line in text.splitlines())


@pytest.mark.parametrize("mark", [";", ";;  "])
def test_an_assemblers_comment(tmp_path: Path, mark: str) -> None:
    found = parsed(tmp_path, f"{mark}perf says:\n" + logged(TEXT, lambda n, line: f"{mark}{line}") + "mov x0, x1\n")
    assert readings(found) == readings(parsed(tmp_path, TEXT))


@pytest.mark.parametrize("name", LOGS)
def test_lines_of_others_between_stay_what_they_are(tmp_path: Path, name: str) -> None:
    text = "building\nbuilt\n" + logged(TEXT, LOGS[name]) + "done\n"
    assert readings(parsed(tmp_path, text)) == readings(parsed(tmp_path, TEXT))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        INTERVALS,
        CSV,
        "1.000123456,CPU0,300,,cycles,1000,100.00,,\n1.000123456,CPU1,300,,cycles,1000,100.00,,\n",
        "1.000123456,S0-D0-C0,1,300,,cycles,1000,100.00,,\n1.000123456,S0-D0-C1,1,300,,cycles,1000,100.00,,\n",
        "1.000123456,kworker/0:1-12,300,,cycles,1000,100.00,,\n1.000123456,kworker/0:1-12,300,,r24,1000,100.00,,\n",
        "     1.000123456 bench-12      300      cycles\n     1.000123456 bench-12      300      instructions\n",
        "  12 345 678      cycles\n  13 345 678      instructions\n",
        "CPU0                 300      cycles\nCPU1                 300      cycles\n",
    ],
)
def test_what_tools_write_themselves_is_no_prefix(text: str) -> None:
    assert find(text.splitlines()) is None


def test_rows_keep_their_numbers(tmp_path: Path) -> None:
    text = logged(TEXT.replace("3,000,000,000", "3,0x0"), LOGS["streams"])
    with pytest.raises(AnalysisError, match="line 4: "):
        read(written(tmp_path, text))
    assert len(readings(parsed(tmp_path, text, lenient=True))) == 2


@pytest.mark.parametrize("head", ["--- a/perf.txt\n+++ b/perf.txt\n@@ -1,7 +1,7 @@\n", ""])
def test_a_diff_of_two_tables_is_named(tmp_path: Path, head: str) -> None:
    rows = "-     3,000,000,000      cycles\n-     1,200,000,000      stalled-cycles-backend\n"
    text = head + "  Performance counter stats for 'x':\n \n" + rows + rows.replace("-  ", "+  ")
    assert is_two_in_one(text.splitlines())
    for lenient in (False, True):
        with pytest.raises(AnalysisError, match=r"is a diff of two tables.*analysis.compare OLD NEW"):
            read(written(tmp_path, text), lenient=lenient)


def test_answers_of_perf_behind_a_prefix_are_known(tmp_path: Path) -> None:
    text = "[stderr] Error:\n[stderr] The cycles event is not supported.\n"
    with pytest.raises(AnalysisError, match=r"cycles is not supported: .*virtual machine"):
        read(written(tmp_path, text))


def test_samples_of_perf_script_are_no_rows_behind_a_prefix() -> None:
    for name in ("cycles", "cycles:u", "cycles:ppp"):
        line = f"            bench  2001  1000.100000:     100000 {name}:      aaaaaaaa dot+0x4 (/tmp/a.out)"
        assert find([line, line]) is None
