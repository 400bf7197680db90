"""The project's colours, stated once: by operation, by phase and by cause, for charts, traces and Streamline.

Nothing but the standard library, so that the engine, `annotate` and `analysis` share it.

Any two hues are at least 14 apart (CIEDE2000), also to those who lack one kind of cones: `tests/unit/analysis/
test_palette.py` simulates them. Each stands on white and on black, so that light and dark pages have the same ones.
"""

from __future__ import annotations

HUES = {
    "blue": "#1687B8",
    "green": "#006E55",
    "violet": "#7419B9",
    "gold": "#DEB01A",
    "sky": "#45BDFF",
    "slate": "#635773",
    "brown": "#7D3C18",
    "sage": "#82A66F",
    "mauve": "#C2B1C1",
    "grey": "#858585",
    "vermillion": "#D6560A",
}
"""Hue -> colour. `vermillion` is waiting's and that of what is wrong, nothing else has it."""

WAITING, OTHER, BETTER = "vermillion", "grey", "green"
FAINT, FAINT_COLOUR = "faint", "#DDDDDD"
"""No hue: what is left over, such as cycles that were not stalled. Pages draw it in their text's colour, thinly."""

PAGE = {
    "page": ("#FFFFFF", "#14171B"),
    "raised": ("#F6F7F9", "#1D2127"),
    "text": ("#16191D", "#E8EAED"),
    "soft": ("#555D68", "#A4ACB8"),
    "rule": ("#D9DDE3", "#363C45"),
}
"""What is no mark: (on light pages and in pictures, on dark pages)."""

OPERATIONS = {
    "gemm": "blue",
    "gemv": "green",
    "attention": "violet",
    "swiglu": "sky",
    "geglu": "sky",
    "gelu": "sky",
    "rms_norm": "sage",
    "layer_norm": "sage",
    "quantize_activations": "gold",
    "rope": "slate",
    "kv_store": "brown",
    "embedding": "mauve",
    "barrier": WAITING,
    "begin": WAITING,
    "end": WAITING,
    "waiting": WAITING,
}
_PLAIN_WORDS = ("begin", "end")
"""Operations whose names are parts of many a function's."""
_PARTS = {"q4_tile": "gemm"}
"""What functions that are a part of an operation begin with."""
PHASES = {"prefill": OPERATIONS["gemm"], "decode": OPERATIONS["gemv"], "verify": "violet"}
"""A phase has the hue of the operation that it mostly is."""

CAUSES = {
    "memory": "violet",
    "core": "blue",
    "front end": "gold",
    "mixed": "slate",
    "speculation": "brown",
    "not the back end": "sage",
    "the back end": "mauve",
    "waiting": WAITING,
}
"""What bounds a phase, as `verdicts.Family` calls it; parts of cycles have their cause's hue."""

INSTRUCTIONS = {"ase": "blue", "vfp": "sky", "dp": "green", "loads": "violet", "stores": "gold", "branches": "brown"}

SERIES = ("blue", "gold", "violet", "sage", "brown", "sky", "slate", "green")
"""Of lines without a meaning of their own, such as numbers of threads; their marks differ as well."""


PRODUCTS = {"attn": OPERATIONS["gemm"], "ffn": OPERATIONS["gemv"], "output": OPERATIONS["embedding"]}
"""Of products that are told apart by their tensors: by the name's first part."""


PROFILER = {
    "blue": "blue",
    "green": "green",
    "violet": "purple",
    "gold": "yellow",
    "sky": "lightblue",
    "slate": "darkgrey",
    "brown": "brown",
    "sage": "lightred",
    "mauve": "magenta",
    "grey": "grey",
    "vermillion": "orange",
}
"""Hue -> the colour that is likest among those that Firefox Profiler's categories may have."""


def operation(name: str) -> str:
    """The hue of an operation or of a product's tensors, `grey` for one that has none."""
    return OPERATIONS.get(name) or PRODUCTS.get(name.split("+")[0].split("_")[0], OTHER)


def function(name: str) -> str:
    """The hue of a function whose name tells an operation, '' of any other."""
    if part := next((op for begin, op in _PARTS.items() if name.startswith(begin)), None):
        return OPERATIONS[part]
    return next((hue for told, hue in OPERATIONS.items() if told in name and told not in _PLAIN_WORDS), "")


def phase(label: str, number: int = 0) -> str:
    """The hue of a phase by its label, of others by their number in the capture."""
    return PHASES.get(label, SERIES[number % len(SERIES)])


def cause(family: str) -> str:
    """The hue of what bounds a phase, `grey` where that is open."""
    return CAUSES.get(family, OTHER)


def colour(hue: str) -> str:
    """`#RRGGBB`."""
    return HUES.get(hue, FAINT_COLOUR)


def rgb(hue: str) -> tuple[int, int, int]:
    """Red, green, blue, each 0 to 255."""
    text = colour(hue)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def luminance(hue: str) -> float:
    """0 (black) to 1 (white), as WCAG 2 defines it."""
    parts = [part / 255 for part in rgb(hue)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink(hue: str) -> str:
    """`#000000` or `#FFFFFF`: what is better read on the hue."""
    return "#000000" if (luminance(hue) + 0.05) ** 2 > 0.05 * 1.05 else "#FFFFFF"
