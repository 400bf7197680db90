"""Ten megabytes of each kind of file that a reader of counters may be handed, made to be slow to read: lines that are
spelled alike nowhere, names that never come twice, formats that change from line to line, and no end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import count

SIZE = 10_000_000
"""Bytes of a file."""
STALLS, FUNCTIONS, MEMORY = "analysis.stalls", "analysis.functions", "analysis.memory"
BENCHMARKS, TIMELINE = "analysis.benchmarks", "analysis.timeline"
FLEET = "analysis.fleet --workers 0"
EVENTS = ("cycles", "instructions", "stalled-cycles-backend", "stalled-cycles-frontend", "r4005", "cache-misses")
TITLE = "\n Performance counter stats for 'x':\n\n"
ELAPSED = "\n       1.500000000 seconds time elapsed\n\n"
CAPTURE = (
    "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: available\n"
    "# group.g0: pmu=armv8_neoverse_v2 events=CPU_CYCLES,STALL_BACKEND,STALL_BACKEND_MEM\n"
)
COLUMNS = (
    "call,n_past,n_eval,phase,op,layer,tensor,type,shape,kernel,thread,cpu,start_ns,duration_ns,weight_bytes,"
    "CPU_CYCLES@g0,STALL_BACKEND@g0,STALL_BACKEND_MEM@g0,time_enabled_ns@g0,time_running_ns@g0\n"
)
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")

Line = Callable[[int, random.Random], str]
Kind = tuple[str, Callable[[], bytes]]
"""The command that reads it, and what makes it."""


def filled(line: Line, head: str = "", tail: str = "") -> bytes:
    """head, lines until the size is reached, tail."""
    return "".join((head, *_lines(line, SIZE - len(head) - len(tail)), tail)).encode()


def _lines(line: Line, size: int) -> Iterator[str]:
    chance, written = random.Random(1), 0
    for at in count():
        text = line(at, chance)
        written += len(text)
        if written > size:
            return
        yield text


def event(at: int) -> str:
    return EVENTS[at % len(EVENTS)]


def amount(chance: random.Random) -> int:
    """A count of any number of digits."""
    return chance.randrange(10 ** chance.randrange(3, 13))


def csv_row(at: int, chance: random.Random, mark: str = ",", name: str = "", scope: str = "") -> str:
    fields = (amount(chance), "", name or event(at), amount(chance), "100.00", "", "")
    return f"{scope}{mark.join(map(str, fields))}\n"


def stamp(at: int, per: int = len(EVENTS)) -> str:
    return f"{(at // per + 1) / 1000:.9f}"


def timed_csv(at: int, chance: random.Random, mark: str = ",", name: str = "", scope: str = "") -> str:
    return f"{stamp(at)}{mark}{csv_row(at, chance, mark, name, scope)}"


def comma_row(at: int, chance: random.Random) -> str:
    """With decimal commas between commas, or without."""
    share = f"{chance.randrange(100)}{',.'[at % 2]}{chance.randrange(100):02}"
    return f"     {at // 6 + 1},{at % 10**9:09},{amount(chance)},,{event(at)},{amount(chance)},{share},,\n"


def shaped_row(at: int, chance: random.Random) -> str:
    variance = f"{chance.random() * 9:.2f}%," if chance.random() < 0.5 else ""
    group = f"/g{chance.randrange(50)}," if chance.random() < 0.5 else ""
    metric = f"{chance.random():.{chance.randrange(1, 6)}f},M/sec" if chance.random() < 0.5 else ","
    unit = chance.choice(("", "msec", "Joules"))
    return f"{stamp(at)},{amount(chance)},{unit},{event(at)},{group}{variance}{amount(chance)},100.00,{metric}\n"


def text_row(at: int, chance: random.Random, name: str = "", behind: str = "", scope: str = "") -> str:
    return f"{scope}{amount(chance):>20,}      {name or event(at):<30}{behind}\n"


def timed_text(at: int, chance: random.Random, name: str = "", behind: str = "", scope: str = "") -> str:
    return f"{stamp(at):>16} {text_row(at, chance, name, behind, scope)}"


def spelled_text(at: int, chance: random.Random) -> str:
    """Widths, shares, ratios and variances as they come."""
    ratio = f" # {chance.random() * 9:8.{chance.randrange(1, 5)}f} {chance.choice(('M/sec', 'insn per cycle', 'GHz'))}"
    behind = ratio * (chance.random() < 0.5) + f"  ( +- {chance.random() * 9:.2f}% )" * (chance.random() < 0.5)
    share = f"  ({chance.random() * 100:.2f}%)" * (chance.random() < 0.7)
    blanks = " " * chance.randrange(1, 40)
    return f"{stamp(at):>16} {blanks}{amount(chance):,} {blanks}{event(at)}{behind}{share}\n"


def record(at: int, chance: random.Random, **more: object) -> dict[str, object]:
    base: dict[str, object] = {"interval": float(stamp(at)), "counter-value": f"{amount(chance)}.000000", "unit": ""}
    return base | {"event": event(at), "event-runtime": amount(chance), "pcnt-running": 100.0} | more


def json_line(at: int, chance: random.Random, **more: object) -> str:
    return json.dumps(record(at, chance, **more)) + "\n"


def perf_json(at: int, chance: random.Random, middle: str = "", behind: str = "") -> str:
    """As perf spells it."""
    return (
        f'{{"interval" : {stamp(at)}, "counter-value" : "{amount(chance)}.000000", "unit" : "", '
        f'"event" : "{event(at)}", {middle}"event-runtime" : {amount(chance)}, "pcnt-running" : 100.00{behind}}}\n'
    )


def shuffled_json(at: int, chance: random.Random) -> str:
    pairs = [*record(at, chance).items()]
    chance.shuffle(pairs)
    return json.dumps(dict(pairs)) + "\n"


def sample(at: int, chance: random.Random, symbol: str = "", comm: str = "llama", name: str = "cycles") -> str:
    frame = f"ffff{chance.randrange(1 << 20):x} {symbol or f'f{at % 50}'}+0x{chance.randrange(999):x} (/usr/lib/x.so)"
    return f"{comm} {at % 9 + 1} [{at % 4:03}] {at / 1000:.6f}: {chance.randrange(1, 10**6)} {name}: {frame}\n"


def chain(at: int, chance: random.Random, depth: int = 20, symbols: int = 50) -> str:
    head = f"llama {at % 9 + 1} [{at % 4:03}] {at / 1000:.6f}: {chance.randrange(1, 10**6)} cycles: \n"
    frames = (f"\tffff{chance.randrange(1 << 20):x} f{chance.randrange(symbols)}+0x8 (/x.so)\n" for _ in range(depth))
    return head + "".join(frames) + "\n"


def access(at: int, chance: random.Random) -> str:
    return (
        f"llama {at % 9} {at / 1000:.6f}: {at % 7 + 1} mem-loads:u: {chance.randrange(1 << 44):x} "
        f"{chance.randrange(1 << 30):x} |OP LOAD|LVL L{chance.randrange(1, 4)} hit|SNP None| {chance.randrange(999)}\n"
    )


def topdown_row(at: int, chance: random.Random, metric: str = "") -> str:
    name = metric or ("Frontend Bound", "Backend Bound", "Retiring", "Bad Speculation")[at % 4]
    return f"{at // 4 / 100:.2f},Topdown_L1,1,1,{name},{chance.random() * 100:.{chance.randrange(1, 9)}f},%\n"


def timeline(columns: int, mark: str = ",", cores: bool = False) -> tuple[str, Line]:
    names = (f"{'Cycles' if at % 2 else 'Stalls'}:C{at}" + f" [{at % 8}]" * cores for at in range(columns))
    head = f"Index (s){mark}{mark.join(names)}\n"
    point = "." if mark == "," else ","

    def line(at: int, chance: random.Random) -> str:
        values = (str(chance.randrange(10**7)) if chance.random() < 0.8 else "" for _ in range(columns))
        return f"{at // 1000}{point}{at % 1000:03}{mark}{mark.join(values)}\n"

    return head, line


def operation(at: int, chance: random.Random, op: str = "", tensor: str = "", thread: int = -1) -> str:
    """A row of an operation, or its call's."""
    call, of = divmod(at, 50)
    start, counts = call * 1_000_000, f"{amount(chance)},{amount(chance)},{amount(chance)},900,900"
    if of == 0:
        return f"{call},{call},1,decode,,,,,,,,,{start},900000,,{counts}\n"
    name = tensor or f"blk.{of % 30}.ffn_up"
    where = f"{of % 4 if thread < 0 else thread},{of % 4},{start + of * 1000},{chance.randrange(1, 1000)}"
    return f"{call},{call},1,decode,{op or 'matmul'},{of % 30},{name},Q4_0,64x64,neon,{where},2304,,,,,\n"


def metric_columns(names: int) -> tuple[str, Line]:
    head = "#           time " + " ".join(f"{f'm{at}':>20}" for at in range(names)) + "\n"

    def line(at: int, chance: random.Random) -> str:
        values = " ".join(f"{chance.random() * 10 ** chance.randrange(5):20.{at % 4}f}" for _ in range(names))
        return f"{stamp(at, 1):>16} {values}\n"

    return head, line


def prose(at: int, chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randrange(3, 15))) + ".\n"


def spread(line: Line) -> Line:
    return lambda at, chance: json.dumps(json.loads(line(at, chance)), indent=chance.randrange(1, 9)) + "\n"


def controls(at: int, chance: random.Random) -> str:
    return "".join(chr(chance.choice((1, 2, 7, 8, 11, 12, 27, 28, 29, 30, 127))) for _ in range(60)) + "\n"


def in_turn(*lines: Line) -> Line:
    return lambda at, chance: lines[at % len(lines)](at, chance)


def as_utf16(made: bytes) -> bytes:
    return made[: SIZE // 2].rpartition(b"\n")[0].decode().encode("utf-16")
