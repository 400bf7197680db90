"""Files that are made to be slow to read: of `perf stat -x`."""

from __future__ import annotations

import hostile_files as made
from hostile_files import STALLS, Kind, filled

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
