r"""Pre-tokenizers by ``tokenizer.ggml.pre``: how a text falls into words before byte-level BPE.

Each has a list of stages; a stage splits every piece of the stage before at its pattern's matches (matches and the
text between them both become pieces). Sources: each model's tokenizer.json, "pre_tokenizer"; for "default", llama.cpp.

The patterns need ``regex`` for the Unicode classes; its ``\s`` is the property White_Space, as in the models' own
libraries (that of ``re`` has four control characters more).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import regex


@dataclass(frozen=True)
class Rule:
    """``whole_words``: a word that is a token is taken as it is, merges or not (tokenizer.json, "ignore_merges").

    ``adds_bos``: what a file that does not say so means.
    """

    stages: tuple[str, ...]
    whole_words: bool = False
    adds_bos: bool = False


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_DIGIT = r"\p{N}"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_BREAKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def _words(number: str, contractions: str = _CONTRACTIONS + "|") -> str:
    return contractions + rf"[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{number}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|" + _BREAKS


def _words_by_case(number: str, contractions: str = "") -> str:
    """Words fall apart where a lower-case letter is followed by a capital."""
    before, upper, lower = r"[^\r\n\p{L}\p{N}]?", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    words = f"{before}{upper}*{lower}+{contractions}|{before}{upper}+{lower}*{contractions}"
    return rf"{words}|{number}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|" + _BREAKS


_THREE_DIGITS = r"\p{N}{1,3}"
_QWEN35 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + _BREAKS
_BLOOM = r" ?[^(\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
_SEED = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|" + _BREAKS

# DeepSeek's letters are those that have two cases, as JavaScript's \w-like class of its time had them.
_DEEPSEEK_LETTERS = (
    r"A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    r"\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    r"\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    r"\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    r"\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    r"\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    r"\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4"
    r"\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    r"\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    r"\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_DEEPSEEK_CJK = r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK_LLM = (
    r"[\r\n]",
    rf"\s?[{_DEEPSEEK_LETTERS}]+",
    r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    r"(?<!\s)\s++\Z",  # \s+$, said so that it takes no quadratic time
    _DEEPSEEK_CJK,
    r"\p{N}+",
)
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_CJK, _DIGIT)
_DEEPSEEK_V3 = (
    _THREE_DIGITS,
    r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + _BREAKS,
)
_FALCON = (r"[\p{P}$+<=>^~|`]+", _GPT2, "[0-9][0-9][0-9]")
_DEFAULT = (r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")

_LLAMA3 = Rule((_words(_THREE_DIGITS),), whole_words=True, adds_bos=True)
_QWEN2 = Rule((_words(_DIGIT),))
_ONE_DIGIT_GPT2 = Rule((_DIGIT, _GPT2))
_RULES: dict[str, Rule] = {
    "default": Rule(_DEFAULT),  # what a file without the key gets
    "gpt-2 gpt2 phi-2 mpt olmo gigachat a.x-4.0 mellum exaone4 jais trillion granite-docling": Rule((_GPT2,)),
    "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2": _ONE_DIGIT_GPT2,
    "qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 megrez hunyuan solar-open grok-2": _QWEN2,
    "bailingmoe bailingmoe2 llada-moe": _QWEN2,  # spelt otherwise, the same words
    "qwen35": Rule((_QWEN35,)),
    "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2": _LLAMA3,
    "dbrx smaug-bpe chatglm-bpe": Rule(_LLAMA3.stages),
    "glm4": replace(_LLAMA3, adds_bos=False),
    "minicpm5": Rule((_THREE_DIGITS, _words(r"\p{N}+")), whole_words=True),
    "ufakzeka": Rule((_words(_DIGIT, contractions=""),)),
    "tekken": Rule((_words_by_case(_DIGIT),), whole_words=True, adds_bos=True),
    "gpt-4o llama4 kanana2 talkie minimax-m2": Rule((_words_by_case(_THREE_DIGITS, _CONTRACTIONS + "?"),)),
    "deepseek-llm": Rule(_DEEPSEEK_LLM),
    "deepseek-coder": Rule(_DEEPSEEK_CODER),
    "deepseek-v3 hunyuan-dense joyai-llm": Rule(_DEEPSEEK_V3),
    "falcon": Rule(_FALCON),
    "bloom poro-chat gpt3-finnish": Rule((_BLOOM,)),
    "viking": Rule((_BLOOM, _DIGIT)),
    "seed-coder": Rule((_SEED,)),
}
PRE_TOKENIZERS = {name: rule for names, rule in _RULES.items() for name in names.split()}
"""Names as they stand in files."""


class PreTokenizer:
    """Splits a text into words; joined, the words are the text again."""

    def __init__(self, name: str) -> None:
        """KeyError for a name that :data:`PRE_TOKENIZERS` does not have."""
        self._stages = [regex.compile(pattern) for pattern in PRE_TOKENIZERS[name].stages]

    def split(self, text: str) -> Iterator[str]:
        return split_at_stages(self._stages, text)


def split_at_stages(stages: Sequence[regex.Pattern[str]], text: str, timeout: float | None = None) -> Iterator[str]:
    """The words of a text. TimeoutError where one of the stages takes ``timeout`` seconds over a piece."""
    pieces: Iterator[str] = iter((text,))
    for stage in stages:
        pieces = _split_at(stage, pieces, timeout)
    return pieces


def _split_at(pattern: regex.Pattern[str], pieces: Iterator[str], timeout: float | None) -> Iterator[str]:
    for piece in pieces:
        if len(piece) == 1:
            yield piece
            continue
        end = 0
        for match in pattern.finditer(piece, timeout=timeout):
            start = match.start()
            if start > end:
                yield piece[end:start]
            end = match.end()
            if end > start:
                yield match.group()
        if end < len(piece):
            yield piece[end:]
