"""Call chains for other tools: `analysis.functions --collapsed --speedscope --flame` (`stacks`, `reports.flame`)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from analysis_commands import Run

from analysis import functions, palette, stacks
from analysis.perf_script import Sample
from analysis.reports import flame

CHAIN = """\
q4engine  7  {at}:  {period} {event}:
\t7f00 {leaf}+0x4 (/lib/native.so)
\t7f10 walk+0x4 (/lib/native.so)
\t7f20 main+0x4 (/bin/<q4>)

"""
MARKERS = "time_ns,n_past,n_eval,phase\n10000000000,0,8,prefill\n11000000000,8,1,decode\n12000000000,9,0,\n"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Two samples of a prompt, two of a token, one of them with 3 times the period."""
    given = (("10.1", "gemm", 10), ("10.2", "gemm", 10), ("11.1", "gemv", 10), ("11.2", "attention", 30))
    text = "".join(CHAIN.format(at=at, leaf=leaf, period=n, event="cpu-clock") for at, leaf, n in given)
    (tmp_path / "markers.csv").write_text(MARKERS)
    (tmp_path / "synthetic-script.txt").write_text(text)
    return tmp_path / "synthetic-script.txt"


def test_all_three_files(script: Path, command: Run) -> None:
    names = {"collapsed": "stacks.txt", "speedscope": "profile.json", "flame": "flame.svg"}
    words = [word for option, name in names.items() for word in (f"--{option}", script.with_name(name))]
    status, _, err = command(functions.main, script, "--markers", script.with_name("markers.csv"), *words)
    assert (status, err) == (0, "")
    assert script.with_name("stacks.txt").read_text().splitlines() == [
        "prefill;main;walk;gemm 20",
        "decode;main;walk;gemv 10",
        "decode;main;walk;attention 30",
    ]
    document = json.loads(script.with_name("profile.json").read_text())
    prefill, decode = document["profiles"]
    named = [frame["name"] for frame in document["shared"]["frames"]]
    assert [[named[number] for number in each] for each in decode["samples"]] == [
        ["main", "walk", "gemv"],
        ["main", "walk", "attention"],
    ]
    assert (decode["weights"], decode["endValue"], decode["unit"]) == ([10, 30], 40, "nanoseconds")
    assert prefill["name"] == "prefill, cpu-clock" and len(prefill["samples"]) == 2
    # what a sampled profile has in file-format-schema.json of speedscope, nothing more
    assert set(prefill) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
    assert all(set(frame) == {"name", "file"} for frame in document["shared"]["frames"])
    svg = ElementTree.fromstring(script.with_name("flame.svg").read_text())
    tips = [title.text or "" for title in svg.iter(f"{SVG}title")]
    assert "attention (native.so): 30 events, 75.00 %" in " ".join(tips).replace("\u00a0", " ")
    assert [head.text for head in svg.iter(f"{SVG}text") if head.get("class") == "head"] == [
        "prefill, by cpu-clock: 2 samples",
        "decode, by cpu-clock: 2 samples",
    ]


def boxes(svg: str) -> dict[str, tuple[float, float, float]]:
    """Name -> (x, y, width) of the last graph's boxes, in percent of the picture's width and in px."""
    found = {}
    for box in ElementTree.fromstring(svg).findall(f"{SVG}svg"):
        name = re.split(r" \(|: ", box.findtext(f"{SVG}title", ""))[0]
        x, width = (float(box.get(key, "").removesuffix("%")) for key in ("x", "width"))
        found[name] = (x, float(box.get("y", 0)), width)
    return found


def sample(leaf: str, period: float, *callers: str, image: str = "/lib/x.so") -> Sample:
    return Sample(1.0, "cycles", period, leaf, image, "q", tuple((caller, image) for caller in callers))


def test_widths_are_shares_and_callees_stand_on_their_callers() -> None:
    one = [sample("gemm", 3, "walk"), sample("rope", 1, "walk"), sample("walk", 4)]
    found = boxes(flame.graphs({"decode": one}, "synthetic"))
    x, y, width = found["all"]
    assert found["walk"] == (x, pytest.approx(y - 17), width)
    assert found["gemm"][2] == pytest.approx(3 / 8 * width, abs=0.01) and found["gemm"][1] == pytest.approx(y - 34)
    assert found["rope"][0] == pytest.approx(found["gemm"][0] + found["gemm"][2], abs=0.01)


def test_a_narrow_window_shows_all_of_a_graph() -> None:
    """Places are percentages, and the picture is no wider than the window."""
    svg = flame.graphs({"decode": [sample("gemm", 3, "walk")]}, "synthetic")
    assert re.search(r"@media\(max-width:1199px\)\{\.page\{width:100%\}\}", svg)
    assert not re.search(r'<svg class="f" x="[\d.]+"| viewBox', svg)


def test_names_are_escaped_and_colours_are_the_projects() -> None:
    hostile = sample('<script>alert("1")</script>\x1b[2J;b', 5, "a&b")
    svg = flame.graphs({"<phase>": [hostile], "kernel": [sample("x", 1, image="[kernel.kallsyms]")]}, "<title>")
    ElementTree.fromstring(svg)
    assert "<script" not in svg and "<title><" not in svg and "\x1b" not in svg
    colours = set(re.findall(r"#[0-9A-Fa-f]{6}", svg))
    page = {colour for pair in palette.PAGE.values() for colour in pair}
    assert colours <= {palette.colour(hue) for hue in palette.HUES} | page | {"#000000", "#FFFFFF"}
    assert ";b" not in stacks.collapsed({"p": [hostile]}).split(";", 3)[-1]


def test_functions_have_the_hue_of_the_operation_that_they_name() -> None:
    assert palette.function("q4_gemm_q4_0") == "blue" and palette.function("q4_barrier_wait") == palette.WAITING
    assert palette.function("q4_tile6_q4_0_avx512vnni") == palette.function("q4_tile4x8_k32_i8mm") == "blue"
    assert palette.function("append") == palette.function("beginning") == palette.function("main") == ""


def test_a_deep_chain_and_thin_boxes() -> None:
    deep = sample("leaf", 1, *(f"f{number}" for number in range(1000)))
    svg = flame.graphs({"p": [deep]}, "synthetic")
    assert len(boxes(svg)) == 1002
    wide = [sample(f"f{number}", 1) for number in range(10_000)]
    assert len(boxes(flame.graphs({"p": wide}, "synthetic"))) == 1  # each is a tenth of a pixel
    nothing = sample("leaf", 0)
    assert "0.00" in flame.graphs({"p": [nothing]}, "synthetic")


def test_events_are_apart() -> None:
    both = {"p": [sample("f", 2), sample("g", 3)._replace(event="faults")]}
    assert stacks.collapsed(both) == "p;cycles;f 2\np;faults;g 3\n"
    profiles = json.loads(stacks.speedscope(both, "synthetic"))["profiles"]
    assert [(profile["name"], profile["unit"]) for profile in profiles] == [
        ("p, cycles", "none"),
        ("p, faults", "none"),
    ]


def test_what_has_no_chains_is_said(tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic.txt"
    path.write_text("q4engine  7  10.1:  250000 cpu-clock:  7f00 gemm+0x10 (/lib/x.so)\n")
    out = command(functions.main, path, "--collapsed", tmp_path / "a.txt")[1]
    assert "perf record --call-graph fp keeps them" in " ".join(out.split())
    assert (tmp_path / "a.txt").read_text() == "all;gemm 250000\n"
    report = tmp_path / "functions-synthetic.csv"
    report.write_text('"Counters: Cycles: CPU Cycles",uid,image,symbol,inlined from\n3e+09,1,lib,gemm\n')
    status, _, err = command(functions.main, report, "--flame", tmp_path / "b.svg")
    assert status == 1 and "has no samples, which stacks are made of" in err and not (tmp_path / "b.svg").exists()
    status, _, err = command(functions.main, path, "--flame", path)
    assert status == 1 and "is the file of the capture" in err
