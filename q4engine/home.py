"""Names of files below somebody's home, ``~`` or ``~user``."""

from __future__ import annotations

from pathlib import Path

from q4engine.errors import Q4Error


def expanded(name: str) -> Path:
    """The path that is meant. Q4Error where there is no such user, or no home: in a container a process may run as a
    user without a name, and without HOME."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        user = name.split("/")[0][1:]
        raise Q4Error(f"{name}: there is no {'such user' if user else 'home (HOME is not set)'}") from None
