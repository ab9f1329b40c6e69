"""Holm: p values of several tests, adjusted so that all together err no more than one may."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given: significant at alpha where they are at most alpha.

    The smallest is multiplied by their number, the next by one less, and so on, never falling below
    the one before, nor above 1. Source: Holm 1979, "A simple sequentially rejective multiple test
    procedure".
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted
