"""Text to token ids and back, from a GGUF file's own vocabulary, and chat templates."""

from q4engine.tokenizer.chat_template import ChatTemplate
from q4engine.tokenizer.stream import StreamDecoder
from q4engine.tokenizer.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "StreamDecoder", "Tokenizer"]
