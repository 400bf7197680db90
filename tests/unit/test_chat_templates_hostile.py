"""Chat templates that want too much, or out: each ends in one line, and the process that rendered it with it."""

from __future__ import annotations

import gc
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from q4engine.errors import Q4Error
from q4engine.tokenizer import ChatTemplate
from q4engine.tokenizer.template_process import TemplateProcess

OK = "{{ messages[0].content }}"
MESSAGES = [{"role": "user", "content": "Hi"}]

TIME, MEMORY = "cannot be used: it takes more than [0-9.]+ s", "it needs more than 160 MB of memory"
LARGE = f"{TIME}|{MEMORY}|it writes [0-9]+ characters, more than"
DEEP = "it nests too deeply"
FAILS = "is no valid template|cannot be used"

GROWING = "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}%s{% endfor %}{{ ns.x | length }}"
KINDS = {
    # Loops
    "nested loops": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", TIME),
    "loops over nothing": ("{% for i in range(99999) %}{% for j in range(99999) if x %}{% endfor %}{% endfor %}", TIME),
    "loops of sets": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for m in messages %}{% set y = m.role %}"
        "{% endfor %}{% endfor %}{% endfor %}",
        TIME,
    ),
    "a huge range": ("{% for i in range(10**12) %}{% endfor %}", "cannot be used: Range too big"),
    "calls": ("{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n else 1 }}{% endmacro %}{{ f(60) }}", TIME),
    # One operation that takes long, or makes much
    "a search that is quadratic": ("{{ ('a'*4000000).rfind('ab'+'a'*2000000) }}", TIME),
    "a split that is quadratic": ("{{ ('a'*4000000).rsplit('ab'+'a'*2000000) }}", TIME),
    "a partition that is quadratic": ("{{ ('a'*4000000).rpartition('ab'+'a'*2000000) }}", TIME),
    "a trim with a long set": ("{{ ('a'*4000000) | trim('b'*4000000 ~ 'a') | length }}", TIME),
    "hashes that collide": (
        "{{ range(2305843009213693951, 2305843009213693951*99999, 2305843009213693951) | unique | list | length }}",
        TIME,
    ),
    "a tower of powers": ("{{ 9**(9**9) }}", LARGE),
    "a string product": ("{{ 'a' * 10**10 }}", LARGE),
    "a list product": ("{{ ([1] * 10**9) | length }}", LARGE),
    "a replacement": ("{{ ['a'*1000000] | map('replace', 'a', 'b'*4000) | list }}", LARGE),
    "a sort of characters": ("{{ ('\u4e00'*40000000) | sort | length }}", LARGE),
    "padding": ("{{ 'a'.ljust(10**10) }}", LARGE),
    "a width": ("{{ '%999999999d' % 1 }}", LARGE),
    "a width of format": ("{{ '{:>999999999}'.format(1) }}", LARGE),
    "an indent": ("{{ [1] | tojson(indent=10**9) }}", LARGE),
    "a margin": ("{{ '\n\n\n' | indent(10**9) }}", LARGE),
    "a wide date": ("{{ strftime_now('%1000000000d') | length }}{{ 'a' * 10**10 }}", LARGE),
    "filler": ("{{ lipsum(n=10**9) }}", LARGE),
    "a constant of the compiler": ("{{ 'a' * 10**10 if false }}{{ 'a' * 10**9 ~ 'b' }}", LARGE),
    # Many small steps that grow
    "doubling": (GROWING.replace("%s", "{% set ns.x = ns.x ~ ns.x %}"), LARGE),
    "many long strings": ("".join(f"{{% set a{i} = '\U0001f600'*4000000 %}}" for i in range(60)), LARGE),
    "a chain": (
        "{% set ns = namespace(x=0) %}{% for i in range(99999) %}{% for j in range(99) %}"
        "{% set ns.x = namespace(x=ns.x) %}{% endfor %}{% endfor %}",
        LARGE,
    ),
    "a nest of pairs": (
        "{% set ns = namespace(x=[]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        LARGE,
    ),
    "two nests compared": (
        "{% set ns = namespace(x=(1,), y=(1,)) %}{% for i in range(99) %}{% set ns.x = (ns.x, ns.x) %}"
        "{% set ns.y = (ns.y, ns.y) %}{% endfor %}{{ ns.x == ns.y }}",
        LARGE,
    ),
    "long output": ("{% for i in range(99999) %}" + "x" * 5000 + "{% endfor %}", LARGE),
    "output above the limit": ("{{ 'a' * 4194305 }}", "it writes 4194305 characters, more than 4194304"),
    # Depth
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", DEEP),
    "a deep value": (
        "{% set ns = namespace(x=[]) %}{% for i in range(3000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        DEEP,
    ),
    "deep parentheses": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", f"{DEEP}|{FAILS}"),
    "many nested blocks": ("{% if 1 %}" * 300 + "{% endif %}" * 300, f"{DEEP}|{FAILS}"),
    # Ways out
    "classes": ("{{ ''.__class__.__mro__ }}", "cannot be used: access to attribute '__class__' of 'str'"),
    "classes by subscript": ("{{ ''['__class__']['x'] }}", "cannot be used: access to attribute '__class__'"),
    "classes by filter": ("{{ ('' | attr('__class__')).x }}", "cannot be used"),
    "classes by format": (
        "{{ '{0.__class__.__mro__}'.format('') }}",
        "cannot be used: access to attribute '__class__'",
    ),
    "functions": ("{{ raise_exception.__globals__.x }}", "cannot be used: access to attribute '__globals__'"),
    "mutation": ("{% set x = [1] %}{{ x.append(2) }}", "cannot be used: access to attribute 'append'"),
    "files": ("{% include '/etc/passwd' %}", "cannot be used: no loader"),
    "imports": ("{% import 'os' as os %}{{ os }}", "cannot be used: no loader"),
    "the worker's own names": ("{{ 1 | q4 step }}", "is no valid template"),
    # Plain mistakes
    "syntax": ("{% for %}", "is no valid template"),
    "an unknown tag": ("{% frob %}", "is no valid template: Encountered unknown tag 'frob'"),
    "an unfinished block": ("{% if true %}", "is no valid template"),
    "a missing message": ("{{ messages[99].content }}", "cannot be used"),
    "division by zero": ("{{ 1 // 0 }}", "cannot be used: integer division or modulo by zero"),
    "a very long source": ("x" * (1 << 16) + "x", "is 65537 characters long, expected at most 65536"),
    "an error of many lines": ("{{ raise_exception('one\ntwo') }}", "refuses the messages: one$"),
    "an error of empty lines": ("{{ raise_exception('\n\r\x85') }}", "refuses the messages: it says nothing of why$"),
    "an error with control characters": ("{{ raise_exception('a\x1b[31m') }}", r"refuses the messages: a\\x1b\[31m"),
}


# Each takes the whole second that a template has; one of them is enough for every day.
SLOW = [name for name, (_, message) in KINDS.items() if message == TIME][1:]


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long if name in SLOW else ()) for name in KINDS])
def test_hostile_template(name: str) -> None:
    source, message = KINDS[name]
    subprocess.run([sys.executable, "-c", ""], check=True)  # a child's peak begins with what this process holds
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(Q4Error) as caught:
        ChatTemplate("synthetic.gguf", source, {}).render(MESSAGES)
    text = str(caught.value)
    assert re.search(message, text), text
    assert text.startswith("synthetic.gguf: key 'tokenizer.chat_template' ") and "\n" not in text and len(text) < 500
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_maxrss <= max(before.ru_maxrss, 250_000)


def test_a_long_chain_of_elif_is_no_traceback() -> None:
    """Pythons differ in how deep a source they compile; none may end in anything but text or one line."""
    source = "{% if a %}" + "{% elif a %}" * 5000 + "{% endif %}ok"
    try:
        assert ChatTemplate("synthetic.gguf", source, {}).render(MESSAGES) == "ok"
    except Q4Error as error:
        assert "\n" not in str(error)


def _render_flaky(template: ChatTemplate, work: str) -> str:
    return template.render([{"role": "user", "content": work}])


FLAKY = (
    "{% if messages[0].content == 'memory' %}{{ 'a' * 10**10 }}"
    "{% elif messages[0].content == 'time' %}{{ ('a'*4000000).rfind('ab'+'a'*2000000) }}"
    "{% else %}{{ messages[0].content }}{% endif %}"
)


def test_a_template_that_was_ended_renders_again() -> None:
    template = ChatTemplate("synthetic.gguf", FLAKY, {})
    for work in ("memory", "time"):
        with pytest.raises(Q4Error):
            _render_flaky(template, work)
        assert _render_flaky(template, "Hi") == "Hi"


def test_one_process_serves_a_conversation() -> None:
    template = ChatTemplate("synthetic.gguf", FLAKY, {})
    child = template._process._child
    assert child is not None
    assert [_render_flaky(template, str(i)) for i in range(30)] == [str(i) for i in range(30)]
    assert template._process._child is child


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_neither_zombies_nor_descriptors_stay() -> None:
    template = ChatTemplate("synthetic.gguf", FLAKY, {})
    _render_flaky(template, "Hi")
    descriptors, children = _descriptors(), _children()
    del template  # without the collector
    assert (_descriptors(), len(_children())) == (descriptors - 2, len(children) - 1)
    template = ChatTemplate("synthetic.gguf", FLAKY, {})
    with pytest.raises(Q4Error):
        _render_flaky(template, "memory")
    assert (_descriptors(), len(_children())) == (descriptors - 2, len(children) - 1)
    _render_flaky(template, "Hi")
    template.close()
    assert (_descriptors(), len(_children())) == (descriptors - 2, len(children) - 1)


def test_a_process_killed_from_outside() -> None:
    template = ChatTemplate("synthetic.gguf", FLAKY, {})
    child = template._process._child
    assert child is not None
    child.kill()
    child.wait()
    assert _render_flaky(template, "Hi") == "Hi"


def test_threads_take_turns() -> None:
    template = ChatTemplate("synthetic.gguf", FLAKY, {})
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        found[number] = [_render_flaky(template, f"{number} {i}") for i in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [f"{number} {i}" for i in range(20)] for number in range(4)}


FORKS = """
import os, sys
from q4engine.tokenizer import ChatTemplate
template = ChatTemplate("x", "{{ messages[0].content }}", {})
hi = [{"role": "user", "content": "Hi"}]
first = template._process._child
pid = os.fork()
if not pid:
    assert template._process._child is None
    assert template.render(hi) == "Hi"
    assert template._process._child.pid != first.pid
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert template.render(hi) == "Hi" and template._process._child is first
print("done")
"""


def test_after_a_fork_each_has_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


WAITING = """
import sys
from q4engine.tokenizer import ChatTemplate
template = ChatTemplate("x", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", {})
import q4engine.tokenizer.template_worker
template._process._seconds *= 20
print(template._process._child.pid, flush=True)
template.render([{"role": "user", "content": "Hi"}])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_both(number: signal.Signals) -> None:
    """What is left behind by SIGKILL ends by its own limit, or by the end of its input."""
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{WAITING}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(number)
    parent.wait(30)
    parent.stdout.close()
    assert parent.returncode == -number
    deadline = time.monotonic() + 60
    while _alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers reserve all address space")
def test_under_a_limit_of_memory() -> None:
    code = f"""
import resource
from q4engine.tokenizer.template_process import TemplateProcess
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
process = TemplateProcess()
resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
print(process.ask({OK!r}, {{"messages": {MESSAGES!r}}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("('T', 'Hi')\n", "")


@pytest.mark.parametrize(
    ("executable", "message"),
    [
        ("", "this program names none"),
        ("/nowhere/python", "cannot be started: No such file or directory"),
        ("/bin/true", "cannot be started: its process ended with exit code 0"),
    ],
)
def test_no_python_to_start(monkeypatch: pytest.MonkeyPatch, executable: str, message: str) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(Q4Error, match=message):
        ChatTemplate("synthetic.gguf", OK, {})


def test_the_worker_imports_neither_numpy_nor_the_engine() -> None:
    """Starting it costs what jinja2 costs."""
    process = TemplateProcess()
    process.ask(OK, {"messages": MESSAGES})
    assert process._child is not None
    maps = Path(f"/proc/{process._child.pid}/maps").read_text()
    assert "numpy" not in maps and "_native" not in maps
    gc.collect()
