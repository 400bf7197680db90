"""Runs in the interpreter that has transformers: a GGUF file in float32, driven over pipes as llama.cpp is.

Arguments: model, n_ctx, n_batch, n_threads, n_threads_batch (which torch does not tell apart). One JSON object a line:
first its facts, then an answer to each request. Needs nothing of q4engine.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TextIO


def main(model: str, n_batch: int, n_threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print: it must not get among the answers
    try:
        timeline = Timeline(model, n_batch, n_threads)
    except Exception as error:
        lines = str(error).strip().splitlines()
        _say(answers, {"error": f"{type(error).__name__}: {lines[0] if lines else 'it said nothing'}"})
        return
    _say(answers, timeline.facts)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                timeline.prepare(request["prepare"])
                _say(answers, {})
            else:
                _say(answers, {"seconds": timeline.run(request["prompt"], request["generated"])})
        except Exception as error:
            _say(answers, {"error": f"{type(error).__name__}: {error}"})


class Timeline:
    """A model and its cache of keys and values."""

    def __init__(self, path: str, n_batch: int, n_threads: int) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        import torch
        import transformers

        torch.set_num_threads(n_threads)
        start = time.perf_counter()
        folder, name = os.path.split(path)
        load = transformers.AutoModelForCausalLM.from_pretrained
        self._model: Any = load(folder, gguf_file=name, dtype=torch.float32).eval()
        self._torch: Any = torch
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

    def prepare(self, tokens: list[int]) -> None:
        self._cache = self._new_cache()
        self._decode(tokens)
        self._depth = len(tokens)

    def run(self, prompt: list[int], generated: list[int]) -> float:
        start = time.perf_counter()
        self._decode(prompt)
        for token in generated:
            self._decode([token])
        seconds = time.perf_counter() - start
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


def _say(answers: TextIO, data: dict[str, Any]) -> None:
    answers.write(json.dumps(data) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[3]), int(sys.argv[4]))
