"""Energy from fake trees of sysfs, as kernels of servers, boards and phones lay them out, on a clock of our own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_runs import Cli

from q4engine.bench import power
from q4engine.bench.power import Energy, Meter, Sensor, Spent, find_sensors
from q4engine.errors import Q4Error


def tree(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / "class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


RAPL = {
    "powercap/intel-rapl/enabled": 1,
    "powercap/intel-rapl:0/name": "package-0",
    "powercap/intel-rapl:0/energy_uj": 1_000_000,
    "powercap/intel-rapl:0/max_energy_range_uj": 10_000_000,
    "powercap/intel-rapl:0:0/name": "core",
    "powercap/intel-rapl:0:0/energy_uj": 500_000,
    "powercap/intel-rapl:0:1/name": "dram",
    "powercap/intel-rapl:0:1/energy_uj": 2_000_000,
    "powercap/intel-rapl:1/name": "psys",
    "powercap/intel-rapl:1/energy_uj": 7_000_000,
    "powercap/intel-rapl-mmio:0/name": "package-0",
    "powercap/intel-rapl-mmio:0/energy_uj": 1_000_000,
}
SCMI = {
    "hwmon/hwmon1/name": "scmi_sensors",
    "hwmon/hwmon1/energy1_input": 3_000_000,
    "hwmon/hwmon1/energy1_label": "BIG",
    "hwmon/hwmon1/energy2_input": 1_000_000,
    "hwmon/hwmon1/energy2_label": "LITTLE",
    "hwmon/hwmon1/power1_input": 2_500_000,
    "hwmon/hwmon1/power1_label": "SYS",
}
RAILS = {
    "hwmon/hwmon0/name": "cpu_thermal",
    "hwmon/hwmon0/temp1_input": 45000,
    "hwmon/hwmon3/name": "ina3221",
    "hwmon/hwmon3/in1_input": 5000,
    "hwmon/hwmon3/curr1_input": 800,
    "hwmon/hwmon3/in1_label": "VDD_CPU",
    "hwmon/hwmon3/curr9_input": 1,
}
BATTERY = {
    "power_supply/AC/type": "Mains",
    "power_supply/BAT0/type": "Battery",
    "power_supply/BAT0/status": "Discharging",
    "power_supply/BAT0/voltage_now": 4_000_000,
    "power_supply/BAT0/current_now": -500_000,
}


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def write(root: Path, name: str, value: object) -> None:
    (root / "class" / name).write_text(f"{value}\n")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (RAPL, [("RAPL package-0", True, 1.0), ("RAPL package-0 dram", True, 2.0)]),
        (SCMI, [("scmi_sensors BIG", True, 3.0), ("scmi_sensors LITTLE", True, 1.0), ("scmi_sensors SYS", False, 2.5)]),
        (RAILS, [("ina3221 VDD_CPU", False, 4.0)]),
        (BATTERY, [("battery BAT0", False, 2.0)]),
        (BATTERY | {"power_supply/BAT0/power_now": 1_500_000}, [("battery BAT0", False, 1.5)]),
    ],
    ids=["rapl", "scmi", "rails", "battery", "battery that tells watts"],
)
def test_sensors(tmp_path: Path, files: dict[str, object], expected: list[tuple[str, bool, float]]) -> None:
    found = find_sensors(tree(tmp_path, files))
    assert [(sensor.name, sensor.counts, pytest.approx(sensor.read())) for sensor in found] == expected


def test_an_average_is_taken_before_a_moment(tmp_path: Path) -> None:
    files = {"hwmon/hwmon2/power1_average": 3_000_000, "hwmon/hwmon2/power1_input": 9_000_000}
    (sensor,) = find_sensors(tree(tmp_path, files))
    assert (sensor.name, sensor.read()) == ("hwmon2 power1", 3.0)


def test_energy_of_the_package_and_its_memory(tmp_path: Path) -> None:
    root, clock = tree(tmp_path, RAPL), Clock()
    meter = Meter(find_sensors(root), clock)
    for before, after in ((1_000_000, 4_000_000), (8_000_000, 9_500_000)):
        write(root, "powercap/intel-rapl:0/energy_uj", before)  # between the blocks it counts on, for others
        with meter.metered():
            clock.now += 2.0
            write(root, "powercap/intel-rapl:0/energy_uj", after)
    energy = meter.energy
    assert energy.name == "RAPL package-0 + RAPL package-0 dram"
    assert energy.joules == pytest.approx(3.0 + 1.5)
    assert [spent.seconds for spent in energy.spent] == [4.0, 4.0] and energy.spent[0].watts == pytest.approx(4.5 / 4)


def test_a_counter_that_starts_again(tmp_path: Path) -> None:
    root, clock = tree(tmp_path, RAPL), Clock()
    meter = Meter(find_sensors(root), clock)
    write(root, "powercap/intel-rapl:0/energy_uj", 9_000_000)
    with meter.metered():
        write(root, "powercap/intel-rapl:0/energy_uj", 500_000)
    assert meter.energy.joules == pytest.approx(1.5)
    write(root, "powercap/intel-rapl:0:1/energy_uj", 5_000_000)
    with meter.metered():
        write(root, "powercap/intel-rapl:0:1/energy_uj", 0)  # of unknown range: nothing is made up
    assert meter.energy.joules == pytest.approx(1.5)


def test_watts_become_joules(tmp_path: Path) -> None:
    root, clock = tree(tmp_path, RAILS), Clock()
    meter = Meter(find_sensors(root), clock)
    meter.start()
    for milliamperes, seconds in ((800, 1.0), (1600, 1.0), (1600, 2.0)):
        clock.now += seconds
        write(root, "hwmon/hwmon3/curr1_input", milliamperes)
        meter.look()
    assert meter.take().joules == pytest.approx(4.0 + 6.0 + 16.0)  # 4 W, from 4 to 8 W, 8 W
    assert meter.energy.joules == 0.0


def test_rails_that_may_overlap_are_not_added_up() -> None:
    rails = [Spent(Sensor(name, (), True), joules) for name, joules in (("BIG", 3.0), ("SYS", 9.0), ("LITTLE", 1.0))]
    assert (Energy(rails).name, Energy(rails).joules) == ("SYS", 9.0)
    assert Energy([]).joules == 0.0


def test_a_sensor_that_fails_on_the_way_is_left_out(tmp_path: Path) -> None:
    root = tree(tmp_path, SCMI)
    meter = Meter(find_sensors(root), Clock())
    with meter.metered():
        write(root, "hwmon/hwmon1/energy1_input", "I/O error")
        write(root, "hwmon/hwmon1/energy2_input", 1_500_000)
        (root / "class" / "hwmon/hwmon1/power1_input").unlink()
    assert [spent.sensor.name for spent in meter.energy.spent] == ["scmi_sensors LITTLE"]
    assert meter.energy.joules == pytest.approx(0.5)


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging"])
def test_a_battery_that_is_not_drawn_from_tells_nothing(tmp_path: Path, status: str) -> None:
    with pytest.raises(Q4Error, match="this machine shows no sensor"):
        find_sensors(tree(tmp_path, BATTERY | {"power_supply/BAT0/status": status}))


def test_sensors_that_cannot_be_read(tmp_path: Path) -> None:
    root = tree(tmp_path, {"powercap/intel-rapl:0/name": "package-0"})
    (root / "class/powercap/intel-rapl:0/energy_uj").mkdir()
    with pytest.raises(Q4Error, match=r"no sensor can be read: .*intel-rapl:0/energy_uj: Is a directory \(root may\)$"):
        find_sensors(root)
    shutil.rmtree(root / "class")
    with pytest.raises(Q4Error, match="shows no sensor"):
        find_sensors(root)


# ---- the command -----------------------------------------------------------------------------------------------------


def test_joules_a_token(q4: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sensor that has counted 6 joules more at every look: 6 a repetition, of 4 and of 3 tokens."""
    looks: list[float] = []

    def read(sensor: Sensor) -> float:
        looks.append(6.0)
        return sum(looks)

    monkeypatch.setattr(power, "find_sensors", lambda: [Sensor("fake", (), True)])
    monkeypatch.setattr(Sensor, "read", read)
    words = ["bench", tiny, "-p", 4, "-n", 3, "-r", 2, "-t", 1, "--power"]
    result = q4(*words, "-o", "json")
    assert "note: energy as told by fake: of all that runs there\n" in result.err
    rows = json.loads(result.out)["results"]
    assert [row["joules_per_token"] for row in rows] == [pytest.approx(6 / 4), pytest.approx(6 / 3)]
    assert rows[0]["energy"]["of"] == "fake" and rows[0]["energy"]["sensors"]["fake"]["joules"] == pytest.approx(12)
    lines = q4(*words).out.splitlines()
    assert lines[0].split("|")[-2].strip() == "J/token"
    assert [line.split("|")[-2].strip() for line in lines[2:4]] == ["1.5", "2"]
    assert q4(*words, "-o", "csv").out.splitlines()[1].split(",").count("1.5") == 1
    assert q4(*words, "--capture", tmp_path / "c").code == 2


def test_without_sensors_nothing_is_measured(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[Sensor]:
        raise Q4Error("--power: this machine shows no sensor")

    monkeypatch.setattr(power, "find_sensors", refuse)
    result = q4("bench", tiny, "-p", 4, "-n", 0, "--power")
    assert (result.code, result.err) == (1, "error: --power: this machine shows no sensor\n")
