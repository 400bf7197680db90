"""Whether decoding behind a long context costs what a model's windows say.

    python tests/bench/windows.py MODEL.gguf [-c 8192] [-n 24]

The same model twice, as it is and with its windows taken away (a copy with another `attention.sliding_window`), one
thread. Behind a short and behind the long context -n tokens are decoded with every operation timed; of each layer's
attention the shortest time counts. What a position costs in this model follows from the copy, whose layers all see the
whole context; from that and the positions that each layer's window holds follows what the model should take.
"""

from __future__ import annotations

import argparse
import csv
import struct
import tempfile
from pathlib import Path

from q4engine.engine import Engine, Session
from q4engine.gguf import GGUFFile
from q4engine.profiling.observer import Observation, observe

TOKEN = 100


def fastest(session: Session, n: int, folder: Path) -> tuple[list[float], float]:
    """ns of each layer's attention, and of all else that a token takes."""
    path = folder / "c.csv"
    with observe(session, Observation(capture=path, per_op=True, events="none")):
        for _ in range(n):
            session.decode([TOKEN])
    best: dict[tuple[str, str, str, str], float] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            if row["op"]:
                key = row["op"], row["layer"], row["tensor"], row["shape"]
                best[key] = min(best.get(key, 1e18), float(row["duration_ns"]))
    layers = sorted((int(layer), ns) for (op, layer, _, _), ns in best.items() if op == "attention")
    return [ns for _, ns in layers], sum(ns for (op, *_), ns in best.items() if op != "attention")


def measured(model: Path, contexts: list[int], n: int, folder: Path) -> dict[int, tuple[list[float], float]]:
    found = {}
    with Engine.load(model, n_threads=1) as engine:
        session = engine.session(n_ctx=max(contexts))
        for context in contexts:
            more = context - n - session.n_past
            session.decode([(7 * i) % 997 + 2 for i in range(more)], phase="prefill")
            found[context] = fastest(session, n, folder)
    return found


def without_windows(model: Path, out: Path, key: str, to: int) -> None:
    """A copy whose windows hold everything: the value of one uint32 key is another."""
    data = bytearray(model.read_bytes())
    name = key.encode()
    at = data.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)
    if data[at : at + 4] != struct.pack("<I", 4):
        raise SystemExit(f"{model}: key {key} is no uint32")
    data[at + 4 : at + 8] = struct.pack("<I", to)
    out.write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="GGUF file of a model with windows")
    parser.add_argument("-c", "--ctx-size", type=int, default=8192)
    parser.add_argument("-n", type=int, default=24, help="tokens that are timed (default: %(default)s)")
    args = parser.parse_args()
    with GGUFFile.open(args.model) as file:
        key = f"{file.metadata['general.architecture']}.attention.sliding_window"
        window = file.metadata.integer(key)
    short, long = 2 * args.n, args.ctx_size
    with Engine.load(args.model, n_threads=1) as engine:
        windows = [op.index("window") for op in engine.graph.ops if op.kind == "attention"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = measured(args.model, [short, long], args.n, folder)
        without_windows(args.model, folder / "copy.gguf", key, 2 * long)
        copy = measured(folder / "copy.gguf", [short, long], args.n, folder)
    seen = [min(each, long) if each else long for each in windows]
    position = (sum(copy[long][0]) - sum(copy[short][0])) / (len(seen) * (long - short))
    start = sum(model[short][0]) - position * short * len(seen)
    expected = start + position * sum(seen)
    rest = model[long][1]
    n_windows = sum(map(bool, windows))
    print(
        f"{args.model.name}: {len(seen)} layers, {n_windows} with a window of {window}; {args.n} tokens before {long}"
    )
    for title, (layers, other) in (("as it is", model[long]), ("without windows", copy[long])):
        print(f"  {title:<16} attention {sum(layers) / 1e6:.3f} ms, all else {other / 1e6:.3f} ms")
    print(f"  positions seen   {sum(seen)} of {len(seen) * long}; {position:.3f} ns each")
    print(f"  attention        {sum(model[long][0]) / expected:.3f} x what the windows say ({expected / 1e6:.3f} ms)")
    print(f"  a token          {(sum(model[long][0]) + rest) / (expected + rest):.3f} x what the windows say")


if __name__ == "__main__":
    main()
