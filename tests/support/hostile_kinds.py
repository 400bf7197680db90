"""The kinds of files that are made to be slow to read, each with the command that reads it (`hostile_files`)."""

from __future__ import annotations

import hostile_files as made
from hostile_files import Kind, filled

STALLS, FUNCTIONS, MEMORY = "analysis.stalls", "analysis.functions", "analysis.memory"
BENCHMARKS, TIMELINE = "analysis.benchmarks", "analysis.timeline"
FLEET = "analysis.fleet --workers 0"
TEXT = "#           time             counts unit events\n"
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

CSV: dict[str, Kind] = {
    "csv-intervals": (STALLS, lambda: filled(made.timed_csv)),
    "csv-alt": (STALLS, lambda: filled(made.in_turn(made.timed_csv, lambda n, r: made.timed_csv(n, r, ";")))),
    "csv-shapes": (STALLS, lambda: filled(made.shaped_row)),
    "csv-comma": (STALLS, lambda: filled(made.comma_row)),
    "csv-semicolon-comma": (STALLS, lambda: filled(lambda n, r: made.timed_csv(n, r, ";").replace(".", ","))),
    "csv-events": (STALLS, lambda: filled(lambda n, r: made.csv_row(n, r, name=f"r{n:x}"))),
    "csv-events-of-intervals": (STALLS, lambda: filled(lambda n, r: made.timed_csv(n, r, name=f"r{n % 9999:x}"))),
    "csv-cpus": (STALLS, lambda: filled(lambda n, r: made.csv_row(n, r, scope=f"CPU{n},"))),
    "csv-cpus-of-intervals": (
        STALLS,
        lambda: filled(lambda n, r: f"{made.stamp(n, 1024)},CPU{n % 1024},{made.csv_row(n // 1024, r)}"),
    ),
    "csv-threads": (STALLS, lambda: filled(lambda n, r: made.csv_row(n, r, scope=f"worker-{n},"))),
    "csv-cgroups": (
        STALLS,
        lambda: filled(lambda n, r: f"{made.amount(r)},,{made.event(n)},/g{n},{made.amount(r)},100.00,,\n"),
    ),
    "csv-cgroups-of-intervals": (
        STALLS,
        lambda: filled(
            lambda n, r: (
                f"{made.stamp(n, 900)},{made.amount(r)},,{made.event(n // 150)},/g{n % 150},{made.amount(r)},100.00,,\n"
            )
        ),
    ),
    "csv-cr-lf": (STALLS, lambda: filled(lambda n, r: made.timed_csv(n, r)[:-1] + "\r\n")),
    "csv-cr-lf-at-times": (
        STALLS,
        lambda: filled(lambda n, r: made.timed_csv(n, r)[:-1] + ("\r\n" if n % 2 else "\n")),
    ),
    "csv-quotes": (STALLS, lambda: filled(lambda n, r: f'"{made.timed_csv(n, r)[:-1].replace(",", chr(34) * 2)}"\n')),
    "csv-quoted-fields": (
        STALLS,
        lambda: filled(lambda n, r: ",".join(f'"{f}"' for f in made.timed_csv(n, r)[:-1].split(",")) + "\n"),
    ),
    "csv-names-in-quotes": (
        STALLS,
        lambda: filled(lambda n, r: made.timed_csv(n, r, name='"armv8_pmuv3/event=0x24,config1=1/"')),
    ),
    "csv-names-with-commas": (
        STALLS,
        lambda: filled(lambda n, r: made.timed_csv(n, r, name=f"armv8_pmuv3/event=0x{n % 900:x},config1=1/")),
    ),
    "csv-comments": (STALLS, lambda: filled(made.in_turn(made.timed_csv, lambda n, r: f"# {made.prose(n, r)}"))),
    "csv-long-separator": (STALLS, lambda: filled(lambda n, r: made.timed_csv(n, r, "';'"))),
    "csv-separator-of-names": (STALLS, lambda: filled(lambda n, r: made.timed_csv(n, r, ":"))),
    "csv-separator-slash": (STALLS, lambda: filled(lambda n, r: made.timed_csv(n, r, "/"))),
    "csv-prose": (STALLS, lambda: filled(made.in_turn(made.timed_csv, made.prose))),
    "csv-wrong-rows": (
        f"{STALLS} --lenient",
        lambda: filled(made.in_turn(made.timed_csv, lambda n, r: f"{n},,cycles,{made.amount(r)},1e9.00,,\n")),
    ),
    "csv-groups": (
        STALLS,
        lambda: filled(
            made.in_turn(
                lambda n, r: f"{n // 4 + 1}.{0:09},,,,{made.amount(r)},100.00,,,,TopdownL1\n",
                *(
                    lambda n, r, name=name: (
                        f"{n // 4 + 1}.{0:09},,,,,,{r.random() * 100:.{n % 5}f},%  tma_{name}_bound\n"
                    )
                    for name in ("backend", "frontend", "core")
                ),
            )
        ),
    ),
    "csv-metric-only": (
        STALLS,
        lambda: filled(
            lambda n, r: f"{made.stamp(n, 1)},{r.random() * 9:.{n % 6}f},{r.random():.3f},\n",
            "time,GHz,insn per cycle,\n",
        ),
    ),
    "csv-old": (STALLS, lambda: filled(lambda n, r: f"{made.stamp(n)},{made.amount(r)},{made.event(n)}\n")),
    "csv-summary": (
        STALLS,
        lambda: filled(made.in_turn(made.timed_csv, lambda n, r: "         summary," + made.csv_row(n, r))),
    ),
    "csv-runs": (STALLS, lambda: filled(made.csv_row)),
    "csv-started-on": (STALLS, lambda: filled(made.in_turn(lambda n, r: f"# started on {n}\n\n", made.csv_row))),
    "csv-prefixed": (
        STALLS,
        lambda: filled(lambda n, r: f"2026-01-01T00:00:{n % 60:02} [stderr] {made.timed_csv(n, r)}"),
    ),
    "csv-colours": (STALLS, lambda: filled(lambda n, r: f"\x1b[3{n % 8}m{made.timed_csv(n, r)[:-1]}\x1b[0m\n")),
    "csv-mail": (STALLS, lambda: filled(lambda n, r: f"> {made.timed_csv(n, r)}")),
    "csv-blank-lines": (STALLS, lambda: filled(lambda n, r: made.timed_csv(n, r) + "\n" * (n % 4))),
    "csv-utf-16": (STALLS, lambda: made.as_utf16(filled(made.timed_csv))),
    "csv-fields": (STALLS, lambda: filled(lambda n, r: f"5,,{'x,' * 900}\n", "5,,cycles,100,100.00,,\n")),
    "csv-time-back": (STALLS, lambda: filled(lambda n, r: f"{r.random():.9f},{made.csv_row(n, r)}")),
    "csv-letters": (STALLS, lambda: filled(lambda n, r: made.timed_csv(n, r, name=f"evènement{n % 7}"))),
    "csv-ratios": (
        STALLS,
        lambda: filled(
            lambda n, r: (
                f"{made.timed_csv(n, r)[:-3]},{r.random() * 9:.{n % 9}f},"
                f"{('insn per cycle', 'of all branches', '%  frontend_bound')[n % 3]}\n"
            )
        ),
    ),
}

JSON: dict[str, Kind] = {
    "json-intervals": (STALLS, lambda: filled(made.perf_json)),
    "json-compact": (STALLS, lambda: filled(lambda n, r: made.json_line(n, r).replace(" ", ""))),
    "json-spread": (STALLS, lambda: filled(made.spread(made.json_line))),
    "json-list": (STALLS, lambda: filled(lambda n, r: made.perf_json(n, r)[:-1] + ",\n", "[\n", "{}]\n")),
    "json-lists-of-many": (
        STALLS,
        lambda: filled(lambda n, r: "[" + ", ".join(made.perf_json(n, r)[:-1] for _ in range(2000)) + "]\n"),
    ),
    "json-shuffled": (STALLS, lambda: filled(made.shuffled_json)),
    "json-cgroups": (
        STALLS,
        lambda: filled(lambda n, r: made.perf_json(n // 150, r, f'"cgroup" : "/g{n % 150}", ')),
    ),
    "json-events": (STALLS, lambda: filled(lambda n, r: made.json_line(n, r, event=f"r{n:x}"))),
    "json-threads": (STALLS, lambda: filled(lambda n, r: made.json_line(n, r, thread=f"worker-{n}"))),
    "json-decimal-commas": (STALLS, lambda: filled(lambda n, r: made.perf_json(n, r).replace("100.00", "99,12"))),
    "json-ratios": (
        STALLS,
        lambda: filled(
            lambda n, r: made.perf_json(
                n, r, "", f', "metric-value" : "{r.random() * 9:.{n % 9}f}", "metric-unit" : "insn per cycle"'
            )
        ),
    ),
    "json-metric-only": (
        STALLS,
        lambda: filled(
            lambda n, r: f'{{"interval" : {made.stamp(n, 1)}, "GHz" : "{r.random():.{n % 9}f}", "ipc" : "1.{n}"}}\n'
        ),
    ),
    "json-of-others": (STALLS, lambda: filled(made.in_turn(made.perf_json, lambda n, r: f'{{"token": "t{n}"}}\n'))),
    "json-other-keys": (
        STALLS,
        lambda: filled(lambda n, r: f'{{"a{n}": 1}}\n', '{"counter-value": "5", "event": "cycles"}\n'),
    ),
    "json-prose": (STALLS, lambda: filled(made.in_turn(made.perf_json, made.prose))),
    "json-escapes": (
        STALLS,
        lambda: filled(lambda n, r: made.perf_json(n, r, f'"cgroup" : "{chr(92)}u{n % 999 + 4096:04x}", ')),
    ),
    "json-deep": (STALLS, lambda: b'{"counter-value":' * (made.SIZE // 17)),
    "json-deep-lines": (STALLS, lambda: filled(lambda n, r: '{"event":' * 9000 + "\n", '{"counter-value": "5"}\n')),
    "json-open": (STALLS, lambda: filled(lambda n, r: '{"counter-value" : "5",\n')),
    "json-braces": (STALLS, lambda: filled(lambda n, r: "{\n", '{"counter-value": "5", "event": "cycles"}\n')),
    "json-empty-objects": (STALLS, lambda: filled(lambda n, r: "{}\n", made.perf_json(0, made.random.Random(1)))),
    "json-twice": (STALLS, lambda: filled(lambda n, r: made.json_line(n, r)[:-2] + ', "event": "x"}\n')),
}

TEXTS: dict[str, Kind] = {
    "text-intervals": (STALLS, lambda: filled(made.timed_text, TEXT)),
    "text-spelled": (STALLS, lambda: filled(made.spelled_text, TEXT)),
    "text-cpus": (
        STALLS,
        lambda: filled(lambda n, r: f"{made.stamp(n, 3072):>16} CPU{n % 512:<6} {made.text_row(n // 512, r)}", TEXT),
    ),
    "text-cores": (
        STALLS,
        lambda: filled(lambda n, r: f"{made.stamp(n, 384):>16} S0-D0-C{n % 64:<8} 2 {made.text_row(n // 64, r)}", TEXT),
    ),
    "text-threads": (
        STALLS,
        lambda: filled(lambda n, r: made.text_row(n, r, scope=f"{f'worker-{n}':>20} "), OPEN, made.ELAPSED),
    ),
    "text-threads-of-intervals": (
        STALLS,
        lambda: filled(
            lambda n, r: f"{made.stamp(n, 3072):>16} {f'worker {n % 512}-{n % 512}':>20} {made.text_row(n // 512, r)}",
            TEXT,
        ),
    ),
    "text-cgroups": (
        STALLS,
        lambda: filled(
            lambda n, r: (
                f"{made.stamp(n, 900):>16} {made.text_row(n // 150, r, behind=f' /g{n % 150}  ({n % 100}.12%)')}"
            ),
            TEXT,
        ),
    ),
    "text-events": (
        STALLS,
        lambda: filled(lambda n, r: made.text_row(n, r, f"r{n:x}"), OPEN, made.ELAPSED),
    ),
    "text-tables": (STALLS, lambda: filled(lambda n, r: f"{OPEN}{made.text_row(n, r)}{made.ELAPSED}")),
    "text-tables-long": (
        STALLS,
        lambda: filled(lambda n, r: f"{OPEN}{made.text_row(n, r) * 200}{made.ELAPSED}"),
    ),
    "text-untitled": (STALLS, lambda: filled(lambda n, r: made.text_row(n, r) + made.ELAPSED * (n % 99 == 98))),
    "text-prose-around": (
        STALLS,
        lambda: filled(made.prose, OPEN + made.text_row(0, made.random.Random(1)) + made.ELAPSED),
    ),
    "text-prose-before": (
        STALLS,
        lambda: filled(made.prose, "", OPEN + made.text_row(0, made.random.Random(1)) + made.ELAPSED),
    ),
    "text-prose-within": (STALLS, lambda: filled(made.in_turn(made.text_row, made.prose), OPEN)),
    "text-shares-below": (
        STALLS,
        lambda: filled(
            lambda n, r: f"{made.timed_text(n, r)[:-1]}  # {r.random():.3f}\n   GHz   ({n % 99}.12%)\n", TEXT
        ),
    ),
    "text-mail-broken": (
        STALLS,
        lambda: filled(lambda n, r: made.timed_text(n, r, behind="  #  0.5 =\n GHz"), TEXT),
    ),
    "text-mail": (STALLS, lambda: filled(lambda n, r: f"> > {made.timed_text(n, r)}", f"> > {TEXT}")),
    "text-colours": (STALLS, lambda: filled(lambda n, r: f"\x1b[{n % 99}m{made.timed_text(n, r)[:-1]}\x1b[m\n", TEXT)),
    "text-entities": (STALLS, lambda: filled(lambda n, r: f"&nbsp;{made.timed_text(n, r)[:-1]} &amp;\n", TEXT)),
    "text-verbose": (STALLS, lambda: filled(lambda n, r: f"cycles: {n} {n} {n}\n", OPEN)),
    "text-verbose-between": (
        STALLS,
        lambda: filled(made.in_turn(made.timed_text, lambda n, r: f"cycles: {n} {n} {n}\n"), TEXT),
    ),
    "text-german": (STALLS, lambda: filled(lambda n, r: made.timed_text(n, r).replace(",", "."), TEXT)),
    "text-blank-groups": (STALLS, lambda: filled(lambda n, r: made.timed_text(n, r).replace(",", " "), TEXT)),
    "text-no-break-groups": (
        STALLS,
        lambda: filled(lambda n, r: made.timed_text(n, r).replace(",", "\u202f"), TEXT),
    ),
    "text-not-counted": (
        STALLS,
        lambda: filled(lambda n, r: f"{made.stamp(n):>16}      <not counted>      {made.event(n)}  (0.00%)\n", TEXT),
    ),
    "text-metric-columns": (STALLS, lambda: filled(made.metric_columns(3)[1], made.metric_columns(3)[0])),
    "text-metric-columns-many": (STALLS, lambda: filled(made.metric_columns(80)[1], made.metric_columns(80)[0])),
    "text-ratios-below": (
        STALLS,
        lambda: filled(
            lambda n, r: (
                f"{made.timed_text(n, r)[:-1]}  #  {r.random():.{n % 6}f}  tma_backend_bound\n"
                f"{' ' * 60}#  {r.random():.{n % 5}f}  tma_frontend_bound\n"
            ),
            TEXT,
        ),
    ),
    "text-runs-of-table": (
        STALLS,
        lambda: filled(
            lambda n, r: f"  {r.random():.9f} ({r.random():+.9f}) ###\n", OPEN + "# Table of individual measurements:\n"
        ),
    ),
    "text-cr-lf": (STALLS, lambda: filled(lambda n, r: made.timed_text(n, r)[:-1] + "\r\n", TEXT)),
    "text-utf-16": (STALLS, lambda: made.as_utf16(filled(made.timed_text, TEXT))),
    "text-blanks": (STALLS, lambda: filled(lambda n, r: "  1 x #" + " " * 1900 + "\n", OPEN)),
    "text-brackets": (STALLS, lambda: filled(lambda n, r: "  1 x # " + "(1%) " * 300 + "\n", OPEN)),
    "text-quote-marks": (STALLS, lambda: filled(lambda n, r: "> " * 900 + "\n", OPEN)),
    "text-prefixed": (
        STALLS,
        lambda: filled(lambda n, r: f"[{n % 60:02}:00:00] {made.timed_text(n, r)}", f"[00:00:00] {TEXT}"),
    ),
    "text-numbered": (STALLS, lambda: filled(lambda n, r: f"{n + 2:>6}\t{made.timed_text(n, r)}", f"     1\t{TEXT}")),
}

SAMPLES: dict[str, Kind] = {
    "script": (FUNCTIONS, lambda: filled(made.sample)),
    "script-names": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r, f"function_{n}"))),
    "script-long-names": (
        FUNCTIONS,
        lambda: filled(lambda n, r: made.sample(n, r, f"std::vector<int, a{n}<b, {n}>>::push(int, char const*)")),
    ),
    "script-comms": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r, comm=f"thread {n}"))),
    "script-images": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r).replace("x.so", f"x{n}.so"))),
    "script-events": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r, name=f"r{n:x}"))),
    "script-some-events": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r, name=f"r{n % 4000:x}"))),
    "script-chains": (FUNCTIONS, lambda: filled(made.chain)),
    "script-deep-chains": (FUNCTIONS, lambda: filled(lambda n, r: made.chain(n, r, 1000, 10**6))),
    "script-short-chains": (FUNCTIONS, lambda: filled(lambda n, r: made.chain(n, r, 1, 10**6))),
    "script-source-lines": (
        FUNCTIONS,
        lambda: filled(lambda n, r: made.chain(n, r, 4).replace(")\n", f")\n  file{n}.c:{n}\n")),
    ),
    "script-instructions": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r)[:-1] + " insn: 20 00 80 52\n")),
    "script-task-events": (
        FUNCTIONS,
        lambda: filled(made.in_turn(made.sample, lambda n, r: f"a 1 {n}.000001: PERF_RECORD_COMM exec: a:1/1\n")),
    ),
    "script-wrong-lines": (f"{FUNCTIONS} --lenient", lambda: filled(made.in_turn(made.sample, made.prose))),
    "script-blank-lines": (FUNCTIONS, lambda: filled(lambda n, r: "\n", made.sample(0, made.random.Random(1)))),
    "script-colons": (
        FUNCTIONS,
        lambda: filled(lambda n, r: " 1.0: " * 600 + "\n", made.sample(0, made.random.Random(1))),
    ),
    "script-accesses": (MEMORY, lambda: filled(made.access)),
    "script-to-stalls": (STALLS, lambda: filled(made.sample)),
}

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

KINDS: dict[str, Kind] = {**CSV, **JSON, **TEXTS, **SAMPLES, **OTHERS}
