"""Looking after every prompt, and stopping when it is decided, without paying for the looks."""

import math

ALPHA = 0.05
"""How often equal models are told apart, at most, over all looks together: half of it better."""
ALPHA_WORSE = 0.02
"""The same where the second is found worse: half of it, as rarely as a gate may fail by chance."""


def log_evidence(gained: int, lost: int) -> float:
    """Natural logarithm of E = 2^(b+c) · Beta(b+1, c+1), b prompts gained and c lost so far.

    The likelihood of the flips if a gain is as likely as anything between 0 and 1, by that of fair
    flips; prompts that do not differ say nothing. If gain and loss are equally likely, E is a
    martingale that begins at 1, so it ever reaches 1/alpha in at most the share alpha of cases,
    wherever one stops. Source: Ville 1939, "Étude critique de la notion de collectif"; Ramdas et
    al. 2023, "Game-theoretic statistics and safe anytime-valid inference".
    """
    beta = math.lgamma(gained + 1) + math.lgamma(lost + 1) - math.lgamma(gained + lost + 2)
    return (gained + lost) * math.log(2) + beta


def decided(gained: int, lost: int) -> bool:
    """Whether so many flips decide between two models, however often one looks.

    The sign of gained - lost is the direction. A model that is no better is found better in at most
    about ALPHA/2 of cases, and one that is no worse is found worse in at most about ALPHA_WORSE/2:
    at the end nearly all weight of E lies on one side. Flips must be independent: prompts of one
    group are one.
    """
    return log_evidence(gained, lost) >= -math.log(ALPHA if gained > lost else ALPHA_WORSE)
