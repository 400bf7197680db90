"""Accesses by tensor (`analysis.memory`): **synthetic** samples in the forms that perf prints, with answers by hand.

No SPE hardware was at hand: the lines follow perf's source.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from analysis_commands import PNG, Run

from analysis import memory, memory_sums
from analysis.address_map import HEAD, AddressMap, Range, read_map
from analysis.errors import AnalysisError
from analysis.memory_samples import L1, L2, L3, MEMORY, Access, read
from analysis.memory_sums import joined, summed
from analysis.readers.source import Source
from analysis.reports import memory_report

MAP = f"""{HEAD}
start,end,kind,name
0x10000,0x20000,weights,blk.0.attn_q.weight+blk.0.attn_k.weight
0x20000,0x30000,weights,blk.0.ffn_down.weight
0x30000,0x40000,weights,blk.1.ffn_down.weight
0x50000,0x51000,keys,blk.0
0x51000,0x52000,values,blk.0
0x60000,0x61000,activations,
"""
MARKERS = "time_ns,n_past,n_eval,phase\n10000000000,0,8,prefill\n11000000000,8,1,decode\n12000000000,9,0,\n"
DATA = "{:>16} |OP {}|LVL {}|SNP None|TLB Walker hit|LCK No|BLK  N/A"
TAIL = " {:>8}  400500 q4_gemv_q4_0+0x10 (/lib/native.so)"


def line(at: float, address: int, level: str, weight: int, operation: str = "LOAD", event: str = "memory") -> str:
    data = DATA.format("1e05080021", operation, level)
    return f"q4engine  7/8 [001] {at:.6f}:  1 {event}: {address:>16x} {data}{TAIL.format(weight)}\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Four samples of a prompt, four of a token, one elsewhere; and samples of another event."""
    text = line(10.1, 0x10008, "L1 hit", 4) + line(10.2, 0x10010, "L1 hit", 4) + line(10.3, 0x20000, "L2 hit", 20)
    text += line(10.4, 0x7FFF0000, "L1 hit", 4)
    text += line(11.1, 0x20010, "RAM hit", 300) + line(11.2, 0x3FFFF, "RAM hit", 500)
    text += line(11.3, 0x50000, "L3 hit", 60) + line(11.4, 0x51FFF, "L1 hit", 4, "STORE")
    text += line(11.5, 0x20010, "L1 hit", 9, event="l1d-access")
    (tmp_path / "map.csv").write_text(MAP)
    (tmp_path / "markers.csv").write_text(MARKERS)
    (tmp_path / "synthetic-spe.txt").write_text(text)
    return tmp_path / "synthetic-spe.txt"


def test_bytes_and_latency_by_tensor(script: Path, command: Run) -> None:
    words = (memory.main, script, "--address-map", script.with_name("map.csv"), "--markers")
    status, out, err = command(*words, script.with_name("markers.csv"), "--period", 1000, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    prefill, decode = ({one["name"]: one for one in found["phases"][phase]} for phase in ("prefill", "decode"))
    assert prefill["blk.0.attn_q.weight+blk.0.attn_k.weight"]["share"] == 0.5
    assert prefill["elsewhere"]["samples"] == 1 and prefill["elsewhere"]["kind"] is None
    down = decode["blk.1.ffn_down.weight"]
    assert (down["bytes"], down["latency_mean"], down["levels"]["memory"]) == (16_000, 500, 1.0)
    assert decode["KV cache: values, blk.0"]["stores"] == 1 and decode["KV cache: keys, blk.0"]["latency_mean"] == 60
    assert found["notes"] == ["samples of memory alone, of memory 8, l1d-access 1; --event takes another"]


def test_text_page_and_picture(script: Path, command: Run, tmp_path: Path) -> None:
    words = (memory.main, script, "--address-map", script.with_name("map.csv"))
    page, picture = tmp_path / "page.html", tmp_path / "picture.png"
    status, out, err = command(*words, "--html", page, "--plot", picture)
    assert (status, err) == (0, "")
    assert "37.5 % of accesses in ffn_down" in out  # of both layers
    assert "--period N says it, for bytes" in " ".join(out.split()) and "MB" not in out
    assert picture.read_bytes().startswith(PNG)
    assert "By tensor and layer" in page.read_text() and "http:" not in page.read_text()
    assert "100.0 % of accesses in ffn_down" in command(*words, "--event", "l1d-access")[1]


@pytest.mark.parametrize(
    ("rest", "weight", "level", "symbol"),
    [
        (f"{DATA.format('21', 'LOAD', 'L1 or L1 hit')} {TAIL.format(12)}", 12, L1, "q4_gemv_q4_0"),
        (f"{DATA.format('21', 'LOAD', 'L1 miss')} {TAIL.format(12)}", 12, L2, "q4_gemv_q4_0"),
        (f"{DATA.format('21', 'LOAD', 'L3 miss')} {TAIL.format(12)}", 12, MEMORY, "q4_gemv_q4_0"),
        (f"{DATA.format('21', 'LOAD', 'LFB/MAB hit')} 7", 7, L2, ""),
        (f"{DATA.format('21', 'LOAD', 'N/A')}", None, "", ""),
        (f"{DATA.format('21', 'LOAD', 'Local RAM hit')}  400500 f+0x1 (/x)", None, MEMORY, "f"),
        ("  12  7f00 f+0x1 (/x)", 12, "", "f"),
        ("  400500 f+0x1 (/x)", None, "", "f"),
        ("  12", 12, "", ""),
        ("", None, "", ""),
    ],
)
def test_what_perf_prints_behind_the_address(
    tmp_path: Path, rest: str, weight: int | None, level: str, symbol: str
) -> None:
    path = tmp_path / "synthetic.txt"
    path.write_text(f"q4engine  7  10.5:  64 memory: {0x20010:>16x} {rest}\n")
    assert read(Source(path)) == [Access(10.5, "memory", 64.0, 0x20010, weight, level, False, symbol)]


def test_perf_mems_dump(tmp_path: Path, command: Run) -> None:
    """Data sources are numbers there: mem_op 2 bits of loads and stores, mem_lvl five bits up."""
    path, known = tmp_path / "synthetic.txt", tmp_path / "map.csv"
    known.write_text(MAP)
    load, store = 0x2 | (0x02 | 0x40) << 5, 0x4 | (0x02 | 0x08) << 5
    path.write_text(
        "# PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL\n"
        f" 7  8  0x400500  0x20010  45  {load:#x}  /lib/native.so:q4_gemv\n"
        f" 7  8  0x400500  0x60000  5  {store:#x}  /lib/native.so:q4 rms\n"
    )
    first, second = read(Source(path))
    assert (first.level, first.weight, first.is_store, first.symbol) == (L3, 45, False, "q4_gemv")
    assert (second.level, second.is_store, second.symbol) == (L1, True, "q4 rms")
    status, out, _ = command(memory.main, path, "--address-map", known)
    assert status == 0 and "50.0 % of accesses in activations" in out
    (tmp_path / "markers.csv").write_text(MARKERS)
    err = command(memory.main, path, "--address-map", known, "--markers", tmp_path / "markers.csv")[2]
    assert "its samples have no times" in err


def test_without_a_map_everything_lies_elsewhere() -> None:
    empty = summed([Access(1, "memory", 1, 5, None, "", False)], AddressMap([]), None, 16)
    assert [(one.title, one.bytes) for one in empty] == [("elsewhere", None)] and math.isnan(empty[0].mean)


def test_ranges_end_before_their_end() -> None:
    known = AddressMap([Range(0x20, 0x30, "keys", "blk.1"), Range(0x10, 0x20, "weights", "a")])
    found = [known.find(address) for address in (0xF, 0x10, 0x1F, 0x20, 0x2F, 0x30)]
    assert [one and one.title for one in found] == [
        None,
        "a",
        "a",
        "KV cache: keys, blk.1",
        "KV cache: keys, blk.1",
        None,
    ]


def test_sums_of_layers() -> None:
    known = AddressMap([Range(0, 16, "weights", "a"), Range(16, 32, "weights", "b")])
    accesses = [
        Access(1, "e", 4, at, weight, level, False) for at, weight, level in ((0, 10, L1), (1, 20, L2), (16, 60, L2))
    ]
    one, other = summed(accesses, known, None, 8)
    both = joined("both", [one, other])
    assert (both.samples, both.share, both.bytes, both.mean) == (3, 1.0, 96, 30.0)
    report = memory_report.of_sums("synthetic", {"decode": [one, other]}, [])
    assert report.cards[0].verdict == "66.7 % of accesses in a"
    assert both.levels == pytest.approx({L1: 1 / 3, L2: 2 / 3, L3: 0, MEMORY: 0})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,end,kind,name\n", "line 1: is no map of --address-map"),
        (f"{HEAD}\nstart,end,kind,name\n", "holds no ranges"),
        (f"{HEAD}\n0x20,0x10,weights,a\n", "line 2: expected START,END,KIND,NAME with START below END"),
        (f"{HEAD}\n0x20,zz,weights,a\n", "line 2: expected START"),
        (f"{HEAD}\n0x10,0x30,weights,a\n0x20,0x40,weights,b\n", "line 3: b begins within a"),
    ],
)
def test_maps_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(AnalysisError, match=message):
        read_map(tmp_path / "map.csv")


def test_maps_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.address_map.MOST_RANGES", 2)
    ranges = [f"0x{at}0,0x{at}1,weights,t{at}\n" for at in range(1, 4)]
    for n in (2, 3):
        (tmp_path / "map.csv").write_text("".join([f"{HEAD}\n", *ranges[:n]]))
        if n == 2:
            assert len(read_map(tmp_path / "map.csv").ranges) == 2
    with pytest.raises(AnalysisError, match="line 4: more than 2 ranges"):
        read_map(tmp_path / "map.csv")


def test_percentiles_are_numpys() -> None:
    values = sorted(int(each) for each in np.random.default_rng(3).integers(1, 900, 37))
    for n in (1, 2, 19, 37):
        assert memory_sums._percentile(values[:n], 0.95) == pytest.approx(float(np.percentile(values[:n], 95)))


def test_what_is_wrong_is_one_line(script: Path, command: Run, tmp_path: Path) -> None:
    known = script.with_name("map.csv")
    (tmp_path / "elsewhere.csv").write_text(f"{HEAD}\n0x1,0x2,weights,a\n")
    (tmp_path / "words.txt").write_text(line(1, 0x20000, "L1 hit", 4) + "words\n")
    (tmp_path / "bare.txt").write_text("q4engine  7  10.5:  64 memory: gemm+0x1\n")
    (tmp_path / "none.txt").write_text("# captured on: today\n")
    for words, message in (
        ([script, "--address-map", tmp_path / "nowhere"], "no such file"),
        ([script, "--address-map", tmp_path / "elsewhere.csv"], "no sample lies in the map"),
        ([script, "--address-map", known, "--event", "x"], "has no samples of x; it has memory 8, l1d-access 1"),
        ([script, "--address-map", known, "--html", known], "is the file of --address-map"),
        ([tmp_path / "words.txt", "--address-map", known], "line 2: expected a sample of perf script, found 'words'"),
        ([tmp_path / "bare.txt", "--address-map", known], "expected an address behind 'memory:', found 'gemm+0x1'"),
        ([tmp_path / "none.txt", "--address-map", known], "no samples with data addresses in it"),
    ):
        status, out, err = command(memory.main, *words)
        assert (status, out) == (1, "") and message in err and len(err.splitlines()) == 1
    status, out, _ = command(memory.main, tmp_path / "words.txt", "--address-map", known, "--lenient")
    assert status == 0 and "1 malformed row(s) skipped" in out
