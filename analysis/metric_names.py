"""One name for each ratio that a tool printed: `tma_backend_bound`, `Backend Bound` and `backend_bound` are one metric.

Names are Arm's own, of the telemetry files that perf and topdown-tool share. Those that verdicts may read:

- shares of issue slots, in percent: `backend_bound`, `frontend_bound`, `bad_speculation`, `retiring`;
- shares of cycles, in percent: `backend_stalled_cycles`, `frontend_stalled_cycles`;
- shares of speculated operations, in percent: `load_percentage`, `store_percentage`, `integer_dp_percentage`,
  `simd_percentage`, `scalar_fp_percentage`, `branch_percentage`, `crypto_percentage`;
- misses per 1000 instructions: `branch_mpki`, `l1i_cache_mpki`, `l1d_cache_mpki`, `l2_cache_mpki`,
  `ll_cache_read_mpki`.
"""

from __future__ import annotations

import csv
import re
from functools import cache, lru_cache
from importlib import resources

_TMA = re.compile(r"tma_(?=\w)")
_SLOTS_SHARES = ("backend_bound", "frontend_bound", "bad_speculation", "retiring")
_PREFIXES = ("topdown_", "td_")
SLOTS_CLASSES = _SLOTS_SHARES
"""The four that all slots of a cycle are divided into."""
SHARES = (*SLOTS_CLASSES, "backend_stalled_cycles", "frontend_stalled_cycles")
MOST_PERCENT = 105.0
"""A share may pass 100 % by scaling noise only."""


@cache
def _aliases() -> dict[str, str]:
    text = resources.files("analysis.data").joinpath("metric_aliases.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["alias"]: row["metric"] for row in rows}


@lru_cache(4096)
def metric_name(text: str) -> str:
    """The metric's one name: lower case, underscores, without perf's prefix `tma_`. Names we do not know stay apart."""
    words = re.sub(r"[^a-z0-9.+]+", "_", text.lower()).strip("_")
    plain = _TMA.sub("", words, count=1)
    for prefix in _PREFIXES:
        if plain.removeprefix(prefix) in _SLOTS_SHARES:
            plain = plain.removeprefix(prefix)
    return _aliases().get(plain, plain)


def is_known(text: str) -> bool:
    """Whether a spelling is of a metric that verdicts may read, or another that we have met."""
    name = metric_name(text)
    return name in _SLOTS_SHARES or name in _aliases().values() or name.endswith(("_mpki", "end_cycles_idle"))
