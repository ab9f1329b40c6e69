"""What the machine is like just before something is timed, and what of it makes times doubtful."""

import os

from punie.records.benchmark import Conditions, Heat, Power
from punie.serving.free_memory import free_memory
from punie.serving.heat import temperature
from punie.serving.power import power_supply

LOOK_S = 0.5
BUSY = 0.2
"""From this share of all cores on, other programs are felt."""


def conditions(*, blas: str | None = None) -> Conditions:
    """Look at the machine for half a second, while nothing of ours runs."""
    import psutil  # noqa: PLC0415 - slow to import, and only needed here

    supply, warmth = power_supply(), temperature()
    found = Conditions(
        power=supply.power,
        battery_percent=supply.percent,
        low_power_mode=supply.saving,
        heat=warmth.heat,
        celsius=warmth.celsius,
        free_memory_bytes=free_memory(),
        load_average=os.getloadavg()[0],
        busy=psutil.cpu_percent(interval=LOOK_S) / 100,
        cores=os.cpu_count() or 1,
        blas=blas,
    )
    return found.model_copy(update={"warnings": cautions(found)})


def cautions(found: Conditions) -> tuple[str, ...]:
    """Why times measured under these conditions may be longer than they need be."""
    said: list[str] = []
    if found.power is Power.BATTERY:
        charge = "" if found.battery_percent is None else f" ({found.battery_percent} %)"
        said.append(f"the machine runs on its battery{charge}, which may slow it down")
    if found.low_power_mode:
        said.append("a mode that saves power is on, which slows the machine down")
    if found.heat is Heat.HOT:
        degrees = "" if found.celsius is None else f" ({found.celsius:.0f} °C)"
        said.append(f"the machine is hot{degrees} and may slow itself down")
    if found.busy is not None and found.busy >= BUSY:
        said.append(
            f"other programs take {100 * found.busy:.0f} % of the {found.cores} cores: "
            "times are longer than they would be alone"
        )
    return tuple(said)
