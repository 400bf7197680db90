"""Text from tokens that arrive one by one."""

from __future__ import annotations

import codecs
from collections.abc import Callable


class StreamDecoder:
    """Turns token ids into text as they come; a character whose bytes are spread over tokens appears when whole.

    Bytes that can belong to no character become U+FFFD.
    """

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The text that this token completes, possibly none."""
        return self._decoder.decode(self._token_bytes(token))

    def flush(self) -> str:
        """The end: U+FFFD where an unfinished character is left, else nothing. The decoder is as new afterwards."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
