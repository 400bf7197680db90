"""Runs in the peer's interpreter: another engine with a model of its own, driven over pipes.

Arguments: engine (llama.cpp or transformers), model, kv_form, n_ctx, n_batch, n_threads, n_threads_batch. One JSON
object a line: first its facts, then an answer to each request. Needs nothing of q4engine.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

_TYPES = {"f16": 1, "q8_0": 8}
"""ggml's numbers of the forms that keys and values have."""


def main(engine: str, model: str, kv_form: str, sizes: list[int]) -> None:
    # engines may print: what they print must not get among the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        timeline = ENGINES[engine](model, kv_form, *sizes)
    except Exception as error:
        _say(answers, _failed(error))
        return
    _say(answers, timeline.facts)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                timeline.prepare(request["prepare"])
                _say(answers, {})
            elif "tokenize" in request:
                timeline.tokenize("a")  # what is made on first use
                start = time.perf_counter()
                n_tokens = timeline.tokenize(request["tokenize"])
                _say(answers, {"tokens": n_tokens, "seconds": time.perf_counter() - start})
            else:
                before = time.process_time()
                seconds = timeline.run(request["prompt"], request["generated"])
                _say(answers, {"seconds": seconds, "cpu_seconds": time.process_time() - before})
        except Exception as error:
            _say(answers, _failed(error))


def _timed(decode: Callable[[list[int]], None], prompt: list[int], generated: list[int]) -> float:
    """Seconds of the prompt and of the tokens behind it, one by one."""
    start = time.perf_counter()
    decode(prompt)
    for token in generated:
        decode([token])
    return time.perf_counter() - start


class LlamaCpp:
    """A model and a context of llama.cpp, by its C functions as llama-cpp-python exposes them."""

    def __init__(
        self, model: str, kv_form: str, n_ctx: int, n_batch: int, n_threads: int, n_threads_batch: int
    ) -> None:
        import llama_cpp as lib  # type: ignore[import-not-found]

        self._lib: Any = lib
        lib.llama_backend_init()
        start = time.perf_counter()
        model_params = lib.llama_model_default_params()
        model_params.n_gpu_layers = 0
        loaded = lib.llama_model_load_from_file(model.encode(), model_params)
        if not loaded:
            raise RuntimeError(f"{model} cannot be loaded")
        load_seconds = time.perf_counter() - start
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, n_batch, n_batch
        params.n_threads, params.n_threads_batch = n_threads, n_threads_batch
        params.type_k = params.type_v = _TYPES[kv_form]
        self._context = lib.llama_init_from_model(loaded, params)
        if not self._context:
            raise RuntimeError("a context cannot be made")
        self._model: Any = loaded
        self._n_batch = n_batch
        self._depth = 0
        self.facts = {
            "name": "llama-cpp-python",
            "version": lib.__version__,
            "system": lib.llama_print_system_info().decode(),
            "load_seconds": load_seconds,
        }

    def prepare(self, tokens: list[int]) -> None:
        self._forget(0)
        self._depth = 0
        self._decode(tokens)
        self._depth = len(tokens)

    def run(self, prompt: list[int], generated: list[int]) -> float:
        seconds = _timed(self._decode, prompt, generated)
        self._forget(self._depth)
        return seconds

    def tokenize(self, text: str) -> int:
        given = text.encode()
        vocabulary, most = self._lib.llama_model_get_vocab(self._model), len(given) + 8
        found: int = self._lib.llama_tokenize(
            vocabulary, given, len(given), (ctypes.c_int32 * most)(), most, False, False
        )
        if found < 0:
            raise RuntimeError(f"llama_tokenize returned {found}")
        return found

    def _forget(self, n_past: int) -> None:
        self._lib.llama_memory_seq_rm(self._lib.llama_get_memory(self._context), 0, n_past, -1)

    def _decode(self, tokens: list[int]) -> None:
        for start in range(0, len(tokens), self._n_batch):
            part = tokens[start : start + self._n_batch]
            array = (ctypes.c_int32 * len(part))(*part)  # the batch only points to it
            status = self._lib.llama_decode(self._context, self._lib.llama_batch_get_one(array, len(part)))
            if status != 0:
                raise RuntimeError(f"llama_decode returned {status}")
        self._lib.llama_synchronize(self._context)


class Transformers:
    """A GGUF file in float32 in transformers, and its cache of keys and values; torch has one number of threads.

    Where a folder beside it, called as the file without .gguf, has a config.json, that is read: the checkpoint that it
    was converted from, for architectures whose GGUF transformers does not know.
    """

    def __init__(self, path: str, _kv_form: str, _n_ctx: int, n_batch: int, n_threads: int, _of_prompts: int) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        import torch
        import transformers

        torch.set_num_threads(n_threads)
        start = time.perf_counter()
        folder, name = os.path.split(path)
        self._where: tuple[str, dict[str, Any]] = folder, {"gguf_file": name}
        checkpoint = path.removesuffix(".gguf")
        if Path(checkpoint, "config.json").is_file():
            self._where = checkpoint, {}
        load = transformers.AutoModelForCausalLM.from_pretrained
        self._model: Any = load(self._where[0], dtype=torch.float32, **self._where[1]).eval()
        self._torch: Any = torch
        self._tokenizers: Any = transformers.AutoTokenizer
        self._tokenizer: Any = None
        self._new_cache = transformers.DynamicCache
        self._cache: Any = self._new_cache()
        self._n_batch = n_batch
        self._depth = 0
        self.facts = {
            "name": "transformers",
            "version": transformers.__version__,
            "system": f"torch {torch.__version__}, float32",
            "load_seconds": time.perf_counter() - start,
        }

    def tokenize(self, text: str) -> int:
        if self._tokenizer is None:
            self._tokenizer = self._tokenizers.from_pretrained(self._where[0], **self._where[1])
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def prepare(self, tokens: list[int]) -> None:
        self._cache = self._new_cache()
        self._decode(tokens)
        self._depth = len(tokens)

    def run(self, prompt: list[int], generated: list[int]) -> float:
        seconds = _timed(self._decode, prompt, generated)
        if self._depth:
            self._cache.crop(-len(prompt) - len(generated))  # takes so many away
        else:
            self._cache = self._new_cache()
        return seconds

    def _decode(self, tokens: list[int]) -> None:
        for start in range(0, len(tokens), self._n_batch):
            part = self._torch.tensor([tokens[start : start + self._n_batch]])
            with self._torch.inference_mode():
                self._model(input_ids=part, past_key_values=self._cache, use_cache=True, logits_to_keep=1)


ENGINES: dict[str, Any] = {"llama.cpp": LlamaCpp, "transformers": Transformers}


def _failed(error: Exception) -> dict[str, str]:
    lines = str(error).strip().splitlines()
    return {"error": f"{type(error).__name__}: {lines[0] if lines else 'it said nothing'}"}


def _say(answers: TextIO, data: dict[str, Any]) -> None:
    answers.write(json.dumps(data) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], [int(text) for text in sys.argv[4:8]])
