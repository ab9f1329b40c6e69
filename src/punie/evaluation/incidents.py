"""What befell the machine during a run, gathered from where it is noticed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from punie.records.trust import Incident, IncidentKind
from punie.serving.keeper import Keeper

ONE_NAP = timedelta(seconds=30)
"""All requests in flight notice the same nap, one after the other."""


class Incidents:
    """The incidents of a run: those of its earlier parts, and those since."""

    def __init__(self, keeper: Keeper | None, earlier: Sequence[Incident]) -> None:
        self._earlier = tuple(earlier)
        self._keeper = keeper
        self._naps: list[Incident] = []
        self._noticed: datetime | None = None

    def napped(self, seconds: float) -> None:
        """Note that the machine slept, once for all requests that were in flight."""
        now = datetime.now(UTC)
        if self._noticed is None or now - self._noticed > ONE_NAP:
            at = now.isoformat(timespec="milliseconds")
            what = f"the machine slept for {seconds:.0f} s; what was in flight was asked again"
            self._naps.append(Incident(at=at, kind=IncidentKind.SLEPT, what=what))
        self._noticed = now

    def in_order(self) -> tuple[Incident, ...]:
        """All of them, by time."""
        kept = self._keeper.incidents if self._keeper else ()
        return tuple(sorted((*self._earlier, *kept, *self._naps), key=lambda each: each.at))
