"""The server of `q4engine mcp`: the Model Context Protocol over stdio, by the official SDK, which only this imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.abc
import jsonschema
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from q4engine import __version__
from q4engine.errors import Q4Error
from q4engine.mcp_tools import TOOLS, Arguments, Tool, command, find

_EVERY_S = 1.0
"""Between two words of progress."""
_PATIENCE_S = 5.0
"""That a process has to end when its call is given up, before it is killed."""
_LONGEST = 500  # characters of an error
_INSTRUCTIONS = (
    "Measures and explains the speed of large language models in GGUF files on this machine. Paths are of the machine "
    "and folder in which the server runs. bench and explain measure: one at a time, and nothing else should run."
)

_running: set[anyio.abc.Process] = set()
"""Tools' commands."""

Tell = Callable[[str], Awaitable[None]]


def serve() -> None:
    """Until the client closes the connection, or is gone: then a tool that works ends with it."""
    try:
        anyio.run(_serve)
    except* BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be said goes there


async def _serve() -> None:
    server = make_server()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_by_signals)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        tasks.cancel_scope.cancel()


async def _end_by_signals() -> None:
    """Ends the process, as the SDK's thread that waits for stdin cannot be called back; tools' commands end with it."""
    asked = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*asked) as signals:
        async for number in signals:
            for process in _running:
                process.terminate()
            os._exit(128 + number)


def make_server() -> Server[Any]:
    """A server of all tools."""
    measuring = anyio.Lock()

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        listed = [types.Tool(name=t.name, description=t.description, input_schema=t.schema) for t in TOOLS]
        return types.ListToolsResult(tools=listed)

    async def call_tool(context: Any, params: Any) -> types.CallToolResult:
        started = time.monotonic()

        async def tell(words: str) -> None:
            await context.session.report_progress(time.monotonic() - started, None, words)

        try:
            return await _called(params.name, params.arguments or {}, tell, measuring)
        except Q4Error as error:
            return _said(str(error), is_error=True)

    return Server(
        "q4engine",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _called(name: str, arguments: Arguments, tell: Tell, measuring: anyio.Lock) -> types.CallToolResult:
    """Q4Error where the tool, its arguments or what it does is wrong."""
    tool = find(name)
    _check(tool, arguments)
    if not tool.measures:
        return _result(tool, arguments, await _run(tool, arguments, tell))
    if measuring.locked():
        await tell("waits for another measurement to end")
    async with measuring:
        return _result(tool, arguments, await _run(tool, arguments, tell))


def _check(tool: Tool, arguments: Arguments) -> None:
    problem = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(tool.schema).iter_errors(arguments))
    if problem is not None:
        where = ".".join(map(str, problem.absolute_path))
        raise Q4Error(_one_line(f"{tool.name}: {where + ': ' if where else ''}{problem.message}"))


def _result(tool: Tool, arguments: Arguments, text: str) -> types.CallToolResult:
    data = tool.read(arguments, text)
    return _said(text if data is None else json.dumps(data), data)


def _said(text: str, data: Any = None, is_error: bool = False) -> types.CallToolResult:
    content = [types.TextContent(type="text", text=text)]
    return types.CallToolResult(content=content, structured_content=data, is_error=is_error)


async def _run(tool: Tool, arguments: Arguments, tell: Tell) -> str:
    """What the command prints. Q4Error with its line where it fails."""
    out, err = bytearray(), bytearray()
    process = await anyio.open_process(command(tool, arguments), stdin=subprocess.DEVNULL)
    _running.add(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_collect, process.stdout, out)
            tasks.start_soon(_collect, process.stderr, err)
            tasks.start_soon(_tell_on, tool, out, tell, tasks.cancel_scope, process)
        code = await process.wait()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
        _running.discard(process)
    if code:
        raise Q4Error(_error_of(tool, code, err.decode("utf-8", "replace")))
    return out.decode("utf-8", "replace")


async def _collect(stream: anyio.abc.ByteReceiveStream | None, found: bytearray) -> None:
    if stream is not None:
        async for part in stream:
            found += part


async def _tell_on(
    tool: Tool, out: bytearray, tell: Tell, scope: anyio.CancelScope, process: anyio.abc.Process
) -> None:
    """Says from time to time how far it is, until the process has ended."""
    while process.returncode is None:
        with anyio.move_on_after(_EVERY_S):
            await process.wait()
            return
        done = out.count(b"\n") if tool.name == "bench" else 0
        await tell(f"{tool.name}: {f'{done} tests measured' if done else 'working'}")


async def _end(process: anyio.abc.Process) -> None:
    """Where the call was given up."""
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(_PATIENCE_S):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
    await process.aclose()


def _error_of(tool: Tool, code: int, err: str) -> str:
    """The command's own line."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")] or err.strip().splitlines()
    said = lines[-1].removeprefix("error: ").partition("; `q4engine")[0] if lines else f"ended with exit code {code}"
    return _one_line(f"{tool.name}: {said}")


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
