"""JSON of other tools is named by what it is, or by its keys (`json_kinds`). All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.json_kinds import keys_of, of_head

FILES = {
    '[\n {\n  "build_commit": "a",\n  "n_prompt": 512,\n  "avg_ts": 50.5,\n  "samples_ns": [1]\n }\n]\n': "llama-bench",
    '{"build_commit": "a", "avg_ts": 3.0}\n{"build_commit": "a", "avg_ts": 4.0}\n': "q4engine bench --capture DIR",
    '{"traceEvents": []}\n': "ui.perfetto.dev",
    '[{"name": "x", "cat": "c", "ph": "s", "ts": 1}]\n': "ui.perfetto.dev",
    '{"benchmarks": [{"runs": []}], "metadata": {}}\n': "a result of pyperf",
    '{"results": [{"command": "x", "mean": 1.0}]}\n': "a result of hyperfine",
    '{"architectures": ["X"], "model_type": "llama", "hidden_size": 64}\n': "a model's configuration",
    '[{"name": "a", "value": 3}, {"name": "b", "value": 4}]\n': "a list of objects with the keys name, value:",
    '{"a": {"b": [1]}, "c": null}\n': "an object with the keys a, c:",
    '{"name": "a", "value": 3}\n': "an object with the keys name, value:",
    '{"name": "a"}\n': "an object with the key name:",
    "[1, 2, 3]\n": "a list without keys",
    "{" + ", ".join(f'"k{n}": [{n}]' for n in range(9)) + "}\n": "k0, k1, k2, k3, k4, k5, …:",
}


@pytest.mark.parametrize("text", FILES)
def test_what_it_looks_like(tmp_path: Path, text: str) -> None:
    for lenient in (False, True):
        with pytest.raises(AnalysisError) as caught:
            read(written(tmp_path, text), lenient=lenient)
        assert FILES[text] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"counter-value" : "1", "event" : "cycles"}',
        '{"interval" : 1.0, "GHz" : "2.9", "insn  per cycle" : "1.2"}',
        '{"interval" : 1,001, "cpu" : "0", "%  retiring" : "none"}',
        '{"thread" : "bench-12", "GHz" : "2.9"}',
        "[stderr] hello",
        "[0] 1,000 cycles",
        "{ of prose",
    ],
)
def test_what_may_be_perfs_or_is_no_json(text: str) -> None:
    assert of_head([text]) is None


def test_keys_of_a_file_that_is_cut() -> None:
    seen = keys_of('{"a": {"inner": "\\"b\\": 1"}, "c": [1, 2')
    assert seen is not None
    assert (seen.keys, seen.all_keys, seen.is_list, seen.is_flat) == (["a", "c"], {"a", "inner", "c"}, False, False)
