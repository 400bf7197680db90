"""Streamline's functions report. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

from capture_tables import parsed, readings


def test_functions(tmp_path: Path) -> None:
    header = (
        '"Periodic Samples: Periodic Samples","Counters: L1 Data Cache: Refill","Counters: Cycles: CPU Cycles",'
        '"Counters: GPU: Fragments",uid,image,symbol,inlined from\n'
    )
    rows = '120,2.51412e+08,5e9,1,7,libq4.so,q4_gemv,main\n3,1000,2000,1,8,libc.so,"memcpy<a, b>"\n'
    table = parsed(tmp_path, header + rows)
    assert table.functions is not None
    assert table.functions.to_dict("records") == [
        {"image": "libq4.so", "symbol": "q4_gemv", "inlined_from": "main", "samples": 120.0,
         "L1D_CACHE_REFILL": 251412000.0, "CPU_CYCLES": 5e9},
        {"image": "libc.so", "symbol": "memcpy<a, b>", "inlined_from": "", "samples": 3.0,
         "L1D_CACHE_REFILL": 1000.0, "CPU_CYCLES": 2000.0},
    ]  # fmt: skip
    assert readings(table)[1] == ("function:q4_gemv", "L1D_CACHE_REFILL", 251412000.0, "ok", None)
    assert any("Counters: GPU: Fragments" in n for n in table.notes)
