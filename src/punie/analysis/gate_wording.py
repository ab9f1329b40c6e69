"""Numbers in the sentences of a gate."""

from punie.records.comparison import Difference
from punie.records.gate import SliceGate, SuiteGate, Verdict
from punie.records.summary import Estimate
from punie.shares import EXACT, fixed, percent, points


def told_apart(value: float, bound: float) -> str:
    """Write a number with three digits, or as many as tell it from `bound`: `12.04` beside 12."""
    texts = (f"{value:.{digits}g}" for digits in range(3, 16))
    plain = f"{bound:g}"
    return next((text for text in texts if value == bound or text != plain), plain)


def points_apart(share: float, bound: float) -> str:
    """Write a difference in points, with as many decimals as tell it from `bound`."""
    text = points(share)
    if text == points(bound) and abs(share - bound) > EXACT:
        sign = "+" if share > 0 else ""
        texts = (sign + fixed(100 * share, decimals) for decimals in range(2, 9))
        rounded = (fixed(100 * bound, decimals) for decimals in range(2, 9))
        text = next((t for t, b in zip(texts, rounded, strict=True) if t.lstrip("+") != b), text)
    return text


def found_difference(difference: Difference, verdict: Verdict, bound: float) -> str:
    """Write a difference with the end that its verdict on `bound` (a share) rests on."""
    value = points(difference.value)
    least, most = (points_apart(each, bound) for each in (difference.lower, difference.upper))
    if verdict is Verdict.PASS:
        end = f"at least {least}"
    elif verdict is Verdict.FAIL:
        end = f"at most {most}"
    else:
        end = f"between {least} and {most}"
    return f"{value} points, {end}"


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
