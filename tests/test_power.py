"""Power and heat, read from what systems tell: samples for macOS, trees of files for Linux."""

from pathlib import Path

import pytest

from punie.records.benchmark import Conditions, Heat, Power
from punie.serving import heat, power
from punie.serving.conditions import cautions, conditions
from punie.serving.power import Supply

ON_BATTERY = """\
Now drawing from 'Battery Power'
 -InternalBattery-0 (id=4653155)\t82%; discharging; 4:51 remaining present: true
"""
ON_MAINS = """\
Now drawing from 'AC Power'
 -InternalBattery-0 (id=4653155)\t100%; charged; 0:00 remaining present: true
"""
A_DESKTOP = "Now drawing from 'AC Power'\n"
CALM = """\
Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
Note: No CPU power status has been recorded
"""
LIMITED = """\
CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 8
\tCPU_Speed_Limit \t= 68
"""


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (ON_BATTERY, Supply(Power.BATTERY, 82)),
        (ON_MAINS, Supply(Power.MAINS, 100)),
        (A_DESKTOP, Supply(Power.MAINS)),
        ("Now drawing from 'UPS Power'\n", Supply(Power.MAINS)),
        ("", Supply(Power.UNKNOWN)),
        ("pmset: nonsense %", Supply(Power.UNKNOWN)),
    ],
)
def test_pmset_tells_where_the_power_comes_from(said: str, expected: Supply) -> None:
    assert power.read_pmset(said) == expected


@pytest.mark.parametrize(
    ("said", "saving"),
    [
        ("Currently in use:\n lowpowermode         1\n standby              1\n", True),
        (" lowpowermode         0\n", False),
        (" powermode            1\n", True),
        (" powermode            2\n", False),
        (" standby              1\n", None),
        ("", None),
    ],
)
def test_pmset_tells_of_the_low_power_mode(said: str, saving: bool | None) -> None:
    assert power.read_power_mode(said) is saving


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (CALM, Heat.NORMAL),
        (LIMITED, Heat.HOT),
        (LIMITED.replace("68", "100"), Heat.NORMAL),
        ("Thermal warning level set to 2\n", Heat.HOT),
        ("", Heat.UNKNOWN),
    ],
)
def test_pmset_tells_of_heat(said: str, expected: Heat) -> None:
    assert heat.read_pmset(said) is expected


BATTERY = {"BAT0/type": "Battery", "BAT0/capacity": "57"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Supply(Power.UNKNOWN)),
        ({"AC/type": "Mains", "AC/online": "1"}, Supply(Power.MAINS)),
        (
            {**BATTERY, "BAT0/status": "Discharging", "AC/type": "Mains", "AC/online": "0"},
            Supply(Power.BATTERY, 57),
        ),
        (
            {**BATTERY, "BAT0/status": "Charging", "AC/type": "USB", "AC/online": "1"},
            Supply(Power.MAINS, 57),
        ),
        ({**BATTERY, "BAT0/status": "Full"}, Supply(Power.MAINS, 57)),
        # A mouse's battery says nothing of the machine.
        (
            {"hid/type": "Battery", "hid/scope": "Device", "hid/status": "Discharging"},
            Supply(Power.UNKNOWN),
        ),
    ],
)
def test_linux_tells_of_its_supplies(
    tmp_path: Path, files: dict[str, str], expected: Supply
) -> None:
    assert power.linux_supply(tree(tmp_path, files)) == expected


def test_a_system_without_the_folders_tells_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert power.linux_supply(nowhere) == Supply(Power.UNKNOWN)
    assert power.linux_saving(nowhere) is None
    assert heat.linux_temperature(nowhere) == heat.Temperature(Heat.UNKNOWN)
    assert heat.linux_throttled(nowhere) is None


@pytest.mark.parametrize(
    ("profile", "saving"), [("low-power", True), ("balanced", False), ("performance", False)]
)
def test_the_platform_profile_tells_of_saving(tmp_path: Path, profile: str, saving: bool) -> None:
    file = tmp_path / "platform_profile"
    file.write_text(f"{profile}\n")
    assert power.linux_saving(file) is saving


def test_a_zone_is_hot_from_its_own_trip_point(tmp_path: Path) -> None:
    zones = tree(
        tmp_path,
        {
            "thermal_zone0/temp": "41000",
            "thermal_zone0/trip_point_0_type": "critical",
            "thermal_zone0/trip_point_0_temp": "105000",
            "thermal_zone1/temp": "88500",
            "thermal_zone1/trip_point_0_type": "active",
            "thermal_zone1/trip_point_0_temp": "50000",
            "thermal_zone1/trip_point_1_type": "passive",
            "thermal_zone1/trip_point_1_temp": "88000",
            "thermal_zone2/temp": "-274000",
        },
    )
    assert heat.linux_temperature(zones) == heat.Temperature(Heat.HOT, 88.5)
    (zones / "thermal_zone1/temp").write_text("87000\n")
    assert heat.linux_temperature(zones) == heat.Temperature(Heat.NORMAL, 87.0)


def test_throttle_counts_are_summed(tmp_path: Path) -> None:
    files = {f"cpu{n}/thermal_throttle/core_throttle_count": str(n) for n in (1, 2, 10)}
    assert heat.linux_throttled(tree(tmp_path, files)) == 13


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Conditions(power=Power.MAINS, heat=Heat.NORMAL, busy=0.05), []),
        (Conditions(power=Power.BATTERY, battery_percent=31), ["battery (31 %)"]),
        (Conditions(low_power_mode=True), ["saves power"]),
        (Conditions(heat=Heat.HOT, celsius=99.2), ["hot (99 °C)"]),
        (Conditions(busy=0.5, cores=8), ["50 % of the 8 cores"]),
    ],
)
def test_doubtful_conditions_are_said(found: Conditions, words: list[str]) -> None:
    said = cautions(found)
    assert len(said) == len(words)
    assert all(word in line for word, line in zip(words, said, strict=True))


def test_this_machine_can_be_looked_at() -> None:
    found = conditions(blas="libx")
    assert found.blas == "libx"
    assert found.free_memory_bytes is not None
    assert found.free_memory_bytes > 0
    assert found.busy is not None
    assert 0 <= found.busy <= 1
