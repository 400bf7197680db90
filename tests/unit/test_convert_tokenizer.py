"""Vocabularies of folders: byte-level BPE, SPM by merges and by pieces, pre-tokenizers found by what they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import regex
from sentencepiece_bytes import AS_IT_IS, SPM, message, piece, pieces, varint

from q4engine.convert.hf_tokenizer import tokenizer_pairs
from q4engine.convert.json_file import JsonObject
from q4engine.convert.pre_tokenizer_match import CHECK_TEXT, match_pre_tokenizer
from q4engine.convert.sentencepiece_model import read_pieces
from q4engine.convert.tokenizer_json import TokenizerJson
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.gguf.write import GGUFWriter
from q4engine.tokenizer import Tokenizer
from q4engine.tokenizer.bpe import MOST_MERGES
from q4engine.tokenizer.pretokenizers import PRE_TOKENIZERS, PreTokenizer, split_at_stages

SLOW = r"(?s).*.*.*.*.*.*.*.*(?<=[\uE000-\uE001])"  # at least seven places in the text to try, in all combinations


def tokenizer_of(folder: Path, size: int, architecture: str = "llama") -> Tokenizer:
    config = JsonObject(folder / "config.json", {"vocab_size": size})
    out = folder / "vocabulary.gguf"
    with GGUFWriter(out, tokenizer_pairs(folder, config, architecture)[0], []):
        pass
    return Tokenizer.from_gguf(GGUFFile.open(out))


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


def spm_json(**changes: Any) -> dict[str, Any]:
    return {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}]},
        "added_tokens": [{"id": index, "content": SPM[index], "special": True} for index in range(3)],
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]},
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "unk_token": "<unk>",
            "vocab": {text: token for token, text in enumerate(SPM)},
            "merges": ["a b", "\u2581 a"],
        },
        **changes,
    }


def test_spm_by_pieces_and_by_merges_are_the_same(tmp_path: Path) -> None:
    write(tmp_path, "tokenizer.json", spm_json())
    write(tmp_path, "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    by_merges = tokenizer_of(tmp_path, len(SPM) + 2)
    (tmp_path / "tokenizer.model").write_bytes(pieces())
    by_pieces = tokenizer_of(tmp_path, len(SPM) + 2)
    for tokenizer in (by_merges, by_pieces):
        assert tokenizer.add_bos and tokenizer.vocabulary.eos_id == 2 and len(tokenizer) == len(SPM) + 2
        ids = tokenizer.encode("ab a</s>é")
        assert [tokenizer.vocabulary.tokens[token] for token in ids] == [
            *("<s>", "\u2581", "ab", "\u2581a", "</s>", "\u2581", "<0xC3>", "<0xA9>")
        ]


def test_no_space_in_front(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(pieces(dummy_prefix=False))
    assert tokenizer_of(tmp_path, len(SPM)).encode("ab", add_bos=False) == [SPM.index("ab")]
    (tmp_path / "tokenizer.model").unlink()
    write(tmp_path, "tokenizer.json", spm_json(normalizer=None))
    assert tokenizer_of(tmp_path, len(SPM)).encode("ab", add_bos=False) == [SPM.index("ab")]


def test_an_added_token_that_has_no_row_is_left_out(tmp_path: Path) -> None:
    added = [*spm_json()["added_tokens"], {"id": len(SPM), "content": "<image>", "special": True}]
    write(tmp_path, "tokenizer.json", spm_json(added_tokens=added))
    config = JsonObject(tmp_path / "config.json", {"vocab_size": len(SPM)})
    _, notes = tokenizer_pairs(tmp_path, config, "gemma3")
    assert [line.removeprefix(f"{tmp_path}/tokenizer.json: ") for line in notes] == [
        f"the added token '<image>' has the id {len(SPM)}, expected 0 to {len(SPM) - 1}; it is left out"
    ]
    assert len(tokenizer_of(tmp_path, len(SPM))) == len(SPM)


def test_a_token_at_the_end_of_every_text(tmp_path: Path) -> None:
    write(tmp_path, "tokenizer.json", spm_json())
    write(tmp_path, "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>", "add_eos_token": True})
    assert tokenizer_of(tmp_path, len(SPM)).encode("ab")[-1] == SPM.index("</s>")


def test_broken_pieces(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    whole = pieces()
    cases = {
        b"": "it has no pieces",
        whole[:-300]: None,
        whole[: len(whole) // 2]: None,
        b"\xff" * 40: "is no SentencePiece model",
        b'{"model": 1}': "is no SentencePiece model",
        pieces(model_type=1): "of type 1, expected 2",
        piece("a", 0.0, 9): "is no SentencePiece model",
        pieces(normalizer=b""): "makes one space of several",
        pieces(normalizer=AS_IT_IS + message(2, b"map")): "replaces characters by others",
        pieces(trainer=varint(24 << 3) + varint(True)): "puts spaces behind words",
        pieces(trainer=(varint(20 << 3) + varint(1)) * 5000): "is no SentencePiece model",
        pieces() + message(2, varint(24 << 3) + varint(True)): "puts spaces behind words",
        pieces() + message(2, b"") * 600_000: "is no SentencePiece model",
    }
    for content, expected in cases.items():
        path.write_bytes(content)
        with pytest.raises(Q4Error, match=expected or r"tokenizer\.model: is no SentencePiece model"):
            read_pieces(path)
    path.write_bytes(whole)
    with pytest.raises(Q4Error, match=r"has 264 pieces, expected 200 as config\.json says"):
        tokenizer_of(tmp_path, 200)


BROKEN = {
    "no tokenizer": (None, "has neither tokenizer.json nor tokenizer.model"),
    "another kind": ({"model": {"type": "Unigram"}}, "'model.type' is 'Unigram', expected BPE"),
    "no model": ({"version": "1.0"}, "'model' is missing"),
    "an id too large": ({"model": {"type": "BPE", "vocab": {"a": 300}, "merges": []}}, "has the id 300, expected 0 to"),
    "an id in words": ({"model": {"type": "BPE", "vocab": {"a": "b"}, "merges": []}}, "has the id 'b'"),
    "a merge of three": ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b c"]}}, "'a b c' as element 0"),
    "a normaliser": (
        {"normalizer": {"type": "Lowercase"}, "model": {"type": "BPE", "vocab": {}, "merges": []}},
        "'normalizer' is 'Lowercase', which GGUF's byte-level BPE does not have",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tokenizers(tmp_path: Path, name: str) -> None:
    content, expected = BROKEN[name]
    if content is not None:
        write(tmp_path, "tokenizer.json", {"pre_tokenizer": {"type": "ByteLevel"}} | content)
    with pytest.raises(Q4Error) as caught:
        tokenizer_of(tmp_path, 264)
    assert expected in str(caught.value)


# ---- merges, which are read in pieces --------------------------------------------------------------------------------

LINES = [f"t{index} u{index % 7}" for index in range(9000)] + ['" \\\\', "é 😀", "[ ]", ", ,"]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("pairs", [False, True])
def test_merges_in_pieces(tmp_path: Path, pairs: bool, indent: int | None) -> None:
    """All of them, whatever else the file says and however it is laid out; and few at a time."""
    model = {"vocab": {'"merges": [': 0, "merges": 1}, "merges": [line.split() if pairs else line for line in LINES]}
    path = tmp_path / "tokenizer.json"
    for escaped in (False, True):
        path.write_text(json.dumps({"model": model, "merges": {}}, indent=indent, ensure_ascii=escaped))
        file = TokenizerJson.read(path)
        assert list(file.merges()) == LINES and file.whole.object("model").list("merges") == []
        assert file.whole.object("model").object("vocab").values == model["vocab"]
    write(tmp_path, "tokenizer.json", {"merges": LINES, "model": model})  # twice: as any other key
    assert list(TokenizerJson.read(path).merges()) == LINES


MANY = {
    "merges": (
        '{"model": {"merges": [' + '"a b",' * (MOST_MERGES + 5000) + '"a b"]}}',
        f"more than {MOST_MERGES} elements",
    ),
    "lists": ('{"model": [' + "[]," * 600_000 + "[]]}", "has 1200003 commas and brackets, expected at most 1048576"),
    "bytes": ('{"model": "' + "a" * (1 << 24) + '"}', "has more than 16 MiB beside its merges"),
    "a comma": ('{"model": {"merges": ["a b",]}}', "is no JSON: "),
    "an end": ('{"model": {"merges": ["a b", "a b"', "is no JSON: "),
    "control characters": ('{"model": {"merges": ["a b", "a\nb"]}}', "is no JSON: "),
}


@pytest.mark.parametrize("name", MANY)
def test_what_is_no_tokenizer(tmp_path: Path, name: str) -> None:
    content, expected = MANY[name]
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(Q4Error, match=f"^.*tokenizer.json: .*{expected}[^\n]*$"):
        list(TokenizerJson.read(tmp_path / "tokenizer.json").merges())


def test_a_merge_that_makes_no_token(tmp_path: Path) -> None:
    content = spm_json()
    content["model"]["merges"].append("b b")
    write(tmp_path, "tokenizer.json", content)
    with pytest.raises(Q4Error, match="has 'b b' as element 2, which makes no token of the vocabulary"):
        tokenizer_of(tmp_path, len(SPM))


# ---- pre-tokenizers --------------------------------------------------------------------------------------------------


def test_every_rule_is_told_from_the_others() -> None:
    rules = {rule.stages for rule in PRE_TOKENIZERS.values()}
    names = [next(name for name, rule in PRE_TOKENIZERS.items() if rule.stages == stages) for stages in rules]
    splits = {tuple(PreTokenizer(name).split(CHECK_TEXT)) for name in names}
    assert len(splits) == len(rules)


def as_json(stages: tuple[str, ...]) -> JsonObject:
    nodes: list[dict[str, Any]] = [
        {"type": "Split", "pattern": {"Regex": stage}, "behavior": "Isolated", "invert": False} for stage in stages
    ]
    nodes.append({"type": "ByteLevel", "add_prefix_space": False, "use_regex": False})
    return JsonObject(Path("t.json"), {"pre_tokenizer": {"type": "Sequence", "pretokenizers": nodes}})


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_a_rule_is_found_by_what_it_does(name: str) -> None:
    rule = PRE_TOKENIZERS[name]
    found = PRE_TOKENIZERS[match_pre_tokenizer(as_json(rule.stages), rule.whole_words)]
    assert (found.stages, found.whole_words) == (rule.stages, rule.whole_words)


def test_other_spellings() -> None:
    digits = {"type": "Digits", "individual_digits": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    sequence = {"type": "Sequence", "pretokenizers": [digits, byte_level]}
    assert match_pre_tokenizer(JsonObject(Path("t.json"), {"pre_tokenizer": sequence}), False) == "smollm"
    assert match_pre_tokenizer(JsonObject(Path("t.json"), {"pre_tokenizer": byte_level}), False) == "gpt-2"


ODD = {
    "a way of its own": ({"type": "Split", "pattern": {"Regex": "a"}}, "cuts words in a way of its own"),
    "no pattern": ({"type": "Split", "pattern": {"Regex": "("}}, "has a pattern that cannot be used"),
    "much to compile": ({"type": "Split", "pattern": {"Regex": "(?:a{99}){99}"}}, "has patterns with more than 1000"),
    "a long pattern": ({"type": "Split", "pattern": {"Regex": "a" * 10_001}}, "has patterns of more than 10000 char"),
    "another kind": ({"type": "BertPreTokenizer"}, "the pre-tokenizer 'BertPreTokenizer' is not known"),
    "a space in front": ({"type": "ByteLevel", "add_prefix_space": True}, "which GGUF has no key for"),
    "what is left out": (
        {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed"},
        "behavior' is 'Removed', expected Isolated",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pre_tokenizers(name: str) -> None:
    node, expected = ODD[name]
    with pytest.raises(Q4Error, match=regex.escape(expected)):
        match_pre_tokenizer(JsonObject(Path("t.json"), {"pre_tokenizer": node}), False)


def test_splitting_in_time() -> None:
    with pytest.raises(TimeoutError):
        list(split_at_stages([regex.compile(SLOW)], "a" * 5000, timeout=0.05))
