"""``PYTHONPATH=toolchains python -m kernel_cost``: a table of what each Arm kernel costs, checked against floors.

Instructions are exact, from the built program under qemu, on shapes of real models: GEMV 1024 x 2816 (Q6_K: 1024 x
2048) and, where a name ends in x and a number, 512 rows times so many tokens; GEMM 64 rows x 2816 columns x 80 tokens.
Cycles are llvm-mca's for the executed trace of a fixed slice: GEMV 64 rows x 1024 columns; GEMM 32 rows x 1024
columns x 16 tokens, decoding of the weights included, and as "more" (behind the slash) the cost of each further token,
whose weights are decoded already. Activation quantisation and packing are apart, but for a few tokens packing is
counted. w/c = weights (GEMV) or multiply-accumulates (a few tokens, GEMM) a cycle.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from host import ToolError, main, say
from system_tools import LLVM_TOOL, bring

from kernel_cost import mca
from kernel_cost.emulate import FOLDER, Emulator, Subject, build_driver

FLOORS = FOLDER / "floors.json"
CYCLES_SLACK = 0.002
Row = dict[str, Any]


def shape(subject: Subject, full: bool) -> tuple[int, int, int]:
    """Rows, columns and tokens that a kernel runs on."""
    columns = (2048 if subject.size == 256 else 2816) if full else 1024
    if subject.form == "gemv":
        return (1024 if full else 64), columns, 1
    if subject.form == "few":
        return (512 if full else 64), columns, subject.tokens
    return (64, columns, 80) if full else (32, columns, 16)


def arguments(subject: Subject, rows: int, columns: int, tokens: int) -> list[str]:
    return ["kernel", subject.name, str(rows), str(columns), str(tokens)]


def count(emulator: Emulator, subject: Subject) -> Row:
    """Exact instructions per weight, multiply-accumulate or unit of an operation."""
    if subject.kind == "operation":
        command, work, unit = ["operation", subject.name, str(subject.size)], subject.units, subject.form
    else:
        rows, columns, tokens = shape(subject, full=True)
        command, work = arguments(subject, rows, columns, tokens), rows * columns * tokens
        unit = "weight" if subject.form == "gemv" else "MAC"
    total = sum(run.instructions * run.executions for run in emulator.record(command))
    return {"name": subject.label, "unit": unit, "instructions": round(total / work, 4)}


def cycles(emulator: Emulator, subject: Subject, code: dict[int, str]) -> Row:
    """Work a cycle on every core, with the busiest resource."""
    rows, columns, tokens = shape(subject, full=False)
    work = rows * columns * tokens
    lines = mca.assembly(emulator.record(arguments(subject, rows, columns, tokens), trace=True), code)
    longer: list[str] = []
    if subject.form == "gemm":
        longer = mca.assembly(emulator.record(arguments(subject, rows, columns, 2 * tokens), trace=True), code)
    row: Row = {"slice": round(len(lines) / work, 4)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        estimates = list(pool.map(lambda core: mca.estimate(lines, core), mca.CORES))
        more = list(pool.map(lambda core: mca.estimate(longer, core), mca.CORES)) if longer else []
    for i, (core, found) in enumerate(zip(mca.CORES, estimates, strict=True)):
        row[core.name] = round(work / found.cycles, 2)
        row[f"{core.name} limit"] = f"{found.resource} {found.busy:.0%}"
        if more:
            row[f"{core.name} more"] = round(work / (more[i].cycles - found.cycles), 2)
    return row


def below_floor(rows: list[Row], floors: dict[str, Row]) -> list[str]:
    """What is worse than the floors say: more instructions, or less work a cycle.

    Instructions are exact. Cycles differ by a few in ten thousand between builds of one source in other folders.
    """
    found = []
    for row in rows:
        for key, floor in floors.get(row["name"], {}).items():
            value = row.get(key)
            if value is not None and (
                value > floor if key in ("instructions", "slice") else value < (1 - CYCLES_SLACK) * floor
            ):
                found.append(f"{row['name']}: {key} {value}, floor {floor}")
    measured = {row["name"] for row in rows}
    return found + [f"{name}: has a floor, but is not there" for name in floors if name not in measured]


def show(rows: list[Row]) -> None:
    """The table: kernels, then operations."""
    print(f"{'kernel':28} {'instructions':>20}  " + "".join(f"{core.name:>24}" for core in mca.CORES))
    for row in rows:
        cells = []
        for core in mca.CORES:
            if core.name in row:
                more = f"/{row[f'{core.name} more']:.1f}" if f"{core.name} more" in row else ""
                cells.append(f"{row[core.name]:.2f}{more} ({row[f'{core.name} limit']})")
        counted = f"{row['instructions']:.4f}/{row['unit']}"
        print(f"{row['name']:28} {counted:>20}  " + "".join(f"{cell:>24}" for cell in cells))


def write(rows: list[Row], compiler: str, json_file: Path | None, csv_file: Path | None) -> None:
    if json_file:
        json_file.write_text(json.dumps({"compiler": compiler, "llvm": mca.LLVM, "kernels": rows}, indent=2) + "\n")
    if csv_file:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with csv_file.open("w", newline="") as file:
            table = csv.DictWriter(file, columns, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


def measure(emulator: Emulator, name: str, with_cycles: bool) -> list[Row]:
    """One row a kernel or operation whose name contains `name`."""
    code = mca.disassemble(emulator.binary) if with_cycles else {}
    rows = []
    for subject in emulator.subjects():
        if name in subject.label:
            row = count(emulator, subject)
            if with_cycles and subject.kind == "kernel":
                row |= cycles(emulator, subject, code)
            rows.append(row)
    return rows


def kernel_cost() -> int:
    parser = argparse.ArgumentParser(prog="kernel_cost", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", nargs="?", default="", help="only kernels and operations whose names contain this")
    parser.add_argument("--toolchain", choices=("gnu", "clang"), default="gnu", help="default: %(default)s")
    parser.add_argument("--binary", type=Path, help="a q4_kernel_cost that was built already")
    parser.add_argument("--counts", action="store_true", help="instructions alone, without llvm-mca")
    parser.add_argument("--check", action="store_true", help="exit code 1 where something is worse than its floor")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--csv", type=Path, metavar="FILE")
    options = parser.parse_args()
    with_cycles = not options.counts and bring(LLVM_TOOL)
    if not options.counts and not with_cycles:
        why = ", and Q4_NO_APT is set" if os.environ.get("Q4_NO_APT") else ""
        say(f"{LLVM_TOOL.name} is missing{why} (Debian: {' '.join(LLVM_TOOL.packages)}): instructions alone")
    if options.binary:
        binary, compiler = options.binary, "unknown"
    else:
        binary, compiler = build_driver(options.toolchain)
    rows = measure(Emulator(binary), options.name, with_cycles)
    if not rows:
        raise ToolError(f"no kernel or operation has '{options.name}' in its name")
    show(rows)
    write(rows, compiler, options.json, options.csv)
    floors = json.loads(FLOORS.read_text()).get(compiler, {})
    chosen = {name: floor for name, floor in floors.items() if options.name in name}
    worse = below_floor(rows, chosen)
    for line in worse:
        print(f"worse than before: {line}", file=sys.stderr)
    if not floors:
        say(f"no floors for {compiler}")
    return 1 if worse and options.check else 0


if __name__ == "__main__":
    main(kernel_cost)
