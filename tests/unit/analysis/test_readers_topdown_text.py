"""topdown-tool on a terminal: trees, tables, old lines. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, written

from analysis.errors import AnalysisError
from analysis.readers import read

TREE = """Monitoring command: a.out. Hit Ctrl-C to stop.
CPU Neoverse V2 metrics
├── Stage 1 (Topdown metrics)
│   └── Topdown Level 1 (Topdown_L1)
│       └── ┏━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━┳━━━━━━┓
│           ┃ Metric          ┃ Aggregated (0,2-3) ┃ #0    ┃ #2    ┃ Unit ┃
│           ┡━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━╇━━━━━━┩
│           │ Backend Bound   │ 73.28              │ 71.97 │ 75.68 │ %    │
│         » │ Bad Speculation │                    │ 0.84  │ 1.07  │ %    │ «
│           └─────────────────┴────────────────────┴───────┴───────┴──────┘
└── Topdown metrics
    ├── Frontend Bound (frontend_bound)
    │   ├── ┏━━━━━━━┳━━━━━━┓
    │   │   ┃ Value ┃ Unit ┃
    │   │   ┡━━━━━━━╇━━━━━━┩
    │   │   │ 12.09 │ %    │
    │   │   └───────┴──────┘
"""


def test_tree_with_columns_of_cores_and_unnamed_values(tmp_path: Path) -> None:
    table = parsed(tmp_path, TREE)
    assert readings(table) == [
        ("", "metric:backend_bound", 73.28, "ok", None),
        ("", "metric:bad_speculation", None, "not counted", 0.0),
        ("", "metric:frontend_bound", 12.09, "ok", None),
    ]
    assert table.meta["cpu"] == "Neoverse V2"
    assert any("the aggregate holds them all" in note for note in table.notes)


def test_plain_box_of_a_terminal_without_unicode(tmp_path: Path) -> None:
    text = "CPU Cortex-A720 metrics\n`-- Stage 2 (uarch metrics)\n    `-- MPKI (MPKI)\n        `-- +---------+\n"
    text += "            | Metric      | Value  | Unit                          |\n            |----+----|\n"
    text += "            | Branch MPKI | 16.583 | misses per 1,000 instructions |\n"
    assert readings(parsed(tmp_path, text)) == [("", "metric:branch_mpki", 16.583, "ok", None)]


def test_two_clusters_are_apart_and_runs_follow_each_other(tmp_path: Path) -> None:
    both = TREE + TREE.replace("Neoverse V2", "Cortex-A55").replace("73.28", "20.00")
    assert list(parsed(tmp_path, both).frame["pmu"].unique()) == ["Neoverse V2", "Cortex-A55"]
    runs = parsed(tmp_path, f"Run 1\n{TREE}Run 2\n{TREE.replace('73.28', '20.00')}")
    assert [r.frame["value"].iloc[0] for r in (runs, *runs.runs)] == [73.28, 20.0]


def test_a_metric_in_two_nodes_is_one_and_two_values_of_it_are_refused(tmp_path: Path) -> None:
    again = TREE.partition("\n")[2].partition("\n")[2].replace("Stage 1", "Stage 2")
    assert len(parsed(tmp_path, TREE + again).frame) == 3
    with pytest.raises(AnalysisError, match=r"Backend Bound is 73\.28 and 20 in one run"):
        read(written(tmp_path, TREE + again.replace("73.28", "20.00")))


def test_outputs_of_two_commands_in_one_file_are_runs(tmp_path: Path) -> None:
    runs = parsed(tmp_path, f"$ topdown-tool a\n{TREE}\nslower:\n{TREE.replace('73.28', '20.00')}")
    assert [r.frame["value"].iloc[0] for r in (runs, *runs.runs)] == [73.28, 20.0]
    stage = "Stage 2 (uarch metrics)\n[Miss Ratio]\nL1D Cache Miss Ratio................ 0.046 per cache access\n"
    runs = parsed(tmp_path, OLD + stage + "and then\n" + OLD.replace("12.50", "22.50"))
    assert [len(r.frame) for r in (runs, *runs.runs)] == [2, 1]
    fenced = f"```\n{OLD}```\nIt is 90% of what we want...\n```\nrunning 10...\n{OLD.replace('12.50', '22.50')}```\n"
    runs = parsed(tmp_path, fenced)
    assert [r.frame["value"].iloc[0] for r in (runs, *runs.runs)] == [12.5, 22.5]


OLD = "Done. Result 5\nStage 1 (Topdown metrics)\n===========\n[Topdown Level 1]\nFrontend Bound... 12.50% slots\n"


def test_old_lines(tmp_path: Path) -> None:
    assert readings(parsed(tmp_path, OLD)) == [("", "metric:frontend_bound", 12.5, "ok", None)]
    with pytest.raises(AnalysisError, match="line 6: expected 'name"):
        read(written(tmp_path, OLD + "Backend Bound.... 12.5x% slots\n"))


def test_a_value_that_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="line 8: the value should be a number, found '73,28'"):
        read(written(tmp_path, TREE.replace("73.28", "73,28")))


def test_a_heading_with_its_kind_and_a_ratio_of_nothing(tmp_path: Path) -> None:
    """As topdown-tool prints them in one stage, and where an event counted zero."""
    table = parsed(
        tmp_path,
        "[Cycle Accounting]      [Topdown group]\nFrontend Stalled Cycles nan (division by zero?)\n"
        "Backend Stalled Cycles. 44.10% cycles\n",
    )
    assert [(row[1], row[3]) for row in readings(table)] == [
        ("metric:frontend_stalled_cycles", "not counted"),
        ("metric:backend_stalled_cycles", "ok"),
    ]
