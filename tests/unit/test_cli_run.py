"""q4engine run on a tiny random model: prompts, output, ends."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Cli, Result
from heard_signals import heard
from models.blocks import random_tensor
from models.spec import ModelSpec
from models.tiny import TINY, TINY_LLAMA, write_tiny
from models.vocabulary import synthetic_bpe
from models.write import write_model

from q4engine import cpus
from q4engine.generate import Generation

RAW = ("--no-chat", "--temp", "0", "-t", "1")


def test_text_to_stdout_and_the_summary_to_stderr(q4: Cli, tiny: Path) -> None:
    result = q4("run", tiny, "-p", "abc", "-n", "5", *RAW)
    assert result.code == 0
    assert result.out.endswith("\n") and "time" not in result.out
    for words in ("load time = ", "prompt eval time = ", "    eval time = ", "tokens per second)", "total time = "):
        assert words in result.err


def test_json_is_the_same_as_data(q4: Cli, tiny: Path) -> None:
    text = q4("run", tiny, "-p", "abc", "-n", "5", *RAW).out
    result = q4("run", tiny, "-p", "abc", "-n", "5", *RAW, "--json")
    data = json.loads(result.out)
    assert data["text"] + "\n" == text
    assert data["n_generated"] == len(data["tokens"]) == 5
    assert data["stop_reason"] == "length" and data["n_ctx"] == 512 and data["threads"] == 1
    assert data["timings"]["eval"]["tokens"] == 4 and data["timings"]["prompt_eval"]["tokens"] == data["n_prompt"]


def test_the_prompt_token_by_token(q4: Cli, tiny: Path) -> None:
    result = q4("run", tiny, "-p", "ab\u00e9", "-n", "1", *RAW, "--verbose-prompt")
    lines = result.err.splitlines()
    at = lines.index("number of tokens in prompt = " + str(len([line for line in lines if " -> '" in line])))
    assert lines[at - 1].endswith("ab\u00e9'") and re.fullmatch(r" *\d+ -> '.*'", lines[at + 1])


def test_metadata_is_overridden(q4: Cli, tiny: Path) -> None:
    plain = json.loads(q4("run", tiny, "-p", "abc", "-n", "1", *RAW, "--json").out)
    words = ("--override-kv", "tokenizer.ggml.add_bos_token=bool:true,tokenizer.ggml.bos_token_id=int:1,a=str:b=c,d")
    result = q4("run", tiny, "-p", "abc", "-n", "1", *RAW, "--json", *words)
    assert json.loads(result.out)["n_prompt"] == plain["n_prompt"] + 1
    for given, message in (
        ("llama.block_count=str:x", "key 'llama.block_count' is of type UINT32, which a string cannot replace"),
        ("llama.block_count=int:9", "tensor 'blk."),
        ("a=int:1.5", "'1.5' is no integer"),
        ("a=bool:yes", "'yes' is neither true nor false"),
        ("a:1", "'a:1' is none of KEY=int:N, KEY=float:X, KEY=bool:true, KEY=str:TEXT"),
    ):
        result = q4("run", tiny, "-p", "abc", *RAW, "--override-kv", given)
        assert result.code and message in result.err and result.err.count("\n") == 1


LLAMA_CLI_LINES = [
    '-m MODEL -p "abc\\n" -n 6 -t 1 --temp 0 -s 1 -no-cnv -st -c 128 -b 16',
    "--model MODEL --prompt abc --predict 6 --threads 1 --temp 0 --seed 1 -no-cnv --ctx-size 128 --batch-size 16",
    "MODEL -p abc --n-predict 6 --temperature 0 --no-conversation --single-turn --no-warmup -ngl 0 -fa on --no-mmap",
    "MODEL -fa -p abc -n 6 --temp 0 -no-cnv -co -ub 512 -tb 2 --no-display-prompt --mlock --jinja",
    "MODEL -p abc -n 6 --temp 0.5 --top-k 3 --top-p 0.9 --min-p 0.1 --repeat-penalty 1.1 --repeat-last-n 9 -no-cnv",
    'MODEL -p abc -n6 -t1 -sys "Be\\tbrief" -cnv -st --temp 0 -C 0x1 -e',
    "MODEL -p abc -n 6 -s -1 -st",
]


@pytest.mark.parametrize("line", LLAMA_CLI_LINES)
def test_habits_from_llama_cli(q4: Cli, tiny: Path, line: str) -> None:
    import shlex

    arguments = [str(tiny) if word == "MODEL" else word for word in shlex.split(line)]
    result = q4("run", *arguments)
    assert result.code == 0 and "eval time" in result.err, result.err


def test_options_without_effect_are_named(q4: Cli, tiny: Path) -> None:
    result = q4("run", tiny, "-p", "a", "-n", "1", *RAW, "-ngl", "9", "--no-mmap")
    assert "note: without effect here: -ngl, --no-mmap\n" in result.err


def prompt_tokens(q4: Cli, tiny: Path, *arguments: object, stdin: bytes | None = None) -> int:
    result = q4("run", tiny, "-n", "1", "--temp", "0", "--json", *arguments, stdin=stdin)
    assert result.code == 0, result.err
    return int(json.loads(result.out)["n_prompt"])


def test_prompts_from_everywhere(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(b"a1\\n2\n")
    assert prompt_tokens(q4, tiny, "--no-chat", "-p", "a1\\n2") == 4
    assert prompt_tokens(q4, tiny, "--no-chat", "-p", "a1\\n2", "--no-escape") == 5
    assert prompt_tokens(q4, tiny, "--no-chat", "-f", file) == 5
    assert prompt_tokens(q4, tiny, "--no-chat", stdin=b"a1\\n2\n") == 5
    assert prompt_tokens(q4, tiny, "--no-chat", "-f", "-", stdin="é2".encode()) == 3
    assert q4("run", tiny, stdin=b"") == Result(
        1,
        "",
        "error: the prompt is empty: give -p TEXT or -f FILE, or pipe the text in; without any of them, in a terminal, "
        "a chat begins\n",
    )


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        (b"12\r\n", 2),  # one line end, whatever it is made of
        (b"12\n\n", 3),
        (b"12\r\n\r\n", 4),
        (b"1\r\n2", 4),
        (b"\xef\xbb\xbf12", 2),
        ("12\r\n".encode("utf-16"), 2),
        (b"\xfe\xff" + "12\n".encode("utf-16-be"), 2),
    ],
)
def test_line_ends_and_marks_of_prompts(q4: Cli, tiny: Path, tmp_path: Path, raw: bytes, tokens: int) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(raw)
    assert prompt_tokens(q4, tiny, "--no-chat", "-f", file) == tokens
    assert prompt_tokens(q4, tiny, "--no-chat", stdin=raw) == tokens
    assert q4("tokenize", tiny, "--no-bos", "--count", "-f", file).out == f"{tokens}\n"


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"ab\xffc", "byte 0xff at offset 2 is no UTF-8"),
        (b"\xef\xbb\xbfab\xe9", "byte 0xe9 at offset 5 is no UTF-8"),
        (b"\xff\xfea\0b", "byte 0x62 at offset 4 is no UTF-16"),
    ],
)
def test_bytes_that_are_no_text_are_named(q4: Cli, tiny: Path, tmp_path: Path, raw: bytes, found: str) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(raw)
    rest = "; prompts are UTF-8, or UTF-16 with its mark (iconv converts others)\n"
    for command in ("run", "tokenize"):
        assert q4(command, tiny, "-f", file) == Result(1, "", f"error: {file}: {found}{rest}")
        assert q4(command, tiny, stdin=raw) == Result(1, "", f"error: stdin: {found}{rest}")


def test_a_prompt_of_another_system(q4: Cli, tiny: Path, tmp_path: Path, shared_data: Path) -> None:
    """A file whose line ends in CR LF, as a person sent it."""
    sent = shared_data / "field" / "15-prompt-crlf.txt"
    assert sent.read_bytes().endswith(b"?\r\n")
    plain = tmp_path / "plain.txt"
    plain.write_bytes(sent.read_bytes()[:-2])
    ids = q4("tokenize", tiny, "--ids", "-f", sent).out
    assert ids == q4("tokenize", tiny, "--ids", "-f", plain).out
    assert prompt_tokens(q4, tiny, "--no-chat", "-f", sent) == len(json.loads(ids))


def test_a_text_with_its_own_begin_token(q4: Cli, tmp_path: Path) -> None:
    """The same tokens from run and tokenize, and both say so."""
    begins = replace(synthetic_bpe(TINY_LLAMA.vocab_size, TINY_LLAMA.pre_tokenizer), add_bos=True)
    model, rng = tmp_path / "synthetic.gguf", np.random.default_rng(1)
    write_model(model, TINY_LLAMA, begins, lambda tensor: random_tensor(tensor, rng))
    line = "note: the text begins with <|endoftext|> itself, so no second begin token is put before it\n"
    plain = q4("tokenize", model, "-p", "ab", "--ids")
    own = q4("tokenize", model, "-p", "<|endoftext|>ab", "--ids")
    assert (own.out, own.err, plain.err) == (plain.out, line, "")
    assert q4("tokenize", model, "-p", "<|endoftext|>ab", "--no-bos").err == ""
    for text, said in (("ab", ""), ("<|endoftext|>ab", line)):
        result = q4("run", model, "-p", text, "--no-chat", "-n", "1", "--temp", "0", "--json")
        assert json.loads(result.out)["n_prompt"] == len(json.loads(plain.out))
        assert result.err.startswith(said) and (line in result.err) == bool(said)


def test_prompts_that_are_too_long(q4: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chars = (1 << 22) + 1
    message = f"error: the prompt has {chars} characters, more than the {chars - 1} that a chat template takes\n"
    assert q4("run", tiny, stdin=b"x" * chars) == Result(1, "", message)
    monkeypatch.setattr("q4engine.cli.options.MAX_PROMPT_BYTES", 1 << 20)
    message = "holds more than 1 MiB, which no context takes\n"
    assert q4("run", tiny, stdin=bytes(1 << 21)) == Result(1, "", f"error: stdin: {message}")
    assert q4("tokenize", tiny, "-f", "/dev/zero") == Result(1, "", f"error: /dev/zero: {message}")


def test_prompts_from_a_pipe_and_of_odd_bytes(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=("a\0bé\n".encode(),))
    writer.start()
    assert prompt_tokens(q4, tiny, "--no-chat", "-f", pipe) == 5
    writer.join()
    assert q4("run", tiny, "-f", tmp_path) == Result(1, "", f"error: {tmp_path}: cannot be read: Is a directory\n")


def test_the_chat_template_is_applied_unless(q4: Cli, tiny: Path) -> None:
    marked = "<|im_start|>user\\nx<|im_end|>\\n"
    raw = prompt_tokens(q4, tiny, "--no-chat", "-p", "x")
    templated = prompt_tokens(q4, tiny, "-p", "x")
    assert raw == 1 and templated > 10
    assert prompt_tokens(q4, tiny, "-p", "x", "-sys", "y") > templated
    result = q4("run", tiny, "-p", marked, "-n", "1", "--temp", "0", "--json")
    assert json.loads(result.out)["n_prompt"] == prompt_tokens(q4, tiny, "--no-chat", "-p", marked)
    assert "note: the prompt starts with a chat token of its own" in result.err
    assert prompt_tokens(q4, tiny, "-p", marked, "--chat") > templated
    assert prompt_tokens(q4, tiny, "-p", "what is <|im_end|>?") > templated


def test_stand_in_for_a_missing_template_is_said(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("q4engine.tokenizer.chat_template.KEY", "tokenizer.no_such_key")
    result = q4("run", tiny, "-p", "x", "-n", "1", "--temp", "0")
    assert result.code == 0 and f"note: {tiny} has no chat template; using ChatML\n" in result.err


def test_seeds(q4: Cli, tiny: Path) -> None:
    def text(*seed: object) -> tuple[str, str]:
        result = q4("run", tiny, "-p", "abc", "-n", "12", "--no-chat", "--temp", "2", "--top-k", "0", *seed)
        assert result.code == 0
        return result.out, result.err

    assert text("-s", 7)[0] == text("-s", 7)[0] != text("-s", 8)[0]
    out, err = text()
    drawn = next(line.split("=")[1].strip() for line in err.splitlines() if "seed" in line)
    assert text("-s", drawn)[0] == out


def test_threads_and_batches_change_nothing(q4: Cli, tiny: Path) -> None:
    common = ("run", tiny, "-p", "the quick brown fox", "-n", "12", "--no-chat", "-s", "3", "--temp", "1")
    texts = {q4(*common, "-t", t, "-b", b).out for t, b in ((1, 512), (2, 7), (3, 1))}
    texts |= {q4(*common, "-t", t, "-tb", batch).out for t, batch in ((1, 2), (2, 1))}
    assert len(texts) == 1


def test_threads_for_prompts(q4: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: {0, 1, 2})
    capture, common = tmp_path / "c.csv", ("run", tiny, "-p", "the quick brown fox jumps", "-n", 3, *RAW)
    result = q4(*common, "-t", 1, "-tb", 3, "--capture", capture, "--per-op", "--events", "none", "--json")
    data = json.loads(result.out)
    assert (data["threads"], data["threads_batch"]) == (1, 3)
    assert "# n_threads: 1\n# n_threads_batch: 3\n# batch_tokens: " in capture.read_text()
    rows = list(csv.DictReader(line for line in capture.read_text().splitlines() if not line.startswith("#")))
    for phase, threads in (("prefill", {"0", "1", "2"}), ("decode", {"0"})):
        assert {row["thread"] for row in rows if row["phase"] == phase and row["op"]} == threads
    crowded = q4(*common, "-t", 1, "-tb", 9)
    assert "note: 9 threads would take turns on 3 CPUs: 3 are used" in crowded.err


def test_minus_one_is_the_default_number_of_threads(q4: Cli, tiny: Path) -> None:
    common = ("run", tiny, "-p", "abc", "-n", 2, "--no-chat", "--json")
    default, said = json.loads(q4(*common).out), json.loads(q4(*common, "-t", "-1", "-tb", -1).out)
    assert [said[key] for key in ("threads", "threads_batch")] == [default[key] for key in ("threads", "threads_batch")]
    assert json.loads(q4(*common, "-t", 1, "-tb", -1).out)["threads_batch"] == 1
    for wrong in (0, -2, "-1.0"):
        assert q4(*common, "-t", wrong).code == 2
    words = ("bench", tiny, "-p", 4, "-n", 0, "-r", 1, "-o", "json")
    threads = [
        json.loads(q4(*words, *t).out)["results"][0]["n_threads"] for t in ([], ["-t", "-1"], ["-t", "-1", "-t", 1])
    ]
    assert threads == [default["threads"], default["threads"], 1]
    assert q4(*words, "-t", "1,-1").code == 2


def test_numpy_backend(q4: Cli, tiny: Path) -> None:
    result = q4("run", tiny, "-p", "abc", "-n", "2", "--no-chat", "--temp", "0", "--backend", "numpy", "-v", "--json")
    assert json.loads(result.out)["backend"] == "numpy" and "backend: numpy" in result.err


def test_verbose(q4: Cli, tiny: Path) -> None:
    result = q4("run", tiny, "-p", "abc", "-n", "1", *RAW, "-v")
    assert "model: llama, 2 layers" in result.err and "kernels: " in result.err and "prompt: " in result.err


def test_the_whole_context_but_no_token_more(q4: Cli, tiny: Path) -> None:
    prompt = "0123456789" * 2
    fits = q4("run", tiny, "-p", prompt, "-c", "20", "-n", "1", *RAW)
    assert fits.code == 0
    more = q4("run", tiny, "-p", prompt + "0", "-c", "20", "-n", "1", *RAW)
    assert more.code == 1
    last = more.err.splitlines()[-1]
    assert last.startswith("error: the context is full: ") and "21 " in last and "20 " in last
    assert more.err.count("error:") == 1 and "interrupted" not in more.err


def test_a_context_that_fills_up(q4: Cli, tiny: Path) -> None:
    endless = q4("run", tiny, "-p", "abc", "-c", "20", *RAW)
    assert endless.code == 0 and "context full: 20 of 20 tokens of context are used" in endless.err
    limited = q4("run", tiny, "-p", "abc", "-c", "20", "-n", "100", *RAW)
    assert limited.code == 1 and limited.err.splitlines()[-1].startswith("error: the context is full: 20 ")
    assert limited.out == endless.out and "eval time" in limited.err
    result = q4("run", tiny, "-p", "abc", "-c", "20", "-n", "100", *RAW, "--json")
    data = json.loads(result.out)
    assert result.code == 1 and result.err.splitlines()[-1] == limited.err.splitlines()[-1]
    assert data["text"].rstrip("\n") == limited.out.rstrip("\n") and data["n_generated"] == len(data["tokens"]) > 10
    assert data["stop_reason"] == "context full" and f"error: {data['error']}" == result.err.splitlines()[-1]
    data = json.loads(q4("run", tiny, "-p", "abc", "-c", "20", *RAW, "--json").out)
    assert data["stop_reason"] == "context full" and "error" not in data


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_text_and_summary(
    q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    usual = Generation._tokens

    def signalled(self: Generation) -> Iterator[int]:
        for count, token in enumerate(usual(self)):
            if count == 4:
                os.kill(os.getpid(), number)
            yield token

    monkeypatch.setattr(Generation, "_tokens", signalled)
    with heard(number):
        plain = q4("run", tiny, "-p", "abc", "-n", "8", *RAW)
        result = q4("run", tiny, "-p", "abc", "-n", "8", *RAW, "--json")
    assert plain.code == 128 + number and len(plain.out) > 1 and "eval time" in plain.err
    data = json.loads(result.out)
    assert result.code == 128 + number and data["stop_reason"] == "interrupted" and len(data["tokens"]) == 5


def test_a_logit_that_is_not_finite_keeps_what_was_generated(
    q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from q4engine.engine import Phase, Session

    decode = Session.decode

    def broken(self: Session, tokens: list[int], *, phase: Phase) -> np.ndarray:
        logits = decode(self, tokens, phase=phase)
        return logits * np.float32("nan") if self.n_past == 6 else logits

    monkeypatch.setattr(Session, "decode", broken)
    result = q4("run", tiny, "-p", "abc", "-n", "8", *RAW, "--json")
    data = json.loads(result.out)
    assert result.code == 1 and data["stop_reason"] == "error" and len(data["tokens"]) == 4
    assert "position 5 is NaN" in data["error"] and result.err.splitlines()[-1] == f"error: {data['error']}"


def test_an_error_before_the_first_token_is_all_that_is_said(q4: Cli, tiny: Path) -> None:
    message = "error: the context is full: 0 tokens are in it, 2 or more were given, it holds 1 (set by -c)\n"
    assert q4("run", tiny, "-p", "abc", "-c", "1", *RAW) == Result(1, "", message)


def test_no_tokens_are_no_line(q4: Cli, tiny: Path) -> None:
    assert q4("run", tiny, "-p", "abc", "-n", "0", *RAW).out == ""


def test_a_context_beyond_training_is_noted(q4: Cli, tiny: Path) -> None:
    result = q4("run", tiny, "-p", "abc", "-c", "600", "-n", "1", *RAW)
    assert result.code == 0 and "note: a context of 600 tokens is more than the 512" in result.err


def test_ctrl_c_keeps_text_and_summary(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = q4("run", tiny, "-p", "abc", "-n", "8", *RAW).out
    usual = Generation.__iter__

    def interrupted(self: Generation) -> Iterator[int]:
        for count, token in enumerate(usual(self)):
            if count == 4:
                raise KeyboardInterrupt
            yield token

    monkeypatch.setattr(Generation, "__iter__", interrupted)
    result = q4("run", tiny, "-p", "abc", "-n", "8", *RAW)
    assert result.code == 130 and whole.startswith(result.out.rstrip("\ufffd\n")) and len(result.out) > 1
    assert "interrupted: " in result.err and "eval time" in result.err
    data = json.loads(q4("run", tiny, "-p", "abc", "-n", "8", *RAW, "--json").out)
    assert data["stop_reason"] == "interrupted" and len(data["tokens"]) == 5


def test_ctrl_c_while_loading(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("q4engine.engine.Engine.load", interrupted)
    assert q4("run", tiny, "-p", "abc") == Result(130, "", "")


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (MemoryError(), "error: there is not enough memory\n"),
        (OSError(28, "No space left on device"), "error: the output cannot be written: No space left on device\n"),
    ],
)
def test_other_failures(
    q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("q4engine.engine.Engine.load", fail)
    assert q4("run", tiny, "-p", "abc") == Result(1, "", message)


@pytest.mark.parametrize("spec", TINY.values(), ids=TINY)
def test_every_architecture(q4: Cli, tmp_path: Path, spec: ModelSpec) -> None:
    path = write_tiny(tmp_path / "synthetic.gguf", spec)
    assert q4("run", path, "-p", "abc", "-n", "3", "--temp", "0").code == 0


def test_more_threads_than_cpus_are_told_once_and_change_nothing(q4: Cli, tiny: Path) -> None:
    one = q4("run", tiny, "-p", "abc", "-n", "4", "-c", "64", *RAW)
    many = q4("run", tiny, "-p", "abc", "-n", "4", "-c", "64", *RAW, "-t", "64")
    assert (many.code, many.out) == (0, one.out)
    assert many.err.count("note: 64 threads would take turns on ") == 1 and "take turns" not in one.err
