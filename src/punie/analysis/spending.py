"""What asking took: tokens, and what they cost."""

from collections.abc import Iterable
from typing import Protocol


class Spent(Protocol):
    """Something that requests were sent for."""

    @property
    def asked(self) -> int:
        """How many requests."""
        ...

    @property
    def tokens_in(self) -> int | None:
        """Tokens read over these requests; None where the server did not count."""
        ...

    @property
    def tokens_out(self) -> int | None:
        """Tokens written."""
        ...


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of what was counted; None where nothing was."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def cost_of(spent: Iterable[Spent], prices: tuple[float, float] | None) -> float | None:
    """What all requests cost, by the prices of a million tokens read and written.

    None without prices, and where the tokens of some request were not counted.
    """
    if prices is None:
        return None
    read = written = 0
    for each in spent:
        if not each.asked:
            continue
        if each.tokens_in is None or each.tokens_out is None:
            return None
        read, written = read + each.tokens_in, written + each.tokens_out
    return (read * prices[0] + written * prices[1]) / 1e6
