"""What people paste around a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.perf_rows import is_transcript
from analysis.readers.surroundings import bare, bare_block, is_decoration

TABLE = (
    " Performance counter stats for './a.out':\n\n"
    "     1,000      cycles               #    1.5 GHz      (50.00%)\n"
    "     2,000      instructions         #    2.0  insn per cycle\n"
    "                                     #    0.1  stalled cycles per insn  (40.00%)\n"
    "\n       1.500000000 seconds time elapsed\n"
)
WANTED = [("", "CPU_CYCLES", 1000.0, "ok", 50.0), ("", "INST_RETIRED", 2000.0, "ok", 40.0)]


@pytest.mark.parametrize(
    "before",
    [
        "",
        "$ perf stat ./a.out\n",
        "user@host:~$ perf stat ./a.out\n",
        "[root@host ~]# perf stat ./a.out\nhello 1 2 3\n",
        "     42,000      cycles are what my program prints\n",
        '{"answer": 42}\n',
        "```console\n",
        "llama_perf_context_print:        eval time =     123.45 ms /    31 runs\n",
        "Using CPUID 0x00000000410fd0c0\ncycles: 1000: 2000 3000\n",
        "# started on Mon Jan  1\n\n",
    ],
)
@pytest.mark.parametrize(
    "after",
    [
        "",
        "\n       0.5 seconds user\n       0.1 seconds sys\n",
        "```\n",
        "IPC: 2.0\n12 apples\n",
        "Some events weren't counted.\n",
    ],
)
def test_text_around(tmp_path: Path, before: str, after: str) -> None:
    table = parsed(tmp_path, before + TABLE + after)
    assert readings(table) == WANTED
    assert table.meta["elapsed_s"] == 1.5


@pytest.mark.parametrize("quote", ["> ", "> > ", ">>> ", "    ", "\t", "\x1b[0m"])
def test_quoted_and_indented(tmp_path: Path, quote: str) -> None:
    text = "".join(f"{quote}{line}\n" for line in TABLE.splitlines())
    assert readings(parsed(tmp_path, text)) == WANTED


def test_colours(tmp_path: Path) -> None:
    coloured = TABLE.replace("1.5 GHz", "\x1b[31m1.5\x1b[m GHz").replace("2,000", "\x1b[1;32m2,000\x1b[0m")
    assert readings(parsed(tmp_path, coloured)) == WANTED


@pytest.mark.parametrize(
    "text",
    [
        "> 1 cycles\n>> 2\n> > 3\n>\n",
        "1\n> 2\n    > 3\n>\x1b[31m 4\x1b[m  \n\x1b]0;title\x07 5\n",
        "\x1b]0;open\n1 \x1b[1\n2\n",
        ">" * 25 + " 1\n> \n",
        "1 > 0\n\n",
    ],
)
def test_a_block_is_bare_as_its_lines_are(text: str) -> None:
    block = bare_block(text.encode()).decode()
    assert [bare(line) for line in block.split("\n")] == [bare(bare(line)) for line in text.split("\n")]


def test_a_mail_that_wrapped_its_lines(tmp_path: Path) -> None:
    wrapped = TABLE.replace("    (50.00%)", "\n>(50.00%)").replace(
        "stalled cycles per insn  (40", "stalled\ncycles per insn  (40"
    )
    assert readings(parsed(tmp_path, wrapped)) == WANTED


def test_bytes_of_no_encoding_around_the_table_and_in_it(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.txt"
    path.write_bytes("Grüße\n".encode("latin-1") + TABLE.encode() + b"\xff\xfe\n")
    assert readings(read(path)) == WANTED
    path.write_bytes(TABLE.replace("cycles ", "cyclés ", 1).encode("latin-1"))
    with pytest.raises(AnalysisError, match="line 3: "):
        read(path)


def test_what_a_program_prints_far_above(tmp_path: Path) -> None:
    assert readings(parsed(tmp_path, "token " * 10 + "\n" + "a line of prose\n" * 10_000 + TABLE)) == WANTED


@pytest.mark.parametrize("line", ["     1,0x0      branches", "     hello      branches", "  <not  counted>   cycles"])
def test_within_the_table_nothing_is_skipped(tmp_path: Path, line: str) -> None:
    text = TABLE.replace("     2,000", f"{line}\n     2,000")
    with pytest.raises(AnalysisError, match=r"line 4: .*--lenient"):
        read(written(tmp_path, text))
    assert readings(parsed(tmp_path, text, lenient=True)) == WANTED


def test_individual_measurements(tmp_path: Path) -> None:
    """`perf stat -r 3 --table`."""
    table = (
        "           # Table of individual measurements:\n           0.0 (+0.1) ####\n           0.2 (-0.1) #\n\n"
        "           # Final result:\n"
    )
    text = TABLE.replace("       1.500000000 seconds", table + "       1.5000 +- 0.0123 seconds").replace(
        "elapsed\n", "elapsed  ( +-  0.82% )\n"
    )
    parsed_table = parsed(tmp_path, text.replace("'./a.out'", "'./a.out' (3 runs)"))
    assert readings(parsed_table) == WANTED
    assert (parsed_table.meta["repeats"], parsed_table.meta["elapsed_s"]) == (3, 1.5)


def test_bare_lines_and_decoration() -> None:
    assert bare("> > \x1b[31m  text\x1b[0m  ") == "   text"
    assert all(is_decoration(line) for line in ("```", "~~~text", "...", "[...]", "<pre>", "cycles: 1 2 3", "$ ls"))
    assert not is_decoration("1,000 cycles")
    assert is_transcript("rc=-1")


def test_the_key_that_ends_the_intervals(tmp_path: Path) -> None:
    """Interrupted intervals end behind a terminal's ^C, on the same line."""
    text = "#           time             counts unit events\n     1.000000000   1,000      cycles\n"
    table = parsed(tmp_path, text + "^C     1.500000000     500      cycles\n")
    assert [reading[2] for reading in readings(table)] == [1000.0, 500.0]
