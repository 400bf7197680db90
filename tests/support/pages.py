"""Pages of reports as tests see them: parsed by the standard library, and opened in a browser where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

VOID = {"meta", "link"}
# Everything that a page may hold. `script` and `style` are its own two, which its policy names by their hashes.
TAGS = {
    "html", "head", "meta", "link", "title", "style", "body", "script", "header", "main", "section", "article", "h1",
    "h2", "h3", "p", "b", "i", "small", "span", "details", "summary", "ul", "li", "dl", "dt", "dd", "div", "figure",
    "figcaption", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "g", "path", "rect", "text", "defs",
    "pattern",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "rel", "href", "class", "scope", "data-v", "aria-hidden",
    "aria-label", "role", "viewbox", "d", "x", "y", "width", "height", "text-anchor", "id", "patternunits",
    "patterntransform", "fill", "stroke", "stroke-opacity", "stroke-width",
}  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes and texts of a page; fails where a tag closes another one than it should, or is left open.

    order: tags in their order, with their classes.  tables: each a list of rows of cells, titles first.
    tips: titles of marks.  legends: (hue, name).
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.order: list[tuple[str, str]] = []
        self.classes: set[str] = set()
        self.links: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.sorted_by: list[str] = []
        self.tips: list[str] = []
        self.text = ""
        self.words = ""
        self._open: list[str] = []
        self.feed(text.replace("\u00a0", " "))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= set(values)
        self.order.append((tag, values.get("class", "")))
        self.classes |= set(values.get("class", "").split())
        self.links += [values[name] for name in ("src", "href") if name in values]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.sorted_by += [values["data-v"]] if "data-v" in values else []
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open[-1:] not in (["script"], ["style"]):
            self.words += data
        if self._open[-1:] == ["title"] and "svg" in self._open:
            self.tips.append(data)
        elif {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data

    def check_harmless(self) -> None:
        """Nothing but what pages are made of, and nothing that is fetched."""
        assert self.tags <= TAGS
        assert self.attributes <= ATTRIBUTES
        assert self.links == ["data:,"]
        assert [tag for tag, _ in self.order].count("script") == 1


def colours(page: str) -> set[str]:
    """Every colour that a page states."""
    return {
        found.upper() for found in re.findall(r"#[0-9A-Fa-f]{3,8}\b", re.sub(r"&#x?[0-9a-f]+;|url\(#\w+\)", "", page))
    }


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on this machine (Debian: apt install chromium)")
    return found


def visit(path: Path, profile: Path, width: int = 390) -> tuple[str, list[str]]:
    """The page as the browser understood it, and what its console said."""
    command = [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync", "--hide-scrollbars"]
    command += ["--enable-logging=stderr", "--v=0", f"--window-size={width},844", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def with_script(page: str, script: str) -> str:
    """The page without its policy and with a script behind its own: what a user would do."""
    page = re.sub(r"<meta http-equiv=[^>]*>", "", page, count=1)
    return page.replace("</body>", f"<script>{script}</script></body>")
