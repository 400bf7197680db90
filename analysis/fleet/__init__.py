"""Thousands of captures as one dataset: slow devices, regressions, groups. The command stands in `command`."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status. What reads captures in other processes does without it."""
    from analysis.fleet import command

    return command.main(arguments)
