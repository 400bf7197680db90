"""Chat templates: messages to the prompt a model was trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile
from q4engine.tokenizer.template_process import TemplateEnded, TemplateProcess
from q4engine.tokenizer.template_worker import MAX_CHARS
from q4engine.tokenizer.tokenizer import Tokenizer

KEY = "tokenizer.chat_template"
MAX_SOURCE_CHARS = 1 << 16  # compiling takes time too; real templates have up to 25,000
_MAX_MESSAGE_CHARS = 300
_FAULTS = {"C": "is no valid template", "F": "refuses the messages"}  # by the kind of the worker's answer

# Go's actions begin with a field (.Prompt) or a word that Jinja does not have in an expression.
_OLLAMA = re.compile(r"\{\{-? *(\.[A-Z]|if \.|range |end *-?\}\})")

NAMED = {
    "chatml": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "gemma": (
        "{{ bos_token }}{% set system = messages[0]['content'] + '\\n\\n' if messages[0]['role'] == 'system' else '' %}"
        "{% for message in messages if message['role'] != 'system' %}{{ '<start_of_turn>' + "
        "('model' if message['role'] == 'assistant' else 'user') + '\\n' }}{% if loop.first %}{{ system }}{% endif %}"
        "{{ message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + "
        "message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "phi3": (
        "{% for message in messages %}"
        "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
    ),
    "zephyr": (
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
    ),
}
"""Formats that models share, by llama.cpp's names."""

PLAIN = "{% for message in messages %}{{ message['content'] }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"


class ChatTemplate:
    """A model's chat template. Templates are code from the model's file, so they run in a process with limits.

    ``note`` is a line for the user where the file has no template and a stand-in is used, else None.
    """

    def __init__(
        self, path: object, source: str, tokens: Mapping[str, str], note: str | None = None, key: str | None = KEY
    ) -> None:
        """``path`` and ``key``: where the source is from; no key: the file is the template. ``tokens``: what it may
        know as ``bos_token`` and ``eos_token``. Q4Error for a broken template."""
        self.source = source
        self.note = note
        self._origin = f"{path}:" if key is None else f"{path}: key '{key}'"
        self._tokens = dict(tokens)
        self._process = TemplateProcess()
        if len(source) > MAX_SOURCE_CHARS:
            raise self._error(f"is {len(source)} characters long, expected at most {MAX_SOURCE_CHARS}")
        if _OLLAMA.search(source):
            raise self._error("is a template of Ollama's (Go); give one in Jinja: --chat-template NAME or FILE")
        self._ask(None)

    @classmethod
    def from_gguf(cls, gguf: GGUFFile, tokenizer: Tokenizer) -> ChatTemplate:
        """The file's template; else ChatML where the vocabulary has its tokens; else the messages' plain text."""
        ids, tokens = tokenizer.vocabulary.ids, _tokens_of(tokenizer)
        if KEY in gguf.metadata:
            return cls(gguf.path, gguf.metadata.string(KEY), tokens)
        if "<|im_start|>" in ids and "<|im_end|>" in ids:
            return cls(gguf.path, NAMED["chatml"], tokens, f"{gguf.path} has no chat template; using ChatML")
        return cls(gguf.path, PLAIN, tokens, f"{gguf.path} has no chat template; using the prompt as it is")

    @classmethod
    def named(cls, name: str, tokenizer: Tokenizer) -> ChatTemplate:
        """One of `NAMED`, or that of a file. Q4Error where there is neither."""
        if name in NAMED:
            return cls(f"chat template {name}", NAMED[name], _tokens_of(tokenizer), key=None)
        path = Path(name)
        if not path.is_file():
            raise Q4Error(f"{name}: no such chat template, expected a file or one of {', '.join(NAMED)}")
        try:
            with path.open("rb") as file:
                raw = file.read(4 * MAX_SOURCE_CHARS + 1)
            return cls(name, raw.decode("utf-8-sig"), _tokens_of(tokenizer), key=None)
        except OSError as error:
            raise Q4Error(f"{name}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Q4Error(f"{name}: is no text in UTF-8, expected a template in Jinja") from None

    @property
    def is_plain(self) -> bool:
        """True where there is no chat format at all."""
        return self.source == PLAIN

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt for messages of ``role`` (system, user, assistant) and ``content``.

        ``add_generation_prompt``: end with the opening of an assistant message. Q4Error where the template refuses the
        messages, fails, or exceeds its limits.
        """
        n_chars = sum(len(message["content"]) for message in messages)
        if n_chars > MAX_CHARS:  # not the template's fault
            raise Q4Error(f"the prompt has {n_chars} characters, more than the {MAX_CHARS} that a chat template takes")
        return self._ask(
            {
                **self._tokens,
                "messages": [dict(message) for message in messages],
                "add_generation_prompt": add_generation_prompt,
                "tools": None,
                "documents": None,
            }
        )

    def close(self) -> None:
        """Ends the process that renders, which otherwise goes with the template."""
        self._process.close()

    def _ask(self, values: dict[str, Any] | None) -> str:
        try:
            kind, text = self._process.ask(self.source, values)
        except TemplateEnded as ended:
            kind, text = "E", str(ended)
        if kind == "T":
            return text
        raise self._error(f"{_FAULTS.get(kind, 'cannot be used')}: {_first_line(text)}") from None

    def _error(self, message: str) -> Q4Error:
        return Q4Error(f"{self._origin} {message}")


def _tokens_of(tokenizer: Tokenizer) -> dict[str, str]:
    vocabulary = tokenizer.vocabulary
    named = {"bos_token": vocabulary.bos_id, "eos_token": vocabulary.eos_id}
    return {name: "" if token is None else vocabulary.tokens[token] for name, token in named.items()}


def _first_line(text: str) -> str:
    lines = (line for line in text.splitlines() if line.strip())
    text = next(lines, "it says nothing of why")[:_MAX_MESSAGE_CHARS]
    return text if text.isprintable() else shown(text, _MAX_MESSAGE_CHARS)[1:-1]
