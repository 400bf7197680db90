"""``python -m q4engine.sweep.device_agent FOLDER``: makes runs on this machine for a sweep on another.

A JSON object a line: on stdin runs that are wanted, on stdout first what this machine is, then each run when it is
over. It ends with the connection, and what it had started ends with it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from q4engine import __version__
from q4engine.bench.conditions import machine_facts
from q4engine.errors import Q4Error
from q4engine.sweep.one_run import make_run
from q4engine.sweep.plan_file import plan_of

PROTOCOL = 1


def main(folder: Path) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get among the answers
    _say(answers, {"agent": PROTOCOL, "q4engine": __version__, "machine": machine_facts(None)})
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        _say(answers, answer(json.loads(requests.get()), folder))


def answer(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The run that was asked for, as data, or the error."""
    try:
        plan = plan_of(request["plan"], "device", folder)
        model = Path(folder, request["model"]) if request["model"] else None
        run = make_run(plan, plan.combinations[0], model, request["block"], request["attempt"], {})
    except Q4Error as error:
        return {"error": str(error)}
    return {
        "state": run.state, "reason": run.reason, "started": run.started, "seconds": run.seconds,
        "samples": [[each.phase, each.tokens, each.seconds] for each in run.samples],
        "components": [[each.phase, each.tokens, each.seconds, each.name] for each in run.components],
        "engine": run.engine, "conditions": run.conditions, "tokens": run.tokens,
    }  # fmt: skip


def _listen(requests: queue.Queue[str]) -> None:
    """Also while a run is made, whose process ends with this one."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _say(answers: Any, data: dict[str, Any]) -> None:
    answers.write(json.dumps(data) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
