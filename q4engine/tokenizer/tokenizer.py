"""The tokenizer of a GGUF file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property

from q4engine.errors import Q4Error, TooManyTokensError, shown
from q4engine.gguf import GGUFFile
from q4engine.tokenizer.bpe import ByteLevelBPE
from q4engine.tokenizer.merging import fewest_of
from q4engine.tokenizer.pretokenizers import PRE_TOKENIZERS
from q4engine.tokenizer.specials import SpecialTokens
from q4engine.tokenizer.spm import SentencePieceBPE
from q4engine.tokenizer.stream import StreamDecoder
from q4engine.tokenizer.vocabulary import PREFIX, TokenType, Vocabulary, key_error

_SURROGATES = re.compile("[\ud800-\udfff]")
_HIDDEN = (TokenType.CONTROL, TokenType.UNKNOWN)
_LONG = 1 << 16  # characters, from which on it pays to ask for a bound first
_C_SPACE = " \t\n\v\f\r"
_KEEP_SPACE = ("<unk>", "<s>", "<|endoftext|>")


class Tokenizer:
    """Text to token ids and back. Use :meth:`from_gguf`; immutable but for a cache of words."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        model: ByteLevelBPE | SentencePieceBPE,
        adds: tuple[bool, bool],
        strips_after_special: bool = False,
    ) -> None:
        """``adds``: a begin and an end token. ``strips_after_special``: no white space is left after most of them."""
        self.vocabulary = vocabulary
        self.add_bos, self.add_eos = adds
        self._model = model
        tokens = vocabulary.tokens
        # what the vocabulary's author defined for users is found in any text, control tokens on request only
        user_defined = vocabulary.of_type(TokenType.USER_DEFINED)
        control = vocabulary.of_type(*_HIDDEN)
        self._user_defined = SpecialTokens((tokens[token], token) for token in user_defined)
        self._special = SpecialTokens((tokens[token], token) for token in user_defined + control)
        self._hidden = frozenset(control)
        kept = {vocabulary.ids.get(text) for text in _KEEP_SPACE}
        self._stripping = frozenset({*user_defined, *control} - kept) if strips_after_special else frozenset()

    @classmethod
    def from_gguf(cls, gguf: GGUFFile) -> Tokenizer:
        """Q4Error naming file and key where the vocabulary is missing, broken or of an unknown kind."""
        metadata = gguf.metadata
        kind = metadata.string(PREFIX + "model")
        pre = metadata.string(PREFIX + "pre", "default")
        model: ByteLevelBPE | SentencePieceBPE
        if kind == "gpt2":
            vocabulary = Vocabulary.from_gguf(gguf, {})
            model = ByteLevelBPE(gguf, vocabulary)
        elif kind == "llama":
            vocabulary = Vocabulary.from_gguf(gguf, {"unknown": 0, "bos": 1, "eos": 2})  # SentencePiece's defaults
            model = SentencePieceBPE(gguf, vocabulary)
        else:
            raise key_error(metadata, "model", f"is {shown(kind)}, expected gpt2 (byte-level BPE) or llama (SPM)")
        add_bos = metadata.flag(PREFIX + "add_bos_token", kind == "llama" or PRE_TOKENIZERS[pre].adds_bos)
        add_eos = metadata.flag(PREFIX + "add_eos_token", False)
        for name, wanted, token in (("bos", add_bos, vocabulary.bos_id), ("eos", add_eos, vocabulary.eos_id)):
            if wanted and token is None:
                raise key_error(metadata, f"add_{name}_token", f"is set, but there is no {name}_token_id")
        # GGUF says nothing of it; tokenizer.json's "rstrip" is told by the name, as llama.cpp does
        name = str(metadata.get("general.name", "")).lower()
        return cls(vocabulary, model, (add_bos, add_eos), "phi-3" in name or "phi3" in name)

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a text or a turn."""
        return self.vocabulary.stop_ids

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __repr__(self) -> str:
        return f"<Tokenizer of {self.vocabulary.path.name}: {type(self._model).__name__}, {len(self)} tokens>"

    def encode(
        self, text: str, add_bos: bool | None = None, parse_special: bool = True, most: int | None = None
    ) -> list[int]:
        """Token ids of a text.

        ``add_bos``: put the begin token first (and the end token last where the model's metadata asks for one); None
        leaves it to the metadata, False adds neither. ``parse_special``: the texts of control tokens
        (``<|im_start|>``) become those tokens, else they are plain text. What is not valid UTF-8 (lone surrogates)
        becomes U+FFFD. ``most``: TooManyTokensError as soon as it is clear that there are more.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a text, got {type(text).__name__}")
        text = _without_surrogates(text)
        if most is not None and len(text) > _LONG and (at_least := self._fewest(text)) > most:
            raise TooManyTokensError(at_least, most)
        ids: list[int] = []
        if self.add_bos if add_bos is None else add_bos:
            ids.append(self._required(self.vocabulary.bos_id, "bos_token_id"))
        after_special = True
        for piece in (self._special if parse_special else self._user_defined).split(text):
            if isinstance(piece, int):
                ids.append(piece)
            else:
                if self._stripping and ids and after_special and ids[-1] in self._stripping:
                    piece = piece.lstrip(_C_SPACE)
                    if not piece:
                        continue
                self._model.extend(ids, piece, after_special, most)
            if most is not None and len(ids) > most:
                raise TooManyTokensError(len(ids), most)
            after_special = isinstance(piece, int)
        if self.add_eos and add_bos is not False:
            ids.append(self._required(self.vocabulary.eos_id, "eos_token_id"))
        return ids

    def _fewest(self, text: str) -> int:
        """Tokens that a text has at least, special ones among them, told without looking for those."""
        text = self._model.letters("".join(text.split()) if self._stripping else text)
        return self._fewest_letters(text)

    @cached_property
    def _fewest_letters(self) -> Callable[[str], int]:
        tokens, spelled = self.vocabulary.tokens, set(self._special.texts)
        return fewest_of(self._model.letters(token) if token in spelled else token for token in tokens)

    def starts_with_control_token(self, text: str) -> bool:
        """Whether a control token is spelled out at the start, as in a prompt that is in chat format already."""
        return next(self._special.split(text.lstrip()), None) in self._hidden

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """Text of a whole list of token ids, without the space that SPM puts before a text.

        Control tokens are left out unless ``special``.
        """
        if isinstance(ids, (str, bytes)):
            raise TypeError("expected token ids, got text")
        decoder = self.stream_decoder(special)
        text = "".join([decoder.push(token) for token in ids]) + decoder.flush()
        return text[1:] if self._model.adds_space and text.startswith(" ") else text

    def stream_decoder(self, special: bool = False) -> StreamDecoder:
        """A decoder for ids that come one by one; control tokens give no text unless ``special``."""
        return StreamDecoder(lambda token: self.token_bytes(token, special))

    def token_bytes(self, token: int, special: bool = True) -> bytes:
        """The bytes a token stands for. Q4Error for an id outside the vocabulary."""
        if not 0 <= token < len(self.vocabulary):
            raise Q4Error(f"token id {token} is out of range, expected 0 to {len(self.vocabulary) - 1}")
        if not special and token in self._hidden:
            return b""
        return self._model.token_bytes(token)

    def _required(self, token: int | None, key: str) -> int:
        if token is None:
            raise Q4Error(f"{self.vocabulary.path}: key '{PREFIX}{key}' is missing, so that token cannot be added")
        return token


def _without_surrogates(text: str) -> str:
    """Bytes of an argument that were not UTF-8 arrive as lone surrogates, which have no encoding."""
    return _SURROGATES.sub("\ufffd", text)
