"""Which entry of a gate file speaks of which suite."""

from collections.abc import Iterable, Iterator
from typing import Literal

from punie.errors import InputError
from punie.records.comparison import MARGIN
from punie.records.gate import OTHERS, OWN, Gates, SuiteGate

Purpose = Literal["target", "guard"]
Entry = tuple[Purpose, SuiteGate]


def entries(gates: Gates) -> Iterator[Entry]:
    """All entries, targets first."""
    for target in gates.targets:
        yield "target", target
    for guard in gates.guards:
        yield "guard", guard


def entry_for(gates: Gates, suite: str, own_suite: str | None) -> Entry | None:
    """The entry that speaks of this suite: by its name, as `own`, or among `others`.

    Raises InputError where a suite is named and is `own` too.
    """
    named = [each for each in entries(gates) if _suite(each[1], own_suite) == suite]
    if len(named) > 1:
        raise InputError(
            f"{gates.source}: {OWN} is {suite} here, which stands in the gate by its name too",
            hint="put its bounds into one entry",
        )
    if named:
        return named[0]
    return next((each for each in entries(gates) if each[1].suite == OTHERS), None)


def purpose_of(gates: Gates, suite: str, own_suite: str | None) -> Purpose:
    """What is asked of the current run on this suite: to gain, or not to lose."""
    entry = entry_for(gates, suite, own_suite)
    return entry[0] if entry else "guard"


def margin_of(gates: Gates, suite: str, own_suite: str | None) -> float:
    """The loss (a share) that the gate allows on this suite, or `MARGIN`."""
    entry = entry_for(gates, suite, own_suite)
    points = entry[1].margin_points if entry else None
    return MARGIN if points is None else points / 100


def unmeasured(
    gates: Gates, measured: Iterable[str], own_suite: str | None
) -> Iterator[tuple[SuiteGate, str]]:
    """Yield the entries that speak of none of the `measured` suites, each with the reason.

    So an adapter that was measured on its own suite alone is not known to lose nothing elsewhere.
    """
    spoken_of = [entry_for(gates, name, own_suite) for name in measured]
    for entry in entries(gates):
        if entry in spoken_of:
            continue
        name = _suite(entry[1], own_suite)
        if entry[1].suite == OTHERS:
            yield entry[1], "no other suite was compared"
        elif name is None:
            yield entry[1], "it is not known which suite was held out of the adapter's data"
        else:
            yield entry[1], f"no two runs on {name} were compared"


def _suite(entry: SuiteGate, own_suite: str | None) -> str | None:
    """The name of the suite; None for all others, and for an own one that nobody knows."""
    if entry.suite == OWN:
        return own_suite
    return None if entry.suite == OTHERS else entry.suite
