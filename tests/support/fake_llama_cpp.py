"""A module that answers as llama-cpp-python does and computes nothing: what bench's worker does around it."""

from __future__ import annotations

from pathlib import Path

_FAKE = """\
__version__ = "0.0.0"
def llama_backend_init(): print("noise on standard output")
class Params: pass
llama_model_default_params = llama_context_default_params = Params
def llama_model_load_from_file(path, params): return path.endswith(b"MODEL")
def llama_init_from_model(model, params): return params
def llama_print_system_info(): return b"FAKE = 1"
def llama_get_memory(context): return context
def llama_memory_seq_rm(*_): pass
def llama_batch_get_one(array, n): return n
def llama_decode(context, n): return 0 if n <= context.n_batch else 7
def llama_synchronize(context): pass
"""


def write_fake(folder: Path, model: str) -> None:
    """The module in that folder; it takes models whose path ends in ``model``."""
    (folder / "llama_cpp.py").write_text(_FAKE.replace("MODEL", model))
