"""Where phases and their steps begin and end (`spans`)."""

from __future__ import annotations

import math
import random

import pandas as pd
import pytest

from analysis import spans
from analysis.calls import Calls
from analysis.errors import AnalysisError
from analysis.phase import Marker
from analysis.spans import extent, known_extent, spans_of_calls, spans_of_markers
from analysis.table import TableBuilder


def test_markers_make_spans_and_the_last_is_cut_to_its_like() -> None:
    decode = [Marker(1.0 + i, 8 + i, 1, "decode") for i in range(4)]
    first, second = spans_of_markers([Marker(0.0, 0, 8, "prefill"), *decode], 0.0, 20.0)
    assert (first.label, first.start_s, first.end_s) == ("prefill", 0.0, 1.0)
    assert [step.duration_s for step in second.steps] == [1.0, 1.0, 1.0, 1.0]
    assert "not marked" in second.notes[0]
    with pytest.raises(AnalysisError, match="check --offset"):
        spans_of_markers([Marker(30.0, 0, 8, "prefill")], 0.0, 20.0)


def kinds(*markers: tuple[int, int, str | None]) -> list[tuple[str, int, int]]:
    """(label, generation, steps) of the spans of markers a second apart."""
    made = [Marker(float(i), n_past, n_eval, label) for i, (n_past, n_eval, label) in enumerate(markers)]
    return [(span.label, span.generation, len(span.steps)) for span in spans_of_markers(made, 0.0, float(len(made)))]


def test_labels_that_are_missing_follow_from_the_positions() -> None:
    assert kinds((0, 8, None), (8, 8, None), (16, 1, None), (17, 1, None)) == [("prefill", 0, 2), ("decode", 0, 2)]
    assert kinds((0, 1, None), (1, 1, None)) == [("prefill", 0, 1), ("decode", 0, 1)]


def test_generations_begin_where_positions_jump_or_a_prompt_comes_back() -> None:
    first = [(0, 8, "prefill"), (8, 1, "decode")]
    assert kinds(*first, (0, 4, "prefill")) == [("prefill", 0, 1), ("decode", 0, 1), ("prefill", 1, 1)]
    assert kinds(*first, (9, 4, "prefill")) == [("prefill", 0, 1), ("decode", 0, 1), ("prefill", 1, 1)]
    assert kinds(*first, (12, 1, "decode")) == [("prefill", 0, 1), ("decode", 0, 1), ("decode", 1, 1)]


def test_guesses_that_are_checked_stay_in_their_generation() -> None:
    prompt, guesses, wrong = (0, 8, "prefill"), (9, 4, "verify"), (11, 1, "decode")
    talk = [prompt, (8, 1, "decode"), guesses, wrong, (12, 3, "verify"), (15, 1, "decode")]
    assert kinds(*talk) == [("prefill", 0, 1), ("decode", 0, 3), ("verify", 0, 2)]
    assert kinds(*talk, (14, 6, "prefill"), (20, 2, "verify"))[3:] == [("prefill", 1, 1), ("verify", 1, 1)]
    made = [Marker(float(i), n_past, n_eval, label) for i, (n_past, n_eval, label) in enumerate(talk)]
    _, decode, verify = spans_of_markers(made, 0.0, 6.0)
    assert [(step.n_kept, step.forgotten) for step in verify.steps] == [(2, 2), (3, 0)]
    assert "of 7 tokens evaluated 5 were kept" in verify.notes[0] and not decode.notes
    assert (decode.contiguous, decode.length_s, verify.length_s) == (False, 3.0, 2.0)
    assert kinds(prompt, (4, 8, "prefill")) == [("prefill", 0, 1), ("prefill", 1, 1)]  # a prompt is not gone back into
    assert kinds(*talk[:3], (9, 1, "decode"))[-1] == ("decode", 1, 1)  # the token that was drawn always stays


def test_sequences_that_take_turns_are_a_generation_each() -> None:
    """Two prompts, then a token of one and a token of the other: also where their positions are the same."""
    for other in (3, 8):
        turns = [(first + i, 1, "decode") for i in range(5) for first in (8, other)]
        found = kinds((0, 8, "prefill"), (0, other, "prefill"), *turns)
        assert sorted(found) == [("decode", 0, 5), ("decode", 1, 5), ("prefill", 0, 1), ("prefill", 1, 1)]
    assert kinds((0, 8, "prefill"), (0, 3, "prefill"), (8, 4, "prefill")) == [("prefill", 0, 2), ("prefill", 1, 1)]
    talk = [(0, 8, "prefill"), (8, 1, "decode"), (0, 3, "prefill")]
    assert kinds(*talk, (9, 4, "prefill"))[3:] == [("prefill", 2, 1)]  # the next prompt of the first


def test_positions_that_continue_by_chance_are_another_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.spans.MOST_BETWEEN", 2)
    first = [(0, 8, "prefill"), (0, 3, "prefill"), (3, 1, "decode")]
    assert kinds(*first[:2], (8, 1, "decode"))[-1] == ("decode", 0, 1)
    assert kinds(*first, (8, 1, "decode"))[-1] == ("decode", 2, 1)
    warm = [(0, 8, "prefill"), (0, 8, "warmup"), (8, 1, "decode")]
    assert kinds(*warm)[-1] == ("decode", 1, 1)


def test_phases_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.spans.MOST_SPANS", 4)
    turns = [(0, 8, None), (8, 1, None)] * 2
    assert len(kinds(*turns)) == 4
    with pytest.raises(AnalysisError, match="more than 4 phases"):
        kinds(*turns, (0, 8, None))


def test_warm_up_belongs_to_no_generation() -> None:
    found = kinds((0, 8, "Warm-up"), (0, 8, "prefill"))
    assert found == [("Warm-up", -1, 1), ("prefill", 0, 1)]


def test_markers_outside_are_counted() -> None:
    markers = [Marker(0.5, 0, 8, "prefill"), Marker(9.0, 8, 1, "decode")]
    (span,) = spans_of_markers(markers, 0.0, 2.0)
    assert (span.end_s, span.notes) == (2.0, ["1 marker(s) outside the capture's time are not used"])
    with pytest.raises(AnalysisError, match=r"none of 1 markers \(9.000 to 9.000 s\) falls into the capture"):
        spans_of_markers(markers[1:], 0.0, 2.0)
    with pytest.raises(AnalysisError, match="none of 0 markers"):
        spans_of_markers([], 0.0, 2.0)


def test_extent() -> None:
    builder = TableBuilder()
    builder.add("CPU_CYCLES", 1.0, start_s=3.0, duration_s=1.0)
    builder.add("CPU_CYCLES", 1.0, start_s=1.0, duration_s=0.5)
    assert extent(builder.frame()) == (1.0, 4.0)
    total = TableBuilder()
    total.add("CPU_CYCLES", 1.0, start_s=0.0)
    begin, end = known_extent(total.frame())
    assert begin == 0.0 and end != end
    with pytest.raises(AnalysisError, match="no intervals to cut by markers"):
        extent(total.frame())


def test_several_sequences_advance_together() -> None:
    """Two tokens of two sequences are one position further; a call of one sequence then goes on with its own."""
    rows = pd.DataFrame(
        {
            "op": "", "call": range(5), "n_past": [0, 8, 9, 10, 11], "n_eval": [8, 2, 2, 2, 1],
            "start_s": [0.0, 1.0, 2.0, 3.0, 4.0], "duration_s": 1.0, "sequences": [math.nan, 2, 2, 2, 1],
            "phase": ["prefill", *["decode"] * 4],
        }
    )  # fmt: skip
    spans = spans_of_calls(Calls(rows))
    assert [(span.label, span.generation, len(span.steps)) for span in spans] == [("prefill", 0, 1), ("decode", 0, 4)]
    assert [step.forgotten for span in spans for step in span.steps] == [0] * 5
    alone = spans_of_calls(Calls(rows.drop(columns="sequences")))
    assert len(alone) > 2 or any(step.forgotten for span in alone for step in span.steps)


@pytest.mark.parametrize("seed", range(20))
def test_steps_that_go_on_are_taken_together_and_say_what_each_would(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    markers, n_past, label = [], 0, None
    for at in range(300):
        if at % 5 == 0:
            label = chance.choice((None, None, "prefill", "decode", "decode", "verify", "warmup"))
        n_past = max(0, n_past + chance.choice((0, 0, 0, 0, 0, 0, -1, -3, -8)))
        markers.append(Marker(float(at), n_past, chance.choice((1, 1, 1, 1, 4)), label))
        n_past += markers[-1].n_eval
    together = spans_of_markers(markers, 0.0, 300.0)
    monkeypatch.setattr(spans, "_bounds", lambda steps, labels: list(range(len(steps) + 1)))
    assert together == spans_of_markers(markers, 0.0, 300.0) and len(together) > 3
