"""Short answers: an exact text, or a number in prose."""

import re

from punie.records.expect import Exact, Number
from punie.records.result import Completion, Culprit, Score
from punie.scoring.grade import grade, quote, unanswered, was_cut
from punie.scoring.text import fold_answer

_NUMBER = re.compile(
    r"(?<![\w.])(?:(?<!\))[-+][$€£]?)?"  # a sign stands alone: 3-5 is a range
    r"(?:[0-9]{1,3}(?:[,_'\u00a0\u2009\u202f][0-9]{3})+(?![0-9])(?:\.[0-9]+)?"
    r"|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]+)?"
)
_SEPARATORS = str.maketrans("", "", ",_'\u00a0\u2009\u202f$€£")
_MARKED = re.compile(r"\\boxed\{([^{}]*)\}|####([^\n]*)")


def score_exact(expectation: Exact, completion: Completion, text: str) -> Score:
    """1 if the whole answer is one of the values once both are folded, else 0."""
    folded = fold_answer(text, case=expectation.case)
    if any(folded == fold_answer(value, case=expectation.case) for value in expectation.values):
        return grade(expectation, 1.0)
    wanted = " or ".join(map(quote, expectation.values))
    culprit = unanswered(text, completion) or Culprit.WRONG_ANSWER
    return grade(expectation, 0.0, culprit, f"expected {wanted}, got {quote(text)}")


def score_number(expectation: Number, completion: Completion, text: str) -> Score:
    """1 if the answer's number is near enough to the value, else 0."""
    found = find_number(text)
    value = expectation.value
    margin = max(expectation.tolerance, expectation.relative * abs(value))
    if found is not None and abs(found - value) <= margin:
        return grade(expectation, 1.0)
    if was_cut(completion):
        culprit = Culprit.TRUNCATED  # what was found is a step on the way
    elif found is None:
        culprit = unanswered(text, completion) or Culprit.NO_NUMBER
    else:
        culprit = Culprit.WRONG_ANSWER
    got = quote(text) if found is None else f"{found:.15g}"
    return grade(expectation, 0.0, culprit, f"expected {value:.15g}, got {got}")


def find_number(text: str) -> float | None:
    r"""The number that prose ends with, or the one it marks as its answer; None without any.

    `\boxed{42}` and `#### 42` (the forms of MATH and GSM8K) go before a later number. English
    notation: `,` parts thousands and `.` the fraction; `_`, `'` and hard spaces part thousands too.
    A number too large for a float is infinite.
    """
    text = text.replace("\N{MINUS SIGN}", "-").replace("{,}", ",")
    last = None
    if "boxed" in text or "####" in text:
        for marked in _MARKED.finditer(text):
            last = _last_number(marked[1] or marked[2] or "") or last
    last = last or _last_number(text)
    return float(last.translate(_SEPARATORS)) if last else None


def _last_number(text: str) -> str | None:
    last = None
    for match in _NUMBER.finditer(text):
        last = match[0]
    return last
