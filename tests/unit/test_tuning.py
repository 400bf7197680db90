"""q4engine tune without a clock: what is tried on machines of every kind, which wins, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cpu_trees import NO_GROUPS, machine

from q4engine.bench.placements import Placement, placements
from q4engine.bench.tuning import MOST, Rates, tune


class World:
    """A clock that only measurements move. ``speed``: of a placement, prefill and decode."""

    def __init__(self, speed: Callable[[Placement], tuple[float, float]], cost: float = 1.0) -> None:
        self.speed, self.cost, self.now, self.asked = speed, cost, 100.0, list[Placement]()

    def measure(self, placement: Placement) -> Rates:
        self.now += self.cost
        self.asked.append(placement)
        return Rates(*self.speed(placement))

    def clock(self) -> float:
        return self.now


FREE = [Placement(4), Placement(1), Placement(2), Placement(3)]
PINNED = [Placement(n, (6, 7, 4, 5)) for n in (1, 2, 4)]


def found(world: World, seconds: float, candidates: list[Placement]) -> tuple[tuple[int, int], object]:
    best, _ = tune(candidates, world.measure, seconds, world.clock)
    assert best.decode.placement.cpus == best.prefill.placement.cpus
    return (best.decode.placement.threads, best.prefill.placement.threads), best.decode.placement.cpus


def test_each_phase_gets_its_threads() -> None:
    world = World(lambda p: (100.0 * p.threads, 20.0 if p.threads == 2 else 15.0))
    assert found(world, 60, FREE) == ((2, 4), None)


def test_one_order_of_cpus_serves_both_phases() -> None:
    """Pinned generation is faster, pinned prompts are so slow that a run with both takes longer."""
    world = World(lambda p: (1000.0, 20.0) if p.cpus is None else (50.0, 22.0))
    assert found(world, 60, FREE + PINNED)[1] is None
    world = World(lambda p: (1000.0, 20.0) if p.cpus is None else (900.0, 40.0))
    assert found(world, 60, FREE + PINNED)[1] == (6, 7, 4, 5)


@pytest.mark.parametrize(("faster", "wins"), [(1.02, 4), (1.05, 2)])
def test_the_default_stays_where_nothing_is_clearly_faster(faster: float, wins: int) -> None:
    world = World(lambda p: (100.0 * (faster if p.threads == 2 else 1.0),) * 2)
    (threads, batch), _ = found(world, 60, FREE)
    assert (threads, batch) == (wins, wins)
    best, _ = tune(FREE, World(lambda p: (100.0, 10.0)).measure, 60, iter(range(10**6)).__next__)
    assert best.gain == 1.0


@pytest.mark.parametrize("seconds", [1.0, 5.0, 7.5, 30.0, 200.0])
@pytest.mark.parametrize("cost", [0.25, 1.0, 4.0])
def test_the_stated_time_is_kept(seconds: float, cost: float) -> None:
    world = World(lambda p: (10.0, 10.0), cost)
    best, tried = tune(FREE + PINNED, world.measure, seconds, world.clock)
    assert world.now - 100 <= max(seconds, cost)  # the default is measured in any case
    assert best.complete == (len(tried) == len(FREE + PINNED)) == (seconds >= cost * len(FREE + PINNED))
    most = max(len(each.rates) for each in tried)
    assert most == MOST or (most < MOST and world.now - 100 + cost > seconds)  # the time is used


def test_a_lucky_measurement_does_not_win() -> None:
    """The first look at three threads is twice too good; those that stay are looked at again."""
    looks: list[int] = []

    def speed(p: Placement) -> tuple[float, float]:
        looks.append(p.threads)
        lucky = p.threads == 3 and looks.count(3) == 1
        return (200.0,) * 2 if lucky else (100.0 if p.threads == 4 else 60.0,) * 2

    assert found(World(speed), 60, FREE) == ((4, 4), None)


def test_a_clock_that_stands_still_ends_too() -> None:
    _, tried = tune(FREE, World(lambda p: (10.0, 10.0), cost=0.0).measure, 60, lambda: 5.0)
    assert max(len(each.rates) for each in tried) == MOST


# ---- what is tried ---------------------------------------------------------------------------------------------------


def tried(folder: Path, capacities: list[int], siblings: list[str] | None = None) -> list[Placement]:
    sysfs = machine(folder, capacities, siblings=siblings or [])
    return placements(range(len(capacities)), sysfs, NO_GROUPS, NO_GROUPS)


def test_a_phone(tmp_path: Path) -> None:
    """1+3+4: the default first, all CPUs the fastest first, each kind alone."""
    all_of_it = tried(tmp_path, [250] * 4 + [773] * 3 + [1024])
    assert all_of_it[0] == Placement(4)
    orders = {placement.cpus for placement in all_of_it}
    assert orders == {None, (7, 4, 5, 6, 0, 1, 2, 3), (7,), (4, 5, 6), (0, 1, 2, 3)}
    assert {p.threads for p in all_of_it if p.cpus is None} == set(range(1, 9))
    assert Placement(4, (7, 4, 5, 6, 0, 1, 2, 3)).name == "4 threads on CPU 7,4,5,6"
    assert len(all_of_it) == len(set(all_of_it))


def test_hardware_threads_of_a_core_come_behind_the_other_cores(tmp_path: Path) -> None:
    found = tried(tmp_path, [1024] * 4, ["0,2", "1,3", "0,2", "1,3"])
    assert {placement.cpus for placement in found} == {None, (0, 1, 2, 3)} and found[0] == Placement(2)


def test_many_cpus_are_not_tried_one_by_one(tmp_path: Path) -> None:
    counts = {p.threads for p in tried(tmp_path, [1024] * 80) if p.cpus is None}
    assert counts == {1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 80}


def test_a_single_cpu_and_a_quota(tmp_path: Path) -> None:
    assert tried(tmp_path, [1024]) == [Placement(1)]
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "cpu.max").write_text("250000 100000\n")
    (tmp_path / "own").write_text("0::/\n")
    sysfs = machine(tmp_path / "sysfs", [1024] * 8)
    limited = placements(range(8), sysfs, tmp_path / "groups", tmp_path / "own")
    assert max(placement.threads for placement in limited) == 3
