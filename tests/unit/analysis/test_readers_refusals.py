"""What perf prints instead of counts, each with its own advice (`refusals`). All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import written

from analysis.errors import AnalysisError
from analysis.readers import read

LIMITED = (
    "Access to performance monitoring and observability operations is limited.\n"
    "Consider adjusting /proc/sys/kernel/perf_event_paranoid setting to open\n"
)
RETURNED = (
    "Error:\nThe sys_perf_event_open() syscall returned with {} for event (armv8_pmuv3_0/stall_backend/).\n"
    '"dmesg | grep -i perf" may provide additional information.\n'
)
FILES = [
    ("Error:\nThe stall_backend_mem event is not supported.\n", "event stall_backend_mem is not supp", "by its number"),
    ("Error:\nThe cycles event is not supported.\n", "cycles is not supported", "virtual machine"),
    ("Error:\nThe cycles:u event is not supported.\n", "cycles is not supported", "virtual machine"),
    (f"Error:\n{LIMITED}", "refusal to count", "perf_event_paranoid=1"),
    (f"Error:\nNo permission to enable cycles event.\n\n{LIMITED}", "refusal to count", "perf_event_paranoid=1"),
    ("Error:\nYou may not have permission to collect stats.\n\nConsider\n", "refusal to count", "CAP|cap-add PERFMON"),
    (RETURNED.format("1 (Operation not permitted)"), "event armv8_pmuv3_0/stall_backend/", "perf_event_paranoid"),
    (RETURNED.format("2 (No such file or directory)"), "no PMU here knows the event", "/sys/bus/event_source/devices"),
    (RETURNED.format("13 (Permission denied)"), "for want of permission", "perf_event_paranoid"),
    (RETURNED.format("16 (Device or resource busy)"), "busy counters", "nmi_watchdog"),
    (RETURNED.format("22 (Invalid argument)"), "how an event was asked for", "fewer events into a group"),
    (RETURNED.format("24 (Too many open files)"), "too many open files", "ulimit -n"),
    (RETURNED.format("38 (Function not implemented)"), "without perf events", "CONFIG_PERF_EVENTS"),
    (RETURNED.format("95 (Operation not supported)"), "cannot do what was asked", "plain counting"),
    (RETURNED.format("131 (Unknown)"), "complaint about perf_event_open", "dmesg"),
    (
        "\n  Error: sys_perf_event_open() syscall returned with 2 (No such file or directory).  /bin/dmesg may\n\n"
        "  Fatal: Not all events could be opened.\n",
        *("no PMU here knows the event", "by its number"),
    ),
    (
        "perf_event_open(..., PERF_FLAG_FD_CLOEXEC) failed with unexpected error 13 (Permission denied)\nError:\n",
        *("for want of permission", "perf_event_paranoid"),
    ),
    ("Error:\nToo many events are opened.\nHint: Try again after reducing\n", "too many events", "ulimit -n"),
    ("Error:\nThe PMU counters are busy/taken by another profiler.\n", "busy counters", "another profiler"),
    (
        "event syntax error: 'stall_x'\n                     \\___ parser error\n",
        "the event 'stall_x'",
        "by its number",
    ),
    (
        "event syntax error: 'armv8_pmuv3_9/stall_backend/'\n  \\___ Cannot find PMU `armv8_pmuv3_9'. Missing kernel\n",
        *("a PMU that is not there", "event_source/devices"),
    ),
    ("Cannot find PMU `armv8_pmuv3_9'. Missing kernel support?\n", "a PMU that is not there", "event_source/devices"),
    ("Cannot find metric or group `TopdownL1'\n", "about the event", "perf list"),
    ("bash: perf: command not found\n", "no perf", "linux-tools"),
    ("Workload failed: No such file or directory\n", "did not run", "behind `perf stat --`"),
    ("Error:\n", "an error of perf", "perf stat -e cycles -- true"),
]


@pytest.mark.parametrize(("text", "what", "advice"), FILES)
def test_each_its_own_advice(tmp_path: Path, text: str, what: str, advice: str) -> None:
    with pytest.raises(AnalysisError, match=what) as caught:
        read(written(tmp_path, text))
    assert any(one in str(caught.value) for one in advice.split("|"))
    assert ("perf_event_paranoid" in str(caught.value)) is ("paranoid" in advice or "PERFMON" in advice)
    assert ("\n" not in str(caught.value) and "no counts are in it" in str(caught.value)) or text == "Error:\n"


def test_a_table_below_an_error_is_read(tmp_path: Path) -> None:
    table = "\n Performance counter stats for 'x':\n\n     1,000      cycles\n\n       1.5 seconds time elapsed\n"
    assert read(written(tmp_path, FILES[0][0] + table)).events == ["CPU_CYCLES"]
