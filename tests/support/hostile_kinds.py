"""The kinds of files that are made to be slow to read, each with the command that reads it (`hostile_files`)."""

from __future__ import annotations

from hostile_csv import CSV
from hostile_files import Kind
from hostile_json import JSON
from hostile_others import OTHERS
from hostile_samples import SAMPLES
from hostile_texts import TEXTS

KINDS: dict[str, Kind] = {**CSV, **JSON, **TEXTS, **SAMPLES, **OTHERS}
