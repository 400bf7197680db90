"""How often Python looks for cycles while files are read."""

from __future__ import annotations

import gc

import pytest

from analysis import collecting


def test_rarely_within_and_as_before_behind() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), collecting.rarely():
        assert gc.get_threshold() == (collecting.NEW_OBJECTS, *before[1:])
        raise KeyError
    assert gc.get_threshold() == before


def test_who_looks_for_none_is_left_alone() -> None:
    before = gc.get_threshold()
    gc.set_threshold(0, *before[1:])
    try:
        with collecting.rarely():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
