"""What the stalls command says of public reports: the verdict and the reason that an engineer would sign."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import cores
from analysis.judging import Capture, JudgedPhase, Options, load
from analysis.reports import text as report_text
from analysis.reports.capture_report import of_capture, source
from analysis.reports.summary import of_phase


def render(capture: Capture) -> str:
    return report_text.render(of_capture(capture, pages=False), source(capture))


BACKEND, FRONT = "back-end-bound, memory or core unknown", "front-end-bound"
WAITING = "waiting-bound"
"""perf's own example of its default counts 52 million cycles in a second on 223 CPUs: nothing ran."""


def _load(shared_data: Path, start: str, **options: object) -> tuple[Capture, list[JudgedPhase]]:
    (path,) = (shared_data / "field").glob(f"{start}*")
    capture = load(path, Options(**options))  # type: ignore[arg-type]
    return capture, capture.judged()


@pytest.mark.parametrize(
    ("start", "outcomes", "said"),
    [
        ("01-", [BACKEND], "Cortex-A76 does not have it, so its count of 0 is no evidence"),
        ("01c-", ["cannot tell"], "the counter returned 0"),
        ("02-", ["memory-bound", "not back-end limited"], "memory stalls / back-end stalls 75.0 %"),
        ("02c-", ["memory-bound", "not back-end limited"], "back-end stalls / cycles 5.0 %"),
        ("03-", ["memory-bound"], "memory stalls / cycles 30.0 %"),
        ("04-", ["not measured"], "integer data processing 60.0 %"),
        ("05-", ["cannot tell"], "counted 8 % of the time"),
        ("05c-", [FRONT], "front-end stalls / cycles 69.8 %"),
        ("05d-", [BACKEND], "back-end stalls / cycles 40.7 %"),
        ("06-", [WAITING], "core x86 CPU"),
        ("06c-", [WAITING], "back-end slots 70.1 %"),
        ("07c-", [BACKEND], "back-end stalls / cycles 20.7 %"),
        ("07e-", ["cannot tell"], "no measured read peak"),
        ("07f-", ["memory-bound"], "memory stalls / cycles 30.0 %"),
        ("07g-", ["not measured"] * 3, "Apple M1"),
        ("09-", [BACKEND], "back-end stalls / cycles 36.1 %"),
        ("20-a520_simpleperf", [FRONT], "front-end stalls / cycles 45.2 %"),
        ("20-min_fe", [FRONT], "45.0 % ≥ 28.5 %"),
        ("20-min_rich", [FRONT], "frontend bound takes 55.7 % of slots"),
        ("20-v1_bolt", [FRONT], "mispredicted branches / 1000 instructions 16.6"),
        ("20-n1_mix", ["not measured"], "scalar floating point 16.4 %"),
        ("20-v2_cycle", [BACKEND], "back-end stalls / cycles 89.2 %"),
        ("20-v3ae_false", [BACKEND], "back-end slots 85.8 %"),
    ],
)
def test_the_answer_and_its_reason(start: str, outcomes: list[str], said: str, shared_data: Path) -> None:
    capture, phases = _load(shared_data, start)
    assert [str(phase.judgement.combined.outcome) for phase in phases] == outcomes
    text = " ".join(render(capture).split())
    assert said in text
    for phase in phases:
        shown = of_phase(phase, capture)
        assert shown.why and shown.next and " ".join(shown.line.split()) in text


@pytest.mark.parametrize("start", ["08-", "20-min_n2"])
def test_naming_the_core_loses_nothing(start: str, shared_data: Path) -> None:
    bare_capture, (bare,) = _load(shared_data, start)
    _, (by_slots,) = _load(shared_data, start, slots=5)
    _, (named,) = _load(shared_data, start, core=cores.load("neoverse-n2-r0p2"))
    shares = [phase.judgement.topdown.ratios["backend_bound"].number() for phase in (by_slots, named)]
    assert shares[0] == shares[1] == pytest.approx(0.693, abs=0.002)
    assert [str(phase.judgement.combined.outcome) for phase in (by_slots, named)] == [BACKEND, BACKEND]
    assert any("BR_MIS_PRED" in remark for remark in named.judgement.combined.remarks)
    assert "slots per cycle" in bare.judgement.topdown.text or bare.judgement.topdown.is_finding
    assert "nothing that the rules read was counted" not in render(bare_capture)


@pytest.mark.parametrize(
    ("start", "core", "said", "unsaid"),
    [
        ("07e-", None, "--read-peak GB/s", ("r2a", "r17", "r11")),
        ("20-v1_bolt", None, "mispredicted branches / 1000 instructions 16.6: less or straighter code", ("r10",)),
        ("20-min_rich", None, "less or straighter code", ()),
        ("05d-", None, "STALL_BACKEND_MEM", ("r24", "r23")),
        ("01-", None, "compare its refills", ("r24", "r4005")),
        ("05-", None, "count again", ("r23", "r24")),
    ],
)
def test_next_never_asks_for_what_is_there(
    start: str, core: str | None, said: str, unsaid: tuple[str, ...], shared_data: Path
) -> None:
    capture, (phase, *_) = _load(shared_data, start, core=cores.load(core) if core else None)
    advice = of_phase(phase, capture).next
    assert said in advice
    assert not [code for code in unsaid if code in advice]
