"""`analysis.benchmarks` end to end: setups, comparisons with known answers, text, page, picture, exit status."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from analysis_commands import PNG, Run
from llama_bench_texts import SIZE, Result, around, as_csv, as_json, as_md, result

from analysis import bench_pairs, benchmarks, medians
from analysis.bench_files import read
from analysis.bench_pairs import Differing, against, fit, pair, setups, within
from analysis.bench_result import Benchmark, of_fields
from analysis.errors import AnalysisError
from analysis.reports import bench_report

NEWER = {"build_commit": "def5678", "build_number": 6100}


def of(*results: Result) -> list[Benchmark]:
    return [each for one in results for each in of_fields(one, "synthetic")]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Prompts are as fast with the newer build, generation is a fifth slower with four threads."""
    before = [result(512, 0, around(480)), result(0, 128, around(24)), result(0, 128, around(13), n_threads=2)]
    after = [
        result(512, 0, around(480.1), **NEWER),
        result(0, 128, around(20), **NEWER),
        result(0, 128, around(13.01), n_threads=2, **NEWER),
    ]
    paths = tmp_path / "old.json", tmp_path / "new.json"
    for path, results in zip(paths, (before, after), strict=True):
        path.write_text(as_json(results))
    return paths


def test_text_page_and_picture(files: tuple[Path, Path], command: Run, tmp_path: Path) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    status, out, err = command(benchmarks.main, *files, "--peak", 50, "--html", page, "--plot", picture)
    assert (status, err) == (0, "")
    assert "6 results of 3 setups" in out and "commits abc1234, def5678" in out
    words = " ".join(out.split())
    assert "generation 24" in words and "77 % of the stated peak" in words and "slower" in words
    assert "all tensors' bytes (model_size) times tokens a second" in words
    assert picture.read_bytes().startswith(PNG)
    html = page.read_text()
    assert "times as fast" in html and "http:" not in html and "https:" not in html


def test_numbers_as_json(files: tuple[Path, Path], command: Run) -> None:
    status, out, _ = command(benchmarks.main, *files, "--peak", 50, "--json")
    found = json.loads(out)
    token = found["results"][1]
    assert status == 0 and (token["test"], token["origin"]["commit"]) == ("tg128", "abc1234")
    assert token["weights_bytes_per_s"] == pytest.approx(SIZE * token["avg_ts"])
    assert token["share_of_peak"] == pytest.approx(SIZE * token["avg_ts"] / 50e9)
    assert found["results"][0]["share_of_peak"] is None and found["against"] is None
    slower = {(each["base"], each["result"]): each["verdict"] for each in found["within"]}
    assert slower == {(0, 3): "no difference shown", (1, 4): "slower", (2, 5): "no difference shown"}


def test_a_regression_is_an_exit_status(files: tuple[Path, Path], command: Run) -> None:
    old, new = files
    status, out, _ = command(benchmarks.main, new, "--against", old)
    assert status == benchmarks.REGRESSION == 3 and "3 results that both have; 1 shown to be slower" in out
    status, out, _ = command(benchmarks.main, old, "--against", new, "--json")
    assert status == 0
    assert [each["verdict"] for each in json.loads(out)["against"]] == [
        "no difference shown",
        "faster",
        "no difference shown",
    ]
    assert command(benchmarks.main, old, "--against", old)[0] == 0


def test_tables_have_no_samples_and_so_no_interval(files: tuple[Path, Path], command: Run, tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    table.write_text(as_md([result(0, 128, around(12), **NEWER)]))
    status, out, _ = command(benchmarks.main, table, "--against", files[0], "--json")
    (change,) = json.loads(out)["against"]
    assert status == 0 and (change["interval"], change["verdict"]) == (None, "no samples")
    assert change["times_as_fast"] == pytest.approx(0.5, rel=0.01)


def test_what_is_wrong_is_one_line(files: tuple[Path, Path], command: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(as_csv([result(7, 0, [1.0])]))
    for words, message in (
        ([tmp_path / "nowhere"], "no such file"),
        ([tmp_path], "is a directory"),
        ([files[0], "--against", other], "has no setup in common with the results"),
        ([files[0], "--html", files[0]], "is the file of a file of results"),
        ([files[0], "--against", files[1], "--plot", files[1].rename(tmp_path / "b.png")], "no such file"),
    ):
        status, out, err = command(benchmarks.main, *words)
        assert (status, out) == (1, "") and message in err and len(err.splitlines()) == 1
    for words in (["--peak", "0"], ["--peak", "fast"], []):
        with pytest.raises(SystemExit):
            benchmarks.main([*map(str, files), *words] if words else [])


def test_a_peak_that_cannot_be_is_said(files: tuple[Path, Path]) -> None:
    results, _ = read(files[0])
    report = bench_report.of_benchmarks(results, [], 10e9)
    assert "2 results above the stated peak" in report.warnings[0]
    elsewhere = of(result(0, 128, [3.0], cpu_info="Synthetic B"))
    report = bench_report.of_benchmarks([*results, *elsewhere], [], 50e9)
    assert report.warnings == ["one peak is stated for results of 2 machines"]
    mixture = of(result(0, 128, [3.0], model_type="synthetic 30B.A3B"))
    report = bench_report.of_benchmarks(mixture, [])
    assert any("a token reads a part of their weights" in note for note in report.notes)


def test_speed_over_builds() -> None:
    results = of(*(result(0, 128, around(20 + number), build_number=100 * number) for number in range(1, 5)))
    report = bench_report.of_benchmarks(results, [])
    bars, plot = (row[0] for row in report.picture)
    assert [point[0] for point in plot.series[0].points] == [100, 200, 300, 400]  # type: ignore[union-attr]
    assert len(bars.bars) == 4  # type: ignore[union-attr]
    assert len(bench_report.of_benchmarks(results[:2], []).picture) == 1


def test_setups_are_told_by_what_files_know() -> None:
    four, two = of(result(0, 128, [20.0]), result(0, 128, [20.0], n_threads=2))
    table, other = of(
        {"test": "tg128", "t/s": "19.00 ± 0.10", "model": "synthetic 1B Q4_0", "size": "1.50 GiB", "threads": "4"},
        {"test": "tg128", "t/s": "19.00 ± 0.10", "model": "synthetic 1B Q4_0", "size": "1.50 GiB"},
    )
    assert fit(four, two) == 0 and fit(four, four) == 2 and fit(four, table) == fit(table, four) == 1
    assert setups([four, two, table]) == [[four, table], [two]]
    assert setups([other, four, two]) == [[other], [four], [two]]  # it would fit both
    assert setups([other, four]) == [[other, four]]
    found, unclear = against([other, table], [four, two])
    assert [(each.base, each.other) for each in found] == [(four, table)] and unclear == 1
    copied, renamed, larger = of(
        result(0, 128, [20.0], model_filename="C:\\models\\synthetic-q4_0.gguf", model_type="other words"),
        result(0, 128, [20.0], model_filename="elsewhere.gguf"),
        result(0, 128, [20.0], model_filename="elsewhere.gguf", model_size=2 * SIZE),
    )
    assert (fit(four, copied), fit(four, renamed), fit(four, larger)) == (2, 1, 0)


def test_of_very_many_results_the_alike_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of one setup cost as much as they are; thousands of setups that may be one are refused."""
    asked = Counter[str]()
    monkeypatch.setattr(bench_pairs, "fit", lambda one, other: asked.update(["fit"]) or fit(one, other))
    many = of(*[result(0, 128, [20.0], n_threads=1 + at % 3) for at in range(300)])
    assert [len(group) for group in setups(many)] == [100, 100, 100] and asked["fit"] <= 9
    assert len(against(many, many)[0]) == 300 and asked["fit"] <= 30
    monkeypatch.setattr(bench_pairs, "_MOST_ASKED", 100)
    several = of(*(result(0, 128, [20.0], model_filename=f"m{at}.gguf", model_type=f"t{at}") for at in range(40)))
    with pytest.raises(AnalysisError, match="40 setups are too many to compare"):
        setups(several)


def test_of_many_comparisons_fewer_samples_are_taken() -> None:
    one, other = of(result(0, 128, around(20) * 200), result(0, 128, around(22) * 200))
    alone, among_many = pair(one, other), pair(one, other, 5000)
    assert among_many.ratio == pytest.approx(alone.ratio, rel=0.02)
    assert among_many.interval and alone.interval and among_many.interval[0] < alone.interval[0] <= among_many.ratio


def test_the_last_of_several_before_counts() -> None:
    first, second, now = of(*(result(0, 128, [rate] * 5) for rate in (10.0, 20.0, 30.0)))
    (change,), unclear = against([now], [first, second])
    assert (change.base, change.ratio, unclear) == (second, pytest.approx(1.5), 0)
    assert [(each.base, each.other) for each in within([first, second, now])] == [(first, second), (first, now)]


def test_rows_have_what_differs() -> None:
    results = of(result(0, 128, [20.0]), result(0, 128, [10.0], n_threads=2, **NEWER))
    differing = Differing.of(results)
    assert (differing.model, differing.file) == (False, False)
    assert (differing.settings, differing.origins) == (("threads",), ("commit", "build"))
    assert differing.setup(results[0]) == "tg128, threads 4"
    assert differing.label(results[0]) == "tg128, threads 4, build 6000"
    assert differing.origin(results[1]) == "build 6100"
    two = of(result(0, 128, [20.0]), result(0, 128, [20.0], model_filename="other.gguf"))
    assert Differing.of(two).setup(two[1]) == "tg128, synthetic 1B Q4_0 (other)"


# ---- intervals -------------------------------------------------------------------------------------------------------


def arrangements(n: int, m: int) -> list[int]:
    """By counting each: how often a pair's first is the larger, over all ways in which n of n + m ranks are theirs."""
    return [
        sum(one > other for one in chosen for other in set(range(n + m)) - set(chosen))
        for chosen in combinations(range(n + m), n)
    ]


@pytest.mark.parametrize(("n", "m"), [(1, 9), (3, 4), (3, 5), (4, 4), (5, 5), (4, 7), (6, 5)])
def test_the_interval_is_as_wide_as_the_rank_test_says(n: int, m: int) -> None:
    counts = arrangements(n, m)
    expected = sum(1 for k in range(1, n * m + 1) if sum(u < k for u in counts) / len(counts) <= 0.025)
    assert medians._pairs_cut_off(n, m) == medians._pairs_cut_off(m, n) == expected
    one, other = np.exp(np.arange(n) * 0.1), np.exp(np.arange(m) * 0.1 + 0.03)
    ratio, interval = medians.times(one, other)
    ratios = sorted(float(a / b) for a in one for b in other)
    assert ratio == pytest.approx(np.exp(median(np.log(ratios))))
    if expected:
        assert interval == pytest.approx((ratios[expected - 1], ratios[-expected]))
    else:
        assert interval is None


def test_the_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        one, other = 1.1 * generator.lognormal(0, 0.05, 5), generator.lognormal(0, 0.05, 5)
        _, interval = medians.times(one, other)
        assert interval is not None
        hits += interval[0] <= 1.1 <= interval[1]
    assert 375 <= hits <= 395  # 96.8 % of 400 is 387


def test_many_samples_are_thinned() -> None:
    generator = np.random.default_rng(2)
    one, other = generator.lognormal(0.2, 0.1, 5000), generator.lognormal(0, 0.1, 61)
    ratio, interval = medians.times(one, other)
    assert interval is not None and interval[0] < ratio < interval[1] and ratio == pytest.approx(np.exp(0.2), rel=0.05)


def test_few_samples_have_none() -> None:
    one, other = of(result(0, 128, [20.0, 21.0, 22.0]), result(0, 128, [10.0, 11.0, 12.0]))
    found = pair(one, other)
    assert found.interval is None and found.verdict == "too few samples" and not found.is_regression
