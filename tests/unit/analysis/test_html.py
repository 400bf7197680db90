"""The page of a report: cards first, what a capture says stays text, nothing is fetched, a browser finds no fault."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic_captures as captures
from pages import Page, colours, visit, with_script
from synthetic_captures import Part, decode, prefill
from synthetic_cases import PEAK, counts

from analysis import changes, combinations, palette
from analysis.judging import Capture, load
from analysis.reports import (
    capture_report,
    compare_report,
    html,
    page_style,
    roofline_chart,
    scaling_report,
    text,
    timeline_report,
)
from analysis.reports.model import Column, Report, Section, Table

HEADER = {"midr": "0x410fd493", "read_peak_gbps": PEAK, "bytes_per_token": 600e6}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title><svg onload=alert(1)>",
    "</svg></text><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "=cmd|' /C calc'!A0",
    "&lt;b&gt; $x^2$ \u202e",
    "javascript:alert(1)",
)


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    calls = [
        *prefill(512, 0.9, counts(0.9, be=0.2, m=0.1, mix=0.7, gbps=2)),
        *decode(20, 0.02, counts(0.02, be=0.6, m=0.5, mix=0.5, gbps=31)),
    ]
    capture = captures.write_capture(folder / "synthetic.csv", calls, HEADER)
    page = html.render(capture_report.of_capture(load(capture)))
    (folder / "page.html").write_text(page, encoding="utf-8")
    return folder / "page.html"


def compared(capture: Capture) -> Report:
    return compare_report.of_comparison(capture, capture, changes.compare(capture, capture), True)


def scaled(capture: Capture) -> Report:
    return scaling_report.of_combinations(combinations.gather([capture]), "synthetic")


KINDS: dict[str, Callable[[Capture], Report]] = {
    "stalls": capture_report.of_capture,
    "timeline": timeline_report.of_capture,
    "roofline": roofline_chart.of_capture,
    "scaling": scaled,
    "compare": compared,
}


def test_page_is_whole_and_self_contained(page_path: Path) -> None:
    page = Page(page_path.read_text(encoding="utf-8"))
    page.check_harmless()
    for expected in ("synthetic.csv", "compute-bound", "memory-bound", "margin", "95 % interval", "Every step (21)"):
        assert expected in page.text
    assert "http://" not in page.text and "https://" not in page.text


def test_two_cards_stand_before_everything_else(page_path: Path) -> None:
    page = Page(page_path.read_text(encoding="utf-8"))
    cards = [at for at, (tag, _) in enumerate(page.order) if tag == "article"]
    assert len(cards) == 2
    assert cards[-1] < min(at for at, (tag, _) in enumerate(page.order) if tag in ("table", "figure", "details", "dl"))
    words = " ".join(page.words.split())
    first = words[words.index("prefill") : words.index("Notes on reading") if "Notes on reading" in words else None]
    for expected in ("568.9 tokens/s", "compute-bound", "medium confidence", "Next: ", "50.0 tokens/s", "memory-bound"):
        assert expected in first
    assert [kinds for tag, kinds in page.order if tag == "article"] == ["card blue", "card violet"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_is_well_formed_and_has_the_palettes_colours(kind: str, timed: Capture) -> None:
    written = html.render(KINDS[kind](timed))
    page = Page(written)
    page.check_harmless()
    assert colours(written) <= {*palette.HUES.values(), "#000000", "#FFFFFF"} | {
        colour for pair in palette.PAGE.values() for colour in pair
    }
    drawn = [tag for tag, kinds in page.order if kinds.startswith("chart ")]
    assert len(drawn) >= 2 and len(drawn) % 2 == 0
    hues = {kinds.split()[-1] for tag, kinds in page.order if kinds.startswith(("mark ", "swatch ", "area "))}
    assert hues - {"mark"} <= {*palette.HUES, palette.FAINT}
    assert page.tips and all(page.tips)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_the_text_are_those_of_the_page(kind: str, timed: Capture) -> None:
    report = KINDS[kind](timed)
    shown = text.render(report, "synthetic")
    page = Page(html.render(report))
    numbers = [cell for table in page.tables for row in table for cell in row]
    cards = " ".join(page.words.split())
    for card in report.cards:
        assert card.why in cards and card.verdict in cards and card.speed in cards
    tables = [block for section in report.sections if section.in_text for block in section.blocks]
    rows = [row for table in tables if isinstance(table, Table) for row in table.shown(table.most)]
    assert rows or kind == "stalls"
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    for row in rows:
        assert all(cell in numbers for cell in row)
        assert " ".join(" ".join(row).split()) in lines


def test_a_column_has_the_same_decimals_and_sorts_by_exact_numbers() -> None:
    columns = (Column("name"), Column("ms", 2, " ms"), Column("more", 0, secondary=True))
    table = Table("", columns, [["a", 1234.5678, 3.0], ["b", 0.001, None]], ["blue", ""])
    page = Page(html.render(Report("t", "k", [], [], [], [Section("s", [table])])))
    assert page.tables == [[["name", "ms", "more"], ["a", "1,234.57 ms", "3"], ["b", "0.00 ms", ""]]]
    assert page.sorted_by == ["1234.5678", "3", "0.001"]
    assert [kinds for tag, kinds in page.order if tag == "th"] == ["", "n", "n less"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_everything_is_escaped(hostile: str, tmp_path: Path) -> None:
    label = hostile.replace(",", ";").replace('"', "'")
    parts = (Part(label, 1e-3), Part("gemm", 1e-3, "64x64"))
    path = tmp_path / "synthetic.csv"
    header = {"model": hostile, "kernels": hostile, "governor": hostile, "cpu": hostile}
    captures.write_per_op(
        path, parts, threads=1, prompt=8, n_decode=3, header=header, counts_per_second={"INST_RETIRED": 1}
    )
    path.write_text(path.read_text().replace(",prefill,", f",{label},"), encoding="utf-8")
    target = tmp_path / (hostile.replace("/", "_") + ".csv")
    path.rename(target)
    capture = load(target)
    for report in KINDS.values():
        Page(html.render(report(capture))).check_harmless()


def test_hostile_event_names(tmp_path: Path) -> None:
    events = {name.replace(",", ";").replace('"', "'"): 5.0 for name in HOSTILE}
    path = captures.write_capture(tmp_path / "synthetic.csv", decode(9, 0.02, {"CPU_CYCLES": 9.0} | events))
    capture = load(path)
    assert len(capture.table.events) == len(HOSTILE) + 1
    for report in (capture_report.of_capture, compared):
        Page(html.render(report(capture))).check_harmless()


def test_policy_forbids_all_but_the_pages_own_script_and_style(page_path: Path) -> None:
    page = page_path.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (own,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert page_style.SCRIPT in page and page_style.STYLE in page
    assert " style=" not in page and " on" not in re.sub(
        r">[^<]*<", "><", page.split("</style>")[1].split("<script>")[0]
    )


@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_finds_no_fault(width: int, page_path: Path, tmp_path: Path) -> None:
    dom, console = visit(page_path, tmp_path / "profile", width)
    assert "memory-bound" in dom and "<button>" in dom
    assert console == []


def test_the_browser_check_would_notice(tmp_path: Path) -> None:
    (tmp_path / "faulty.html").write_text("<!doctype html><p>x<script>console.error('fault')</script>")
    _, console = visit(tmp_path / "faulty.html", tmp_path / "profile")
    assert len(console) == 1


def test_a_browser_runs_nothing_else(page_path: Path, tmp_path: Path) -> None:
    """What slipped through the escaping would be stopped by the policy."""
    evil = "<script>document.title='run'</script><p style='color:red' onclick='x'>"
    (tmp_path / "evil.html").write_text(page_path.read_text().replace("<main>", f"<main>{evil}"))
    dom, console = visit(tmp_path / "evil.html", tmp_path / "profile")
    assert "<title>run" not in dom
    assert sum("Content Security Policy" in line for line in console) >= 2


USER = """
const out = {}, click = (table, column) => table.tHead.rows[0].cells[column].querySelector("button").click();
const table = [...document.querySelectorAll("table")].find(t => t.textContent.includes("rms_norm"));
const column = at => [...table.tBodies[0].rows].map(row => row.cells[at].textContent);
out.before = column(0);
click(table, 0); out.names = column(0); out.how = table.tHead.rows[0].cells[0].getAttribute("aria-sort");
click(table, 2); out.most = column(2); click(table, 2); out.least = column(2);
const chart = [...document.querySelectorAll("svg.chart")].find(c => getComputedStyle(c).display !== "none");
chart.focus();
chart.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
out.tip = document.getElementById("tip").hidden ? "" : document.getElementById("tip").textContent;
chart.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
out.hidden = document.getElementById("tip").hidden;
out.shown = [...document.querySelectorAll("svg.chart")].filter(c => getComputedStyle(c).display !== "none")
  .map(c => c.classList[1]);
out.less = [...document.querySelectorAll(".less")].filter(c => getComputedStyle(c).display !== "none").length;
out.overflow = document.documentElement.scrollWidth - window.innerWidth;
document.body.textContent = "RESULT" + JSON.stringify(out) + "END";
"""


@pytest.mark.parametrize("width", [390, 1400])
def test_a_user_sorts_tables_and_reads_values(width: int, timed: Capture, tmp_path: Path) -> None:
    page = html.render(KINDS["stalls"](timed))
    (tmp_path / "page.html").write_text(with_script(page, USER), encoding="utf-8")
    dom, console = visit(tmp_path / "page.html", tmp_path / "profile", width)
    assert console == []
    (found,) = re.findall(r"RESULT(\{.*?\})END", dom)
    told = json.loads(found)
    assert told["before"] == ["gemm", "attention", "rms_norm"]
    assert told["names"] == ["attention", "gemm", "rms_norm"] and told["how"] == "ascending"
    assert told["most"] == sorted(told["least"], key=float, reverse=True) and told["least"] == told["most"][::-1]
    assert "prefill, gemm: " in told["tip"] and told["hidden"] is True
    assert set(told["shown"]) == {"narrow" if width == 390 else "wide"}
    assert (told["less"] == 0) is (width == 390)
    assert told["overflow"] <= 0
