"""Whatever the counts, a verdict comes out: no exception, no finding from nothing, nothing that depends on a label."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import cores
from analysis.phase import NOT_COUNTED, NOT_SUPPORTED, OK, Count, Phase, Step
from analysis.reports.data import verdict_data
from analysis.verdicts import Context, Family, judge, judge_step

EVENTS = sorted(cores.load("generic").events)
_values = st.one_of(st.just(0.0), st.floats(0, 1e15), st.just(math.nan), st.just(1e300))
_shares = st.one_of(st.none(), st.floats(0, 1))
_counts = st.builds(
    Count,
    value=_values,
    running=_shares,
    group=st.sampled_from([None, "g0", "g1"]),
    status=st.sampled_from([OK, OK, OK, NOT_COUNTED, NOT_SUPPORTED]),
    samples=st.integers(0, 50),
)
_by_event = st.dictionaries(st.sampled_from(EVENTS), _counts, max_size=12)
_seconds = st.one_of(st.just(0.0), st.floats(1e-6, 100), st.just(math.nan))


@st.composite
def _phases(draw: st.DrawFn) -> Phase:
    steps = []
    for i in range(draw(st.integers(0, 3))):
        counts = draw(_by_event)
        groups = {"g0": {event: count for event, count in counts.items() if count.group == "g0"}}
        steps.append(Step(i, draw(st.integers(1, 512)), float(i), draw(_seconds), counts, groups, i))
    counts = draw(_by_event)
    bins = draw(st.one_of(st.just(math.nan), st.floats(1e-4, 1)))
    tokens = draw(st.integers(0, 1000))
    return Phase("decode", 0, tokens, 0.0, draw(_seconds), steps, counts, {"g0": counts}, bin_s=bins)


_contexts = st.builds(
    Context,
    core=st.sampled_from([cores.load(name) for name in cores.names()]),
    slots=st.one_of(st.none(), st.integers(1, 16)),
    read_peak=st.one_of(st.none(), st.floats(1, 1e12)),
    model_bytes=st.one_of(st.none(), st.floats(1, 1e12)),
    kv_bytes=st.floats(0, 1e6),
    emulated=st.booleans(),
    whole_machine=st.booleans(),
    mixed_cores=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(_phases(), _contexts)
def test_any_counts_get_a_verdict(phase: Phase, context: Context) -> None:
    judged = judge(phase, context)
    for verdict in (*judged.rules, judged.combined):
        assert verdict.text
        assert (verdict.family is Family.UNKNOWN) == (not verdict.is_finding)
        if not verdict.is_finding and verdict.rule != "combined":
            assert int(verdict.confidence) == 0
        for check in verdict.checks:
            assert math.isfinite(check.value)
        verdict_data(verdict)
    for step in phase.steps:
        assert judge_step(step, phase, context).combined.text
    renamed = judge(replace(phase, label="prefill", warmup=True, generation=7), context)
    assert renamed == judged


@given(_contexts)
def test_no_counts_no_finding(context: Context) -> None:
    judged = judge(Phase("any", 0, 0, 0.0, 1.0), context)
    assert not any(verdict.is_finding for verdict in (*judged.rules, judged.combined))
