"""Files that are made to be slow to read: of JSON."""

from __future__ import annotations

import hostile_files as made
from hostile_files import STALLS, Kind, filled

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
