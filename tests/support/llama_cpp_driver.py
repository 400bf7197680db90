"""Calls of llama-cpp-python's binding, to be watched: ``python llama_cpp_driver.py MODEL THREADS LOG``.

A prompt in two batches, single tokens, a shift of the cache, two sequences. Prints the greedy tokens, writes a line a
call (lowest position, tokens, sequences) to LOG, ends with exit code 7.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

BATCH, STEPS = 40, 20


def drive(lib: Any, model_path: str, n_threads: int, log: Path) -> int:
    quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    lib.llama_log_set(quiet, None)
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(model_path.encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_seq_max, params.kv_unified = 512, 2, True
    params.n_batch = params.n_ubatch = 64
    params.n_threads = params.n_threads_batch = n_threads
    context = lib.llama_init_from_model(model, params)
    batch = lib.llama_batch_init(64, 0, 2)
    n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    lines: list[str] = []

    def decode(tokens: list[tuple[int, int, int]]) -> int:
        """(token, position, sequence) each; the likeliest token behind the last of the first sequence."""
        sequences = {sequence for _, _, sequence in tokens}
        batch.n_tokens = len(tokens)
        for i, (token, position, sequence) in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = len(sequences) > 1 or i == len(tokens) - 1
        if lib.llama_decode(context, batch) != 0:
            raise SystemExit(1)
        lines.append(f"{min(position for _, position, _ in tokens)} {len(tokens)} {len(sequences)}\n")
        logits = lib.llama_get_logits_ith(context, 0 if len(sequences) > 1 else -1)
        return max(range(n_vocab), key=lambda token: logits[token])

    prompt = [(i * 37 + 11) % 4000 + 5 for i in range(2 * BATCH)]
    decode([(token, i, 0) for i, token in enumerate(prompt[:BATCH])])
    found = [decode([(token, BATCH + i, 0) for i, token in enumerate(prompt[BATCH:])])]
    n_past = len(prompt)
    for _ in range(STEPS):
        found.append(decode([(found[-1], n_past, 0)]))
        n_past += 1
    memory = lib.llama_get_memory(context)
    lib.llama_memory_seq_rm(memory, 0, 4, 24)
    lib.llama_memory_seq_add(memory, 0, 24, -1, -20)
    n_past -= 20
    found.append(decode([(found[-1], n_past, 0)]))
    n_past += 1
    lib.llama_memory_seq_cp(memory, 0, 1, -1, -1)
    for _ in range(3):
        found.append(decode([(found[-1], n_past, 0), (found[-1] + 1, n_past, 1)]))
        n_past += 1
    print(found)
    log.write_text("".join(lines))
    return 7


if __name__ == "__main__":
    import llama_cpp  # type: ignore[import-not-found, unused-ignore]

    sys.exit(drive(llama_cpp, sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
