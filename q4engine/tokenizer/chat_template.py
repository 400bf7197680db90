"""Chat templates: messages to the prompt a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
PLAIN = "{% for message in messages %}{{ message['content'] }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"


class ChatTemplate:
    """A model's chat template. Templates are code from the model's file, so they run in a process with limits.

    ``note`` is a line for the user where the file has no template and a stand-in is used, else None.
    """

    def __init__(self, path: object, source: str, tokens: Mapping[str, str], note: str | None = None) -> None:
        """``tokens``: what the template may know as ``bos_token`` and ``eos_token``. Q4Error for a broken template."""
        self.source = source
        self.note = note
        self._path = path
        self._tokens = dict(tokens)
        self._process = TemplateProcess()
        if len(source) > MAX_SOURCE_CHARS:
            raise self._error(f"is {len(source)} characters long, expected at most {MAX_SOURCE_CHARS}")
        self._ask(None)

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
        return Q4Error(f"{self._path}: key '{KEY}' {message}")


def _first_line(text: str) -> str:
    text = text.splitlines()[0][:_MAX_MESSAGE_CHARS] if text else "it says nothing of why"
    return text if text.isprintable() else shown(text, _MAX_MESSAGE_CHARS)[1:-1]
