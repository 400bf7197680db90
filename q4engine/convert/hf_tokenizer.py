"""A folder's vocabulary: tokenizer.json (byte-level BPE, or SPM's BPE written down as merges) or tokenizer.model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from q4engine.convert.json_file import JsonObject, told
from q4engine.convert.pre_tokenizer_match import match_pre_tokenizer
from q4engine.convert.sentencepiece_model import read_pieces
from q4engine.convert.tokenizer_json import TokenizerJson
from q4engine.errors import Q4Error, shown
from q4engine.gguf.types import ValueType
from q4engine.gguf.write import array_pair, pair
from q4engine.tokenizer.vocabulary import MOST_TOKENS, PREFIX, TokenType

_BYTES = {f"<0x{byte:02X}>" for byte in range(256)}
_MAX_TEMPLATE_BYTES = 1 << 20
_ID_KEYS = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


@dataclass
class _Tokens:
    """Tokens by id; ``None`` where nobody has named one yet."""

    path: Path
    texts: list[str | None]
    types: list[TokenType]
    scores: list[float]
    notes: list[str] = field(default_factory=list)

    def put(self, token: Any, text: Any, kind: TokenType, score: float = 0.0) -> None:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < len(self.texts):
            raise Q4Error(
                f"{self.path}: token {shown(text)} has the id {told(token)}, expected 0 to {len(self.texts) - 1}"
            )
        if not isinstance(text, str):
            raise Q4Error(f"{self.path}: token {token} is {told(text)}, expected a string")
        self.texts[token], self.types[token], self.scores[token] = text, kind, score

    def ids(self) -> dict[str, int]:
        return {text: token for token, text in enumerate(self.texts) if text is not None}

    def pairs(self, kind: str, pre: str) -> list[bytes]:
        """Ids that no token has are filled, as an embedding's unused rows want it."""
        texts = [f"[PAD{token}]" if text is None else text for token, text in enumerate(self.texts)]
        types = [TokenType.UNUSED if text is None else self.types[token] for token, text in enumerate(self.texts)]
        pairs = [
            pair(PREFIX + "model", ValueType.STRING, kind),
            pair(PREFIX + "pre", ValueType.STRING, pre),
            array_pair(PREFIX + "tokens", ValueType.STRING, texts),
            array_pair(PREFIX + "token_type", ValueType.INT32, types),
        ]
        if kind == "llama":
            pairs.append(array_pair(PREFIX + "scores", ValueType.FLOAT32, self.scores))
        return pairs


def tokenizer_pairs(folder: Path, config: JsonObject, architecture: str) -> tuple[list[bytes], list[str]]:
    """The keys of the vocabulary and the chat template, and lines for the user about what is left out."""
    size = config.integer("vocab_size", most=MOST_TOKENS)
    settings_path, path = folder / "tokenizer_config.json", folder / "tokenizer.json"
    settings = JsonObject.read(settings_path) if settings_path.is_file() else None
    file = TokenizerJson.read(path) if path.is_file() else None
    whole = file.whole if file is not None else None
    model = whole.object("model") if whole is not None else None
    tokens = _Tokens(folder, [None] * size, [TokenType.UNUSED] * size, [-1e4] * size)
    if whole is not None:
        tokens.path = whole.path
    if (folder / "tokenizer.model").is_file():
        pairs = _from_pieces(folder / "tokenizer.model", tokens, whole, settings)
    elif file is None or model is None:
        raise Q4Error(f"{folder}: has neither tokenizer.json nor tokenizer.model")
    elif model.string("type", "BPE") != "BPE":
        raise model.error("type", f"is {shown(model.string('type'))}, expected BPE")
    elif model.flag("byte_fallback", False):
        pairs = _from_merges(file, model, tokens)
    else:
        pairs = _byte_level(file, model, tokens)
    special = _special_pairs(folder, config, settings, whole, tokens, architecture)
    return [*pairs, *special, *_template(folder, settings)], tokens.notes


# ---- the kinds -------------------------------------------------------------------------------------------------------


def _byte_level(file: TokenizerJson, model: JsonObject, tokens: _Tokens) -> list[bytes]:
    whole = file.whole
    if "normalizer" in whole and whole.object("normalizer").string("type") != "NFC":
        found = whole.object("normalizer").string("type")
        raise whole.error("normalizer", f"is {shown(found)}, which GGUF's byte-level BPE does not have")
    for text, token in model.object("vocab").values.items():
        tokens.put(token, text, TokenType.NORMAL)
    _put_added(whole, tokens)
    pre = match_pre_tokenizer(whole, model.flag("ignore_merges", False))
    return [*tokens.pairs("gpt2", pre), array_pair(PREFIX + "merges", ValueType.STRING, list(file.merges()))]


def _from_merges(file: TokenizerJson, model: JsonObject, tokens: _Tokens) -> list[bytes]:
    """SPM's scores from the order of merges: what is merged first has the highest."""
    vocabulary = model.object("vocab").values
    for text, token in vocabulary.items():
        tokens.put(token, text, TokenType.BYTE if text in _BYTES else TokenType.NORMAL)
    ranks: dict[int, int] = {}
    for rank, line in enumerate(file.merges()):
        made = vocabulary.get(line.replace(" ", ""))
        if made is None:
            raise model.error("merges", f"has {shown(line)} as element {rank}, which makes no token of the vocabulary")
        ranks.setdefault(made, rank)
    last = len(ranks) + 1
    for token in vocabulary.values():
        tokens.scores[token] = -float(ranks.get(token, last))
    _put_added(file.whole, tokens)
    unknown = model.values.get("unk_token")
    if isinstance(unknown, str) and unknown in tokens.ids():
        tokens.types[tokens.ids()[unknown]] = TokenType.UNKNOWN
    return [*tokens.pairs("llama", "default"), _space_pair(_prepends_space(file.whole))]


def _from_pieces(path: Path, tokens: _Tokens, whole: JsonObject | None, settings: JsonObject | None) -> list[bytes]:
    found = read_pieces(path)
    if len(found.pieces) > len(tokens.texts):
        raise Q4Error(f"{path}: has {len(found.pieces)} pieces, expected {len(tokens.texts)} as config.json says")
    for token, (text, score, kind) in enumerate(zip(found.pieces, found.scores, found.types, strict=True)):
        tokens.put(token, text, TokenType(kind), score)
    if whole is not None:
        _put_added(whole, tokens)
    elif settings is not None and "added_tokens_decoder" in settings:
        for number, added in settings.object("added_tokens_decoder").values.items():
            if isinstance(added, dict) and number.isdecimal() and len(number) < 10:
                _put_one(tokens, int(number), added.get("content"), bool(added.get("special")))
    return [*tokens.pairs("llama", "default"), _space_pair(found.adds_space)]


def _put_added(whole: JsonObject, tokens: _Tokens) -> None:
    for added in whole.objects("added_tokens"):
        _put_one(tokens, added.integer("id", least=0), added.string("content"), added.flag("special", False))


def _put_one(tokens: _Tokens, token: int, text: Any, special: bool) -> None:
    """One that the embedding has no row for is left out: Gemma 3's text models have that of pictures."""
    if token >= len(tokens.texts):
        found = f"the added token {told(text)} has the id {token}, expected 0 to {len(tokens.texts) - 1}"
        tokens.notes.append(f"{tokens.path}: {found}; it is left out")
        return
    known = 0 <= token < len(tokens.texts) and tokens.texts[token] == text and tokens.types[token]
    if known in (TokenType.UNKNOWN, TokenType.BYTE):  # which tokenizer.model knows better
        return
    tokens.put(token, text, TokenType.CONTROL if special else TokenType.USER_DEFINED)


def _space_pair(adds: bool) -> bytes:
    return pair(PREFIX + "add_space_prefix", ValueType.BOOL, adds)


def _prepends_space(whole: JsonObject) -> bool:
    """Whether a text gets a space in front: by a normaliser or by Metaspace."""
    nodes: list[JsonObject] = []
    for key, many in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers")):
        if key in whole:
            node = whole.object(key)
            nodes += list(node.objects(many)) if node.string("type") == "Sequence" else [node]
    return any(
        node.string("type") == "Prepend"
        or (node.string("type") == "Metaspace" and node.string("prepend_scheme", "always") != "never")
        for node in nodes
    )


# ---- special tokens and the chat template ----------------------------------------------------------------------------


def _special_pairs(
    folder: Path,
    config: JsonObject,
    settings: JsonObject | None,
    whole: JsonObject | None,
    tokens: _Tokens,
    architecture: str,
) -> list[bytes]:
    ids = tokens.ids()
    pairs: list[bytes] = []
    found: dict[str, int] = {}
    for name, key in _ID_KEYS.items():
        token: Any = ids.get(_text_of(settings.values.get(key)) or "") if settings is not None else None
        if token is None:
            told = config.values.get(f"{key}_id")
            token = told[0] if isinstance(told, list) and told else told
        if isinstance(token, int) and not isinstance(token, bool) and 0 <= token < len(tokens.texts):
            found[name] = token
            pairs.append(pair(f"{PREFIX}{name}_token_id", ValueType.UINT32, token))
    adds = settings.values.get("add_bos_token") if settings is not None else None
    if not isinstance(adds, bool):
        adds = _starts_with_special(whole) if whole is not None else architecture in ("llama", "gemma2", "gemma3")
    pairs.append(pair(PREFIX + "add_bos_token", ValueType.BOOL, adds and "bos" in found))
    if settings is not None and settings.values.get("add_eos_token") is True and "eos" in found:
        pairs.append(pair(PREFIX + "add_eos_token", ValueType.BOOL, True))
    return pairs


def _text_of(value: Any) -> str | None:
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else None


def _starts_with_special(whole: JsonObject) -> bool:
    """Whether tokenizer.json puts a special token before every text."""
    if "post_processor" not in whole:
        return False
    node = whole.object("post_processor")
    nodes = list(node.objects("processors")) if node.string("type") == "Sequence" else [node]
    for each in nodes:
        if each.string("type") == "TemplateProcessing":
            first = next(each.objects("single"), None)
            if first is not None and "SpecialToken" in first:
                return True
    return False


def _template(folder: Path, settings: JsonObject | None) -> list[bytes]:
    path = folder / "chat_template.jinja"
    if path.is_file():
        if path.stat().st_size > _MAX_TEMPLATE_BYTES:
            raise Q4Error(f"{path}: has {path.stat().st_size} bytes, more than any chat template")
        try:
            source: Any = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise Q4Error(f"{path}: is not valid UTF-8") from None
    else:
        source = settings.values.get("chat_template") if settings is not None else None
    if isinstance(source, list):  # several by name
        named = (each for each in source if isinstance(each, dict) and each.get("name") == "default")
        source = next((each.get("template") for each in named), None)
    return [pair("tokenizer.chat_template", ValueType.STRING, source)] if isinstance(source, str) else []
