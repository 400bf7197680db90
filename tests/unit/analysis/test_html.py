"""The HTML page: whatever a capture says stays text, nothing is fetched, and a browser finds no fault."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import synthetic_captures as captures
from synthetic_captures import Part, decode, prefill
from synthetic_cases import PEAK, counts

from analysis.judging import load
from analysis.reports import html

HEADER = {"midr": "0x410fd493", "read_peak_gbps": PEAK, "bytes_per_token": 600e6}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title><svg onload=alert(1)>",
    "=cmd|' /C calc'!A0",
    "&lt;b&gt; $x^2$ \u202e",
    "javascript:alert(1)",
)
TAGS = {
    "html", "head", "meta", "link", "title", "style", "body", "h1", "h2", "p", "small", "details", "summary", "ul",
    "li", "div", "img", "table", "tr", "th", "td", "dl", "dt", "dd",
}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "rel", "href", "class", "alt", "src"}


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag that needs it is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    calls = [
        *prefill(512, 0.9, counts(0.9, be=0.2, m=0.1, mix=0.7, gbps=2)),
        *decode(20, 0.02, counts(0.02, be=0.6, m=0.5, mix=0.5, gbps=31)),
    ]
    capture = captures.write_capture(folder / "synthetic.csv", calls, HEADER)
    (folder / "page.html").write_text(html.render(load(capture)), encoding="utf-8")
    return folder / "page.html"


def test_page_is_whole_and_self_contained(page_path: Path) -> None:
    page = Page(page_path.read_text(encoding="utf-8"))
    assert page.open == []
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert len(page.links) == 4
    assert all(link.startswith("data:") for link in page.links)
    for expected in ("synthetic.csv", "compute-bound", "memory-bound", "margin", "95 % interval", "Every step, 21"):
        assert expected in page.text
    assert "http://" not in page.text and "https://" not in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_everything_is_escaped(text: str, tmp_path: Path) -> None:
    label = text.replace(",", ";").replace('"', "'")
    parts = (Part(label, 1e-3), Part("gemm", 1e-3, "64x64"))
    path = tmp_path / "synthetic.csv"
    header = {"model": text, "kernels": text, "governor": text, "cpu": text}
    captures.write_per_op(
        path, parts, threads=1, prompt=8, n_decode=3, header=header, counts_per_second={"INST_RETIRED": 1}
    )
    path.write_text(path.read_text().replace(",prefill,", f",{label},"), encoding="utf-8")
    target = tmp_path / (text.replace("/", "_") + ".csv")
    path.rename(target)
    page = Page(html.render(load(target)))
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert all(link.startswith("data:image/") or link == "data:," for link in page.links)
    assert page.open == []


def test_hostile_event_names(tmp_path: Path) -> None:
    events = {text.replace(",", ";").replace('"', "'"): 5.0 for text in HOSTILE}
    path = captures.write_capture(tmp_path / "synthetic.csv", decode(9, 0.02, {"CPU_CYCLES": 9.0} | events))
    capture = load(path)
    assert len(capture.table.events) == len(HOSTILE) + 1
    page = Page(html.render(capture))
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES


def test_policy_forbids_scripts_and_the_network(page_path: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert "<script" not in text and "javascript:" not in text


def _browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on this machine (Debian: apt install chromium)")
    return found


def _visit(path: Path, profile: Path) -> tuple[str, list[str]]:
    """The page as the browser understood it, and what its console said."""
    command = [_browser(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync"]
    command += ["--enable-logging=stderr", "--v=0", "--window-size=390,844", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_finds_no_fault(page_path: Path, tmp_path: Path) -> None:
    dom, console = _visit(page_path, tmp_path / "profile")
    assert "memory-bound" in dom
    assert console == []


def test_the_browser_check_would_notice(tmp_path: Path) -> None:
    (tmp_path / "faulty.html").write_text("<!doctype html><p>x<script>console.error('fault')</script>")
    _, console = _visit(tmp_path / "faulty.html", tmp_path / "profile")
    assert len(console) == 1
