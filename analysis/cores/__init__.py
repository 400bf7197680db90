"""What each core can count, as data: one JSON file a core, every line with its source.

`load("neoverse-v2")`, `by_midr(0x410FD4F0)` and `names()` are the ways in. `generic` stands for an Arm core that nobody
named: it has every architectural event and no slot count.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from analysis.cores.schema import check
from analysis.errors import AnalysisError
from analysis.events import only_arms
from analysis.formula import Formula, NotMeasured, Outcome, parse

GENERIC = "generic"
X86 = "x86"
_MIDR = re.compile(r"0x[0-9a-fA-F]{1,16}")
_MAKE = re.compile(r"^(cortex|neoverse)-?")
_SELDOM_ON_X86 = frozenset(("STALL_BACKEND",))
"""perf's `stalled-cycles-backend`. Source: the event maps of Linux's x86 drivers, where Intel's cores until Ivy Bridge
and AMD's until Zen 1 have it."""
_X86_SPELLINGS = ("x86-64", "amd64", "intel", "amd", "i386", "i686")


@dataclass(frozen=True)
class Erratum:
    """A count that is not what its name says on this core. `effect` is one of schema.EFFECTS."""

    events: tuple[str, ...]
    effect: str
    text: str
    source: str


@dataclass(frozen=True)
class CoreFormula:
    """A published or architectural formula: `unit` says percent of what.

    weaker: the same without a correction whose event may not have been counted, None where there is no such form.
    """

    formula: Formula
    unit: str
    source: str
    weaker: Formula | None = None


@dataclass(frozen=True)
class Core:
    """One core, or one revision range of it where the counters differ.

    events: name -> number.  absent: events that the core is known not to have; of all others nothing is known.
    seldom: events that few of the cores have for which it stands.
    """

    name: str
    title: str
    implementer: int
    parts: tuple[int, ...]
    first_revision: tuple[int, int] | None
    end_revision: tuple[int, int] | None
    counters: int | None
    slots: int | None
    events: Mapping[str, int]
    absent: frozenset[str]
    formulas: Mapping[str, CoreFormula]
    errata: tuple[Erratum, ...]
    seldom: frozenset[str] = frozenset()

    @property
    def is_arm(self) -> bool:
        return self.implementer != 0

    def has(self, event: str) -> bool:
        return event in self.events

    def lacks(self, event: str) -> bool:
        """Whether the core is known not to have the event: a count of it is of something else, or none."""
        return event in self.absent

    def event_of(self, code: int) -> str | None:
        """The event of that number, None where the file names none."""
        return next((name for name, number in self.events.items() if number == code), None)

    def evaluate(self, name: str, counts: Mapping[str, float | None], slots: int | None = None) -> Outcome:
        """The formula `name` over event counts; `slots` a cycle as the machine told them come first."""
        if name not in self.formulas:
            return NotMeasured((), f"{self.title} has no counters for {name}")
        width = slots or self.slots
        return self.formulas[name].formula.evaluate({**counts, "SLOTS": float(width) if width else None})

    def errata_of(self, event: str) -> tuple[Erratum, ...]:
        return tuple(erratum for erratum in self.errata if event in erratum.events)

    def matches(self, midr: int) -> bool:
        """Whether a MIDR_EL1 value (implementer 31:24, variant 23:20, part 15:4, revision 3:0) is this core's."""
        if midr >> 24 & 0xFF != self.implementer or midr >> 4 & 0xFFF not in self.parts:
            return False
        revision = (midr >> 20 & 0xF, midr & 0xF)
        after = self.first_revision is None or revision >= self.first_revision
        return after and (self.end_revision is None or revision < self.end_revision)


@cache
def names() -> tuple[str, ...]:
    """Every core with a file, sorted."""
    entries = resources.files("analysis.cores").iterdir()
    return tuple(sorted(entry.name.removesuffix(".json") for entry in entries if entry.name.endswith(".json")))


@cache
def load(name: str) -> Core:
    """The core of that file name; raises AnalysisError for an unknown name or a file that breaks the schema."""
    if name not in names():
        raise AnalysisError(_unknown(name))
    text = resources.files("analysis.cores").joinpath(f"{name}.json").read_text(encoding="utf-8")
    return from_document(json.loads(text), f"{name}.json")


def from_document(document: object, where: str) -> Core:
    """A checked core from parsed JSON; `where` names the file in errors."""
    data = check(document, where)
    midr = data["midr"]
    return Core(
        name=data["name"],
        title=data["title"],
        implementer=int(midr["implementer"], 16),
        parts=tuple(int(part, 16) for part in midr["parts"]),
        first_revision=_revision(midr.get("from")),
        end_revision=_revision(midr.get("before")),
        counters=data["programmable_counters"]["value"],
        slots=data["slots_per_cycle"]["value"],
        events={name: int(event["code"], 16) for name, event in data["events"].items()},
        absent=frozenset(data["absent"]["events"]) | (only_arms() if int(midr["implementer"], 16) == 0 else set()),
        formulas={
            name: CoreFormula(
                parse(entry["expression"]),
                entry["unit"],
                data["sources"][entry["source"]],
                parse(entry["weaker"]) if "weaker" in entry else None,
            )
            for name, entry in data["formulas"].items()
        },
        seldom=_SELDOM_ON_X86 if data["name"] == X86 else frozenset(),
        errata=tuple(
            Erratum(tuple(entry["events"]), entry["effect"], entry["text"], data["sources"][entry["source"]])
            for entry in data["errata"]
        ),
    )


def by_midr(midr: int) -> Core | None:
    """The core with this MIDR_EL1, or None where no file has it."""
    return next((core for core in map(load, names()) if core.matches(midr)), None)


def find(text: str) -> Core:
    """The core a person means by `text`: a MIDR value, a file name, or "Cortex-A76", "Neoverse V2", "x4".

    Raises AnalysisError where nothing or more than one core fits: the two N2 revisions count slots differently, so
    "neoverse-n2" alone is no answer.
    """
    fitting = _fitting(text)
    if not fitting and _MIDR.fullmatch(text.strip()):
        raise AnalysisError(f"no core file has the MIDR {text.strip()}; known cores: {', '.join(names())}")
    if len(fitting) > 1:
        raise AnalysisError(f"core {text!r} has revisions that count differently: say {' or '.join(fitting)}")
    return load(fitting[0] if fitting else _plain(text))


@lru_cache(256)
def known(text: str) -> Core | None:
    """The same, None where nothing or more than one core fits."""
    fitting = _fitting(text)
    return load(fitting[0]) if len(fitting) == 1 else None


def _fitting(text: str) -> list[str]:
    """Names of the cores that `text` may mean."""
    if _MIDR.fullmatch(text.strip()):
        core = by_midr(int(text.strip(), 16))
        return [core.name] if core else []
    wanted = _plain(text)
    if wanted in names():
        return [wanted]
    short = _short(wanted)
    fitting = [name for name in names() if _short(name).startswith(f"{short}-")]
    return fitting or [name for name in names() if _short(name) == short]


def _plain(text: str) -> str:
    wanted = re.sub(r"[\s_]+", "-", text.strip().lower().removeprefix("arm").strip())
    return X86 if wanted in _X86_SPELLINGS else wanted


def _unknown(name: str) -> str:
    """What to say of a name that no file has: the nearest ones, and the core that fits where none does."""
    by_short = {_short(known): known for known in names()}
    near = difflib.get_close_matches(_short(name.lower()), by_short, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(by_short[short] for short in near)}? " if near else ""
    return f"unknown core {name!r}; {meant}generic is any Arm core, x86 any other; known: {', '.join(names())}"


def _short(name: str) -> str:
    return _MAKE.sub("", name)


def _revision(text: str | None) -> tuple[int, int] | None:
    match = re.fullmatch(r"r(\d+)p(\d+)", text or "")
    return (int(match.group(1)), int(match.group(2))) if match else None
