"""What bounded the phases of a capture, for Python and notebooks: ``verdicts("capture.csv")``."""

from __future__ import annotations

import html as markup
from pathlib import Path

from analysis.judging import Capture, JudgedPhase, Options, load
from analysis.reports import capture_report, html, text

_HEIGHT = 720  # pixels of the page in a notebook


class Verdicts:
    """A judged capture: as text where it is printed, as its page in a notebook, ``phases`` for code."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture

    @property
    def phases(self) -> list[JudgedPhase]:
        """Phases with evidence, metrics and judgement, without warm-up."""
        return self.capture.judged()

    def __str__(self) -> str:
        return text.render(capture_report.of_capture(self.capture, pages=False), capture_report.source(self.capture))

    def __repr__(self) -> str:
        cards = capture_report.of_capture(self.capture, pages=False).cards
        return "\n".join([f"<Verdicts of {self.capture.path.name}>", *(f"  {card.line}" for card in cards)])

    def _repr_html_(self) -> str:
        page = markup.escape(html.render(capture_report.of_capture(self.capture)))
        return f'<iframe srcdoc="{page}" width="100%" height="{_HEIGHT}" style="border:0"></iframe>'


def verdicts(path: str | Path, options: Options | None = None) -> Verdicts:
    """Reads and judges a capture, of a file with several runs the first. AnalysisError where it cannot be read."""
    return Verdicts(load(path, options))
