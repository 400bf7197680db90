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


class TooManyTokensError(Q4Error):
    """A text has more tokens than were asked for: ``at_least`` of them."""

    def __init__(self, at_least: int, most: int) -> None:
        super().__init__(f"the text has {at_least} tokens or more, expected at most {most}")
        self.at_least = at_least


class ContextFullError(Q4Error):
    """More tokens than the context has room for; with ``or_more`` they were not counted to their end."""

    def __init__(self, n_past: int, n_tokens: int, n_ctx: int, or_more: bool = False) -> None:
        super().__init__(
            f"the context is full: {n_past} tokens are in it, {n_tokens} {'or ' if or_more else ''}more were given, "
            f"it holds {n_ctx} (set by -c)"
        )
        self.n_past = n_past
        self.n_tokens = n_tokens
        self.n_ctx = n_ctx
