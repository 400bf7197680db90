"""Compares q4engine's predictions with llama.cpp's on the same GGUF file: top-1 agreement, KL divergence, perplexity.

    python -m pip install llama-cpp-python==0.3.36       (in an environment that has q4engine)
    python toolchains/accuracy/against_llama_cpp.py MODEL.gguf TEXT.txt [-c 512] [--windows 8]

Teacher-forced over windows of the text as ``q4engine perplexity`` and llama.cpp's own ``perplexity`` cut it: each
starts from an empty cache, the predictions of its second half are compared. KL is KL(llama.cpp || q4engine) in nats
(docs/accuracy.md). Says whether both cut the text into the same tokens. ``--itself`` compares llama.cpp with itself
too, with flash attention and without, which rounds elsewhere: no engine that is not llama.cpp can be nearer to it.
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from q4engine.engine import Engine, Session
from q4engine.scoring import Mean, score, text_tokens

_QUIET = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)  # called till the end

_AUTO, _OFF, _ON = -1, 0, 1  # LLAMA_FLASH_ATTN_TYPE_…


class Peer:
    """llama.cpp's side, with what scoring asks of a session; ``engine``: whose tokenizer cuts the windows."""

    engine: Engine

    def __init__(self, model: Path, n_ctx: int, n_threads: int, flash: int = _AUTO) -> None:
        self.opened = model, n_ctx, n_threads
        import llama_cpp  # type: ignore[import-not-found, unused-ignore]

        self._lib: Any = llama_cpp
        self._lib.llama_log_set(_QUIET, None)
        self._lib.llama_backend_init()
        self._model = self._lib.llama_model_load_from_file(str(model).encode(), self._lib.llama_model_default_params())
        params = self._lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = n_ctx
        params.n_threads = params.n_threads_batch = n_threads
        params.flash_attn_type = flash
        self._context = self._lib.llama_init_from_model(self._model, params)
        if not self._context:
            raise SystemExit(f"{model}: llama.cpp does not load it")
        self._vocabulary = self._lib.llama_model_get_vocab(self._model)
        self.vocab_size: int = self._lib.llama_vocab_n_tokens(self._vocabulary)
        self._batch = self._lib.llama_batch_init(n_ctx, 0, 1)
        self._n_past = 0

    def tokenize(self, text: str) -> list[int]:
        """Plain text, behind the begin token where the model wants one."""
        data = text.encode()
        ids = (self._lib.llama_token * (len(data) + 2))()
        n = self._lib.llama_tokenize(self._vocabulary, data, len(data), ids, len(ids), True, False)
        return list(ids[:n])

    def truncate(self, n_past: int) -> None:
        self._lib.llama_memory_seq_rm(self._lib.llama_get_memory(self._context), 0, n_past, -1)
        self._n_past = n_past

    def decode(self, ids: Sequence[int], all_logits: bool = False, phase: str = "") -> np.ndarray:
        """[len(ids), vocab_size] where all logits are asked for, else those behind the last."""
        n = self._batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            self._batch.token[i] = token
            self._batch.pos[i] = self._n_past + i
            self._batch.n_seq_id[i] = 1
            self._batch.seq_id[i][0] = 0
            self._batch.logits[i] = all_logits or i == n - 1
        if self._lib.llama_decode(self._context, self._batch) != 0:
            raise SystemExit(f"llama.cpp fails at position {self._n_past}")
        self._n_past += n
        rows = n if all_logits else 1
        logits = np.ctypeslib.as_array(self._lib.llama_get_logits(self._context), (rows, self.vocab_size))
        return logits.copy()


def shown(mean: Mean, digits: int) -> str:
    return f"{mean.value:.{digits}f} +/- {mean.error:.{digits}f}"


def report(name: str, args: argparse.Namespace, ids: list[int], session: Session | Peer, peer: Peer) -> None:
    found, divergence = score(cast(Session, session), ids, args.ctx_size, cast(Session, peer), args.windows)
    assert divergence is not None
    print(f"{name} against llama.cpp, {found.n_tokens} predictions in {found.n_windows} windows of {args.ctx_size}")
    print(f"  top-1 agreement {shown(divergence.same_top, 4)}")
    print(f"  KL divergence   {shown(divergence.kl, 5)}, largest {divergence.largest_kl:.4f}")
    print(f"  perplexity      {shown(found.perplexity, 4)}, of llama.cpp {shown(divergence.base.perplexity, 4)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path, help="plain text")
    parser.add_argument("-c", "--ctx-size", type=int, default=512)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--itself", action="store_true", help="compare llama.cpp with itself too")
    args = parser.parse_args()
    peer = Peer(args.model, args.ctx_size, args.threads)
    with Engine.load(args.model, n_threads=args.threads) as engine:
        text = args.text.read_text(encoding="utf-8")
        ids = text_tokens(engine.tokenizer, text)
        theirs = peer.tokenize(text)
        same = "the same tokens" if ids == theirs else f"OTHER TOKENS ({len(theirs)} of llama.cpp's)"
        print(f"{args.model.name}, {args.text.name}: {len(ids)} tokens, {same}")
        session = engine.session(n_ctx=args.ctx_size)
        report("q4engine", args, ids, session, peer)
        if args.itself:
            twin = Peer(args.model, args.ctx_size, args.threads, _OFF)
            twin.engine = engine
            report("llama.cpp without flash attention", args, ids, twin, Peer(*peer.opened, _ON))


if __name__ == "__main__":
    main()
