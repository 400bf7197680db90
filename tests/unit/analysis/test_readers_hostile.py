"""Files that are no captures, or captures with something nasty in them: one clear line each, never a traceback."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from capture_tables import written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.readers import formats, read
from analysis.readers.source import Source

PERF = "5,,cycles,100,100.00,,\n"
CAPTURE = (
    "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: available\n"
    "call,n_past,n_eval,op,start_ns,duration_ns,CPU_CYCLES@g0\n0,0,4,,0,1000,{value}\n"
)
JUNK = random.Random(1).randbytes(5000)

# name -> (content, what the message must say).
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blanks": (b" \n\t\n\n", "nothing but blanks"),
    "blanks of text alone": (b"\x1c\n\x1d", "nothing but blanks"),
    "binary junk": (JUNK, "binary data, not a capture"),
    "binary junk without NUL": (b"\x80\xfe" + JUNK.replace(b"\0", b"\1"), "not UTF-8 text"),
    "10 MB single line": (b"5,,cycles," * 1_000_000, "line 1: longer than 1 MiB"),
    "10 MB second line": (PERF.encode() + b"5,,cycles," * 1_000_000, "line 2: longer than 1 MiB"),
    "NUL bytes": (b"5,,cycles\0,100,100.00,,\n", "line 1: binary data, not a capture"),
    "late NUL byte": (PERF.encode() * 5_000 + b"5,,cyc\0les,100,100.00,,\n", "line 5001: binary data"),
    "Latin-1": (PERF.encode() + "5,,café,100,100.00,,\n".encode("latin-1"), "line 2: not UTF-8 text (byte 0xe9)"),
    "UTF-16 of no text": (b"\xff\xfe" + bytes(200), "binary data"),
    "CSV injection": (b'5,,=HYPERLINK("http://x"),100,100.00,,\n' + PERF.encode(), "is no event name"),
    "HTML": (b"5,,<script>alert(1)</script>,100,100.00,,\n" + PERF.encode(), "no slash ends the event"),
    "absurd number": (PERF.encode() + b"9" * 400 + b",,cycles,100,100.00,,\n", "line 2: the count"),
    "absurd percent": (PERF.encode() + b"5,,cycles,100,1e9.00,,\n", "line 2: "),
    "absurd time": (b"9" * 400 + b".000000000,5,,cycles,100,100.00,,\n" + PERF.encode(), "line 1: "),
    "perf.data": (b"PERFILE2" + bytes(100), "a perf.data file"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "gzip-compressed"),
    "a program": (b"\x7fELF" + bytes(50), "is a program"),
    "prose": (b"Dear reader,\nthis is, as you see, no capture.\n", "no known capture format"),
    "other CSV": (b"name,age\nalice,31\nbob,32\n", "no known capture format"),
    "names, and names below them": (b"time,cpu,%  backend_bound,\ntime,cpu,1.5,\n", "no known capture format"),
    "a name that is no thread": (b"comm-pid,%  backend_bound,\n<x>,1.5,\n", "no known capture format"),
    "other JSON": (b'{"name": "package", "version": "1.0"}\n', "JSON of another tool, an object"),
    "deep JSON": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "an object with the key a"),
    "escape codes": (PERF.encode() + b"\x1b[2J\x1b[31m,,cycles\n", r"line 2: "),
    "capture, absurd count": (CAPTURE.format(value="1e300").encode(), "CPU_CYCLES@g0 should be a number"),
    "capture, NaN": (CAPTURE.format(value="nan").encode(), "CPU_CYCLES@g0 should be a number"),
    "capture, negative": (CAPTURE.format(value="-1").encode(), "CPU_CYCLES@g0 should be a number"),
    "capture, formula": (CAPTURE.format(value="=1+1").encode(), "CPU_CYCLES@g0 should be a number"),
    "capture, no rows": (CAPTURE.split("0,0,4")[0].encode(), "no calls in it"),
    "capture, no columns": (b"# q4engine capture\n# format_version: 1\n", "column names is missing"),
    "capture, version": (CAPTURE.replace("version: 1", "version: 9").encode(), "format_version should be 1, found '9'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_one_clear_line(tmp_path: Path, name: str) -> None:
    content, expected = HOSTILE[name]
    path = tmp_path / "hostile.csv"
    path.write_bytes(content)
    with pytest.raises(AnalysisError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert message.isprintable()
    assert len(message) < len(str(path)) + 600
    assert caught.value.exit_code == 1


LONG = 200_000
SLOW = {
    "blanks before a bracket": " Performance counter stats for 'x':\n\n    1,000   cycles  #" + " " * LONG + "x\n",
    "threads": " Performance counter stats for 'x':\n\n" + "a-1 " * (LONG // 4) + "\n",
    "topdown": "Stage 1 (Topdown metrics)\nname" + " " * LONG + "x\n",
    "JSON": '{"counter-value" : "5", "event" : "cycles",}' + " " * LONG + "x\n",
    "series": "Index (s),Cycles:CPU" + " " * LONG + "x\n0,5\n",
    "recognition of JSON": '{"a":}' + " " * 65_000 + "\n",
    "recognition of topdown-tool": "time," * 12_000 + "\n",
    "recognition of intervals": "# time " + "counts " * 9_200 + "\n",
    "quote marks": " Performance counter stats for 'x':\n\n" + "> " * (LONG // 2) + "\n",
    "brackets": " Performance counter stats for 'x':\n\n" + ("  1 x # " + "(1%) " * 380 + "\n") * 500 + "  1,00 x\n",
    "titles": " Performance counter stats for 'x':\n" * 21_000,
    "fields": "5,,cycles,100,100.00,,\n" + ("5,," + "x," * 900 + "\n") * 100,
    "columns": "# q4engine capture\n# format_version: 1\n" + ",".join(f"c{i}@g" for i in range(60_000)) + "\n0\n",
    "keys": "# q4engine capture\n" + "".join(f"# k{i}: v\n" for i in range(5000)),
    "functions": "Counters: Cycles: CPU Cycles,symbol\n" + "1,x\n" * 200_001,
    "dots": "Stage 1 (Topdown metrics)\nname" + "." * 1900 + "x\n",
    "bars": "Stage 1 (Topdown metrics)\n" + "│ a " * 450 + "\n",
    "tiny rows of intervals": "# time counts\n" + "".join(f"{i}.000000001 5 cycles\n" for i in range(200_000)),
    "tiny markers": "time_ns,n_past,n_eval\n" + "".join(f"{i},1,1\n" for i in range(200_000)),
    "runs without end": "5,,r1,1,100.00\n#\n" * 20_000,
    "names without end": "".join(f"5,,r{i:x},1,100.00\n" for i in range(30_000)),
    "metrics without end": "Stage 1 (Topdown metrics)\n" + "".join(f"a{i}.. 1% x\n" for i in range(20_000)),
    "perf": "5,,cycles,100,100.00,,\n" + "1-" * (LONG // 2) + ",,cycles\n",
}


@pytest.mark.parametrize("name", SLOW)
def test_long_rows_do_not_hang(tmp_path: Path, name: str) -> None:
    """With a pattern that tries every pair of positions none of these would come back within a test run."""
    path = written(tmp_path, SLOW[name])
    with pytest.raises(AnalysisError):
        read(path)


def test_millions_of_blank_lines(tmp_path: Path) -> None:
    assert len(read(written(tmp_path, PERF + "\n" * 3_000_000)).frame) == 1


def test_a_long_timeline_of_tiny_rows_is_read(tmp_path: Path) -> None:
    text = "Index (s),Cycles:CPU Cycles\n" + "".join(f"{i},7\n" for i in range(100_000))
    assert read(written(tmp_path, text)).frame["value"].sum() == 700_000
    with pytest.raises(AnalysisError, match="line 50002: time goes from"):
        read(written(tmp_path, text.replace("\n50000,7\n", "\n1,7\n")))


def test_directory_absent_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="is a directory; name a capture file"):
        read(tmp_path)
    with pytest.raises(AnalysisError, match="no such file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(AnalysisError, match=r"cannot be read|no such file"):
        read(tmp_path / ("x" * 5000))
    with pytest.raises(AnalysisError):
        read("nul\0byte")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = written(tmp_path, PERF)
    path.chmod(0)
    with pytest.raises(AnalysisError, match="cannot be read: Permission denied"):
        read(path)


def test_unreadable_device() -> None:
    """Reading a process' memory at 0 fails for everyone, root included."""
    with pytest.raises(AnalysisError, match=r"cannot be read|is empty"):
        read("/proc/self/mem")


def test_format_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no format is called 'oprofile'; there are q4engine-capture, markers, "):
        read(written(tmp_path, PERF), format="oprofile")


def test_format_overrides_recognition(tmp_path: Path) -> None:
    path = written(tmp_path, "5,,my_event\n")  # of an old perf, whose event nobody knows: too little to be recognised
    with pytest.raises(AnalysisError, match="no known capture format"):
        read(path)
    with pytest.raises(AnalysisError, match="no column is an event that we know"):
        read(path, format="streamline-timeline")


def test_lenient_junk_has_no_counts(tmp_path: Path) -> None:
    path = written(tmp_path, PERF.replace("cycles", "<b>") * 3)
    with pytest.raises(AnalysisError):
        read(path, lenient=True)


def test_every_sample_line_is_recognised_as_its_own_format() -> None:
    for format_ in formats.FORMATS:
        found = formats.recognise([format_.sample])
        assert found is not None, format_.name
        assert found.name == format_.name


PIECES = st.one_of(
    st.sampled_from([f.sample for f in formats.FORMATS]),
    st.text(max_size=60),
    st.sampled_from(
        [",", ";", "\n", "5", "<not counted>", "cycles", "100.00", '"', "{", "}", "# ", "[0]", "|", "\t", "%"]
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=30), st.sampled_from([None, *formats.NAMES]), st.booleans())
def test_anything_is_a_table_or_an_error(tmp_path: Path, pieces: list[str], name: str | None, lenient: bool) -> None:
    path = tmp_path / "fuzz.csv"
    path.write_bytes("".join(pieces).encode("utf-8", "surrogatepass"))
    try:
        table = read(path, format=name, lenient=lenient)
    except AnalysisError as error:
        assert "\n" not in str(error)
        return
    assert set(table.frame["status"]) <= {"ok", "not counted", "not supported"}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_any_bytes_are_a_table_or_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fuzz.csv"
    path.write_bytes(content)
    with pytest.raises(AnalysisError):
        read(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_lines_are_a_table_or_an_error(tmp_path: Path, data: st.DataObject) -> None:
    """A good file of each format with one stretch of it replaced."""
    good = data.draw(st.sampled_from(GOOD))
    at = data.draw(st.integers(0, len(good)))
    length = data.draw(st.integers(0, 20))
    middle = data.draw(st.text(max_size=10))
    path = tmp_path / "fuzz.csv"
    path.write_bytes((good[:at] + middle + good[at + length :]).encode("utf-8", "surrogatepass"))
    try:
        read(path)
    except AnalysisError as error:
        assert "\n" not in str(error)


GOOD = (
    "     0.100200418,CPU0,5,,cycles,100,100.00,,\n     0.200200418,CPU0,5,,cycles,100,66.00,0.1,GHz\n",
    '{"interval" : 0.5, "cpu" : "1", "counter-value" : "12.0", "event" : "r4005", "pcnt-running" : 40.0}\n' * 2,
    " Performance counter stats for 'x':\n\n   1,000      cycles    #  1.5 GHz   (50.02%)\n\n 0.5 seconds time elapsed",
    "Performance counter statistics,\n5,cpu-cycles,4.5,GHz,(100%),\nTotal test time,1.4,seconds,\n",
    "Index (s),Cycles:CPU Cycles [0],Stalls:Backend [0]\n0.0,5,6\n0.1,7,8\n",
    'x\nWhen (s),Message,Channel\n1:02.5,"past 5, n_eval 1",a\n',
    '"Counters: Cycles: CPU Cycles",uid,image,symbol,inlined from\n5,1,a,main\n',
    "time,group,stage,level,metric,value,units\n0.10,T,1,1,Retiring,17.0,%\n",
    "run,time,event,value\n1,,instructions,800440\n",
    "Stage 1 (Topdown metrics)\n[Cycle Accounting]\nBackend Stalled Cycles. 84.38% cycles\n",
    "|Ratio|   geomean|  p10|\n|ipc  |   1.81|  1.72|\n",
    "time_ns,n_past,n_eval,phase\n1000,0,512,prefill\n2000,512,1,decode\n",
    CAPTURE.format(value="5"),
)


@pytest.mark.parametrize("text", GOOD)
def test_the_good_files_are_good(tmp_path: Path, text: str) -> None:
    table = read(written(tmp_path, text))
    assert len(table.frame) > 0 or table.markers


def test_a_long_file_is_read_in_blocks_without_losing_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.readers.source.BLOCK_BYTES", 100)
    text = "".join(f"line {i}\n" for i in range(1000)) + "no end"
    source = Source(written(tmp_path, text))
    blocks = list(source.blocks())
    assert len(blocks) > 50
    assert b"".join(b for _, b in blocks).decode() == text + "\n"
    assert all(b.startswith(f"line {row - 1}\n".encode()) for row, b in blocks[:-1])


NUMBERED = {  # {} is a CPU's number
    "topdown-csv": (
        "run,cpu,time,group,stage,level,metric,value,units\n1,{},0.5,Topdown_L1,1,1,Frontend Bound,12.42,%\n",
        "cpu should be a number",
    ),
    "perf-json": ('{{"cpu":"{}","counter-value":"5","event":"cycles"}}\n', "cpu should be a number"),
    "simpleperf-csv": (
        "Performance counter statistics,\ncount,event_name,count / runtime,runtime_percentage,\n{},5,cpu-cycles,,\n"
        "Total test time,1.0,seconds,\n",
        "is no CPU",
    ),
}


@pytest.mark.parametrize("cpu", ["9" * 5000, "²"])
@pytest.mark.parametrize("name", NUMBERED)
def test_numbers_of_cpus_that_are_none(tmp_path: Path, name: str, cpu: str) -> None:
    """`int` takes no more than 4,300 digits, and not all that are digits to `str.isdigit`."""
    content, message = NUMBERED[name]
    with pytest.raises(AnalysisError, match=message):
        read(written(tmp_path, content.format(cpu), "synthetic.csv"), name)


def test_functions_without_their_names(tmp_path: Path) -> None:
    path = written(
        tmp_path, '"Counters: Cycles: CPU Cycles",uid,image,symbol",inlined from\n5,1,a,main,\n', "synthetic.csv"
    )
    with pytest.raises(AnalysisError, match="no column 'symbol'"):
        read(path)


def test_more_tensors_than_any_capture_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.readers.q4engine_capture.MOST_TENSORS", 2)
    head = (
        "# q4engine capture\n# format_version: 1\ncall,n_past,n_eval,op,tensor,start_ns,duration_ns\n0,0,4,,,0,1000\n"
    )
    rows = [f"0,0,4,gemv,t{at},{at},1\n" for at in range(2)]
    assert len(read(written(tmp_path, head + rows[0])).calls.parts) == 1  # type: ignore[union-attr]
    with pytest.raises(AnalysisError, match="3 tensors, more than the 2"):
        read(written(tmp_path, head + "".join(rows)))


def test_more_kinds_of_operations_than_any_capture_has(tmp_path: Path) -> None:
    head, row = CAPTURE.format(value=1).rsplit("\n", 2)[:2]
    rows = "".join(row.replace(",4,,0,", f",4,kind{i},0,") + "\n" for i in range(150))
    with pytest.raises(AnalysisError, match="151 kinds of operations, more than the 150"):
        read(written(tmp_path, f"{head}\n{row}\n{rows}"))
