"""What the machine draws its power from, and whether it was told to save it."""

import sys
from pathlib import Path
from typing import NamedTuple

from punie.records.benchmark import Power
from punie.serving.told import inside, line_of, number_of, told

PMSET = "/usr/bin/pmset"
SUPPLIES = Path("/sys/class/power_supply")
PROFILE = Path("/sys/firmware/acpi/platform_profile")
LOW_POWER = 1
"""macOS' `powermode`: 0 automatic, 1 low power, 2 high power; `lowpowermode` before macOS 13."""


class Supply(NamedTuple):
    """Where the power comes from, the battery's charge, and whether a saving mode is on."""

    power: Power
    percent: int | None = None
    saving: bool | None = None


def power_supply() -> Supply:
    """Ask the system; what it does not tell is `Power.UNKNOWN` and None. macOS is untested."""
    if sys.platform == "darwin":
        supply = read_pmset(told([PMSET, "-g", "batt"]))
        return supply._replace(saving=read_power_mode(told([PMSET, "-g"])))
    if sys.platform.startswith("linux"):
        return linux_supply(SUPPLIES)._replace(saving=linux_saving(PROFILE))
    return Supply(Power.UNKNOWN)


def read_pmset(text: str) -> Supply:
    """Read `pmset -g batt`: `Now drawing from 'AC Power'`, and the battery's line with its `%`."""
    power = Power.UNKNOWN
    if "'Battery Power'" in text:
        power = Power.BATTERY
    elif "'AC Power'" in text or "'UPS Power'" in text:
        power = Power.MAINS
    before, sign, _ = text.partition("%")
    number = before.split()[-1] if sign and before.split() else ""
    return Supply(power, int(number) if number.isdigit() else None)


def read_power_mode(text: str) -> bool | None:
    """Read the line `lowpowermode 0` or `powermode 1` of `pmset -g`; None where there is none."""
    for line in text.splitlines():
        match line.split():
            case ["lowpowermode" | "powermode", mode, *_] if mode.isdigit():
                return int(mode) == LOW_POWER
            case _:
                pass
    return None


def linux_supply(supplies: Path) -> Supply:
    """Read the kernel's power supplies (its document sysfs-class-power).

    A machine without a battery that tells of no supply at all, such as a server, tells nothing. A
    battery of a mouse or a headset (`scope` Device) is not the machine's.
    """
    online: list[bool] = []
    discharging: list[bool] = []
    charge: list[int] = []
    for supply in inside(supplies, "*"):
        if line_of(supply / "scope") == "Device":
            continue
        kind = line_of(supply / "type")
        if kind == "Battery":
            discharging.append(line_of(supply / "status") == "Discharging")
            percent = number_of(supply / "capacity")
            charge += [] if percent is None else [percent]
        elif kind in ("Mains", "USB", "Wireless"):
            online.append(line_of(supply / "online") == "1")
    if any(online) or (discharging and not any(discharging)):
        power = Power.MAINS
    else:
        power = Power.BATTERY if discharging else Power.UNKNOWN
    return Supply(power, min(charge, default=None))


def linux_saving(profile: Path) -> bool | None:
    """Whether the firmware's profile is one that saves power; None where there is no profile."""
    chosen = line_of(profile)
    return chosen in ("low-power", "quiet", "cool") if chosen else None
