"""Small lies in bytes and text."""

from __future__ import annotations

import random

NUMBERS = (
    0, 1, 2, 7, 8, 31, 32, 255, 256, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 61, (1 << 63) - 1, (1 << 64) - 1,
)  # fmt: skip
WORDS = (
    "nan", "inf", "-1", "1e308", "9" * 30, "", " ", ",", ";", '"', "'", "#", "\x00", "\x1b[2J", "{", "}", "<b>", "é",
    "%",
)  # fmt: skip


def mutated_bytes(data: bytes, rng: random.Random, most: int = 6) -> bytes:
    """Bits flipped, numbers put in, pieces cut out, doubled or moved, the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if not changed:
            break
        at = rng.randrange(len(changed))
        length = min(rng.choice((1, 1, 2, 4, 8, 16, 64, 300)), len(changed) - at)
        what = rng.randrange(6)
        if what == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            size = rng.choice((1, 4, 8))
            number = (rng.choice(NUMBERS) + rng.randint(-1, 1)) % (1 << 8 * size)
            changed[at : at + size] = number.to_bytes(size, "little")
        elif what == 2:
            del changed[at : at + length]
        elif what == 3:
            changed[at:at] = changed[at : at + length] * rng.choice((1, 1, 2, 50))
        elif what == 4:
            changed[at : at + length] = rng.randbytes(length)
        else:
            del changed[rng.randrange(len(changed)) :]
    return bytes(changed)


def mutated_text(text: str, rng: random.Random, most: int = 6) -> str:
    """Lines and words dropped, doubled, swapped or replaced."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.randint(1, most)):
        if not lines:
            break
        at, what = rng.randrange(len(lines)), rng.randrange(7)
        if what == 0:
            del lines[at]
        elif what == 1:
            lines[at:at] = [lines[at]] * rng.choice((1, 1, 3, 40))
        elif what == 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif what == 3:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice(WORDS) * rng.choice((1, 1, 1, 30, 2000)) + lines[at][place:]
        elif what == 4:
            separator = rng.choice((",", ";", " ", "\t", ":"))
            cells = lines[at].split(separator)
            cells[rng.randrange(len(cells))] = rng.choice((*WORDS, str(rng.choice(NUMBERS)), rng.choice(cells)))
            lines[at] = separator.join(cells)
        elif what == 5:
            start, end = sorted((rng.randrange(len(lines[at]) + 1), rng.randrange(len(lines[at]) + 1)))
            lines[at] = lines[at][:start] + lines[at][end:]
        else:
            del lines[at + 1 :]
    return "".join(lines)
