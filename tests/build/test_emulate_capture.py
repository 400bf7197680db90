"""How the plugin's marks become counts of calls and operations; the captures here are made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from emulate.capture import Counted, complete
from emulate.plugin import CALL, THREAD, Mark, read_marks
from host import ToolError

SYNTHETIC = """\
# q4engine capture
# format_version: 1
# emulated: no
# counters: the kernel has no perf events
# governor: performance
# command: q4engine run synthetic.gguf
call,phase,n_past,n_eval,op,layer,thread,start_ns,duration_ns,page_faults,freq_hz
0,decode,4,1,,,,90,210,17,1000
0,decode,4,1,begin,,0,90,20,,
0,decode,4,1,"gemv, odd",0,0,110,90,,
0,decode,4,1,end,,0,200,100,,
0,decode,4,1,begin,,1,90,30,,
0,decode,4,1,"gemv, odd",0,1,120,50,,
0,decode,4,1,end,,1,170,130,,
"""


def mark(kind: int, thread: int, stamp: int, instructions: int) -> Mark:
    counts = {
        "INST_RETIRED": instructions,
        "BR_IMMED_SPEC": instructions // 10,
        "BR_INDIRECT_SPEC": instructions // 100,
    }
    return Mark(kind, thread, stamp, counts)


# Thread 1 has idled away 5000 instructions before the call and idles 700 more on its way into it.
MARKS = [
    mark(CALL, 0, 100, 1000),
    mark(THREAD, 0, 110, 1100),
    mark(THREAD, 1, 120, 5700),
    mark(THREAD, 1, 170, 6000),
    mark(THREAD, 0, 200, 2000),
    mark(CALL, 0, 300, 2100),
]


def test_parts_and_calls() -> None:
    counted = Counted(MARKS)
    parts = {key: part["INST_RETIRED"] for key, part in counted.parts.items()}
    assert parts == {(0, 110): 100, (0, 200): 900, (0, 300): 100, (1, 170): 300}
    assert counted.calls[300]["INST_RETIRED"] == 1400


def test_work_between_calls_belongs_to_none() -> None:
    again = [mark(CALL, 0, 400, 9000), mark(THREAD, 0, 410, 9010), mark(CALL, 0, 500, 9030)]
    counted = Counted([*MARKS, *again])
    assert counted.calls[500]["INST_RETIRED"] == 30
    assert counted.parts[0, 410]["INST_RETIRED"] == 10


def test_the_capture_is_completed(tmp_path: Path) -> None:
    source, target = tmp_path / "synthetic.csv", tmp_path / "out.csv"
    source.write_text(SYNTHETIC)
    complete(source, target, MARKS, {"cpu": "emulated"})
    lines = target.read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    assert header == [
        "# q4engine capture",
        "# format_version: 1",
        "# command: q4engine run synthetic.gguf",
        "# emulated: yes",
        "# counters: available",
        "# cpu: emulated",
        "# group.emulated: pmu=qemu events=INST_RETIRED,INST_SPEC,BR_RETIRED,BR_IMMED_SPEC,BR_INDIRECT_SPEC",
    ]
    assert lines[len(header)].endswith(
        "duration_ns,page_faults,freq_hz,INST_RETIRED@emulated,INST_SPEC@emulated,BR_RETIRED@emulated,"
        "BR_IMMED_SPEC@emulated,BR_INDIRECT_SPEC@emulated"
    )
    assert lines[len(header) + 1 :] == [
        "0,decode,4,1,,,,90,210,,,1400,1400,154,140,14",
        "0,decode,4,1,begin,,0,90,20,,,100,100,11,10,1",
        '0,decode,4,1,"gemv, odd",0,0,110,90,,,900,900,99,90,9',
        "0,decode,4,1,end,,0,200,100,,,100,100,11,10,1",
        "0,decode,4,1,begin,,1,90,30,,,,,,,",
        '0,decode,4,1,"gemv, odd",0,1,120,50,,,300,300,33,30,3',
        "0,decode,4,1,end,,1,170,130,,,,,,,",
    ]


@pytest.mark.parametrize("missing", [4, 5])
def test_marks_of_another_run_are_refused(missing: int, tmp_path: Path) -> None:
    source, target = tmp_path / "synthetic.csv", tmp_path / "out.csv"
    source.write_text(SYNTHETIC)
    marks = [other for number, other in enumerate(MARKS) if number != missing]
    with pytest.raises(ToolError, match="call 0"):
        complete(source, target, marks, {})
    assert not target.exists()


@pytest.mark.parametrize("text", [None, "", "kind thread stamp INST_RETIRED\n"])
def test_no_marks_are_an_error(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "counts"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ToolError, match="no marks"):
        read_marks(path)


def test_a_line_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    path.write_text("kind thread stamp INST_RETIRED LD_SPEC\n1 0 5 10 2\n1 0 6 1\n")
    with pytest.raises(ToolError, match="line 3"):
        read_marks(path)
