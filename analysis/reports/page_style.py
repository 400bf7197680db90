"""What every page carries along: its style, and the script that sorts tables and shows values.

Both are constant, so that the page's security policy can name them by their hashes and forbid everything else.
"""

from __future__ import annotations

import base64
import hashlib

from analysis import palette

_LAYOUT = """
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; }
body { background: var(--page); color: var(--text); overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; }
h1 small { display: block; font-size: .85rem; color: var(--soft); font-weight: 400; letter-spacing: .02em; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .2rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
p { margin: .4rem 0; }
.soft, .facts, figcaption, caption, dt, .sure { color: var(--soft); }
.facts { font-size: .88rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1rem; }
.cards { margin: 1.2rem 0; }
.card { background: var(--raised); border: 1px solid var(--rule); border-left: .4rem solid var(--c); }
.card { padding: .8rem 1rem; border-radius: .5rem; }
.card p { font-size: .95rem; }
.card h3 { margin: 0; font-size: 1rem; display: flex; justify-content: space-between; gap: 1rem; }
.card h3 { align-items: baseline; flex-wrap: wrap; }
.card h3 b { font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card .verdict { font-size: 1.1rem; font-weight: 650; margin: .1rem 0 .4rem; }
.card .next { border-top: 1px solid var(--rule); padding-top: .4rem; font-size: .92rem; }
.sure { font-weight: 400; font-size: .88rem; white-space: nowrap; }
.warn { border: 2px solid var(--c); border-radius: .5rem; padding: .5rem .8rem; font-weight: 600; }
dl { margin: .5rem 0; }
dt { font-size: .9rem; }
dd { margin: 0 0 .5rem; }
dd ul { margin: .1rem 0; padding-left: 1.1rem; }
details { margin: .5rem 0; }
summary { cursor: pointer; padding: .15rem 0; }
details[open] > summary { font-weight: 600; }
ul { padding-left: 1.3rem; }
li { margin: .15rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .4rem 0; }
caption { text-align: left; padding-bottom: .2rem; }
th, td { text-align: left; padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--rule); }
th, td { vertical-align: baseline; }
th { font-weight: 600; }
.n { text-align: right; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
th button { all: unset; cursor: pointer; }
th button:focus-visible, summary:focus-visible, svg:focus-visible { outline: 2px solid currentColor; }
th button::after { content: ""; display: inline-block; width: .9em; margin-right: -.9em; text-align: center; }
th[aria-sort=ascending] button::after { content: "↑"; }
th[aria-sort=descending] button::after { content: "↓"; }
.filter { font: inherit; color: inherit; background: var(--raised); border: 1px solid var(--rule); }
.filter { border-radius: .35rem; padding: .3rem .6rem; width: min(100%, 26rem); margin-top: .8rem; }
.out { display: none; }
.median { stroke: var(--text); stroke-width: 2.5; fill: none; }
.swatch { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .45em; }
.swatch { background: var(--c); }
td.named { white-space: nowrap; }
.swatch.faint { opacity: .25; }
figure { margin: 1.2rem 0; }
figcaption { font-weight: 600; margin-bottom: .3rem; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; padding: 0; margin: .3rem 0; }
.legend { font-size: .85rem; }
.sample { width: 28px; height: 14px; vertical-align: -2px; margin-right: .4em; }
.chart { width: 100%; height: auto; overflow: visible; font-size: 13px; fill: currentColor; }
.wide { display: none; }
.narrow { display: block; max-width: 30rem; margin: 0 auto; }
.defs { position: absolute; width: 0; height: 0; }
.grid { stroke: currentColor; stroke-opacity: .16; fill: none; }
.tick { fill-opacity: .75; font-size: 12px; }
.name { font-weight: 600; }
.beside, .ink { font-size: 12px; }
.said, .beside, .ink { paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; }
.ink { fill: var(--ink); stroke: var(--c); }
.faint .ink { stroke: none; }
.none { fill: currentColor; fill-opacity: .05; stroke: currentColor; stroke-opacity: .35; stroke-dasharray: 4 4; }
.mark rect, .area { fill: var(--c); }
.area { shape-rendering: crispEdges; }
.mark rect { stroke: var(--page); }
.faint rect, .faint.area { fill-opacity: .16; }
.mark rect.hit { fill: transparent; stroke: none; }
.line { stroke: var(--c); stroke-width: 2; fill: none; stroke-linejoin: round; }
.dashed { stroke-dasharray: 6 4; }
.span { stroke: var(--c); stroke-width: 3.5; fill: none; }
.dot { fill: var(--c); stroke: var(--page); stroke-width: 1; }
.mark:hover rect, .mark.at rect, .mark:hover .dot, .mark.at .dot { stroke: currentColor; stroke-width: 1.5; }
.mark:hover rect.hit, .mark.at rect.hit { fill: currentColor; fill-opacity: .14; stroke: none; }
.mark:hover .span, .mark.at .span { stroke-width: 7; }
#tip { position: fixed; z-index: 1; pointer-events: none; max-width: min(22rem, 90vw); padding: .3rem .6rem; }
#tip { font-size: .85rem; background: var(--text); color: var(--page); border-radius: .35rem; }
#tip[hidden] { display: none; }
@media (min-width: 46rem) {
dl { display: grid; grid-template-columns: 8.5rem 1fr; gap: .15rem 1rem; }
dd { margin: 0; }
.wide { display: block; }
.narrow { display: none; }
}
@media (max-width: 45.99rem) {
.less { display: none; }
th, td { padding-right: .6rem; }
}
@media print {
figure, .card { break-inside: avoid; }
body { max-width: none; }
}
"""

SCRIPT = """
"use strict";
const tip = document.body.appendChild(document.createElement("div"));
tip.id = "tip"; tip.hidden = true; tip.setAttribute("role", "status");
for (const title of document.querySelectorAll("svg .mark > title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
function show(mark, x, y) {
  tip.textContent = mark.dataset.tip;
  tip.hidden = !mark.dataset.tip;
  const size = tip.getBoundingClientRect();
  const left = Math.max(4, Math.min(x + 14, document.documentElement.clientWidth - size.width - 4));
  tip.style.left = left + "px";
  tip.style.top = (y - size.height - 12 < 4 ? y + 18 : y - size.height - 12) + "px";
}
for (const chart of document.querySelectorAll("svg.chart")) {
  const marks = [...chart.querySelectorAll(".mark")];
  let at = -1;
  const leave = () => { if (at >= 0) marks[at].classList.remove("at"); tip.hidden = true; };
  chart.addEventListener("pointermove", event => {
    const mark = event.target.closest(".mark");
    if (mark) show(mark, event.clientX, event.clientY); else tip.hidden = true;
  });
  chart.addEventListener("pointerleave", leave);
  chart.addEventListener("blur", leave);
  if (marks.length) chart.tabIndex = 0;
  chart.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    leave();
    if (!step) return;
    event.preventDefault();
    at = (Math.max(at, step < 0 ? 0 : -1) + step + marks.length) % marks.length;
    marks[at].classList.add("at");
    const box = marks[at].getBoundingClientRect();
    show(marks[at], box.left + box.width / 2, box.top);
  });
}
for (const table of document.querySelectorAll("table.filtered")) {
  const field = document.createElement("input"), rows = [...table.tBodies[0].rows];
  field.type = "search"; field.className = "filter";
  field.placeholder = "rows with these words, -without these";
  field.setAttribute("aria-label", "filter the rows of the table below, and the pictures beside it");
  table.parentNode.before(field);
  const near = table.closest("details") ? [] : [...table.closest("section").querySelectorAll("figure")];
  const charts = near.map(figure => [figure, figure.firstChild.textContent, [...figure.querySelectorAll(".mark")]]);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\\s+/).filter(word => word.length);
    const lacks = text => {
      const said = text.toLowerCase().replaceAll("\\u00a0", " ");
      const whole = word => new RegExp("(^|[^0-9.])" + word + "(?![0-9.])").test(said);
      const says = word => /^\\d+$/.test(word) ? whole(word) : said.includes(word);
      return !words.every(word => word[0] === "-" && word.length > 1 ? !says(word.slice(1)) : says(word));
    };
    const isOut = mark => mark.classList.contains("out");
    for (const row of rows) row.hidden = lacks([...row.cells].map(cell => cell.textContent).join(" "));
    for (const [figure, title, marks] of charts) {
      for (const mark of marks) mark.classList.toggle("out", lacks(title + " " + (mark.dataset.tip || "")));
      for (const series of new Set(marks.map(mark => mark.parentNode))) {
        if (series.tagName === "g") series.classList.toggle("out", [...series.querySelectorAll(".mark")].every(isOut));
      }
      figure.hidden = marks.length > 0 && marks.every(isOut);
    }
  });
}
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column], number = parseFloat(cell.dataset.v);
    return heads[column].classList.contains("n") ? number : cell.textContent.trim().toLowerCase();
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("n"), was = head.getAttribute("aria-sort");
      const sign = was ? (was === "descending" ? 1 : -1) : numbers ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const order = (one, other) => {
        const a = value(one, column), b = value(other, column);
        if (!numbers) return sign * a.localeCompare(b);
        if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
        return sign * (a - b);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
"""


def _colours() -> str:
    """The page's own ones, and a class a hue."""
    light, dark = (" ".join(f"--{name}: {pair[which]};" for name, pair in palette.PAGE.items()) for which in range(2))
    rules = [f":root {{ color-scheme: light dark; {light} }}"]
    rules.append(f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}")
    rules += [f".{hue} {{ --c: {colour}; --ink: {palette.ink(hue)}; }}" for hue, colour in palette.HUES.items()]
    rules.append(f".{palette.FAINT} {{ --c: currentColor; --ink: currentColor; }}")
    rules.append(f".mark.{palette.WAITING} rect, .area.{palette.WAITING} {{ fill: url(#waiting); }}")
    return "\n".join(rules)


STYLE = f"\n{_colours()}{_LAYOUT}"

# Waiting is hatched as well: it is seen without its colour.
DEFINITIONS = (
    f'<svg class="defs {palette.WAITING}" aria-hidden="true"><defs>'
    '<pattern id="waiting" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="7" height="7" fill="{palette.colour(palette.WAITING)}"/>'
    '<path d="M0 0V7" stroke="var(--page)" stroke-opacity=".4" stroke-width="3"/></pattern></defs></svg>'
)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = f"default-src 'none'; img-src data:; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; base-uri 'none'"
