"""What befell the machine during a run, gathered from where it is noticed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from punie.records.trust import Incident, IncidentKind

if TYPE_CHECKING:
    from punie.serving.keeper import Keeper

ONE_NAP = timedelta(seconds=30)
"""All requests in flight notice the same nap, one after the other."""


class Incidents:
    """The incidents of a run: those of its earlier parts, and those since."""

    def __init__(self, keeper: "Keeper | None", earlier: Sequence[Incident]) -> None:
        self._earlier = tuple(earlier)
        self._keeper = keeper
        self._naps: list[Incident] = []
        self._noticed: datetime | None = None
        self._told = len(self._earlier)

    def napped(self, seconds: float) -> None:
        """Note that the machine slept, once for all requests that were in flight."""
        now = datetime.now(UTC)
        if self._noticed is None or now - self._noticed > ONE_NAP:
            at = now.isoformat(timespec="milliseconds")
            what = f"the machine slept for {seconds:.0f} s; what was in flight was asked again"
            self._naps.append(Incident(at=at, kind=IncidentKind.SLEPT, what=what))
        self._noticed = now

    def news(self) -> bool:
        """Whether there are more than when this was asked before."""
        kept = len(self._keeper.incidents) if self._keeper else 0
        count = len(self._earlier) + kept + len(self._naps)
        grown, self._told = count > self._told, count
        return grown

    def in_order(self) -> tuple[Incident, ...]:
        """All of them, by time."""
        kept = self._keeper.incidents if self._keeper else ()
        return tuple(sorted((*self._earlier, *kept, *self._naps), key=lambda each: each.at))
