"""Qwen2: Qwen1.5, 2 and 2.5. Llama's decoder with a bias on Q, K and V, and RoPE over the halves of a head.

Both differences are properties of the configuration (``qkv_bias``, ``rope_style``), so the graph is Llama's.
"""

from __future__ import annotations

from q4engine.models.llama import build

__all__ = ["build"]
