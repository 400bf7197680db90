"""Finds the name for a tokenizer.json's pre-tokenizer: the one that cuts a text of many kinds into the same words."""

from __future__ import annotations

import math

import regex

from q4engine.convert.json_file import JsonObject
from q4engine.errors import Q4Error, shown
from q4engine.tokenizer.pretokenizers import PRE_TOKENIZERS, PreTokenizer, split_at_stages

# Every pre-tokenizer of the table cuts it in its own way.
CHECK_TEXT = (
    "I'll I'LL we've don't don'ts  x \t\n \n\n three   spaces    \n\r\n end\n"
    "1 12 123 1234 12345  12 a1b22 3.14 $5 ١٢٣ ½ Ⅷ "
    "HelloWorld camelCase ÀÉcole naïve CAFÉs ñandú ЁЖик ΑΒγδ e\u0301a\u0308 का ไทย "
    "一二三 ひらがなカタカナ 한국어 漢字、仮名。「x」 "
    "(a) [b] {c} <d> a+b=c; x!=y && z || w ~ `q` ^ | # @ % * _ - -- ... !? /path/to\\file http://x.y/?a=b\r\n"
    "😀👍🏽 \u00a0nbsp\u3000wide ___ '' \"q\" «x» …، 。 end/\n!\n\n/x  "
)
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# What a file's own patterns may ask for: they are compiled with all repetitions written out, and tried on the text
# above.
_MOST_CHARS, _MOST_REPETITIONS, _SECONDS = 10_000, 1000, 2.0


def match_pre_tokenizer(tokenizer: JsonObject, whole_words: bool) -> str:
    """The name of ``tokenizer.ggml.pre``. Q4Error where no rule of the table cuts words as the file does."""
    stages = tuple(_stages(tokenizer, "pre_tokenizer"))
    if sum(map(len, stages)) > _MOST_CHARS:
        raise tokenizer.error("pre_tokenizer", f"has patterns of more than {_MOST_CHARS} characters")
    counts = (count for stage in stages for count in regex.findall(r"\{([0-9]{1,9})", stage))
    if math.prod(max(int(count), 1) for count in counts) > _MOST_REPETITIONS:
        raise tokenizer.error("pre_tokenizer", f"has patterns with more than {_MOST_REPETITIONS} repetitions")
    try:
        patterns = [regex.compile(stage) for stage in stages]
        words = list(split_at_stages(patterns, CHECK_TEXT, timeout=_SECONDS))
    except (regex.error, TimeoutError, RecursionError) as error:
        raise tokenizer.error("pre_tokenizer", f"has a pattern that cannot be used: {error}") from None
    for name, rule in PRE_TOKENIZERS.items():
        if rule.whole_words == whole_words and list(PreTokenizer(name).split(CHECK_TEXT)) == words:
            return name
    raise tokenizer.error("pre_tokenizer", "cuts words in a way of its own, which is none of those that q4engine has")


def _stages(owner: JsonObject, key: str) -> list[str]:
    """The patterns of a pre-tokenizer; matches and what lies between them are words."""
    if key not in owner:
        return []
    node = owner.object(key)
    kind = node.string("type")
    if kind == "Sequence":
        return [stage for each in node.objects("pretokenizers") for stage in _stages_of(each)]
    return _stages_of(node)


def _stages_of(node: JsonObject) -> list[str]:
    kind = node.string("type")
    if kind == "ByteLevel":
        if node.flag("add_prefix_space", False):
            raise node.error("add_prefix_space", "is true, which GGUF has no key for")
        return [_GPT2] if node.flag("use_regex", True) else []
    if kind == "Digits":
        return [r"\p{N}" if node.flag("individual_digits", False) else r"\p{N}+"]
    if kind == "Punctuation":
        return [r"[\p{P}$+<=>^~|`]" + ("+" if node.string("behavior", "Isolated") == "Contiguous" else "")]
    if kind == "Split":
        pattern = node.object("pattern")
        if node.string("behavior", "Isolated") not in ("Isolated", "Removed") or (
            node.string("behavior", "Isolated") == "Removed" and not node.flag("invert", False)
        ):
            raise node.error("behavior", f"is {shown(node.string('behavior'))}, expected Isolated")
        return [pattern.string("Regex") if "Regex" in pattern else regex.escape(pattern.string("String"))]
    raise Q4Error(f"{node.path}: the pre-tokenizer {shown(kind)} is not known")
