"""Whether a machine gives the bits of another, by what each engine says decides them."""

LOOP_FORMAT = 1
"""Grows with every change of punie's own that changes the bits of a training: the order of rows,
what shares a batch and how wide it is, where logits are computed, and when what is updated."""


def other_bits(before: dict[str, str], now: dict[str, str]) -> str:
    """Why a training that goes on here may not give the bits of one that was never interrupted."""
    if now.get("device") == "gpu":
        return "a GPU does not promise the same bits twice"
    changed = [
        f"{key} was {before.get(key, 'unknown')} and is {now.get(key, 'unknown')}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    return "; ".join(changed)
