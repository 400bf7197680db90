"""Where and how urgently a command runs: CPUs, memory nodes, priority."""

from __future__ import annotations

import argparse
import os

from q4engine import memory_nodes
from q4engine.cli import options
from q4engine.cli.options import note
from q4engine.cpus import default_thread_count

_NICENESS = {-1: 5, 0: 0, 1: -5, 2: -10, 3: -20}
"""By llama.cpp's numbers of priorities: low, normal, medium, high, realtime."""
_NODES = ("distribute", "isolate", "numactl")


def add_placing(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "-C", "--cpu-mask", metavar="M", type=options.cpu_mask, help="pin the threads to these CPUs: 0xf0 or 4-7"
    )
    parser.add_argument(
        "--numa",
        choices=_NODES,
        help="memory nodes: threads go to all by turns, stay on the one they start on, or keep to what numactl set",
    )
    parser.add_argument(
        "--prio",
        metavar="N",
        type=options.integer(min(_NICENESS), max(_NICENESS)),
        default=0,
        help="priority: -1 low, 0 normal (default), 1 medium, 2 high, 3 the highest; above 0 needs rights",
    )


def place(args: argparse.Namespace) -> None:
    """Sets the priority, and CPUs or affinity by memory nodes. Asked for twice it is done once."""
    if args.prio:
        _set_priority(args.prio)
        args.prio = 0
    way, args.numa = args.numa, None
    if way is None:
        return
    if args.cpu_mask:
        args.parser.error("--numa and --cpu-mask both say where threads run: give one")
    nodes, several = memory_nodes.memory_nodes(), isinstance(args.threads, list)
    if len(nodes) == 1:
        note("note: --numa changes nothing: the CPUs that may be used are of one memory node")
    elif way == "distribute":
        cpus = memory_nodes.by_turns(nodes)
        most = max(args.threads or default_thread_count(), args.threads_batch or 0) if not several else None
        args.cpu_mask = cpus[:most]
    elif way == "isolate":
        os.sched_setaffinity(0, memory_nodes.node_of(memory_nodes.current_cpu(), nodes))


def _set_priority(priority: int) -> None:
    niceness = _NICENESS[priority]
    try:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    except OSError as error:
        note(
            f"note: --prio {priority} (niceness {niceness}) is not allowed here: {error.strerror}; "
            "root, CAP_SYS_NICE or a limit (ulimit -e) allow it"
        )
