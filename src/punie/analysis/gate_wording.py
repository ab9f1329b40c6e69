"""Numbers in the sentences of a gate."""

from punie.records.comparison import Difference
from punie.records.gate import SliceGate, SuiteGate, Verdict
from punie.records.summary import Estimate
from punie.shares import percent, points


def found_difference(difference: Difference, verdict: Verdict) -> str:
    """Write a difference with the bound that its verdict rests on."""
    value, least, most = (
        points(each) for each in (difference.value, difference.lower, difference.upper)
    )
    if verdict is Verdict.PASS:
        bound = f"at least {least}"
    elif verdict is Verdict.FAIL:
        bound = f"at most {most}"
    else:
        bound = f"between {least} and {most}"
    return f"{value} points, {bound}"


def found_estimate(estimate: Estimate) -> str:
    """Write a score with its interval."""
    return (
        f"{percent(estimate.value)}, between {percent(estimate.low)} and {percent(estimate.high)}"
    )


def slice_of(bounds: SliceGate) -> tuple[str, str]:
    """The kind and the name of the slice that bounds are for."""
    for kind in ("category", "role", "tag"):
        name = getattr(bounds, kind)
        if name is not None:
            return kind, name
    msg = "a slice without a name"
    raise ValueError(msg)


def part_of(suite: str, bounds: SuiteGate | SliceGate) -> str:
    """Name a suite, or a slice of it: `baseline`, `baseline, role coder`."""
    return f"{suite}, {' '.join(slice_of(bounds))}" if isinstance(bounds, SliceGate) else suite
