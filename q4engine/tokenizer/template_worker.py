"""The process that renders chat templates: ``python template_worker.py FOLDER …``, started by ``template_process``.

A template is code from an untrusted file. jinja2's sandbox keeps it away from Python's internals; what it may use up is
the kernel's business: memory beyond the limit is refused, and a signal ends the process where a request takes more
CPU time than it may. The process can open no file, write none and start nothing.

It imports neither q4engine nor NumPy: FOLDER … are where jinja2 and markupsafe lie. Requests come on stdin, answers go
to stdout: a letter, the number of bytes as eight little-endian bytes, and UTF-8.

    R  (ready)        the CPU seconds that a request may take
    J  (request)      JSON: source, values (null: the source is only compiled)
    T  (text)         the rendered template
    C, F, E (errors)  of the compiler; the template refuses the messages; something failed as it was rendered
    M (error)         there was too little memory; the process ends
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

MEMORY = 160 << 20  # bytes, beyond those of the process when it is ready
MAX_CHARS = 1 << 22  # of messages and of a rendered text: far above any context
_ABSOLUTE_MEMORY = 256 << 20  # where the kernel does not tell how large the process is
_MAX_MESSAGE = 2000  # characters of an error
_MIN_CPU_SECONDS = 1.0
_CPU_STARTS = 8  # a slow or emulated core gets as much done as a fast one: so many starts of this process
_WARMING = "{{ 'a\\u00e9' | pprint | wordwrap | striptags }}{{ lipsum(1) }}{{ strftime_now('%c') }}{{ 1 // 0 }}"


class _Refused(Exception):
    """The template called ``raise_exception``."""


def main() -> None:
    """Answers requests until stdin ends."""
    sys.path += sys.argv[1:]
    environment = _environment_maker()
    with contextlib.suppress(ZeroDivisionError):  # what jinja2 and Python import when it is needed is there from now on
        environment().from_string(_WARMING).render()
    seconds = max(_MIN_CPU_SECONDS, _CPU_STARTS * sum(os.times()[:2]))
    _confine()
    _send("R", str(seconds))

    @functools.lru_cache(1)
    def compiled(source: str) -> Any:
        return environment().from_string(source)

    while True:
        try:
            request = _receive()
            if request is None:
                return
            signal.setitimer(signal.ITIMER_PROF, seconds)
            kind, text = _answer(compiled, **json.loads(request))
            signal.setitimer(signal.ITIMER_PROF, 0)
            _send(kind, text)
        except MemoryError:  # what it left behind goes with the process
            _send("M", f"it needs more than {MEMORY >> 20} MB of memory")
            return


def _answer(compiled: Callable[[str], Any], source: str, values: dict[str, Any] | None) -> tuple[str, str]:
    kind = "C"
    try:
        template = compiled(source)
        kind = "E"
        text = "" if values is None else template.render(values)
    except MemoryError:
        raise
    except RecursionError:
        return kind, "it nests too deeply"
    except _Refused as refusal:
        return "F", str(refusal)[:_MAX_MESSAGE]
    except Exception as error:  # compiler and template raise many kinds, all of them for the file's fault
        return kind, (str(error) or type(error).__name__)[:_MAX_MESSAGE]
    if len(text) > MAX_CHARS:
        return kind, f"it writes {len(text)} characters, more than {MAX_CHARS}"
    return "T", text


def _environment_maker() -> Callable[[], Any]:
    """Makes environments as transformers sets them up, which is what templates are written for."""
    from jinja2 import nodes
    from jinja2.ext import Extension, LoopControlExtension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks, for training, what an assistant says: its text is what stands in it."""

        tags = {"generation"}  # noqa: RUF012  (jinja2's own form)

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    def environment() -> Any:
        made = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, LoopControlExtension]
        )
        made.filters["tojson"] = _tojson
        made.globals |= {"raise_exception": _refuse, "strftime_now": _strftime_now}
        return made

    return environment


def _refuse(message: object = "") -> None:
    raise _Refused(str(message))


def _strftime_now(form: str) -> str:
    """The local time, as templates put it into system messages."""
    return datetime.now().strftime(form)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML's escapes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _confine() -> None:
    """From here on the process has what it has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked ends this process
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    memory = _ABSOLUTE_MEMORY
    with contextlib.suppress(OSError, ValueError, IndexError):
        memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
    limits = [(resource.RLIMIT_AS, memory), (resource.RLIMIT_NOFILE, 0)]
    limits += [(each, 0) for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE)]
    for which, limit in limits:
        _, hard = resource.getrlimit(which)
        with contextlib.suppress(OSError, ValueError):
            most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(which, (most, most))


def _send(kind: str, text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    sys.stdout.buffer.write(kind.encode() + len(body).to_bytes(8, "little") + body)
    sys.stdout.buffer.flush()


def _receive() -> str | None:
    """The next request; None at the end of the input."""
    header = sys.stdin.buffer.read(9)
    if len(header) < 9:
        return None
    return sys.stdin.buffer.read(int.from_bytes(header[1:], "little")).decode("utf-8", "surrogatepass")


if __name__ == "__main__":
    main()
