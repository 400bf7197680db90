"""Which rows of a list were counted together."""

from __future__ import annotations

import numpy as np

from analysis.readers.perf_groups import group_numbers

NONE = np.nan


def numbers(times: list[float], scopes: list[int], sources: list[int], shares: list[float]) -> list[int] | None:
    found = group_numbers(np.array(times), np.array(scopes), np.array(sources), np.array(shares), None)
    return None if found is None else found.tolist()


def test_nothing_listed_twice() -> None:
    assert numbers([0, 0, 0], [0, 0, 0], [1, 2, 3], [0.5, 0.5, 0.4]) is None
    assert numbers([0, 0], [0, 1], [1, 1], [0.5, 0.5]) is None


def test_neighbours_of_one_share() -> None:
    assert numbers([0] * 5, [0] * 5, [1, 2, 1, 3, 4], [0.5, 0.5, 0.4, 0.4, 0.4]) == [1, 1, 2, 2, 2]
    assert numbers([0] * 4, [0] * 4, [1, 2, 1, 3], [1, 1, 1, 1]) == [1, 1, 2, 2]


def test_the_same_groups_in_every_interval_and_scope() -> None:
    """Event by event, a row a CPU, as perf prints it: shares meet by chance in the first interval only."""
    times = [0] * 6 + [1] * 6
    shares = [0.5, 0.5, 0.5, 0.5, 0.4, 0.4, 0.6, 0.6, 0.3, 0.3, 0.1, 0.1]
    found = numbers(times, [0, 1] * 6, [1, 1, 2, 2, 1, 1] * 2, shares)
    assert found == [1, 1, 2, 2, 3, 3] * 2


def test_irregular_intervals_are_cut_at_repeats_alone() -> None:
    found = numbers([0, 0, 0, 1, 1], [0] * 5, [1, 2, 1, 1, 2], [0.5, 0.4, 0.4, 0.5, 0.4])
    assert found == [1, 1, 2, 1, 1]


def test_ratios_are_in_no_group() -> None:
    apart = np.array([False, True, False, False])
    found = group_numbers(np.zeros(4), np.zeros(4, int), np.array([1, 9, 1, 2]), np.ones(4), apart)
    assert found is not None
    assert found.tolist() == [1, 0, 2, 2]
