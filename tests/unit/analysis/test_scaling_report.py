"""How prefill and decode scale (`reports.scaling_report`): speed-up first, and what cannot be is flagged."""

from __future__ import annotations

from sample_charts import FOUR, ONE, entry

from analysis import combinations, palette
from analysis.combinations import Combination
from analysis.judging import Capture
from analysis.reports import scaling_report, text
from analysis.reports.model import Warn


def test_scaling_of_one_combination(timed: Capture) -> None:
    found = combinations.gather([timed])
    assert [(one.kind, one.threads, one.prompt) for one in found] == [("prefill", 2, 16), ("decode", 2, 16)]
    report = scaling_report.of_combinations(found, "synthetic")
    assert [card.verdict for card in report.cards] == ["no faster with more than 2 threads"] * 2
    assert "decode" in text.render(report, "synthetic")


def test_text_of_the_speed_up() -> None:
    found = [
        Combination("decode", 2, 16, [10.0], [(16, 0.1), (17, 0.1)], {"gemm": [0.08, 0.08]}, [1, 1]),
        Combination(
            "decode", 4, 16, [16.0], [(16, 0.1), (17, 0.1)], {"gemm": [0.04, 0.04], "barrier": [0.02, 0.02]}, [1, 1]
        ),
    ]
    table = scaling_report.table(found)
    assert [column.title for column in table.columns] == [
        "prompt",
        "threads",
        "tokens/s",
        "speed-up over 2",
        "of ideal",
        "gemm",
        "barrier",
    ]
    assert table.shown() == [
        ["16", "2", "10.0", "1.00", "100 %", "80.0 %", "-"],
        ["16", "4", "16.0", "1.60", "80 %", "40.0 %", "20.0 %"],
    ]
    assert len({len(line) for line in text.table(table)}) == 1


def test_a_speed_up_that_is_not_known_is_no_number() -> None:
    other = Combination("decode", 4, 64, [5.0], [(64, 0.2)], {}, [1])
    assert scaling_report.table([ONE, other]).shown()[-1][:5] == ["64", "4", "5.0", "-", "-"]


def test_the_card_leads_with_the_speed_up() -> None:
    (card,) = scaling_report.of_combinations([ONE, FOUR], "synthetic").cards
    assert (card.title, card.speed, card.verdict) == ("decode", "20.0 tokens/s", "2.00 times as fast with 4 threads")
    assert card.why == "at 16 tokens, 50 % of ideal; gemv 40 % and waiting 32 % of the time"
    assert card.hue == palette.PHASES["decode"]


def test_more_than_ideal_and_less_than_one_thread_are_flagged() -> None:
    found = [entry(1, 10.0), entry(2, 23.0), entry(4, 9.0)]
    above, below = scaling_report.flags(found)
    assert above.startswith("super-linear: 2 threads at 16 tokens are 2.30 times as fast as 1 thread, where 2 would be")
    assert below == "slower than 1 thread: 4 threads at 16 tokens reach 0.90 of its speed"
    (section,) = scaling_report.of_combinations(found, "synthetic").sections
    assert [block.text for block in section.blocks if isinstance(block, Warn)] == [above, below]
    (card,) = scaling_report.of_combinations(found, "synthetic").cards
    assert card.hue == palette.WAITING and card.next.startswith("super-linear in 2 of the combinations")


def test_noise_is_not_flagged() -> None:
    assert scaling_report.flags([entry(1, 10.0), entry(2, 20.8), entry(4, 9.6)]) == []
    assert scaling_report.flags([]) == [] and scaling_report.flags([ONE]) == []


def test_kinds_that_are_missing_have_no_section() -> None:
    report = scaling_report.of_combinations([entry(1, 10.0)], "synthetic")
    assert [section.title for section in report.sections] == ["decode"]
