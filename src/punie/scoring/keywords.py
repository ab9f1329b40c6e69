"""Keywords: words that must stand in an answer, or must not."""

import re
from collections.abc import Callable
from functools import lru_cache

from punie.records.expect import Keywords
from punie.records.result import Completion, Culprit, Score
from punie.scoring.expressions import finds
from punie.scoring.grade import grade, quote, unanswered, was_cut
from punie.scoring.text import fold

REGEX_TEXT_LIMIT = 10_000
"""Characters that a regular expression of a suite is run on; its time is bounded as well."""


def score_keywords(expectation: Keywords, completion: Completion, text: str) -> Score:
    """The share of met conditions: each of `all` and `none` is one, `any` together is one."""
    empty = unanswered(text, completion)
    if empty:
        # An empty answer avoids every forbidden word; that earns nothing.
        return grade(expectation, 0.0, empty, f"expected {_wish(expectation)}, got no answer")
    if expectation.match == "regex":
        folded = text[:REGEX_TEXT_LIMIT]
    else:
        folded = fold(text, case=expectation.case)
    finder = _FINDERS[expectation.match]

    def found(keyword: str) -> bool:
        return finder(keyword, expectation.case, folded)

    missing = [word for word in expectation.all if not found(word)]
    forbidden = [word for word in expectation.none if found(word)]
    lacks_any = bool(expectation.any) and not any(map(found, expectation.any))
    conditions = len(expectation.all) + len(expectation.none) + bool(expectation.any)
    misses = len(missing) + len(forbidden) + lacks_any
    if not misses:
        return grade(expectation, 1.0)
    if missing or lacks_any:
        wanted = [*map(quote, missing)]
        if lacks_any:
            wanted.append("one of " + ", ".join(map(quote, expectation.any)))
        culprit = Culprit.TRUNCATED if was_cut(completion) else Culprit.MISSING_KEYWORD
        note = f"expected {', '.join(wanted)}, got {quote(text)}"
    else:
        culprit = Culprit.FORBIDDEN_KEYWORD
        note = f"expected no {', '.join(map(quote, forbidden))}, got {quote(text)}"
    details = {"met": conditions - misses, "of": conditions}
    return grade(expectation, (conditions - misses) / conditions, culprit, note, {**details})


def _wish(expectation: Keywords) -> str:
    return ", ".join(map(quote, expectation.all or expectation.any)) or "an answer"


@lru_cache(maxsize=4096)
def _whole_word(keyword: str, case: bool) -> re.Pattern[str]:  # noqa: FBT001 - a cache key
    """A keyword between word boundaries, where it has letters there: `C++` has one on the left."""
    words = fold(keyword, case=case).split() or [keyword]
    body = r"\s+".join(map(re.escape, words))
    left = r"(?<!\w)" if re.match(r"\w", words[0]) else ""
    right = r"(?!\w)" if re.search(r"\w\Z", words[-1]) else ""
    return re.compile(left + body + right)


@lru_cache(maxsize=4096)
def _part(keyword: str, case: bool) -> str:  # noqa: FBT001 - a cache key
    return fold(keyword, case=case)


_FINDERS: dict[str, Callable[[str, bool, str], bool]] = {
    "word": lambda keyword, case, text: _whole_word(keyword, case).search(text) is not None,
    "substring": lambda keyword, case, text: _part(keyword, case) in text,
    "regex": lambda keyword, case, text: finds(keyword, text, case=case),
}
