"""``q4engine mcp``: inspect, bench, explain, stalls and compare as tools of the Model Context Protocol, over stdio."""

from __future__ import annotations

import argparse
from importlib import metadata

from q4engine.cli import options
from q4engine.errors import Q4Error
from q4engine.mcp_tools import TOOLS

_LEAST = 2
"""The SDK's major version: those before made servers in another way."""
_EPILOG = """\
tools:
{tools}

examples:
  q4engine mcp                                 started by a client, not by hand
  {{"mcpServers": {{"q4engine": {{"command": "q4engine", "args": ["mcp"]}}}}}}

The second is what clients have in their configuration. pip install 'q4engine[mcp]' brings the SDK.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    options.add_command(
        subparsers,
        "mcp",
        run,
        help="offer measuring and explaining to AI assistants (Model Context Protocol)",
        description="Serve the Model Context Protocol on stdin and stdout until the client closes them.",
        epilog=_EPILOG.format(tools="\n".join(f"  {tool.name}" for tool in TOOLS)),
    )


def run(args: argparse.Namespace) -> int:
    """Serves; returns 0 when the client has gone."""
    try:
        version = metadata.version("mcp")
    except metadata.PackageNotFoundError:
        raise Q4Error("q4engine mcp needs the protocol's SDK: pip install 'q4engine[mcp]'") from None
    if int(version.partition(".")[0]) < _LEAST:
        raise Q4Error(f"q4engine mcp needs version {_LEAST} of mcp, found {version}: pip install -U 'q4engine[mcp]'")
    from q4engine.mcp_server import serve

    serve()
    return 0
