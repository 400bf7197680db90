"""Cutting interval captures by markers. Captures are synthetic and small enough to be added up by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from capture_tables import parsed, written

from analysis import cutting
from analysis.cutting import cut
from analysis.errors import AnalysisError
from analysis.judging import load, titles
from analysis.phase import Marker, Phase
from analysis.readers import read
from analysis.table import Table


def perf(tmp_path: Path, counts: list[str], scope: str = "", event: str = "cycles", step_s: float = 1.0) -> Table:
    rows = [f"{(i + 1) * step_s:16.9f},{scope}{c},,{event},1000,100.00,,\n" for i, c in enumerate(counts)]
    return parsed(tmp_path, "".join(rows))


def values(phase: Phase, event: str = "CPU_CYCLES") -> list[float]:
    return [round(s.counts[event].value, 6) for s in phase.steps]


MARKERS = [Marker(1.0, 0, 100), Marker(3.5, 100, 1), Marker(4.5, 101, 1), Marker(6.0, 102, 0)]


def test_straddling_intervals_are_split_by_time(tmp_path: Path) -> None:
    prefill, decode = cut(perf(tmp_path, ["100", "200", "300", "400", "500", "600", "700"]), MARKERS, offset_s=0.0)
    assert (prefill.label, prefill.generation, prefill.n_tokens, prefill.duration_s) == ("prefill", 0, 100, 2.5)
    assert prefill.counts["CPU_CYCLES"].value == pytest.approx(200 + 300 + 400 / 2)
    assert prefill.counts["CPU_CYCLES"].samples == 3
    assert (decode.label, decode.n_tokens, decode.duration_s) == ("decode", 2, 2.5)
    assert values(decode) == [200 + 250, 250 + 600]
    assert decode.counts["CPU_CYCLES"].value == pytest.approx(1300)
    assert decode.notes == ["1 interval(s) straddle the phase's boundaries: divided pro rata by time"]
    assert decode.bin_s == pytest.approx(1.0)


def test_straddling_intervals_are_dropped(tmp_path: Path) -> None:
    table = perf(tmp_path, ["100", "200", "300", "400", "500", "600", "700"])
    prefill, decode = cut(table, MARKERS, offset_s=0.0, straddle="drop")
    assert (prefill.counts["CPU_CYCLES"].value, prefill.duration_s) == (500.0, 2.0)
    assert (decode.counts["CPU_CYCLES"].value, decode.duration_s) == (1100.0, 2.0)
    first, second = decode.steps
    assert first.counts["CPU_CYCLES"].status == "not counted"  # shorter than a bin: nothing lies wholly in it
    assert (first.duration_s, second.duration_s) == (0.0, 1.0)
    assert second.counts["CPU_CYCLES"].value == 600.0
    assert "set aside" in decode.notes[0]


def test_offset_moves_the_markers(tmp_path: Path) -> None:
    late = [Marker(m.time_s + 1000.0, m.n_past, m.n_eval) for m in MARKERS]
    table = perf(tmp_path, ["100"] * 7)
    moved = cut(table, late, offset_s=1000.0)
    assert [p.start_s for p in moved] == [1.0, 3.5]
    with pytest.raises(AnalysisError, match="say with --offset"):
        cut(table, late)
    with pytest.raises(AnalysisError, match=r"none of 4 markers \(1001.000 to 1006.000 s\) falls .* check --offset"):
        cut(table, late, offset_s=0.0)


def test_idle_intervals_are_zero_and_starved_ones_are_scaled(tmp_path: Path) -> None:
    rows = [
        ("100", "100.00"),
        ("<not counted>", "100.00"),  # the workload slept
        ("<not counted>", "0.00"),  # other events had the counters
        ("300", "50.00"),
    ]
    text = "".join(f"{i + 1:6d}.000000000,{v},,cycles,1000,{p},,\n" for i, (v, p) in enumerate(rows))
    (phase,) = cut(parsed(tmp_path, text))
    count = phase.counts["CPU_CYCLES"]
    assert count.measured == 400
    assert count.value == pytest.approx(400 * 4 / 3)
    assert count.running == pytest.approx((1 + 1 + 0 + 0.5) / 4)


def test_scopes_add_up_or_stand_alone(tmp_path: Path) -> None:
    rows = [f"{i:6d}.000000000,CPU{c},{10 * i + c},,cycles,1000,100.00,,\n" for i in (1, 2, 3) for c in (0, 1)]
    table = parsed(tmp_path, "".join(rows))
    (phase,) = cut(table)
    assert phase.counts["CPU_CYCLES"].value == 123
    assert phase.notes == ["summed over 2 scopes (cpu:0 to cpu:1)"]
    each = cut(table, by_scope=True)
    assert [(p.scope, p.counts["CPU_CYCLES"].value) for p in each] == [("cpu:0", 60.0), ("cpu:1", 63.0)]


def test_pmus_are_never_added(tmp_path: Path) -> None:
    rows = (
        "5,,armv8_cortex_a76/cycles/,1000,100.00,,\n7,,armv8_cortex_a55/cycles/,1000,100.00,,\n"
        "9,msec,task-clock,1000,100.00,,\n11,,r24,1000,100.00,,\n"
    )
    phases = cut(parsed(tmp_path, rows))
    found = [(p.pmu, {e: c.value for e, c in p.counts.items()}) for p in phases]
    assert found == [
        ("armv8_cortex_a76", {"CPU_CYCLES": 5.0, "task-clock": 9.0}),
        ("armv8_cortex_a55", {"CPU_CYCLES": 7.0, "task-clock": 9.0}),
        ("", {"STALL_BACKEND": 11.0}),
    ]


def test_one_named_pmu_takes_the_unnamed_events(tmp_path: Path) -> None:
    rows = "5,,armv8_pmuv3_0/stall_backend/,1000,100.00,,\n7,,cycles,1000,100.00,,\n"
    (phase,) = cut(parsed(tmp_path, rows))
    assert (phase.pmu, phase.counts["CPU_CYCLES"].value) == ("armv8_pmuv3_0", 7.0)


def test_two_spellings_are_two_readings_of_one_event(tmp_path: Path) -> None:
    rows = "5,,cache-misses,1000,100.00,,\n6,,L1-dcache-load-misses,1000,40.00,,\n"
    (phase,) = cut(parsed(tmp_path, rows))
    assert phase.counts["L1D_CACHE_REFILL"].value == 5
    assert phase.notes == ["cache-misses, L1-dcache-load-misses are all L1D_CACHE_REFILL; cache-misses is used"]


def test_user_and_kernel_are_parts(tmp_path: Path) -> None:
    rows = "5,,cycles:u,1000,100.00,,\n6,,cycles:k,1000,100.00,,\n"
    (phase,) = cut(parsed(tmp_path, rows))
    assert phase.counts["CPU_CYCLES"].value == 11
    assert phase.notes == ["cycles:u, cycles:k are all CPU_CYCLES; cycles:u and cycles:k are added and used"]


def test_an_event_listed_twice_is_paired_with_its_neighbours(tmp_path: Path) -> None:
    rows = [("cycles", 2000, 50.1), ("r70", 80, 50.1), ("cycles", 1000, 49.9), ("r73", 600, 49.9)]
    text = "".join(f"     1.000000000,{value},,{event},1000,{share:.2f},,\n" for event, value, share in rows)
    (phase,) = cut(parsed(tmp_path, text))
    assert phase.counts["CPU_CYCLES"].value == 2000  # counted for the larger share of the time
    for event, value, cycles in (("LD_SPEC", 80, 2000), ("DP_SPEC", 600, 1000)):
        together = phase.together(event, "CPU_CYCLES")
        assert together is not None
        assert [together[e].value for e in (event, "CPU_CYCLES")] == [value, cycles]
    assert phase.notes == []


def test_control_groups_are_apart_and_their_cpus_together(tmp_path: Path) -> None:
    rows = [("0", "A", 5), ("1", "A", 6), ("0", "B", 7), ("1", "B", 8)]
    text = "".join(f"CPU{cpu},{value},,cycles,{name},1000,100.00,,\n" for cpu, name, value in rows)
    phases = cut(parsed(tmp_path, text))
    assert [(p.scope, p.counts["CPU_CYCLES"].value) for p in phases] == [("cgroup:A", 11), ("cgroup:B", 15)]


def test_a_total_is_not_added_to_its_parts(tmp_path: Path) -> None:
    text = "Index (s),Cycles:CPU Cycles,Cycles:CPU Cycles [0],Cycles:CPU Cycles [1]\n0,10,4,6\n1,10,5,5\n"
    (phase,) = cut(parsed(tmp_path, text))
    assert phase.counts["CPU_CYCLES"].value == 20
    assert "both total and parts are listed, the total is used: CPU_CYCLES" in phase.notes


def test_metrics_are_averaged_over_time(tmp_path: Path) -> None:
    text = "time,group,stage,level,metric,value,units\n1.0,T,1,1,Retiring,10,%\n4.0,T,1,1,Retiring,30,%\n"
    (phase,) = cut(parsed(tmp_path, text))
    assert phase.counts["metric:retiring"].value == pytest.approx((10 * 1 + 30 * 3) / 4)
    assert phase.counts["metric:retiring"].unit == "%"


def test_percentiles_are_no_scopes(tmp_path: Path) -> None:
    (phase,) = cut(parsed(tmp_path, "|Ratio|   geomean|  p10|\n|ipc  |   1.81|  1.72|\n"))
    assert phase.counts["metric:ipc"].value == 1.81
    assert math.isnan(phase.duration_s)


def test_generations_and_warmup(tmp_path: Path) -> None:
    markers = [
        Marker(0.5, 0, 2, "warmup"),
        Marker(1.0, 0, 8, "prefill"),
        Marker(2.0, 8, 1, "decode"),
        Marker(3.0, 9, 4, "prefill"),  # a second prompt in the same conversation
        Marker(4.0, 13, 1, "decode"),
        Marker(5.0, 0, 8, "prefill"),  # a new conversation
        Marker(6.0, 8, 0, None),
    ]
    phases = cut(perf(tmp_path, ["10"] * 7), markers, offset_s=0.0)
    assert [(p.label, p.generation, p.warmup) for p in phases] == [
        ("warmup", -1, True),
        ("prefill", 0, False),
        ("decode", 0, False),
        ("prefill", 1, False),
        ("decode", 1, False),
        ("prefill", 2, False),
    ]
    swapped = {"prefill": "decode", "decode": "prefill"}
    renamed = [Marker(m.time_s, m.n_past, m.n_eval, swapped.get(m.label or "", m.label)) for m in markers]
    again = cut(perf(tmp_path, ["10"] * 7), renamed, offset_s=0.0)
    assert [p.generation for p in again] == [p.generation for p in phases]
    assert [p.counts for p in again] == [p.counts for p in phases]


def test_unlabelled_markers(tmp_path: Path) -> None:
    markers = [
        Marker(0.0, 0, 512),
        Marker(1.0, 512, 88),
        Marker(2.0, 600, 1),
        Marker(3.0, 601, 1),
        Marker(4.0, 602, 20),
    ]
    phases = cut(perf(tmp_path, ["10"] * 7), [*markers, Marker(5.0, 622, 1), Marker(6.0, 623, 0)], offset_s=0.0)
    found = [(p.label, p.generation, [(s.n_past, s.n_eval) for s in p.steps]) for p in phases]
    assert found == [
        ("prefill", 0, [(0, 512), (512, 88)]),
        ("decode", 0, [(600, 1), (601, 1)]),
        ("prefill", 1, [(602, 20)]),
        ("decode", 1, [(622, 1)]),
    ]


def test_an_unmarked_end_is_the_median_of_its_like(tmp_path: Path) -> None:
    markers = [Marker(1.0, 0, 8), *(Marker(2.0 + i, 8 + i, 1) for i in range(5))]
    prefill, decode = cut(perf(tmp_path, ["10"] * 20), markers, offset_s=0.0)
    assert [s.duration_s for s in decode.steps] == [1.0] * 5
    assert decode.duration_s == 5.0
    assert "the end of the last step is not marked; taken as 1000.000 ms" in decode.notes[0]
    assert prefill.notes == []


def test_streamline_markers_cut_without_an_offset(tmp_path: Path) -> None:
    rows = "".join(f"{i / 10:.1f},{100 * (i + 1)}\n" for i in range(10))
    written(tmp_path, "Index (s),Cycles:CPU Cycles\n" + rows, "timeline.csv")
    log = 'When (s),Message\n0.2,"past 0, n_eval 16"\n0.5,"past 16, n_eval 1"\n0.6,"past 17, n_eval 1"\n'
    written(tmp_path, log, "log.csv")
    prefill, decode = cut(read(tmp_path))
    assert prefill.counts["CPU_CYCLES"].value == pytest.approx(300 + 400 + 500)
    assert values(decode) == [600, 700 + 800 + 900 + 1000]


def test_whole_capture_and_no_intervals(tmp_path: Path) -> None:
    table = parsed(tmp_path, "5,,cycles,1000,40.00,,\n<not counted>,,r24,0,0.00,,\n<not supported>,,r4005,0,100.00,,\n")
    (phase,) = cut(table)
    assert (phase.label, phase.steps, math.isnan(phase.duration_s)) == ("all", [], True)
    assert (phase.counts["CPU_CYCLES"].value, phase.counts["CPU_CYCLES"].running) == (5.0, 0.4)
    assert phase.counts["STALL_BACKEND"].status == "not counted"
    assert phase.counts["STALL_BACKEND_MEM"].status == "not supported"
    with pytest.raises(AnalysisError, match="no intervals to cut by markers"):
        cut(table, MARKERS, offset_s=0.0)
    with pytest.raises(AnalysisError, match="--straddle is one of split, drop"):
        cut(table, straddle="maybe")


def test_markers_alone_give_the_steps_their_times(tmp_path: Path) -> None:
    rows = [(1000, 0, 512, "prefill"), (3000, 512, 1, "decode"), (3100, 513, 1, "decode"), (3250, 514, 0, "")]
    text = "time_ns,n_past,n_eval,phase\n" + "".join(f"{t}000000,{p},{n},{label}\n" for t, p, n, label in rows)
    prefill, decode = cut(parsed(tmp_path, text))
    assert (prefill.label, prefill.n_tokens, prefill.duration_s) == ("prefill", 512, pytest.approx(2.0))
    assert [step.duration_s for step in decode.steps] == pytest.approx([0.1, 0.15])
    assert (decode.counts, decode.n_tokens) == ({}, 2)


def test_counts_are_plain_numbers(tmp_path: Path) -> None:
    """What is not, JSON has no word for."""
    (phase,) = cut(perf(tmp_path, ["10", "<not counted>", "30"]))
    count = phase.counts["CPU_CYCLES"]
    assert {type(number) for number in (count.value, count.running, count.measured)} == {float}


def test_pmus_of_clusters_are_no_cores(tmp_path: Path) -> None:
    """Their refills are everybody's, and never added to the core's own."""
    core = "100,,armv8_pmuv3_0/l3d_cache_refill/,1000,100.00,,\n"
    dsu = "900,,arm_dsu_0/l3d_cache_refill/,1000,100.00,,\n800,,arm_cmn_0/hnf_cache_miss/,1000,100.00,,\n"
    (phase,) = cut(parsed(tmp_path, core + dsu))
    assert phase.counts["L3D_CACHE_REFILL"].value == 100
    assert "no cores, so not judged: arm_dsu_0, arm_cmn_0" in phase.notes
    assert [p.pmu for p in cut(parsed(tmp_path, dsu))] == ["arm_dsu_0", "arm_cmn_0"]  # nothing else was counted


def test_more_pmus_than_any_machine_has(tmp_path: Path) -> None:
    rows = [f"5,,armv8_pmu{at}/cycles/,1000,100.00,,\n" for at in range(65)]
    assert len(cut(parsed(tmp_path, "".join(rows[:64])))) == 64
    with pytest.raises(AnalysisError, match="counts of 65 PMUs, more than the 64 that any machine has"):
        cut(parsed(tmp_path, "".join(rows)))


def test_more_groups_to_judge_apart_than_there_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.cutting.MOST_APART", 3)
    rows = [f"CPU{at},5,,cycles,1000,100.00,,\n" for at in range(4)]
    assert (
        len(cut(parsed(tmp_path, "".join(rows[:3])), by_scope=True)) == 3
        and len(cut(parsed(tmp_path, "".join(rows)))) == 1
    )
    with pytest.raises(AnalysisError, match="4 control groups or scopes to judge apart, more than 3"):
        cut(parsed(tmp_path, "".join(rows)), by_scope=True)


def test_titles_of_long_labels_are_told_apart() -> None:
    found = titles([Phase(f"{'p' * 200}{at}", 0, 1, 0.0, 1.0) for at in range(3)])
    assert len(set(found)) == 3 and titles([Phase("a", 0, 1, 0.0, 1.0), Phase("b", 0, 1, 0.0, 1.0)]) == ["a", "b"]


def test_of_many_phases_the_first_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "MOST_PHASES", 2)
    marks = [Marker(float(at), 0, 1, f"phase {at}") for at in range(7)]
    told = "the first 2 of 7 phases are judged, the others left out"
    found = cut(perf(tmp_path, ["100"] * 7), marks, offset_s=0.0)
    assert [phase.label for phase in found] == ["phase 0", "phase 1"]
    assert [phase.left_out for phase in found] == [told, ""]
    by_cpu = parsed(
        tmp_path, "".join(f"{1 + at}.000000000,CPU{cpu},5,,cycles,1000,100.00,,\n" for at in range(7) for cpu in (0, 1))
    )
    found = cut(by_cpu, marks, offset_s=0.0, by_scope=True)
    assert [(phase.label, phase.scope) for phase in found] == [("phase 0", "cpu:0"), ("phase 0", "cpu:1")]
    assert [phase.left_out for phase in found] == ["the first 1 of 7 phases are judged, the others left out", ""]


@pytest.mark.parametrize(("per_op", "most"), [(False, 3), (True, 2)])
def test_of_many_phases_of_calls_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_op: bool, most: int
) -> None:
    monkeypatch.setattr(cutting, "MOST_PHASES", 3)
    monkeypatch.setattr(cutting, "MOST_WITH_OPERATIONS", 2)
    rows = [f"{at},phase {at},0,1,,{1000 * at},1000\n" for at in range(5)]
    rows += [f"{at},phase {at},0,1,gemv,{1000 * at},900\n" for at in range(5) if per_op]
    head = "# q4engine capture\n# format_version: 1\ncall,phase,n_past,n_eval,op,start_ns,duration_ns\n"
    capture = load(written(tmp_path, head + "".join(rows)))
    assert len(capture.phases) == most
    assert capture.which == f"the first {most} of 5 phases are judged, the others left out"
    assert capture.notes.count(capture.which) == 1
