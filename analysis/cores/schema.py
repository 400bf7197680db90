"""The shape of a core file, checked before anything is believed: fields, types, sources, events that formulas use."""

from __future__ import annotations

import re
from typing import Any

from analysis.errors import AnalysisError
from analysis.formula import FormulaError, parse

EFFECTS = ("under-counts", "over-counts", "other level", "level depends on configuration", "may not count", "wrong")
_FIELDS = {
    "name": str,
    "title": str,
    "sources": dict,
    "midr": dict,
    "programmable_counters": dict,
    "slots_per_cycle": dict,
    "events": dict,
    "absent": dict,
    "formulas": dict,
    "errata": list,
}


def check(document: object, where: str) -> dict[str, Any]:
    """The document itself, once it holds; raises AnalysisError with the file and the field that does not."""
    if not isinstance(document, dict):
        raise AnalysisError(f"{where}: a core file is a JSON object, found {type(document).__name__}")
    for field, kind in _FIELDS.items():
        _expect(isinstance(document.get(field), kind), where, field, f"a {kind.__name__} is expected")
    unknown = sorted(set(document) - set(_FIELDS))
    _expect(not unknown, where, ", ".join(unknown), "is no field of a core file")
    _check_midr(document, where)
    for field in ("programmable_counters", "slots_per_cycle"):
        value = document[field].get("value")
        shaped = value is None or (type(value) is int and 1 <= value <= 64)
        _expect(shaped, where, field, f"value {value!r} is no count")
        _source(document, document[field], where, field)
    _check_events(document, where)
    _check_absent(document, where)
    _check_formulas(document, where)
    _check_errata(document, where)
    return document


def _expect(holds: bool, where: str, field: str, message: str) -> None:
    if not holds:
        raise AnalysisError(f"{where}: {field}: {message}")


def _source(document: dict[str, Any], entry: dict[str, Any], where: str, field: str) -> None:
    _expect(entry.get("source") in document["sources"], where, field, f"source {entry.get('source')!r} is not declared")


def _check_midr(document: dict[str, Any], where: str) -> None:
    midr = document["midr"]
    numbers = [midr.get("implementer"), *(midr.get("parts") or [])]
    _expect(isinstance(midr.get("parts"), list), where, "midr", "parts is a list")
    for number in numbers:
        shaped = isinstance(number, str) and bool(re.fullmatch(r"0x[0-9a-f]{1,3}", number))
        _expect(shaped, where, "midr", f"{number!r} is no lower-case hexadecimal number of up to three digits")
    for bound in ("from", "before"):
        shaped = bound not in midr or bool(re.fullmatch(r"r\d+p\d+", str(midr[bound])))
        _expect(shaped, where, "midr", f"{bound} {midr.get(bound)!r} is no revision such as r0p3")
    _source(document, midr, where, "midr")


def _check_events(document: dict[str, Any], where: str) -> None:
    for name, event in document["events"].items():
        _expect(bool(re.fullmatch(r"[A-Z][A-Z0-9_]+", name)), where, name, "is no event name")
        _expect(isinstance(event, dict), where, name, "an object with code and source is expected")
        code = event.get("code")
        shaped = isinstance(code, str) and bool(re.fullmatch(r"0x[0-9a-f]{4}", code))
        _expect(shaped, where, name, f"code {code!r} is no event number such as 0x0011")
        _source(document, event, where, name)


def _check_absent(document: dict[str, Any], where: str) -> None:
    absent = document["absent"].get("events")
    _expect(isinstance(absent, list), where, "absent", "events is a list")
    both = [event for event in absent if event in document["events"]]
    _expect(not both, where, "absent", f"{', '.join(both)} also stand among the events")
    _source(document, document["absent"], where, "absent")


def _check_formulas(document: dict[str, Any], where: str) -> None:
    available = {*document["events"], "SLOTS"}
    for name, entry in document["formulas"].items():
        try:
            forms = [parse(str(entry[form])) for form in ("expression", "weaker") if form in entry]
        except FormulaError as error:
            raise AnalysisError(f"{where}: {name}: {error}") from error
        _expect("expression" in entry, where, name, "has no expression")
        used = [event for form in forms for event in form.names]
        _expect(set(forms[-1].names) <= set(forms[0].names), where, name, "its weaker form uses other events")
        lacking = [event for event in used if event not in available]
        _expect(not lacking, where, name, f"uses {', '.join(lacking)}, which the core does not count")
        _expect(isinstance(entry.get("unit"), str), where, name, "has no unit")
        _source(document, entry, where, name)


def _check_errata(document: dict[str, Any], where: str) -> None:
    for erratum in document["errata"]:
        lacking = [event for event in erratum.get("events", []) if event not in document["events"]]
        _expect(bool(erratum.get("events")) and not lacking, where, "errata", f"unknown events {lacking}")
        _expect(erratum.get("effect") in EFFECTS, where, "errata", f"effect {erratum.get('effect')!r} is not known")
        _expect(bool(erratum.get("text")), where, "errata", "text is missing")
        _source(document, erratum, where, "errata")
