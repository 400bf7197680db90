"""Starts a program with the watching library in it, passes signals on, and ends as it ended."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import signal
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

from analysis.outputs import working_folder
from q4engine.errors import Q4Error, shown

LIBRARY = "_watch.so"
FOLDER, OPERATIONS, GROUPS = "Q4_WATCH", "Q4_WATCH_OPERATIONS", "Q4_WATCH_GROUPS"
"""Variables that the library reads (native/watch/slots.c)."""

Meanwhile = AbstractContextManager[Callable[[], None]]
LOOK_SECONDS = 0.1
"""How long `run` waits at most before it looks for what its handlers took, and calls what it is to call meanwhile."""

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_MACHINES = {62: "x86_64", 183: "aarch64"}
_ELF64 = b"\x7fELF\x02\x01"
_HEAD = struct.Struct("<16xHHIQQQIHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_INTERPRETER = 3  # PT_INTERP
_MOST_SCRIPTS = 4
_MOST_OFFSET = 1 << 62


def library() -> Path:
    """The library, which lies beside the extension module. Q4Error where it was not built."""
    from q4engine import _native

    path = Path(str(_native.__file__)).with_name(LIBRARY)
    if not path.is_file():
        raise Q4Error(f"{path}: the watching library is not there; build the package again")
    return path


def why_unwatched(command: str) -> str | None:
    """Why nothing can be loaded into a program before its own libraries; None where that works."""
    found = shutil.which(command)
    for _ in range(_MOST_SCRIPTS):
        if found is None:
            return None  # starting it says why
        path = Path(found)
        if not path.is_file():  # opening a pipe would wait for its writer
            return None
        try:
            with path.open("rb") as file:
                start = file.read(4096)
            mode = path.stat()
            privileged = mode.st_mode & stat.S_ISUID and mode.st_uid != os.geteuid()
            privileged = privileged or (mode.st_mode & stat.S_ISGID and mode.st_gid != os.getegid())
        except OSError:
            return None if not os.access(path, os.X_OK) else "it may not be read, so what it is cannot be told"
        if privileged or _has_capabilities(path):
            return "it is setuid, setgid or has capabilities, so the loader takes no library from its user"
        if not start.startswith(b"#!"):
            return _why_not_elf(path, start)
        words = start[2:].split(b"\n")[0].split()
        named = os.fsdecode(words[0]) if words else ""
        if Path(named).name == "env" and len(words) > 1:
            named = next((os.fsdecode(word) for word in words[1:] if not word.startswith(b"-")), named)
        found = shutil.which(named)
    return None


def _has_capabilities(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def _why_not_elf(path: Path, start: bytes) -> str | None:
    if start[:4] != _ELF64[:4]:
        return None
    if not start.startswith(_ELF64) or len(start) < _HEAD.size:
        return "it is no 64-bit program"
    _, machine, _, _, at, _, _, _, size, n = _HEAD.unpack_from(start)
    if _MACHINES.get(machine) != platform.machine():
        return f"it is a program for {_MACHINES.get(machine, f'machine {machine}')}, not {platform.machine()}"
    if size != _SEGMENT.size or at >= _MOST_OFFSET:
        return None  # as starting it says
    with path.open("rb") as file:
        file.seek(at)
        table = file.read(size * n)
        for i in range(len(table) // size):
            kind, _, offset, _, _, n_bytes, _, _ = _SEGMENT.unpack_from(table, i * size)
            if kind == _INTERPRETER and offset < _MOST_OFFSET:
                file.seek(offset)
                if b"ld-musl" in file.read(min(n_bytes, 4096)):
                    return "it runs with musl, the library with glibc"
                return None
    return "it is statically linked"


def environment(records: Path, per_op: bool, groups: str, preload: Path, counted: bool = False) -> dict[str, str]:
    """The program's environment. counted: operations too, with the groups."""
    before = os.environ.get("LD_PRELOAD", "")
    found = {name: value for name, value in os.environ.items() if name not in (FOLDER, OPERATIONS, GROUPS)}
    # behind others: a sanitizer's runtime has to be the first
    found["LD_PRELOAD"] = f"{before}:{preload}" if before else str(preload)
    found[FOLDER] = str(records)
    if per_op:
        found[OPERATIONS] = "counted" if counted else "1"
    if groups:
        found[GROUPS] = groups
    return found


@contextlib.contextmanager
def loadable(path: Path) -> Iterator[Path]:
    """The path, or a link to it: the loader cuts LD_PRELOAD at blanks and colons."""
    if not set(str(path)) & set(" :\t\n$"):
        yield path
        return
    with working_folder(Path("/tmp")) as folder:
        link = folder / LIBRARY
        link.symlink_to(path)
        yield link


def run(command: Sequence[str], variables: Mapping[str, str] | None, meanwhile: Meanwhile | None = None) -> int:
    """Runs the program to its end; its exit code, or minus the number of the signal that ended it.

    Signals that somebody sends to this process go to the program; those of the terminal reach both anyway. meanwhile:
    entered once the program runs; what it gives is called now and then, and once more behind the program's end. Q4Error
    where the program cannot be started.
    """
    waited = {*_PASSED_ON, signal.SIGCHLD}
    early: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _PASSED_ON}
    ours = [number for number, handler in handlers.items() if handler is not signal.SIG_IGN]
    for number in ours:  # until they are waited for; the program begins with the usual answers to them
        signal.signal(number, lambda number, frame: early.append(number))
    mask = None
    try:
        program = _started(command, variables)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
        with meanwhile or contextlib.nullcontext() as look:
            return _wait(program, waited, early, look)
    finally:
        if mask is not None:
            while signal.sigtimedwait(waited, 0) is not None:  # what came at its end was meant for it
                pass
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in ours:
            signal.signal(number, handlers[number])


@contextlib.contextmanager
def together(parts: Sequence[Meanwhile]) -> Iterator[Callable[[], None]]:
    """Several as one."""
    with contextlib.ExitStack() as stack:
        looks = [stack.enter_context(part) for part in parts]

        def look() -> None:
            for one in looks:
                one()

        yield look


def _started(command: Sequence[str], variables: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(list(command), env=variables)
    except OSError as error:
        raise Q4Error(f"{shown(command[0])} cannot be started: {error.strerror}") from None


def _wait(
    program: subprocess.Popen[bytes], waited: set[signal.Signals], early: list[int], look: Callable[[], None] | None
) -> int:
    """early: signals that a handler takes. Other threads of this process, as NumPy's, do not block them, and one of
    them gets what comes while this one does not wait: handlers run when the wait is over, so it is never long."""
    while (code := program.poll()) is None:
        while early:
            _send(program, early.pop(0))
        told = signal.sigtimedwait(waited, LOOK_SECONDS)
        if look is not None:
            look()
        if told is not None and told.si_signo != signal.SIGCHLD and told.si_code <= 0:  # by a process, not the kernel
            _send(program, told.si_signo)
    if look is not None:
        look()
    return code


def _send(program: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(program.pid, number)


def end_as(code: int) -> NoReturn:
    """Ends this process as the program ended."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    raise SystemExit(code if code >= 0 else 128 - code)
