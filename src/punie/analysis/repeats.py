"""Several answers to one prompt: what k of them would do together."""

from math import comb


def pass_at_k(n: int, right: int, k: int) -> float:
    """Chance that at least one of k answers is right, from `right` of n: 1 - C(n-c,k)/C(n,k).

    Source: Chen et al. 2021, "Evaluating large language models trained on code". Unbiased. Raises
    ValueError unless 1 <= k <= n and 0 <= right <= n.
    """
    _require(n, right, k)
    return 1 - comb(n - right, k) / comb(n, k)


def pass_hat_k(n: int, right: int, k: int) -> float:
    """Chance that all of k answers are right, from `right` of n: C(c,k)/C(n,k).

    Source: Yao et al. 2024, "tau-bench: a benchmark for tool-agent-user interaction in real-world
    domains". Unbiased. Raises ValueError unless 1 <= k <= n and 0 <= right <= n.
    """
    _require(n, right, k)
    return comb(right, k) / comb(n, k)


def _require(n: int, right: int, k: int) -> None:
    if not (1 <= k <= n and 0 <= right <= n):
        msg = f"no chance of {k} answers from {right} right of {n}"
        raise ValueError(msg)
