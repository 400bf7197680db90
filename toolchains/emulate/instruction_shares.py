"""``PYTHONPATH=toolchains python -m emulate.instruction_shares CAPTURE.csv``: instructions a token by operation.

For captures with a row for each operation (``q4engine run --capture … --per-op``, ``make emulate``) that count
INST_RETIRED in all of them. Operations of all layers are added up; matrix products stand apart by the weight that they
read. All figures are per token of the phase.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pandas as pd

from analysis.calls import Calls
from analysis.errors import AnalysisError
from analysis.readers import read

INSTRUCTIONS = "INST_RETIRED"
# Heading, events that are added up, and the factor to the heading's unit.
COLUMNS = (
    ("loads", ("LD_SPEC",), 1e-6),
    ("SIMD", ("ASE_SPEC",), 1e-6),
    ("of it products", ("dot_products", "matrix_products"), 1e-6),
    ("loaded kB", ("bytes_loaded",), 1e-3),
    ("last refills", ("LAST",), 1.0),
)
LAST_LEVELS = ("L3D_CACHE_REFILL", "L2D_CACHE_REFILL", "L1D_CACHE_REFILL")
_LAYER = re.compile(r"blk\.\d+\.")


def counts_of(path: Path) -> pd.DataFrame:
    """Rows of calls and operations with a column for each event, whatever its group; LAST is the last level's refills.

    AnalysisError where there are no operations or no instructions in it.
    """
    table = read(path)
    if table.calls is None or table.calls.parts.empty:
        raise AnalysisError(f"{path}: no rows of operations in it; captures have them with --per-op")
    rows = table.calls.rows
    events = {column.event: column.column for column in table.calls.events}
    if INSTRUCTIONS not in events:
        raise AnalysisError(f"{path}: {INSTRUCTIONS} was not counted")
    found = rows.rename(columns={column: event for event, column in events.items()})
    last = next((event for event in LAST_LEVELS if event in events), None)
    return found if last is None else found.assign(LAST=found[last])


def operation_names(rows: pd.DataFrame) -> pd.Series:
    """The operation, and for products of matrices the weight without its layer."""
    tensors = rows["tensor"].str.replace(_LAYER, "", regex=True).str.replace(".weight", "")
    products = rows["op"].isin(("gemm", "gemv"))
    return rows["op"].where(~products, rows["op"] + " " + tensors)


def per_token(calls: Calls) -> tuple[pd.DataFrame, pd.Series, int]:
    """Sums of one phase, divided by its tokens: by operation (most instructions first), of the calls; the tokens."""
    whole, operations = calls.whole, calls.parts
    tokens = int(whole["n_eval"].sum())
    events = [INSTRUCTIONS, *(event for _, names, _ in COLUMNS for event in names if event in whole)]
    parts = operations.groupby(operation_names(operations), sort=False)[events].sum() / tokens
    return parts.sort_values(INSTRUCTIONS, ascending=False), whole[events].sum() / tokens, tokens


def render(rows: pd.DataFrame) -> str:
    """The tables of all phases, in the order in which they began."""
    lines: list[str] = []
    for phase, part in rows.groupby("phase", sort=False):
        operations, whole, tokens = per_token(Calls(part))
        lines += [f"{phase}: {tokens} tokens, per token"]
        headings = [heading for heading, events, _ in COLUMNS if set(events) & set(operations)]
        lines.append("  ".join(["operation".ljust(44), "M instr.", " share", *headings]).rstrip())
        for name, counts in [*operations.iterrows(), ("all operations", operations.sum()), ("whole calls", whole)]:
            lines.append(_line(str(name), counts, whole))
        missing = 1 - operations[INSTRUCTIONS].sum() / whole[INSTRUCTIONS]
        lines += [f"outside of operations: {100 * missing:.2f} % of the instructions", ""]
    return "\n".join(lines[:-1]) + "\n"


def _line(name: str, counts: pd.Series, whole: pd.Series) -> str:
    cells = [name.ljust(44), f"{counts[INSTRUCTIONS] / 1e6:8.3f}"]
    cells.append(f"{100 * counts[INSTRUCTIONS] / whole[INSTRUCTIONS]:5.1f}%")
    for heading, events, factor in COLUMNS:
        known = [event for event in events if event in counts]
        if known:
            value = sum(counts[event] for event in known) * factor
            cells.append(f"{value:.{3 if factor == 1e-6 else 0}f}".rjust(len(heading)))
    return "  ".join(cells)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="emulate.instruction_shares", description="Instructions a token by operation."
    )
    parser.add_argument("capture", type=Path)
    path = parser.parse_args().capture
    try:
        sys.stdout.write(render(counts_of(path)))
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
