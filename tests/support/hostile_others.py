"""Files that are made to be slow to read: of other tools, of ours, and of none."""

from __future__ import annotations

import hostile_files as made
from hostile_files import BENCHMARKS, FLEET, FUNCTIONS, STALLS, TIMELINE, Kind, filled

OPEN = made.TITLE
TREE = "CPU Neoverse V2 metrics\n├── Stage 1 (Topdown metrics)\n"
STAGE = "Stage 1 (Topdown metrics)\n"
SIMPLE = "Performance counter statistics:\n\n#          count  event_name         # count / runtime\n"
WPERF = (
    "Performance counter stats for core 0, no multiplexing, kernel mode included, on Arm Limited core implementation:\n"
    "        counter value  event name  event idx  event note\n"
    "        =============  ==========  =========  ==========\n"
)
FUNCTION_COLUMNS = '"Counters: Cycles: CPU Cycles",uid,image,symbol,inlined from\n'
BENCH_COLUMNS = "build_commit,build_number,model_filename,model_type,n_threads,n_prompt,n_gen,avg_ts,stddev_ts\n"
TOPDOWN = "time,group,stage,level,metric,value,units\n"

OTHERS: dict[str, Kind] = {
    "topdown-csv": (STALLS, lambda: filled(made.topdown_row, TOPDOWN)),
    "topdown-csv-names": (STALLS, lambda: filled(lambda n, r: made.topdown_row(n, r, f"Metric {n}"), TOPDOWN)),
    "topdown-events": (
        STALLS,
        lambda: filled(
            lambda n, r: f"1,{n // 6 / 100:.2f},{made.event(n)},{made.amount(r)}\n", "run,time,event,value\n"
        ),
    ),
    "topdown-events-names": (
        STALLS,
        lambda: filled(lambda n, r: f"1,,EVENT_{n},{made.amount(r)}\n", "run,time,event,value\n"),
    ),
    "topdown-tree": (
        STALLS,
        lambda: filled(lambda n, r: f"│   │       │ Metric {n % 9000} │ {r.random() * 100:.2f} │ % │\n", TREE),
    ),
    "topdown-stages": (STALLS, lambda: filled(lambda n, r: f"{STAGE}Backend Bound... {r.random() * 99:.2f}% slots\n")),
    "topdown-lines": (STALLS, lambda: filled(lambda n, r: f"Metric {n}....... {r.random() * 99:.2f}% slots\n", STAGE)),
    "topdown-lines-again": (
        STALLS,
        lambda: filled(lambda n, r: f"Metric {n % 900}....... {r.random() * 99:.2f}% slots\n", STAGE),
    ),
    "topdown-dots": (STALLS, lambda: filled(lambda n, r: f"name{'.' * 1900}x\n", STAGE)),
    "topdown-bars": (STALLS, lambda: filled(lambda n, r: "│ a " * 450 + "\n", TREE)),
    "simpleperf-csv": (
        STALLS,
        lambda: filled(
            lambda n, r: f"{made.amount(r)},{made.event(n)},{r.random():.6f},G/sec,({n % 100}%),\n",
            "Performance counter statistics,\n",
        ),
    ),
    "simpleperf-csv-names": (
        STALLS,
        lambda: filled(
            lambda n, r: f"{made.amount(r)},raw-{n},1.000000,G/sec,(100%),\n", "Performance counter statistics,\n"
        ),
    ),
    "simpleperf-csv-runs": (
        STALLS,
        lambda: filled(
            lambda n, r: (
                f"Performance counter statistics,\n{made.amount(r)},cpu-cycles,1.0,GHz,(100%),\n"
                f"Total test time,{n}.5,seconds,\n"
            )
        ),
    ),
    "simpleperf-text": (
        STALLS,
        lambda: filled(
            lambda n, r: f"{made.amount(r):>20,}  {made.event(n)}  # {r.random():.6f} G/sec  ({n % 99}%)\n", SIMPLE
        ),
    ),
    "simpleperf-text-names": (
        STALLS,
        lambda: filled(lambda n, r: f"{made.amount(r):>20,}  raw-{n}  # {r.random():.6f} G/sec\n", SIMPLE),
    ),
    "streamline-wide": (STALLS, lambda: filled(*reversed(made.timeline(300, cores=True)))),
    "streamline-long": (STALLS, lambda: filled(*reversed(made.timeline(2)))),
    "streamline-semicolons": (STALLS, lambda: filled(*reversed(made.timeline(6, ";")))),
    "streamline-timeline-command": (TIMELINE, lambda: filled(*reversed(made.timeline(6)))),
    "streamline-columns": (STALLS, lambda: f"Index (s),{','.join(f'c{n}' for n in range(140_000))}\n0,5\n".encode()),
    "streamline-log": (
        STALLS,
        lambda: filled(lambda n, r: f'{n // 60}:{n % 60:02}.5,"past {n}, n_eval 1",a\n', "When (s),Message,Channel\n"),
    ),
    "streamline-log-prose": (
        STALLS,
        lambda: filled(lambda n, r: f'{n}.5,"{made.prose(n, r)[:-1]}",a\n', "When (s),Message,Channel\n"),
    ),
    "streamline-functions": (
        FUNCTIONS,
        lambda: filled(lambda n, r: f"{made.amount(r)},{n},libx.so,function_{n},\n", FUNCTION_COLUMNS),
    ),
    "streamline-functions-again": (
        FUNCTIONS,
        lambda: filled(
            lambda n, r: f'{made.amount(r)},{n},lib{n % 9}.so,"f({n % 9000}, int)",main\n', FUNCTION_COLUMNS
        ),
    ),
    "windowsperf": (
        STALLS,
        lambda: filled(lambda n, r: f"{made.amount(r):>20,}  event_{n % 9999}  0x{n % 999:x}  e\n", WPERF),
    ),
    "windowsperf-cores": (
        STALLS,
        lambda: filled(lambda n, r: f"{WPERF.replace('0', str(n), 1)}{made.amount(r):>20,}  cycle  fixed  e\n"),
    ),
    "ratio-table": (
        STALLS,
        lambda: filled(
            lambda n, r: f"|ratio{n}  | {r.random():.2f}| {r.random():.2f}|\n", "|Ratio  |   geomean|       p10|\n"
        ),
    ),
    "capture": (STALLS, lambda: filled(made.operation, made.CAPTURE + made.COLUMNS)),
    "capture-timeline": (TIMELINE, lambda: filled(made.operation, made.CAPTURE + made.COLUMNS)),
    "capture-operations": (
        STALLS,
        lambda: filled(lambda n, r: made.operation(n, r, f"op{n % 149}"), made.CAPTURE + made.COLUMNS),
    ),
    "capture-tensors": (
        STALLS,
        lambda: filled(lambda n, r: made.operation(n, r, tensor=f"t{n}"), made.CAPTURE + made.COLUMNS),
    ),
    "capture-threads": (
        STALLS,
        lambda: filled(lambda n, r: made.operation(n, r, thread=n), made.CAPTURE + made.COLUMNS),
    ),
    "capture-calls": (STALLS, lambda: filled(lambda n, r: made.operation(n * 50, r), made.CAPTURE + made.COLUMNS)),
    "capture-phases": (
        STALLS,
        lambda: filled(lambda n, r: made.operation(n * 50, r).replace("decode", f"p{n}"), made.CAPTURE + made.COLUMNS),
    ),
    "capture-phases-as-json": (
        f"{STALLS} --json",
        lambda: filled(lambda n, r: made.operation(n * 50, r).replace("decode", f"p{n}"), made.CAPTURE + made.COLUMNS),
    ),
    "capture-phases-to-fleet": (
        FLEET,
        lambda: filled(
            lambda n, r: made.operation(n * 50, r).replace("decode", f"p{n % 19_000}"), made.CAPTURE + made.COLUMNS
        ),
    ),
    "capture-counters": (
        STALLS,
        lambda: filled(
            lambda n, r: f"{n},{n},1,,{1000 * n},900{',5' * 580}\n",
            f"{made.CAPTURE}call,n_past,n_eval,op,start_ns,duration_ns{''.join(f',e{n}@g' for n in range(580))}\n",
        ),
    ),
    "capture-columns": (
        STALLS,
        lambda: (made.CAPTURE + ",".join(f"column{n}@g" for n in range(400_000)) + "\n0\n").encode(),
    ),
    "capture-keys": (STALLS, lambda: filled(lambda n, r: f"# key{n}: value\n", made.CAPTURE)),
    "markers": (
        STALLS,
        lambda: filled(lambda n, r: f"{n * 1000 + r.randrange(900)},{n},1,decode\n", "time_ns,n_past,n_eval,phase\n"),
    ),
    "markers-phases": (
        STALLS,
        lambda: filled(lambda n, r: f"{n * 1000},{n},1,{made.WORDS[n % 5]}{n}\n", "time_ns,n_past,n_eval,phase\n"),
    ),
    "bench-markdown": (
        BENCHMARKS,
        lambda: filled(
            lambda n, r: (
                f"| llama 1B Q4_0 | 1.0 GiB | 1.2 B | CPU | {n % 9 + 1} | pp{n} | {r.random() * 99:.2f} ± 0.10 |\n"
            ),
            "| model | size | params | backend | threads | test | t/s |\n|---|---|---|---|---|---|---|\n",
        ),
    ),
    "bench-csv": (
        BENCHMARKS,
        lambda: filled(lambda n, r: f'"abc","1","m.gguf","llama",4,{n},0,{r.random() * 99:.6f},0.1\n', BENCH_COLUMNS),
    ),
    "bench-jsonl": (
        BENCHMARKS,
        lambda: filled(
            lambda n, r: (
                f'{{"build_commit": "a", "model_filename": "m.gguf", "n_threads": 4, "n_prompt": {n}, "n_gen": 0, '
                f'"avg_ts": {r.random() * 99:.6f}, "stddev_ts": 0.1, "samples_ts": [1.0, 2.0]}}\n'
            )
        ),
    ),
    "bench-jsonl-samples": (
        BENCHMARKS,
        lambda: filled(
            lambda n, r: (
                f'{{"build_commit": "a", "model_filename": "m.gguf", "n_threads": 4, "n_prompt": {n}, "n_gen": 0, '
                f'"avg_ts": 9.5, "stddev_ts": 0.1, "samples_ts": {[round(r.random(), 6) for _ in range(5000)]}}}\n'
            )
        ),
    ),
    "bench-prose": (BENCHMARKS, lambda: filled(made.prose)),
    "endless-line": (STALLS, lambda: b"5,,cycles," * (made.SIZE // 10)),
    "endless-second-line": (STALLS, lambda: b"5,,cycles,100,100.00,,\n" + b"5,,cycles," * (made.SIZE // 10)),
    "long-lines": (STALLS, lambda: filled(lambda n, r: "x" * 900_000 + "\n", "5,,cycles,100,100.00,,\n")),
    "blanks": (STALLS, lambda: b" " * made.SIZE),
    "line-ends": (STALLS, lambda: b"5,,cycles,100,100.00,,\n" + b"\n" * made.SIZE),
    "line-ends-of-text": (STALLS, lambda: filled(lambda n, r: "\n", OPEN + "  5  cycles\n")),
    "carriage-returns": (STALLS, lambda: b"5,,cycles,100,100.00,,\n" + b"\r\n" * (made.SIZE // 2)),
    "controls": (STALLS, lambda: filled(made.controls)),
    "controls-behind": (STALLS, lambda: filled(made.controls, "5,,cycles,100,100.00,,\n")),
    "escapes": (STALLS, lambda: filled(lambda n, r: "\x1b[" * 450 + "\n", OPEN)),
    "nul-at-the-end": (STALLS, lambda: filled(made.timed_csv, "", "\0\n")),
    "prose": (STALLS, lambda: filled(made.prose)),
    "letters": (STALLS, lambda: filled(lambda n, r: "ä€😀" * 30 + "\n")),
}
