"""McNemar's exact test: whether as many prompts were lost as gained, but for chance."""

from punie.analysis.signs import sign_test


def exact_mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p from the prompts whose answers went from wrong to right and back.

    Prompts that stayed as they were say nothing of a change, so this is the sign test of the
    others. Source: McNemar 1947, "Note on the sampling error of the difference between correlated
    proportions or percentages", in its exact form.
    """
    return sign_test(gained, lost)
