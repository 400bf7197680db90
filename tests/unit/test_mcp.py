"""`q4engine mcp`: its tools' commands, and a conversation by the SDK's own client."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import pytest
from cli_runs import Cli
from models.tiny import write_tiny
from synthetic_engines import pair

from q4engine.cli import mcp as mcp_command
from q4engine.errors import Q4Error
from q4engine.mcp_tools import TOOLS, command, find

NAMES = ["inspect", "bench", "explain", "stalls", "compare"]


def test_without_the_sdk_it_is_one_line(q4: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(mcp_command.metadata, "version", absent)
    result = q4("mcp")
    assert (result.code, result.out) == (1, "")
    assert result.err == "error: q4engine mcp needs the protocol's SDK: pip install 'q4engine[mcp]'\n"
    monkeypatch.setattr(mcp_command.metadata, "version", lambda name: "1.28.0")
    assert "needs version 2 of mcp, found 1.28.0" in q4("mcp").err


def test_tools_are_commands() -> None:
    assert [tool.name for tool in TOOLS] == NAMES
    bench = command(find("bench"), {"model": "-m.gguf", "prompt": [8, 16], "threads": [1], "repetitions": 2})
    assert bench[:4] == [sys.executable, "-P", "-m", "q4engine"]
    assert bench[4:] == [
        "bench", "--model=-m.gguf", "--n-prompt=8,16", "--threads=1", "--repetitions=2", "--output=jsonl",
    ]  # fmt: skip
    explain = find("explain").words({"model": "a", "check": True, "threads": 2})
    assert explain == ["explain", "--model=a", "--threads=2", "--check", "--json"]
    assert find("inspect").words({"model": "a", "kernels": False, "tensors": True}) == [
        "inspect",
        "--model=a",
        "--json",
    ]
    stalls = find("stalls").words({"capture": "-x", "read_peak": 12.5, "json": True})
    assert stalls == ["analyse", "stalls", "./-x", "--read-peak=12.5", "--json"]
    assert find("compare").words({"captures": ["a", "b"]}) == ["analyse", "compare", "a", "b"]
    with pytest.raises(Q4Error, match=r"there is no tool 'x', expected inspect, bench, explain, stalls, compare"):
        find("x")


def test_a_files_tensors_are_summed() -> None:
    tensors = [{"name": n, "type": t, "shape": [1], "bytes": 5} for n, t in (("a", "Q4_0"), ("b", "F32"), ("c", "F32"))]
    text = json.dumps({"path": "x", "tensors": tensors})
    read = find("inspect").read
    assert read({}, text)["tensors_by_type"] == {
        "Q4_0": {"tensors": 1, "bytes": 5},
        "F32": {"tensors": 2, "bytes": 10},
    }
    assert read({"tensors": True}, text)["tensors"] == tensors
    assert find("stalls").read({}, "text") is None and find("stalls").read({"json": True}, "{}") == {}


# ---- a conversation --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a server says to the SDK's client, by what it was asked."""
    pytest.importorskip("mcp", reason="the SDK of the Model Context Protocol is not installed (the mcp extra)")
    folder = tmp_path_factory.mktemp("mcp")
    model = write_tiny(folder / "tiny.gguf")
    one, other = pair(folder)
    broken = folder / "broken.gguf"
    broken.write_bytes(b"GGUF")
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "inspect": ("inspect", {"model": str(model)}),
        "bench": ("bench", {"model": str(model), "prompt": [4], "generate": [2], "threads": [1], "repetitions": 1}),
        "compare": ("compare", {"captures": [str(one), str(other)]}),
        "stalls": ("stalls", {"capture": str(one), "json": True}),
        "no tool": ("frobnicate", {}),
        "no model": ("inspect", {}),
        "no number": ("bench", {"model": str(model), "prompt": ["many"]}),
        "too many": ("explain", {"model": str(model), "threads": 1000}),
        "another": ("stalls", {"capture": str(one), "colour": "blue"}),
        "one capture": ("compare", {"captures": [str(one)]}),
        "broken": ("inspect", {"model": str(broken)}),
        "absent": ("compare", {"captures": [str(one), "nowhere\n.csv"]}),
    }
    return _conversation(calls)


def _conversation(calls: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    import anyio
    from mcp import Client, StdioServerParameters

    found: dict[str, Any] = {"progress": []}

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        found["progress"].append((progress, message))

    async def talk() -> None:
        parameters = StdioServerParameters(command=sys.executable, args=["-m", "q4engine", "mcp"])
        async with Client(parameters) as client:
            found["tools"] = (await client.list_tools()).tools
            for asked, (name, arguments) in calls.items():
                found[asked] = await client.call_tool(name, arguments, progress_callback=on_progress)

    anyio.run(talk)
    return found


def test_it_lists_its_tools(said: dict[str, Any]) -> None:
    assert [tool.name for tool in said["tools"]] == NAMES
    for tool in said["tools"]:
        assert tool.description and tool.input_schema["additionalProperties"] is False
        assert set(tool.input_schema["required"]) <= set(tool.input_schema["properties"])


def test_tools_say_what_commands_say(said: dict[str, Any]) -> None:
    inspected = said["inspect"].structured_content
    assert not said["inspect"].is_error and "tensors_by_type" in inspected
    assert json.loads(said["inspect"].content[0].text) == inspected
    rows = said["bench"].structured_content["results"]
    assert [row["test"] for row in rows] == ["pp4", "tg2"] and all(row["avg_ts"] > 0 for row in rows)
    assert "taken together: A does attn_q+attn_k+attn_v in one product" in " ".join(
        said["compare"].content[0].text.split()
    )
    assert "captures" in said["stalls"].structured_content


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("no tool", "there is no tool 'frobnicate', expected inspect"),
        ("no model", "inspect: 'model' is a required property"),
        ("no number", "bench: prompt.0: 'many' is not of type 'integer'"),
        ("too many", "explain: threads: 1000 is greater than the maximum of 256"),
        ("another", "stalls: Additional properties are not allowed ('colour' was unexpected)"),
        ("one capture", "compare: captures: "),
        ("broken", "inspect: "),
        ("absent", "compare: nowhere\\n.csv: no such file"),
    ],
)
def test_errors_are_one_line(said: dict[str, Any], asked: str, message: str) -> None:
    (text,) = said[asked].content
    assert said[asked].is_error and text.text.startswith(message)
    assert len(text.text.splitlines()) == 1 and "Traceback" not in text.text and len(text.text) <= 500


@contextmanager
def greeted() -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes], IO[bytes]]]:
    """A server that was said hello to, and its three pipes."""
    pytest.importorskip("mcp", reason="the SDK of the Model Context Protocol is not installed (the mcp extra)")
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    words = [sys.executable, "-m", "q4engine", "mcp"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdin is not None and server.stdout is not None and server.stderr is not None
        server.stdin.write(json.dumps(request).encode() + b"\n")
        server.stdin.flush()
        assert b'"serverInfo"' in server.stdout.readline()
        yield server, server.stdin, server.stdout, server.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it(number: signal.Signals) -> None:
    with greeted() as (server, _, _, said):
        server.send_signal(number)
        assert server.wait(120) == 128 + number and said.read() == b""


def test_a_client_that_is_gone_ends_it() -> None:
    with greeted() as (server, to_it, from_it, said):
        from_it.close()
        to_it.write(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "ping"}).encode() + b"\n")
        to_it.close()
        assert server.wait(120) == 0 and said.read() == b""


def test_long_work_gives_progress_and_ends_with_its_call(tmp_path: Path) -> None:
    pytest.importorskip("mcp", reason="the SDK of the Model Context Protocol is not installed (the mcp extra)")
    import anyio
    from mcp import Client

    from q4engine import mcp_server
    from q4engine.mcp_tools import Tool

    started = tmp_path / "started"
    program = f"import pathlib, os, time; pathlib.Path({str(started)!r}).write_text(str(os.getpid())); time.sleep(600)"
    slow = Tool("slow", "", {}, (), lambda _: [], lambda _, text: None, measures=True)
    words: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        words.append(message or "")

    async def talk() -> None:
        async with Client(mcp_server.make_server()) as client, anyio.create_task_group() as tasks:

            async def call() -> None:
                await client.call_tool("slow", {}, progress_callback=on_progress)

            tasks.start_soon(call)
            while "slow: working" not in words or not started.exists():
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mcp_server, "_EVERY_S", 0.05)
        patch.setattr(mcp_server, "find", lambda name: slow)
        patch.setattr(mcp_server, "command", lambda tool, arguments: [sys.executable, "-S", "-c", program])
        anyio.run(talk)
    assert not Path(f"/proc/{started.read_text()}").exists()
