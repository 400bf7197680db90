"""The roofline rule (`verdicts.roofline_rule`) at its thresholds, and what bounds the traffic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judged_phases import N2, gbps, phase

from analysis.verdicts import Outcome, judge


# bytes a second are refills x 64 / time: here per cycle, at 2e9 cycles a second, of a peak of 1e9 bytes/s
@pytest.mark.parametrize(
    ("share", "outcome"),
    [
        (0.651, Outcome.MEMORY),
        (0.649, Outcome.MIXED),
        (0.351, Outcome.MIXED),
        (0.349, Outcome.COMPUTE),
        (1.09, Outcome.MEMORY),
        (1.11, Outcome.CANNOT_TELL),
    ],
)
def test_roofline_thresholds(share: float, outcome: Outcome) -> None:
    verdict = judge(phase(L3D_CACHE_REFILL=gbps(share)), replace(N2, read_peak=1e9)).roofline
    assert verdict.outcome is outcome, verdict.text


@pytest.mark.parametrize(
    ("expected_share", "bound", "outcome"),
    [(0.71, "", Outcome.COMPUTE), (0.69, "a lower bound", Outcome.CANNOT_TELL)],
)
def test_refills_below_the_models_bytes_are_a_lower_bound(expected_share: float, bound: str, outcome: Outcome) -> None:
    counted = 0.3 * 1e9 * 0.05  # bytes a token at 30 % of the peak
    context = replace(N2, read_peak=1e9, model_bytes=counted / expected_share)
    verdict = judge(phase(L3D_CACHE_REFILL=gbps(0.3)), context).roofline
    assert verdict.outcome is outcome, (bound, verdict.text)


@pytest.mark.parametrize(("model_bytes", "is_used"), [(256e6, True), (255e6, False)])
def test_a_model_that_fits_a_cache_proves_no_traffic(model_bytes: float, is_used: bool) -> None:
    context = replace(N2, read_peak=model_bytes / 0.05 / 0.8, model_bytes=model_bytes)
    verdict = judge(phase(), context).roofline
    assert (verdict.outcome is Outcome.MEMORY) is is_used


def test_kv_cache_counts_as_bytes_of_a_token() -> None:
    context = replace(N2, read_peak=1e12, model_bytes=1e6, kv_bytes=1000.0)
    remarks = judge(phase(L3D_CACHE_REFILL=gbps(0.9)), context).roofline.remarks
    # ten steps from position 512: 1e6 + 1000 * mean(513..522)
    assert any("1.5 MB" in remark for remark in remarks), remarks


def test_of_layers_with_a_window_what_it_covers_counts() -> None:
    windows = ((100, 600.0), (515, 100.0))
    context = replace(N2, read_peak=1e12, model_bytes=1e6, kv_bytes=1000.0, kv_windows=windows)
    remarks = judge(phase(L3D_CACHE_REFILL=gbps(0.9)), context).roofline.remarks
    # 1e6 + 300 * mean(513..522) + 600 * 100 + 100 * mean(513, 514, 515 …)
    assert any("1.3 MB" in remark for remark in remarks), remarks
    steps = [replace(phase().steps[0], n_past=n_past, n_eval=n_eval) for n_past, n_eval in ((0, 1), (511, 1), (90, 20))]
    assert [context.kv_read(step) for step in steps] == [1000, 300 * 512 + 600 * 100 + 100 * 512, 1000 * 110]
    long = replace(steps[0], n_past=1000, n_eval=50)  # its first token sees 1000 - 99 … 1000
    assert context.kv_read(long) == 300 * 1050 + 600 * (100 + 49) + 100 * (515 + 49)


def test_the_models_bytes_say_nothing_of_a_batch() -> None:
    context = replace(N2, read_peak=1e9, model_bytes=1e9)
    assert judge(phase(n_eval=8), context).roofline.outcome is Outcome.NOT_MEASURED
    assert judge(phase(n_eval=1), context).roofline.outcome is not Outcome.NOT_MEASURED
