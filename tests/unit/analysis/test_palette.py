"""The project's colours (`analysis.palette`): told apart by everybody, and stated nowhere else."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from source_graph import REPO, files

from analysis import palette

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "all cones": np.eye(3),
    "no long ones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle ones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short ones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(colour: tuple[int, int, int], sight: str) -> np.ndarray:
    """CIELAB of a colour as somebody sees it."""
    part = np.array(colour) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(SIGHT[sight]) @ linear, 0, 1) / WHITE
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """CIEDE2000 (Sharma, Wu and Dalal 2005)."""
    lightness, a, b = np.array([one, other]).T
    flat = 0.5 * (1 - np.sqrt(np.hypot(a, b).mean() ** 7 / (np.hypot(a, b).mean() ** 7 + 25.0**7)))
    a = a * (1 + flat)
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    turn = (hue[1] - hue[0] + 180) % 360 - 180 if chroma.all() else 0.0
    d_hue = 2 * np.sqrt(chroma.prod()) * np.sin(np.radians(turn / 2))
    middle = (hue[0] + turn / 2) % 360 if chroma.all() else hue.sum()
    t = 1 - 0.17 * np.cos(np.radians(middle - 30)) + 0.24 * np.cos(np.radians(2 * middle))
    t += 0.32 * np.cos(np.radians(3 * middle + 6)) - 0.2 * np.cos(np.radians(4 * middle - 63))
    light, mean = (lightness.mean() - 50) ** 2, chroma.mean()
    scaled = np.array(
        [
            (lightness[1] - lightness[0]) / (1 + 0.015 * light / np.sqrt(20 + light)),
            (chroma[1] - chroma[0]) / (1 + 0.045 * mean),
            d_hue / (1 + 0.015 * mean * t),
        ]
    )
    rotation = -np.sin(np.radians(60 * np.exp(-(((middle - 275) / 25) ** 2))))
    rotation *= 2 * np.sqrt(mean**7 / (mean**7 + 25.0**7))
    return float(np.sqrt((scaled**2).sum() + rotation * scaled[1] * scaled[2]))


def test_the_distance_is_the_published_one() -> None:
    pairs = [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.0, 2.0), (50, 0, 0), 2.3669),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ]
    for one, other, expected in pairs:
        assert distance(np.array(one, float), np.array(other, float)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("sight", SIGHT)
def test_hues_are_told_apart(sight: str) -> None:
    seen = {hue: lab(palette.rgb(hue), sight) for hue in palette.HUES}
    near = {(one, other): distance(seen[one], seen[other]) for one, other in combinations(seen, 2)}
    assert min(near.values()) >= 14, min(near, key=lambda pair: near[pair])


@pytest.mark.parametrize("hue", palette.HUES)
def test_hues_stand_on_white_and_on_black(hue: str) -> None:
    light = palette.luminance(hue)
    assert 1.05 / (light + 0.05) >= 2 and (light + 0.05) / 0.05 >= 2
    on_it = 1.0 if palette.ink(hue) == "#FFFFFF" else 0.0
    assert (max(light, on_it) + 0.05) / (min(light, on_it) + 0.05) >= 4.5


def test_waiting_has_the_warning_hue_alone() -> None:
    waiting = {"barrier", "begin", "end", "waiting"}
    assert {name for name, hue in palette.OPERATIONS.items() if hue == palette.WAITING} == waiting
    assert [name for name, hue in palette.CAUSES.items() if hue == palette.WAITING] == ["waiting"]
    assert palette.WAITING not in {*palette.SERIES, *palette.PHASES.values(), *palette.INSTRUCTIONS.values()}


def test_every_meaning_has_a_hue_and_what_has_none_is_grey() -> None:
    tables = (palette.OPERATIONS, palette.PHASES, palette.CAUSES, palette.INSTRUCTIONS)
    assert {hue for table in tables for hue in table.values()} | set(palette.SERIES) <= set(palette.HUES)
    assert len(set(palette.SERIES)) == len(palette.SERIES)
    assert palette.operation("conv3d") == palette.cause("unknown") == palette.OTHER
    assert palette.phase("decode", 5) == "green" and palette.phase("a", 1) == "gold"
    assert palette.rgb(palette.FAINT) == (0xDD, 0xDD, 0xDD)


def test_colours_are_stated_nowhere_else() -> None:
    stated = re.compile(r"#[0-9A-Fa-f]{6}\b|tab:|\"(?:red|blue|green|orange|purple)\"")
    paths = [path for path in files("analysis", "q4engine", "toolchains") if Path(path).name != "palette.py"]
    found = {path: stated.findall((REPO / path).read_text()) for path in paths}
    assert {path for path, colours in found.items() if colours} == set()


def test_every_operation_of_the_engine_has_a_hue() -> None:
    rows = (REPO / "tests" / "data" / "capture_per_op.csv").read_text().splitlines()
    operations = {row.split(",")[4] for row in rows if not row.startswith("#")} - {"", "op"}
    assert {"gemv", "gemm", "barrier"} <= operations <= set(palette.OPERATIONS)
