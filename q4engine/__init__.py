"""q4engine: an LLM engine for Arm CPUs that explains its own speed.

``from q4engine import Engine`` (docs/python.md).
"""

__version__ = "0.1.0"

_LAZY = {"Engine": "llm", "Q4Error": "errors", "SamplerSettings": "sampling"}
"""Names for users and the modules that have them, which are imported when they are asked for."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]
