"""One field of a client's request at a time: what it may be, and how it is refused."""

import math
from collections.abc import Callable
from typing import Any, NoReturn, cast

MAX_STOPS = 16
MAX_BIASES = 1024
LEAST_TEMPERATURE = 1e-6
"""By which logits can be divided in float32; 0 takes the likeliest token instead."""
SEED_LIMIT = 2**64


class Refused(Exception):  # noqa: N818 - it reads as what happened, and is no PunieError
    """A request that is not passed on, with what its sender should know."""

    def __init__(self, message: str, *, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.status = status


def refuse(param: str, message: str) -> NoReturn:
    """Raise Refused for a field."""
    raise Refused(f"{param} {message}", param=param)


def truth(name: str, value: Any) -> bool:
    """A rule for true or false."""
    if not isinstance(value, bool):
        refuse(name, "must be true or false")
    return value


def string(name: str, value: Any) -> str:
    """A rule for text."""
    if not isinstance(value, str):
        refuse(name, "must be text")
    return value


def whole(low: int, high: float = math.inf) -> Callable[[str, Any], int]:
    """A rule for a whole number from `low` to `high`."""

    def rule(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            refuse(name, f"must be a whole number {_from_to(low, high)}")
        return value

    return rule


def real(low: float, high: float) -> Callable[[str, Any], float]:
    """A rule for a number from `low` to `high`."""

    def rule(name: str, value: Any) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            refuse(name, f"must be a number {_from_to(low, high)}")
        return value

    return rule


def _from_to(low: float, high: float) -> str:
    return f"from {low} to {high}" if high < math.inf else f"of at least {low}"


def _temperature(name: str, value: Any) -> float:
    if 0 < real(0, 2)(name, value) < LEAST_TEMPERATURE:
        refuse(name, f"must be 0, or at least {LEAST_TEMPERATURE}")
    return value


def _stop(name: str, value: Any) -> list[str]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or len(cast("list[Any]", given)) > MAX_STOPS:
        refuse(name, f"must be text or a list of at most {MAX_STOPS} texts")
    words = cast("list[Any]", given)
    for word in words:
        if not isinstance(word, str) or not word:
            refuse(name, "must hold texts that are not empty")
    return words


def logit_bias(value: Any, vocabulary: int | None) -> dict[str, float]:
    """Check the biases, all of tokens that exist."""
    name = "logit_bias"
    if not isinstance(value, dict):
        refuse(name, "must be an object of token ids and numbers")
    biases = cast("dict[str, Any]", value)
    if len(biases) > MAX_BIASES:
        refuse(name, f"may hold {MAX_BIASES} tokens at most")
    for token, bias in biases.items():
        if not (token.isascii() and token.isdecimal() and len(token) < 10):
            refuse(name, "must have token ids as its keys")
        if vocabulary is not None and int(token) >= vocabulary:
            refuse(name, f"names a token beyond the vocabulary's {vocabulary}")
        real(-100, 100)(name, bias)
    return biases


RULES: dict[str, Callable[[str, Any], Any]] = {
    "temperature": _temperature,
    "top_p": real(0, 1),
    "min_p": real(0, 1),
    "top_k": whole(0),
    "frequency_penalty": real(-2, 2),
    "presence_penalty": real(-2, 2),
    "repetition_penalty": real(0.01, 10),
    "seed": whole(0, SEED_LIMIT - 1),
    "stop": _stop,
    "logprobs": truth,
    "top_logprobs": whole(0, 11),
}
"""What is passed on as it is, each with its rule. The ranges are OpenAI's or mlx_lm's own."""
