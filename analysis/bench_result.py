"""One result of llama-bench, or of a benchmark that speaks its names: what ran where, and how fast it was.

Its outputs have had other columns in other years (a column a backend, `f16_kv`, no depth), and its tables have short
names for them; here each has one name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

PROMPT, GENERATION, BOTH = "prompt", "generation", "both"

MOST_SAMPLES = 100_000
"""Repetitions of one test."""
_MOST = 1e15  # tokens, bytes or tokens a second: a number above it is a mistake
_LONGEST = 300  # characters of a name

# Our name of a setting -> its columns, those of the tables last. What differs in one of them is another setup.
SETTINGS: dict[str, tuple[str, ...]] = {
    "threads": ("n_threads", "threads"),
    "batch": ("n_batch",),
    "ubatch": ("n_ubatch",),
    "K": ("type_k",),
    "V": ("type_v",),
    "mask": ("cpu_mask",),
    "features": ("cpu_features",),
    "strict": ("cpu_strict",),
    "poll": ("poll",),
    "ngl": ("n_gpu_layers", "ngl"),
    "ncmoe": ("n_cpu_moe",),
    "moe cache": ("moe_cache",),
    "sm": ("split_mode", "sm"),
    "mg": ("main_gpu",),
    "nkvo": ("no_kv_offload", "nkvo"),
    "fa": ("flash_attn", "fa"),
    "dev": ("devices", "dev"),
    "ts": ("tensor_split", "ts"),
    "ot": ("tensor_buft_overrides", "ot"),
    "mmap": ("use_mmap", "mmap"),
    "dio": ("use_direct_io",),
    "load mode": ("load_mode",),
    "repack": ("repack",),
    "embd": ("embeddings", "embd"),
    "nopo": ("no_op_offload", "nopo"),
    "noh": ("no_host", "noh"),
}
_UNSET = {
    "mask": ("0x0",),
    "ts": ("0.00",),
    "ot": ("none",),
    "dev": ("auto",),
    "ngl": ("-1",),
    "fa": ("-1", "auto"),
    "load mode": ("auto",),
    "moe cache": ("auto",),
}
"""Values that say that nothing was set, which other versions leave out or have another default for."""
_OF_GPUS = ("ngl", "ncmoe", "sm", "mg", "nkvo", "dev", "ts", "ot", "nopo", "noh")
"""What changes nothing where no GPU is."""
_OF_PROMPTS = ("batch", "ubatch")
"""What changes nothing where tokens are generated one by one."""
_CPU_ALONE = {"CPU", "BLAS"}

# Where a result comes from: two results of one setup that differ in it are what one compares.
ORIGINS: dict[str, tuple[str, ...]] = {
    "engine": ("engine",),
    "commit": ("build_commit", "commit"),
    "build": ("build", "build_number"),
    "cpu": ("cpu_info", "cpu"),
    "gpu": ("gpu_info",),
    "backend": ("backends", "backend"),
}
_BACKENDS = {
    "cuda": "CUDA",
    "opencl": "OpenCL",
    "vulkan": "Vulkan",
    "kompute": "Kompute",
    "metal": "Metal",
    "sycl": "SYCL",
    "rpc": "RPC",
    "blas": "BLAS",
}
"""Columns that older versions have, each 1 or 0."""

_TEST = re.compile(r"(?:pp ?(\d{1,9}))?(?: ?\+ ?)?(?:tg ?(\d{1,9}))?(?: ?@ ?d ?(\d{1,9}))?")
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(B|KiB|MiB|GiB|TiB|K|M|B|T)?")
_UNITS = {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
_COUNTS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(?: ?(?:±|\+-|\+/-) ?(\d{1,12}(?:\.\d{1,9})?))?")
_MIXTURE = re.compile(r"moe|\b\d{1,3}x\d{1,4}(?:\.\d)?B|\bA\d{1,4}(?:\.\d{1,3})?B\b", re.IGNORECASE)


class Wrong(ValueError):
    """A value that is none of its column's, in words."""


@dataclass(frozen=True)
class Benchmark:
    """A test's result. Rates are in tokens/s. Texts are '' and numbers None where the file does not tell.

    samples: of each repetition.  bytes: of all tensors.  settings, origin: what is known, by our names.
    """

    source: str
    n_prompt: int
    n_gen: int
    n_depth: int
    rate: float
    deviation: float | None
    samples: tuple[float, ...]
    model: str
    filename: str
    bytes: float | None
    settings: Mapping[str, str]
    origin: Mapping[str, str]
    time: str = ""

    @property
    def kind(self) -> str:
        if not self.n_gen:
            return PROMPT
        return BOTH if self.n_prompt else GENERATION

    @property
    def test(self) -> str:
        """pp512, tg128, pp512+tg128; at a depth "tg128 @ d2048"."""
        parts = [f"pp{self.n_prompt}"] * bool(self.n_prompt) + [f"tg{self.n_gen}"] * bool(self.n_gen)
        return "+".join(parts) + (f" @ d{self.n_depth}" if self.n_depth else "")

    @property
    def is_mixture(self) -> bool:
        """Whether the model's name says that a token takes a part of its weights."""
        return bool(_MIXTURE.search(self.model) or _MIXTURE.search(self.filename))

    @property
    def bandwidth(self) -> float | None:
        """Bytes of weights a second: all tensors' bytes times tokens a second, of a generation by a dense model.

        The embedding's table counts whole, the KV cache not at all. None where that says nothing.
        """
        if self.kind != GENERATION or self.bytes is None or self.is_mixture:
            return None
        return self.bytes * self.rate

    @property
    def spread(self) -> float | None:
        """Standard deviation over median, over the mean where there are no samples; None of one sample."""
        if len(self.samples) > 1:
            return stdev(self.samples) / median(self.samples)
        return None if self.samples or self.deviation is None else self.deviation / self.rate


def of_fields(fields: Mapping[str, Any], source: str) -> Iterator[Benchmark]:
    """The result that a row has under its columns' names, and that of the engine which ran beside it, if any.

    Raises Wrong.
    """
    n_prompt, n_gen, n_depth = _tokens(fields)
    samples = _samples(fields, n_prompt + n_gen)
    rate, deviation = _rate(fields, samples, n_prompt + n_gen)
    origin = _origin(fields)
    own = Benchmark(
        source=source,
        n_prompt=n_prompt,
        n_gen=n_gen,
        n_depth=n_depth,
        rate=rate,
        deviation=deviation,
        samples=samples,
        model=_text(fields, "model_type", "model"),
        filename=_text(fields, "model_filename").replace("\\", "/").rpartition("/")[2],
        bytes=_size(fields),
        settings=_settings(fields, origin.get("backend", ""), not n_prompt),
        origin=origin,
        time=_text(fields, "test_time"),
    )
    yield own
    if (peer := _peer(fields)) is not None:
        samples = _samples(peer, n_prompt + n_gen)
        rate, deviation = _rate(peer, samples, n_prompt + n_gen)
        origin = {"engine": _text(peer, "name") or "llama.cpp"}
        origin |= {name: text for name, text in own.origin.items() if name in ("cpu", "gpu")}
        values = vars(own) | {"rate": rate, "deviation": deviation, "samples": samples, "origin": origin}
        yield Benchmark(**values)


def _peer(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Of `q4engine bench --vs`: an object in JSON, columns in CSV."""
    if isinstance(peer := fields.get("peer"), Mapping):
        return peer
    columns = {name.removeprefix("peer_"): value for name, value in fields.items() if name.startswith("peer_")}
    return columns if columns.get("avg_ts") not in (None, "") else None


def _tokens(fields: Mapping[str, Any]) -> tuple[int, int, int]:
    if _text(fields, "n_prompt") or _text(fields, "n_gen"):
        values = [_number(fields, name) or 0.0 for name in ("n_prompt", "n_gen", "n_depth")]
        if any(value != int(value) for value in values):
            raise Wrong("n_prompt, n_gen or n_depth is no whole number")
        found = tuple(map(int, values))
    else:
        text = _text(fields, "test")
        match = _TEST.fullmatch(text.strip())
        if match is None or not text.strip():
            raise Wrong(f"the test is '{text}', expected such as pp512, tg128 or pp512+tg128 @ d2048")
        found = tuple(int(part or 0) for part in match.groups())
    if not found[0] and not found[1]:
        raise Wrong("is a test of no tokens: n_prompt and n_gen are 0")
    return found[0], found[1], found[2]


def _samples(fields: Mapping[str, Any], n_tokens: int) -> tuple[float, ...]:
    """Tokens/s of each repetition, from the times where only they are there."""
    for name in ("samples_ts", "samples_ns"):
        values = fields.get(name)
        if not isinstance(values, list) or not values:
            continue
        if len(values) > MOST_SAMPLES:
            raise Wrong(f"{name} has {len(values)} values, expected at most {MOST_SAMPLES}")
        numbers = [_checked(name, value) for value in values]
        if min(numbers) <= 0:
            raise Wrong(f"{name} has a value of {min(numbers):g}, expected above 0")
        return tuple(numbers if name == "samples_ts" else (n_tokens * 1e9 / value for value in numbers))
    return ()


def _rate(fields: Mapping[str, Any], samples: tuple[float, ...], n_tokens: int) -> tuple[float, float | None]:
    """The mean and its standard deviation."""
    rate, deviation = _number(fields, "avg_ts"), _number(fields, "stddev_ts")
    if rate is None and (text := _text(fields, "t/s")):
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise Wrong(f"t/s is '{text}', expected such as 132.19 ± 0.55")
        rate, deviation = float(match[1]), None if match[2] is None else float(match[2])
    if rate is None and samples:
        rate, deviation = fmean(samples), stdev(samples) if len(samples) > 1 else None
    if rate is None and (nanoseconds := _number(fields, "avg_ns")):
        rate = n_tokens * 1e9 / nanoseconds
    if not rate:
        raise Wrong("has no speed: avg_ts is 0 or not there")
    return rate, deviation


def _size(fields: Mapping[str, Any]) -> float | None:
    if _text(fields, "model_size"):
        return _number(fields, "model_size") or None
    text = _text(fields, "size")
    match = _SIZE.fullmatch(text.strip())
    if not text.strip() or match is None or match[2] not in _UNITS:
        return None
    return float(match[1]) * _UNITS[match[2]]


def _settings(fields: Mapping[str, Any], backend: str, only_generates: bool) -> dict[str, str]:
    """Those that count. A batch that is not divided has the name of llama-bench's parts of one, and theirs is left out
    where both are told: tokens go through the model in parts.
    """
    found: dict[str, str] = {}
    for name, columns in SETTINGS.items():
        text = _text(fields, *columns)
        if text and text not in _UNSET.get(name, ()):
            found[name] = text
    if (old := _text(fields, "f16_kv")) and "K" not in found:
        found |= dict.fromkeys(("K", "V"), "f16" if old == "1" else "f32")
    batch = found.pop("batch", "")
    if batch and "ubatch" not in found:
        found["ubatch"] = batch
    without: tuple[str, ...] = _OF_PROMPTS if only_generates else ()
    if backend and set(backend.split(",")) <= _CPU_ALONE:
        without += _OF_GPUS
    return {name: text for name, text in found.items() if name not in without}


def _origin(fields: Mapping[str, Any]) -> dict[str, str]:
    found = {name: text for name, columns in ORIGINS.items() if (text := _text(fields, *columns))}
    if "engine" not in found:
        ours = any(name in fields for name in ("q4engine", "q4engine_version"))
        found["engine"] = "q4engine" if ours else "llama.cpp"
    if "backend" not in found and "cuda" in fields:
        set_ones = [title for column, title in _BACKENDS.items() if _text(fields, column) == "1"]
        found["backend"] = ",".join(set_ones) or "CPU"
    if found.get("commit") == "unknown":
        del found["commit"]
    if found.get("build") == "0":
        del found["build"]
    return found


def _text(fields: Mapping[str, Any], *names: str) -> str:
    """The first of these columns that has something, as text; truth as 1 and 0."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, str | int | float) and (text := str(value).strip()):
            if len(text) > _LONGEST:
                return text[: _LONGEST - 1] + "…"
            return {"true": "1", "false": "0"}.get(text, text)
    return ""


def _number(fields: Mapping[str, Any], name: str) -> float | None:
    """A number not below 0; None where there is none."""
    value = fields.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return _checked(name, value)


def _checked(name: str, value: object) -> float:
    number = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool) and "_" not in str(value)[:_LONGEST]:
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not 0 <= number <= _MOST:
        raise Wrong(f"{name} is '{str(value)[:60]}', expected a number from 0 to {_MOST:g}")
    return number
