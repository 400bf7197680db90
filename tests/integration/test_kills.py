"""Commands that write, killed at random moments: no half file under a final name, no lost old one, nothing left behind
once the next run has written there. Q4_KILLS says how often: 8 of each by default, 40 in `make test-long`, of the
reports that share their way of writing with `stalls` a quarter of that, of prompt caches 100 unless it is 8 or less."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hub_server import serving
from killed_commands import COMMANDS, LAST_QUESTION, SIGNALS, WIDE, Command
from models.tiny import write_tiny
from started import SECONDS, Started

from q4engine.gguf import GGUFFile

KILLS = int(os.environ.get("Q4_KILLS", "8"))
FEWER = ("timeline", "compare", "roofline", "scaling")
MORE = {"prompt cache": 100}


def killed(command: Command, rng: random.Random, seconds: float, at_work: bool) -> int:
    """Runs the command and sends it a signal within that time, or, ``at_work``, soon after it began to write; its exit
    code."""
    started = Started(command.words, typed=command.typed, environment=command.environment)
    if at_work:
        started.wait(2 * seconds, command.folder)
        seconds *= 0.1
    started.wait(rng.uniform(0, seconds))
    started.end_by(rng.choice(command.signals))
    started.ended()
    return started.process.returncode


def completed(command: Command) -> float:
    """Seconds that the command takes undisturbed."""
    start = time.monotonic()
    what_is_said(command.last, command.environment, command.typed_last)
    return time.monotonic() - start


def what_is_said(words: Sequence[str], environment: Mapping[str, str], typed: bytes = b"") -> str:
    started = Started(words, typed=typed, environment=environment)
    said = started.ended()
    assert started.process.returncode == 0, said
    return said


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed(name: str, tmp_path: Path) -> None:
    rng = random.Random(name)
    command = COMMANDS[name](tmp_path)
    inputs = contents(tmp_path)
    seconds = completed(command)
    assert all(whole(path.read_bytes()) or path in command.appended for path, whole in command.outputs.items())
    codes = set()
    times = -(-KILLS // 4) if name in FEWER else KILLS
    times = max(times, MORE.get(name, 0)) if KILLS > 8 else times
    for at in range(10 * times):
        if at >= times and codes - {0}:
            break  # else none was cut short yet
        earlier = set_earlier(command, there=at % 3 != 0)
        codes.add(killed(command, rng, 1.2 * seconds, at_work=at % 2 == 0))
        for path, whole in command.outputs.items():
            found = path.read_bytes() if path.exists() else None
            assert found == earlier[path] or (found is not None and whole(found)), f"{path.name}: {found!r:.500}"
    assert codes - {0}, "no run was cut short"
    set_earlier(command, there=True)
    completed(command)
    assert all(whole(path.read_bytes()) for path, whole in command.outputs.items())
    after = contents(tmp_path)
    assert after.keys() == inputs.keys() | command.outputs.keys()
    assert all(after[path] == content for path, content in inputs.items())


def set_earlier(command: Command, there: bool) -> dict[Path, bytes | None]:
    """Lays files under the names of the outputs, or takes them away."""
    earlier: dict[Path, bytes | None] = {}
    for path in command.outputs:
        if path in command.appended:
            earlier[path] = LAST_QUESTION
        else:
            earlier[path] = command.earlier.get(path, b"earlier\n") if there else None
        if (content := earlier[path]) is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content)
    return earlier


def test_a_download_that_is_killed(tmp_path: Path) -> None:
    """The next one goes on with what is there, and leaves the model and nothing else of it."""
    rng = random.Random("download")
    model = write_tiny(tmp_path / "tiny.gguf", WIDE).read_bytes()
    words = ["tokenize", "-hf", "me/tiny", "-p", "abc", "--count"]
    codes = set()
    with serving("me/tiny", {"tiny-Q4_0.gguf": model}) as server:
        server.pause = 0.02
        for at in range(KILLS):
            home = tmp_path / str(at // 3)  # the first of three begins
            environment = {"HF_ENDPOINT": server.endpoint, "HF_HUB_CACHE": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
            environment |= dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1")
            started = Started(words, environment=environment)
            until = time.monotonic() + SECONDS
            while started.is_running() and time.monotonic() < until and not any(home.rglob("*.incomplete")):
                started.wait(0.01)
            started.wait(rng.uniform(0, 0.03 * len(model) / 65536))
            started.end_by(rng.choice(SIGNALS))
            started.ended()
            codes.add(started.process.returncode)
            assert all(path.read_bytes() == model for path in home.rglob("*.gguf"))
            if at % 3 == 2 or at == KILLS - 1:
                server.pause = 0.0
                said = what_is_said(words, environment)
                server.pause = 0.02
                assert said.endswith("2\n") and [path.read_bytes() for path in home.rglob("*.gguf")] == [model]
                assert not list(home.rglob("*.incomplete"))
    assert codes - {0}, "no download was cut short"


def test_the_source_of_a_killed_quantize_is_untouched(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "in.gguf")
    before = source.read_bytes()
    words = ["quantize", str(source), str(tmp_path / "out.gguf")]
    killed(Command(tmp_path, words, {}, words), random.Random(3), 0.5, at_work=False)
    assert source.read_bytes() == before
    with GGUFFile.open(source) as file:
        assert file.tensors
