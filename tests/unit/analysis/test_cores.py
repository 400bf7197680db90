"""Core files: every one against the schema, and against the public tables they were derived from."""

from __future__ import annotations

import copy
import csv
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from analysis import cores
from analysis.cores.schema import check
from analysis.errors import AnalysisError
from analysis.formula import NotMeasured, parse

EXPECTED = {
    "cortex-a55", "cortex-a510", "cortex-a520", "cortex-a710", "cortex-a715", "cortex-a720", "cortex-a76", "cortex-a77",
    "cortex-a78", "cortex-x1", "cortex-x2", "cortex-x3", "cortex-x4", "generic", "neoverse-e1", "neoverse-n1",
    "neoverse-n2-r0p2", "neoverse-n2-r0p3", "neoverse-n3", "neoverse-v1", "neoverse-v2", "neoverse-v3", "x86",
    "ampereone", "apple-m1", "apple-m2", "apple-m3", "apple-m4", "c1-nano", "c1-premium", "c1-pro",
    "c1-ultra", "cortex-a53", "cortex-a72",
    "cortex-a725", "cortex-x925", "neoverse-v3ae", "oryon",
}  # fmt: skip


def _document(name: str) -> dict[str, Any]:
    return json.loads(resources.files("analysis.cores").joinpath(f"{name}.json").read_text(encoding="utf-8"))


def _matrix(shared_data: Path) -> tuple[list[str], list[list[str]]]:
    rows = list(csv.reader((shared_data / "pmu" / "event_matrix.csv").read_text().splitlines()))
    return rows[0][2:], rows[1:]


def test_every_core_is_there() -> None:
    assert set(cores.names()) == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_file_holds_the_schema(name: str) -> None:
    document = _document(name)
    assert check(document, name)["name"] == name
    used = {entry["source"] for group in ("events", "formulas") for entry in document[group].values()}
    used |= {entry["source"] for entry in document["errata"]}
    used |= {document[field]["source"] for field in ("midr", "programmable_counters", "slots_per_cycle")}
    assert used <= set(document["sources"])


# Cores of which other tables than the matrix tell, or of which nothing does.
ELSEWHERE = {
    "generic", "x86", "ampereone", "apple-m1", "apple-m2", "apple-m3", "apple-m4", "c1-nano", "c1-premium", "c1-pro",
    "c1-ultra", "cortex-a53",
    "cortex-a72", "cortex-a725", "cortex-x925", "neoverse-v3ae", "oryon",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(EXPECTED - ELSEWHERE))
def test_events_agree_with_the_public_matrix(name: str, shared_data: Path) -> None:
    columns, rows = _matrix(shared_data)
    column = columns.index(re.sub(r"-r0p\d$", "", name))
    public = {row[0]: int(row[1], 16) for row in rows[1:] if row[2 + column] == "y"}
    absent = {row[0] for row in rows[1:] if row[2 + column] != "y"}
    core = cores.load(name)
    assert {event: core.events.get(event) for event in public} == public
    assert not absent & set(core.events)
    assert core.absent == absent
    assert core.counters == (int(rows[0][2 + column]) if rows[0][2 + column] else None)


def test_formulas_agree_with_the_published_ones(shared_data: Path) -> None:
    published: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in (shared_data / "pmu" / "telemetry_metrics.txt").read_text().splitlines():
        if line.startswith("=== "):
            current = published.setdefault(Path(line.split()[1]).stem, {})
        elif line.count(" | ") >= 3:
            name, expression, *_ = line.split(" | ")
            current[name] = expression
    files = {"neoverse-n2-r0p2": "neoverse-n2"}
    compared = 0
    for name in sorted(EXPECTED):
        metrics = published.get(files.get(name, name), {})
        for key, entry in cores.load(name).formulas.items():
            theirs = metrics.get({"sve_percentage": "sve_all_percentage"}.get(key, key))
            if theirs is not None:
                assert entry.formula.text == theirs, (name, key)
                compared += 1
    assert compared >= 80


def test_n2_revisions_differ_by_the_erratum() -> None:
    counts = {"STALL_SLOT": 300.0, "STALL_SLOT_FRONTEND": 120.0, "CPU_CYCLES": 100.0, "BR_MIS_PRED": 0.0}
    counts |= {"OP_RETIRED": 9.0, "OP_SPEC": 10.0}
    old, new = cores.load("neoverse-n2-r0p2"), cores.load("neoverse-n2-r0p3")
    assert old.evaluate("frontend_bound", counts) == pytest.approx(100 * (120 - 100) / 500)
    assert new.evaluate("frontend_bound", counts) == pytest.approx(100 * 120 / 500)
    assert old.evaluate("retiring", counts) == pytest.approx(100 * 0.9 * (1 - 200 / 500))
    assert [erratum.effect for erratum in old.errata_of("STALL_SLOT")] == ["over-counts"]
    assert not new.errata_of("STALL_SLOT")


def test_v2_backend_formula_by_hand() -> None:
    counts = {"STALL_SLOT_BACKEND": 400.0, "CPU_CYCLES": 100.0, "BR_MIS_PRED": 2.0}
    assert cores.load("neoverse-v2").evaluate("backend_bound", counts) == pytest.approx(100 * (400 / 800 - 3 * 2 / 100))
    assert cores.load("neoverse-v1").evaluate("backend_bound", counts) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("midr", "name"),
    [
        (0x410FD490, "neoverse-n2-r0p2"),
        (0x410FD492, "neoverse-n2-r0p2"),
        (0x410FD493, "neoverse-n2-r0p3"),
        (0x411FD490, "neoverse-n2-r0p3"),
        (0x414FD0B1, "cortex-a76"),
        (0x413FD0C1, "neoverse-n1"),
        (0x410FD4F1, "neoverse-v2"),
        (0x00000000411FD402, "neoverse-v1"),
        (0x510F8020, None),
        (0x410FD040, None),
    ],
)
def test_by_midr(midr: int, name: str | None) -> None:
    core = cores.by_midr(midr)
    assert (core.name if core else None) == name


def test_no_midr_fits_two_files() -> None:
    known = [cores.load(name) for name in cores.names()]
    for implementer, part in {(core.implementer, part) for core in known for part in core.parts}:
        for revision in (0x0, 0x2, 0x3, 0x100001):
            midr = implementer << 24 | 0xF0000 | part << 4 | revision
            assert sum(cores.load(name).matches(midr) for name in cores.names()) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Cortex-A76", "cortex-a76"),
        ("cortex a76", "cortex-a76"),
        ("X4", "cortex-x4"),
        ("Neoverse V2", "neoverse-v2"),
        ("arm neoverse_n1", "neoverse-n1"),
        ("0x410fd493", "neoverse-n2-r0p3"),
        ("n2-r0p2", "neoverse-n2-r0p2"),
        ("a710", "cortex-a710"),
    ],
)
def test_find(text: str, name: str) -> None:
    assert cores.find(text).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [("neoverse-n2", "revisions"), ("cortex-a9", "unknown core"), ("0x1", "MIDR"), ("../x", "unknown")],
)
def test_find_refuses(text: str, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        cores.find(text)


def test_slots_from_the_machine_come_first() -> None:
    core = cores.load("cortex-x4")
    counts = {"STALL_SLOT_BACKEND": 500.0, "CPU_CYCLES": 100.0}
    assert core.evaluate("backend_bound", counts) == NotMeasured(("SLOTS",))
    assert core.evaluate("backend_bound", counts, slots=10) == pytest.approx(50.0)
    assert isinstance(cores.load("cortex-a76").evaluate("backend_bound", counts), NotMeasured)


def _broken(change: Any) -> dict[str, Any]:
    document = copy.deepcopy(_document("neoverse-v2"))
    change(document)
    return document


_ODD = {"events": ["CPU_CYCLES"], "effect": "odd", "text": "x", "source": "midr"}
_NO_EVENT = {"events": ["NO"], "effect": "over-counts", "text": "x", "source": "midr"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("events"), "events"),
        (lambda d: d.update(colour="blue"), "colour"),
        (lambda d: d["midr"].update(parts=["0xD4F"]), "0xD4F"),
        (lambda d: d["midr"].update(before="r03"), "r03"),
        (lambda d: d["slots_per_cycle"].update(value=0), "slots"),
        (lambda d: d["slots_per_cycle"].update(value=True), "slots"),
        (lambda d: d["events"]["CPU_CYCLES"].update(code="17"), "17"),
        (lambda d: d["events"]["CPU_CYCLES"].update(source="hearsay"), "hearsay"),
        (lambda d: d["events"].pop("BR_MIS_PRED"), "BR_MIS_PRED"),
        (lambda d: d["formulas"]["ipc"].update(expression="A +"), "ipc"),
        (lambda d: d["formulas"]["ipc"].pop("unit"), "unit"),
        (lambda d: d["errata"].append(_NO_EVENT), "NO"),
        (lambda d: d["errata"].append(_ODD), "odd"),
    ],
)
def test_a_broken_file_is_refused_with_its_field(change: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        cores.from_document(_broken(change), "neoverse-v2.json")


def test_no_formula_is_left_unparsed() -> None:
    for name in EXPECTED:
        for key, entry in cores.load(name).formulas.items():
            assert parse(entry.formula.text).names, (name, key)


@pytest.mark.parametrize(
    ("text", "said"),
    [("cortex-a67", "did you mean cortex-a7"), ("neoverse-n5", "neoverse-n"), ("zen", "x86 any other")],
)
def test_an_unknown_core_suggests_the_nearest(text: str, said: str) -> None:
    with pytest.raises(AnalysisError, match=said) as error:
        cores.find(text)
    assert "generic is any Arm core" in str(error.value)


@pytest.mark.parametrize("text", ["x86", "x86_64", "amd64", "Intel"])
def test_x86_is_called_x86(text: str) -> None:
    core = cores.find(text)
    assert core.title == "x86 CPU" and not core.is_arm and not core.events


def test_weaker_forms_leave_out_events_alone() -> None:
    entry = cores.load("neoverse-v2").formulas["backend_bound"]
    assert entry.weaker is not None and set(entry.formula.names) - set(entry.weaker.names) == {"BR_MIS_PRED"}
    counts = {"STALL_SLOT_BACKEND": 4e9, "CPU_CYCLES": 1e9, "BR_MIS_PRED": 0.0}
    assert entry.weaker.evaluate(counts) == entry.formula.evaluate(counts) == 50.0
