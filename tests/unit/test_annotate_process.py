"""The Streamline client where processes fork, end, or lose their daemon."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from annotate_daemon import Daemon

import annotate
from annotate import sender

REPOSITORY = Path(__file__).parents[2]
PRELUDE = """
import os, sys, threading, time
import annotate
where = annotate.Endpoints(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
"""


def start(code, endpoints, **options):
    """A program that finds `where` and the annotate package; forking beside a thread is meant, not worth a warning."""
    names = [endpoints.parent_name, endpoints.data_name, str(endpoints.parent_port), str(endpoints.data_port)]
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + code, *names]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, text=True, stdout=pipe, stderr=pipe, **options)


def run(code, endpoints):
    """Output and exit code of a program."""
    process = start(code, endpoints)
    out, err = process.communicate(timeout=60)
    return out, err, process.returncode


def test_a_program_that_never_closes_is_heard_to_its_end(endpoints):
    code = """
s = annotate.streamline(endpoints=where)
threading.Thread(target=lambda: s.marker("thread")).start()
s.marker("main")
raise SystemExit(3)
"""
    with Daemon(endpoints) as daemon:
        assert run(code, endpoints) == ("", "", 3)
        daemon.wait(lambda: daemon.closed_connections == 2)
        assert sorted(daemon.markers) == ["main", "thread"]


def test_a_crash_is_heard_to_its_end(endpoints):
    code = """
with annotate.streamline(endpoints=where) as s:
    s.marker("about to fail")
    raise RuntimeError("failed")
"""
    with Daemon(endpoints) as daemon:
        _, err, exit_code = run(code, endpoints)
        assert (exit_code, err.splitlines()[-1]) == (1, "RuntimeError: failed")
        daemon.wait(lambda: daemon.closed_connections == 1)
        assert daemon.markers == ["about to fail"]


def test_a_forked_child_has_connections_of_its_own(endpoints):
    code = """
s = annotate.streamline(endpoints=where)
channel = s.channel("shared")
channel.start("parent 1")
child = os.fork()
if child == 0:
    channel.start("child")
    sys.exit()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
channel.start("parent 2")
s.close()
print(os.getpid(), child)
"""
    with Daemon(endpoints) as daemon:
        out, err, exit_code = run(code, endpoints)
        assert (err, exit_code) == ("", 0)
        daemon.wait(lambda: daemon.closed_connections == 2)
        assert daemon.parent_connections == 2
        said = {stream.process_id: [m.text for m in stream.messages] for stream in daemon.streams}
    parent, child = map(int, out.split())
    assert said == {parent: ["shared", "parent 1", "parent 2"], child: ["shared", "child"]}


def test_a_child_that_says_nothing_opens_nothing_and_keeps_nothing_open(endpoints):
    code = """
s = annotate.streamline(endpoints=where)
s.marker("parent")
assert s.flush()
if os.fork() == 0:
    sys.stdin.read()
    s.close()
    os._exit(0)
"""
    with Daemon(endpoints) as daemon:
        process = start(code, endpoints, stdin=subprocess.PIPE)
        # The parent is gone while its child still waits, and the daemon sees that.
        daemon.wait(lambda: daemon.closed_connections == 1)
        process.stdin.close()
        assert process.wait(60) == 0
        assert daemon.markers == ["parent"]
        process.stdout.close()
        process.stderr.close()


def test_forks_while_threads_talk(endpoints):
    code = """
s = annotate.streamline(endpoints=where)
stop = threading.Event()
def talk():
    while not stop.is_set():
        s.marker("chatter")
        time.sleep(0.0001)
threads = [threading.Thread(target=talk) for _ in range(3)]
for thread in threads: thread.start()
for number in range(30):
    child = os.fork()
    if child == 0:
        s.marker(f"child {number}")
        if number % 2:
            assert s.flush(20)
        else:
            s.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
for thread in threads: thread.join()
print(os.getpid())
"""
    with Daemon(endpoints) as daemon:
        out, err, exit_code = run(code, endpoints)
        assert (err, exit_code) == ("", 0)
        daemon.wait(lambda: daemon.closed_connections == 33)
        streams = daemon.streams
    children = [stream.markers for stream in streams if stream.process_id != int(out)]
    assert sorted(children) == sorted([f"child {number}"] for number in range(30))
    assert all(stream.rest == b"" for stream in streams)


def test_signal_handlers_may_annotate_at_any_moment(endpoints):
    code = """
import signal
count = 0
def handler(*_):
    global count
    count += 1
    s.marker("signal")
with annotate.streamline(endpoints=where) as s:
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for number in range(20000):
        s.marker(f"main {number}")
        if number % 1000 == 0:
            s.flush(20)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert s.flush(20)
    print(count, s.dropped)
"""
    with Daemon(endpoints) as daemon:
        out, err, exit_code = run(code, endpoints)
        assert exit_code == 0, err
        count, dropped = map(int, out.split())
        daemon.wait(lambda: daemon.closed_connections == len(daemon.streams) > 0)
        markers = daemon.markers
    assert count > 0
    assert len(markers) == count + 20000 - dropped
    mine = [int(text.split()[1]) for text in markers if text.startswith("main")]
    assert mine == sorted(set(mine))


def test_a_daemon_that_is_killed_changes_nothing_for_the_program(endpoints):
    code = """
with annotate.streamline(endpoints=where) as s:
    for number in range(3000):
        s.marker(f"number {number}")
        print(number, flush=number == 1000)
        if number % 100 == 0:
            time.sleep(0.01)
"""
    silent = run(code, endpoints)
    name = endpoints.data_name.removesuffix("-data")
    support = Path(__file__).parents[1] / "support"
    daemon = subprocess.Popen(
        [sys.executable, str(support / "annotate_daemon.py"), name],
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{support}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with daemon:
        assert daemon.stdout.readline() == "ready\n"
        process = start(code, endpoints)
        first = process.stdout.readline()
        daemon.send_signal(signal.SIGKILL)
        # read, not communicate: that would lose what readline has taken from the pipe beyond its line
        out, err = process.stdout.read(), process.stderr.read()
        process.communicate(timeout=60)
    assert (first + out, err, process.returncode) == silent == ("".join(f"{n}\n" for n in range(3000)), "", 0)


def test_the_client_needs_the_standard_library_alone(endpoints):
    """Files are written by analysis.outputs, which needs no more either."""
    code = """
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("numpy", "pandas", "q4engine", "analysis")))
"""
    assert run(code, endpoints) == ("analysis analysis.outputs\n", "", 0)


def test_a_closed_client_leaves_nothing_behind(endpoints):
    before = set(sender._senders)
    with annotate.streamline(endpoints=endpoints):
        assert len(sender._senders) == len(before) + 1
        assert "annotate" in [thread.name for thread in threading.enumerate()]
    assert sender._senders == before
    assert "annotate" not in [thread.name for thread in threading.enumerate()]


DESCRIPTORS = """
import resource

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
client = annotate.Streamline("on", where)
done = threading.Event()

def talk():
    client.marker("one of many")
    done.wait()

threads = [threading.Thread(target=talk) for _ in range(300)]
for thread in threads:
    thread.start()
files = []
for _ in range(20):  # while the client looks for connections
    client.flush(0.02)
    files.append(open("/dev/null"))
done.set()
for thread in threads:
    thread.join()
client.close()
print(len(files), "files")
"""


def test_the_program_keeps_descriptors_for_itself(endpoints):
    """A daemon that never accepts, and more threads than the program may have descriptors."""
    with contextlib.ExitStack() as stack:
        for name in (endpoints.parent_name, endpoints.data_name):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind("\0" + name)
            listener.listen(1000)
        out, err, code = run(DESCRIPTORS, endpoints)
    assert (out, code) == ("20 files\n", 0), err
    assert "Traceback" not in err
