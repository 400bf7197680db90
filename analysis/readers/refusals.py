"""What perf and simpleperf print instead of counts, and what to do about each: (what the file is, advice, pattern).

The most telling come first: perf puts several of these lines into one answer. `{event}` is the pattern's group of that
name. The texts are those of perf 2.6.31 to 6.1x (evsel__open_strerror and parse_events of its sources).
"""

from __future__ import annotations

import re

_NONE = "no counts are in it: "
_PARANOID = (
    f"{_NONE}run perf as root or lower /proc/sys/kernel/perf_event_paranoid (sysctl kernel.perf_event_paranoid=1), "
    "in a container add --cap-add PERFMON and a seccomp profile that allows perf_event_open; then record again"
)
_NO_PMU = (
    f"{_NONE}without a PMU of the CPU in /sys/bus/event_source/devices (a virtual machine, a container of one) nothing "
    "of the processor can be counted: record on the machine itself"
)
_EVENT = (
    f"{_NONE}leave the event out, name it as `perf list` does, or by its number, as in `perf stat -e r24`, and record "
    "again"
)
_MANY = f"{_NONE}raise the limit of open files (ulimit -n 65536) or count fewer events, CPUs or threads at a time"
_BUSY = f"{_NONE}another profiler holds the counters: stop it, or the NMI watchdog (sysctl kernel.nmi_watchdog=0)"

# Of perf_event_open, whose number perf prints where it has no words for it.
_ERRNO: dict[int, tuple[str, str]] = {
    1: ("perf's refusal to count, for want of permission (1)", _PARANOID),
    2: ("perf's complaint that no PMU here knows the event (2)", f"{_EVENT}; {_NO_PMU.removeprefix(_NONE)}"),
    3: ("perf's complaint about a process that has ended (3)", f"{_NONE}name one that runs with -p, or the program"),
    7: ("perf's complaint of a kernel older than itself (7)", f"{_NONE}use the perf of this kernel's release"),
    12: ("perf's complaint about memory (12)", f"{_NONE}count fewer events or CPUs at a time, or raise `ulimit -l`"),
    13: ("perf's refusal to count, for want of permission (13)", _PARANOID),
    16: ("perf's complaint of busy counters (16)", _BUSY),
    19: ("perf's complaint about a CPU or PMU that is not there (19)", f"{_NONE}name CPUs that are online with -C"),
    22: (
        "perf's complaint about how an event was asked for (22)",
        f"{_NONE}drop its modifiers (:p, :G) and terms, put fewer events into a group, or use the perf of this kernel",
    ),
    24: ("perf's complaint about too many open files (24)", _MANY),
    28: ("perf's complaint about too many events (28)", f"{_NONE}count fewer of them at a time"),
    38: (
        "perf's complaint of a kernel without perf events (38)",
        f"{_NONE}the kernel lacks CONFIG_PERF_EVENTS, or a sandbox (gVisor, seccomp, WSL 1) keeps the call from it",
    ),
    95: (
        "perf's complaint that this PMU cannot do what was asked (95)",
        f"{_NONE}use plain counting: perf stat, no precise or branch events; {_NO_PMU.removeprefix(_NONE)}",
    ),
}
_RETURNED = (
    r"perf_event_open\b.{{0,60}} (?:returned with|failed with(?: unexpected)? error) {number}\b"
    r"(?:[^()]{{0,20}}\([^()]{{0,60}}\) for event \((?P<event>[^()]{{1,200}})\))?"
)

REFUSALS: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    *((what, advice, re.compile(_RETURNED.format(number=number))) for number, (what, advice) in _ERRNO.items()),
    (
        "perf's complaint about perf_event_open",
        f"{_NONE}`dmesg | grep -i perf` may say why; `perf stat -e cycles` alone tells whether anything can be counted",
        re.compile(_RETURNED.format(number=r"-?\d{1,4}")),
    ),
    (
        "perf's complaint about a PMU that is not there",
        f"{_NONE}`ls /sys/bus/event_source/devices` lists the PMUs that this kernel has; name one of them, or the "
        "event alone, as in `perf stat -e r24`",
        re.compile(r"Cannot find PMU\b"),
    ),
    (
        "perf's complaint about the event '{event}'",
        _EVENT,
        re.compile(r"(?:^|\W)(?:event syntax error:|invalid or unsupported event:) '(?P<event>[^']{1,100})"),
    ),
    (
        "perf's complaint about the event",
        _EVENT,
        re.compile(
            r"(?:^|\s)(?:event syntax error:|invalid or unsupported event:|Unable to find (?:PMU or )?event\b"
            r"|Bad event (?:name|or PMU)|[Cc]annot find metric or group)"
            r"|\\___ (?:parser error|unknown (?:term|tracepoint))"
        ),
    ),
    (
        "perf's complaint that {event} is not supported",
        _NO_PMU,
        re.compile(r"^The (?P<event>(?:cpu-)?cycles|instructions)(?:/?:?[a-zA-Z]{0,5}) event is not supported"),
    ),
    (
        "perf's complaint that the event {event} is not supported",
        f"{_EVENT}: this core or its kernel does not have it under this name",
        re.compile(r"^The (?P<event>\S{1,200}) event is not supp"),
    ),
    (
        "perf's complaint about too many events",
        _MANY,
        re.compile(r"^Too many events are opened|^Probably the maximum number of open file descriptors"),
    ),
    (
        "perf's complaint of busy counters",
        _BUSY,
        re.compile(r"^The PMU counters are busy|^We found oprofile daemon running"),
    ),
    (
        "perf's complaint that this PMU cannot do what was asked",
        f"{_NONE}count with `perf stat`, without sampling, precise or branch events",
        re.compile(
            r"PMU Hardware (?:or event type )?doesn't support|^No hardware sampling interrupt"
            r"|feature (?:is )?not supported"
        ),
    ),
    (
        "perf's refusal to count",
        _PARANOID,
        re.compile(
            r"^(?:Error:\s{0,4})?(?:Access to performance monitoring|You may not have permission to collect"
            r"|No permission to enable|Permission denied|Permission error)|perf_event_paranoid"
        ),
    ),
    (
        "perf's complaint about a CPU or PMU that is not there",
        f"{_NONE}name CPUs that are online with -C",
        re.compile(r"^No such device - did you specify"),
    ),
    (
        "a shell's answer that there is no perf",
        f"{_NONE}install perf for this kernel (linux-tools-$(uname -r), linux-perf), and record again",
        re.compile(r"perf: (?:command )?not found|^WARNING: perf not found for kernel|^Command 'perf' not found"),
    ),
    (
        "simpleperf's refusal to count",
        f"{_NONE}adb shell setprop security.perf_harden 0, name events of `simpleperf list`, and record again",
        re.compile(r"^simpleperf [EF] \S{1,80}\]"),
    ),
)
LAST: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    (
        "perf's answer that the program did not run",
        f"{_NONE}correct the command behind `perf stat --`, and record again",
        re.compile(r"^(?:Workload failed: |failed to exec|\S{1,200}: No such file or directory$)"),
    ),
    (
        "an error of perf without counts",
        "record again; `perf stat -e cycles -- true` tells whether anything can be counted here",
        re.compile(r"^(?:Error: ?$|Error: \S|Fatal: |No supported events found)"),
    ),
)
"""What other files might hold as well: asked for when nothing else is found."""
