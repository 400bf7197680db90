"""Chat templates: messages to the prompt a model was trained on."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile
from q4engine.tokenizer.tokenizer import Tokenizer

KEY = "tokenizer.chat_template"
MAX_SOURCE_CHARS = 1 << 16  # compiling takes time too; real templates have up to 25,000
_MAX_MESSAGE_CHARS = 300

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
PLAIN = "{% for message in messages %}{{ message['content'] }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"


class ChatTemplate:
    """A model's chat template. Templates are code from the model's file, so they run in a sandbox with limits.

    ``note`` is a line for the user where the file has no template and a stand-in is used, else None.
    """

    def __init__(self, path: object, source: str, tokens: Mapping[str, str], note: str | None = None) -> None:
        """``tokens``: what the template may know as ``bos_token`` and ``eos_token``. Q4Error for a broken template."""
        self.source = source
        self.note = note
        self._path = path
        self._tokens = dict(tokens)
        self._lock = threading.Lock()
        if len(source) > MAX_SOURCE_CHARS:
            raise self._error(f"is {len(source)} characters long, expected at most {MAX_SOURCE_CHARS}")
        from q4engine.tokenizer.template_sandbox import BoundedEnvironment

        self._environment = BoundedEnvironment({"raise_exception": _refuse, "strftime_now": _strftime_now})
        try:
            self._template = self._environment.compiled(source)
        except Exception as error:  # the compiler raises many kinds, all of them for the file's fault
            raise self._error(f"is no valid template: {_first_line(error)}") from None

    @classmethod
    def from_gguf(cls, gguf: GGUFFile, tokenizer: Tokenizer) -> ChatTemplate:
        """The file's template; else ChatML where the vocabulary has its tokens; else the messages' plain text."""
        vocabulary = tokenizer.vocabulary
        named = {"bos_token": vocabulary.bos_id, "eos_token": vocabulary.eos_id}
        tokens = {name: "" if token is None else vocabulary.tokens[token] for name, token in named.items()}
        if KEY in gguf.metadata:
            return cls(gguf.path, gguf.metadata.string(KEY), tokens)
        if "<|im_start|>" in vocabulary.ids and "<|im_end|>" in vocabulary.ids:
            return cls(gguf.path, CHATML, tokens, f"{gguf.path} has no chat template; using ChatML")
        return cls(gguf.path, PLAIN, tokens, f"{gguf.path} has no chat template; using the prompt as it is")

    @property
    def is_plain(self) -> bool:
        """True where there is no chat format at all."""
        return self.source == PLAIN

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt for messages of ``role`` (system, user, assistant) and ``content``.

        ``add_generation_prompt``: end with the opening of an assistant message. Q4Error where the template refuses the
        messages, fails, or exceeds its limits.
        """
        from q4engine.tokenizer.template_sandbox import MAX_CHARS

        n_chars = sum(len(message["content"]) for message in messages)
        if n_chars > MAX_CHARS:  # not the template's fault
            raise Q4Error(f"the prompt has {n_chars} characters, more than the {MAX_CHARS} that a chat template takes")
        values = {
            **self._tokens,
            "messages": [dict(message) for message in messages],
            "add_generation_prompt": add_generation_prompt,
            "tools": None,
            "documents": None,
        }
        with self._lock:
            try:
                return self._environment.rendered(self._template, values)
            except RefusedMessages as refusal:
                raise self._error(f"refuses the messages: {_first_line(refusal)}") from None
            except Exception as error:  # whatever a template does wrong is the file's fault
                raise self._error(f"cannot be used: {_first_line(error)}") from None

    def _error(self, message: str) -> Q4Error:
        return Q4Error(f"{self._path}: key '{KEY}' {message}")


class RefusedMessages(Exception):
    """The template called ``raise_exception``."""


def _refuse(message: object = "") -> None:
    raise RefusedMessages(str(message))


def _strftime_now(form: str) -> str:
    """The local time, as templates put it into system messages. Only plain directives: a width could be anything."""
    if len(form) > 100 or not re.fullmatch(r"(?:[^%]|%[A-Za-z%])*", form):
        raise ValueError(f"strftime_now takes no format {shown(form)}")
    return time.strftime(form)


def _first_line(error: Exception) -> str:
    if isinstance(error, (RecursionError, MemoryError)):
        return "it nests too deeply"
    lines = str(error).splitlines()
    text = lines[0][:_MAX_MESSAGE_CHARS] if lines else ""
    return shown(text, _MAX_MESSAGE_CHARS)[1:-1] if not text.isprintable() else text or type(error).__name__
