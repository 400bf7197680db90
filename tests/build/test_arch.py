"""ARCH of `make cross`: what is accepted, what it implies, and that the rest is refused with the list of known ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cross import ALL_KERNELS, FEATURES, LEVELS, UsageError, parse_arch


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("armv8-a", "armv8-a"),
        ("armv8.2-a+i8mm+dotprod", "armv8.2-a+dotprod+i8mm"),
        ("ARMV8.2-A+DOTPROD", "armv8.2-a+dotprod"),
        ("armv8.2-a+fp16fml", "armv8.2-a+fp16+fp16fml"),
        ("armv8.4-a", "armv8.4-a+dotprod"),
        ("armv8.6-a", "armv8.6-a+dotprod+i8mm"),
        ("armv9-a+i8mm", "armv9-a+dotprod+i8mm+fp16+fp16fml"),
        (ALL_KERNELS, ALL_KERNELS),
    ],
)
def test_features_are_spelled_out(text: str, expected: str) -> None:
    assert parse_arch(text) == expected


@pytest.mark.parametrize("text", ["", "native", "armv7-a", "armv8-a+", "armv8.2-a+sve", "armv8-a dotprod", "+dotprod"])
def test_the_unknown_is_refused_with_the_known(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arch(text)
    assert all(name in str(caught.value) for name in (*LEVELS, *FEATURES))
    assert "\n" not in str(caught.value)


def test_the_command_refuses_with_exit_code_2(repo_root: Path) -> None:
    command = [sys.executable, "toolchains/cross.py", "--arch", "armv8.2-a+dotproduct"]
    result = subprocess.run(command, cwd=repo_root, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ARCH=armv8.2-a+dotproduct: unknown 'dotproduct'")
    assert len(result.stderr.splitlines()) == 1
