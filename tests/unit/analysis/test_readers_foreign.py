"""Files of another command are named as what they are. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import written

from analysis.errors import AnalysisError
from analysis.readers import formats, read
from analysis.readers.foreign import FOREIGN, command_for
from analysis.readers.refusals import LAST, REFUSALS

FILES = {
    "ui.perfetto.dev": '{"traceEvents":[\n{"ph":"X","name":"decode","ts":1,"dur":2}\n]}\n',
    "analysis.functions": "q4engine 11634/11635 [002] 10314.002559:     250000 cycles:u:  7f5a2c0 main+0x10 (/bin/x)\n",
    "export `perf script`": "# Overhead  Command  Shared Object  Symbol\n 5.00%  x  y  z\n",
    "captures are CSV": "<!DOCTYPE html>\n<html></html>\n",
    "name the capture": '{\n "captures": [\n  {}\n ]\n}\n',
    "record a capture": "        load time =    1167.27 ms\n     prompt eval time =     113.82 ms /    31 tokens\n",
    "bench --capture DIR": "| model | size | params | threads | test | t/s |\n| --- | --- | --- | --- | --- | --- |\n",
    "column Bottleneck": "CPUs,Area,Value,Unit,Description,Sample,Stddev,Multiplex,Bottleneck,Idle\n,x,1.0,%,,,,,,\n",
    "holds samples, no counts": "Flat profile:\n\nEach sample counts as 0.01 seconds.\n",
    "counts none": "List of pre-defined events (to be used in -e or -M):\n\n  cpu-cycles OR cycles\n",
    "use `simpleperf stat`": "Cmdline: /data/local/tmp/simpleperf record -p 1\nArch: arm64\n",
    "as FlameGraph draws them": "llama-cli;main;llama_decode;dot 4123\nllama-cli;main 12\n",
    "likwid": "CPU type: ARM Neoverse V2\n",
    "VTune": "Elapsed Time: 3.861s\n    CPU Time: 3.1s\n",
    "analysis.functions FILE`": "[ perf record: Woken up 1 times to write data ]\n",
    "perf script -F +time": "llama  4711 [003]     250000 cycles:  aaaab0c0 dot+0x10 (/x.so)\n",
    "python -m analysis.memory": "# Baseline  Delta Abs  Shared Object  Symbol\n    45.00%  -1.00%  x  [.] dot\n",
    "for functions by phase export": "# Samples: 12K of event 'l1d-miss'\n# Event count\n",
    "-e cycles,r23,r24,r4005 -- PROGRAM": " Usage: perf stat [<options>] [<command>]\n\n    -a, --all-cpus\n",
    "PAPI_TOT_CYC is cycles": "PAPI_TOT_CYC: 1000\nPAPI_TOT_INS: 900\n",
    "record some with `perf stat -x,`": "Benchmark 1: ./x\n  Time (mean):  1.2 s\n",
    "q4engine run --capture": '{"text": "Hello", "tokens": [1], "stop_reason": "length"}\n',
}


@pytest.mark.parametrize("advice", FILES)
def test_what_reads_it(tmp_path: Path, advice: str) -> None:
    with pytest.raises(AnalysisError) as caught:
        read(written(tmp_path, FILES[advice]))
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("# 4.8-full-perf on Intel(R) Core(TM) [skl]\nFE   Frontend_Bound   % Slots    14.0   <\n", "toplev"),
        ("BE/Mem   Backend_Bound.Memory_Bound  % Slots   41.0  <==\nRET  Retiring   % Slots    21.3\n", "toplev"),
        ("+-----+-----+\n|               Event               | HWThread 0 |\n", "likwid"),
        ("+-----+-----+\n| Metric | Core 1 |\n", "likwid"),
    ],
)
def test_other_forms_of_these_tools(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(AnalysisError, match=name):
        read(written(tmp_path, text))


def test_no_capture_is_taken_for_another_commands() -> None:
    assert len(FOREIGN) == len(FILES) + len(REFUSALS) + len(LAST)
    assert not any(command_for([format_.sample]) for format_ in formats.FORMATS)
