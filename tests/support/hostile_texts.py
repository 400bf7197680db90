"""Files that are made to be slow to read: of perf's tables of text."""

from __future__ import annotations

import hostile_files as made
from hostile_files import STALLS, Kind, filled

TEXT = "#           time             counts unit events\n"
OPEN = made.TITLE

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
