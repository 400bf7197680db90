"""Energy that the machine's own sensors tell: RAPL, hwmon (SCMI's sensors among them) and batteries.

Units and meaning are those of the kernel's documentation: Documentation/power/powercap/powercap.rst (energy_uj),
Documentation/hwmon/sysfs-interface.rst (energy*_input, power*_average, power*_input, in*_input, curr*_input) and
Documentation/ABI/testing/sysfs-class-power (power_now, voltage_now, current_now).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from q4engine.errors import Q4Error

SYSFS = Path("/sys")
SAMPLE_SECONDS = 0.1
"""Between two looks at sensors that tell watts, not joules."""
_NUMBER = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True)
class Sensor:
    """``files`` with the unit of each; their product is joules so far (``counts``) or watts now.

    wraps: joules at which it starts from 0 again. part: sensors of different parts add up, such as packages and their
    memory; others may overlap.
    """

    name: str
    files: tuple[tuple[Path, float], ...]
    counts: bool
    wraps: float | None = None
    part: bool = False

    def read(self) -> float:
        """OSError where it cannot be read, ValueError where it tells no number."""
        product = 1.0
        for file, unit in self.files:
            text = file.read_text(encoding="ascii", errors="replace").strip()
            if not _NUMBER.fullmatch(text):
                raise ValueError(f"{file}: {text[:40]!r} is no number")
            product *= abs(int(text)) * unit  # a battery's current is below 0 while it is drawn
        return product


@dataclass
class Spent:
    """What a sensor told of ``seconds`` in all."""

    sensor: Sensor
    joules: float = 0.0
    seconds: float = 0.0

    @property
    def watts(self) -> float:
        return self.joules / self.seconds if self.seconds > 0 else 0.0


@dataclass
class Energy:
    """All sensors' figures over the same runs."""

    spent: list[Spent] = field(default_factory=list)

    @property
    def chosen(self) -> list[Spent]:
        """Those whose sum is the figure: all parts of the CPU where it has such; else the one that tells most, as
        rails may overlap."""
        parts = [each for each in self.spent if each.sensor.part]
        return parts or sorted(self.spent, key=lambda each: -each.joules)[:1]

    @property
    def joules(self) -> float:
        return sum(each.joules for each in self.chosen)

    @property
    def name(self) -> str:
        return " + ".join(each.sensor.name for each in self.chosen)


def find_sensors(sysfs: Path = SYSFS) -> list[Sensor]:
    """Every sensor that can be read now, the same CPU's energy once. Q4Error with the reason where there is none."""
    found, refused = [], []
    for sensor in [*_rapl(sysfs), *_hwmon(sysfs), *_supplies(sysfs)]:
        try:
            sensor.read()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no number"
            refused.append(f"{sensor.files[0][0]}: {reason}")
            continue
        found.append(sensor)
    if not found and refused:
        raise Q4Error(f"--power: no sensor can be read: {refused[0]} (root may)")
    if not found:
        raise Q4Error(f"--power: this machine shows no sensor in {sysfs}/class (powercap, hwmon, power_supply)")
    return found


def _rapl(sysfs: Path) -> Iterator[Sensor]:
    """Packages, and memory beside them; cores and graphics are within their package, psys around all."""
    names: set[str] = set()
    zones = (sysfs / "class" / "powercap").glob("*rapl*:*")
    for zone in sorted(zones, key=lambda path: ("mmio" in path.name, path.name)):  # which has the same packages again
        name = _text(zone / "name")
        if not re.fullmatch(r"package-\d+(-die-\d+)?|dram", name):
            continue
        parent = _text(sysfs / "class" / "powercap" / zone.name.rpartition(":")[0] / "name")
        name = f"{parent} dram".strip() if name == "dram" else name
        if name not in names:
            names.add(name)
            most = _text(zone / "max_energy_range_uj")
            wraps = int(most) * 1e-6 if _NUMBER.fullmatch(most) else None
            yield Sensor(f"RAPL {name}", ((zone / "energy_uj", 1e-6),), counts=True, wraps=wraps, part=True)


def _hwmon(sysfs: Path) -> Iterator[Sensor]:
    for chip in sorted((sysfs / "class" / "hwmon").glob("hwmon*"), key=_number_of):
        of_chip = _text(chip / "name") or chip.name
        power = set[str]()
        for file in sorted(chip.glob("energy[0-9]*_input"), key=_number_of):
            yield Sensor(_label(of_chip, chip, file), ((file, 1e-6),), counts=True)
        for pattern in ("power[0-9]*_average", "power[0-9]*_input"):
            for file in sorted(chip.glob(pattern), key=_number_of):
                channel = file.name.rpartition("_")[0]
                if channel not in power:
                    power.add(channel)
                    yield Sensor(_label(of_chip, chip, file), ((file, 1e-6),), counts=False)
        if not power:  # monitors of rails: millivolts and milliamperes of the same number
            for file in sorted(chip.glob("curr[0-9]*_input"), key=_number_of):
                volts = chip / file.name.replace("curr", "in")
                if volts.exists():
                    yield Sensor(_label(of_chip, chip, volts), ((file, 1e-3), (volts, 1e-3)), counts=False)


def _supplies(sysfs: Path) -> Iterator[Sensor]:
    """Batteries that are drawn from: what a charging one tells is no use of energy."""
    for supply in sorted((sysfs / "class" / "power_supply").glob("*")):
        if _text(supply / "type") != "Battery" or _text(supply / "status") != "Discharging":
            continue
        if (supply / "power_now").exists():
            yield Sensor(f"battery {supply.name}", ((supply / "power_now", 1e-6),), counts=False)
        elif (supply / "current_now").exists() and (supply / "voltage_now").exists():
            files = ((supply / "current_now", 1e-6), (supply / "voltage_now", 1e-6))
            yield Sensor(f"battery {supply.name}", files, counts=False)


def _label(of_chip: str, chip: Path, file: Path) -> str:
    channel = file.name.rpartition("_")[0]
    return f"{of_chip} {_text(chip / f'{channel}_label') or channel}"


def _number_of(path: Path) -> tuple[int, str]:
    match = re.search(r"\d+", path.name)
    return (int(match[0]) if match else 0), path.name


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


class Meter:
    """Adds up what sensors tell while a block runs (``metered``), over any number of blocks.

    A sensor that fails on the way is left out from then on, with what it told before.
    """

    def __init__(self, sensors: Sequence[Sensor], clock: Callable[[], float] = time.monotonic) -> None:
        self._sensors = list(sensors)
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[Sensor, tuple[float, float]] = {}
        self.spent = {sensor: Spent(sensor) for sensor in sensors}

    @property
    def energy(self) -> Energy:
        """Of all blocks so far, of sensors that did not fail."""
        return Energy([self.spent[sensor] for sensor in self._sensors])

    def take(self) -> Energy:
        """The same, and counts from 0 again."""
        energy = self.energy
        self.spent = {sensor: Spent(sensor) for sensor in self._sensors}
        return energy

    def start(self) -> None:
        """The beginning of a block: what happened since the last one is no part of it."""
        self._last.clear()
        self.look()

    def look(self) -> None:
        """Adds what was spent since the look before in the same block."""
        with self._lock:
            for sensor in list(self._sensors):
                try:
                    now = self._clock(), sensor.read()
                except (OSError, ValueError):
                    self._sensors.remove(sensor)
                    continue
                if sensor in self._last:
                    self._add(sensor, self._last[sensor], now)
                self._last[sensor] = now

    def _add(self, sensor: Sensor, before: tuple[float, float], now: tuple[float, float]) -> None:
        spent, seconds = self.spent[sensor], now[0] - before[0]
        if sensor.counts:
            joules = now[1] - before[1]
            joules += sensor.wraps or 0.0 if joules < 0 else 0.0
        else:
            joules = seconds * (before[1] + now[1]) / 2
        spent.joules += max(0.0, joules)
        spent.seconds += seconds

    @contextmanager
    def metered(self) -> Iterator[None]:
        """A block. Sensors of watts are looked at by a thread of their own meanwhile."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(SAMPLE_SECONDS):
                self.look()

        thread = None
        self.start()
        if any(not sensor.counts for sensor in self._sensors):
            thread = threading.Thread(target=watch, daemon=True)
            thread.start()
        try:
            yield
        finally:
            over.set()
            if thread is not None:
                thread.join()
            self.look()
