"""The sign test: whether an uneven split of ups and downs is more than chance."""

CHANCE = 0.05
"""A p below this is called more than chance."""


def sign_test(ups: int, downs: int) -> float:
    """Two-sided exact p of a split as uneven as this, if up and down were equally likely.

    min(1, 2·P(Bin(ups + downs, ½) <= min(ups, downs))); ties are left out before. 1 for no split at
    all. Source: Dixon and Mood 1946, "The statistical sign test".
    """
    n, ways, below = ups + downs, 1, 0
    for k in range(min(ups, downs) + 1):
        below += ways
        ways = ways * (n - k) // (k + 1)  # C(n, k + 1), in whole numbers
    return min(1.0, 2 * below / 2**n)
