"""The exceptions that users see: every one is a Q4Error."""

from __future__ import annotations


class Q4Error(Exception):
    """One clear line for the user: which file, tensor or key, what was found and what was expected.

    The command line prints it as ``error: …`` on stderr and exits with 1. Everything else is a defect of q4engine.
    """


def shown(text: object, limit: int = 80) -> str:
    """Text from an untrusted file, quoted for an error line: control characters escaped, cut after ``limit``."""
    raw = text if isinstance(text, (str, bytes)) else str(text)
    quoted = repr(raw[: limit + 1])
    if len(raw) <= limit and len(quoted) <= 4 * limit:
        return quoted
    return f"{quoted[:limit]}…'"


class ContextFullError(Q4Error):
    """More tokens than the context has room for."""

    def __init__(self, n_past: int, n_tokens: int, n_ctx: int) -> None:
        super().__init__(
            f"the context is full: {n_past} tokens are in it, {n_tokens} more were given, it holds {n_ctx} (set by -c)"
        )
        self.n_past = n_past
        self.n_tokens = n_tokens
        self.n_ctx = n_ctx
