"""Reading what a judge wrote: strictly, else mended and marked so, else refused with the reason.

A judgement carries the code of its question. JSON without it is not the judge's own: it may be a
verdict that the judged text holds and the judge repeats. That is why no schema may give the code
away, and why it is compared before anything else is looked at.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import JsonValue

from punie.records.judgement import JudgeFaultKind
from punie.records.result import Completion
from punie.scoring.json_text import as_json, find_json, is_array, is_object, parse_json, same, show
from punie.scoring.structured import REPAIR_LIMIT
from punie.scoring.text import answer_text

T = TypeVar("T")
CODE = "code"
"""The key under which a judge gives the code of its question back."""
_WHOLE_FENCE = re.compile(r"\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*", re.DOTALL | re.IGNORECASE)


class UnreadableError(ValueError):
    """What a judge wrote is no judgement: `kind` says why in a word, `why` in a sentence."""

    def __init__(self, kind: JudgeFaultKind, why: str) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """A judgement that could be read; `repaired` if not without mending it."""

    value: T
    repaired: bool = False


Take = Callable[[dict[str, Any]], Read[T]]
"""From a judge's object to what it means; raises UnreadableError where it means nothing."""


def read_judgement(completion: Completion, code: str, take: Take[T]) -> Read[T]:
    """The judgement in a completion: one JSON object, alone or in a code fence, with the `code`.

    JSON that is broken, or stands in prose, is mended or found and then marked as repaired, unless
    the completion was cut off: half a number is a number. Raises UnreadableError.
    """
    text = answer_text(completion)
    fence = _WHOLE_FENCE.fullmatch(text)
    try:
        found = parse_json(fence[1] if fence else text)
    except ValueError as problem:
        if completion.finish_reason == "length":
            raise UnreadableError(JudgeFaultKind.CUT, "it ended at its token limit") from None
        read = take(_mended(text, code, str(problem)))
        return Read(read.value, repaired=True)
    if not is_object(found):
        why = f"it should be a JSON object, not {show(found, 40)}"
        raise UnreadableError(JudgeFaultKind.FORM, why)
    _require_code(found, code)
    return take(found)


def _mended(text: str, code: str, problem: str) -> dict[str, Any]:
    """The one object with the code that prose or broken JSON holds."""
    objects = list(_objects(text))
    sealed: list[dict[str, Any]] = []
    for each in objects:
        if each.get(CODE) == code and not any(same(each, other) for other in sealed):
            sealed.append(each)
    if len(sealed) > 1:
        why = "it holds several judgements that differ"
        raise UnreadableError(JudgeFaultKind.SEVERAL, why)
    if sealed:
        return sealed[0]
    if objects:
        _require_code(objects[0], code)
    raise UnreadableError(JudgeFaultKind.PROSE, f"it is no JSON object: {problem}")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Objects that stand in the text whole; where there is none, what its repair makes of it."""
    whole = [value for value, _, _ in find_json(text) if is_object(value)]
    yield from whole
    if whole or "{" not in text or len(text) > REPAIR_LIMIT:
        return
    import json_repair  # noqa: PLC0415 - only broken judgements need it

    try:
        value: JsonValue = as_json(json_repair.loads(text, skip_json_loads=True))
    except (ValueError, RecursionError):
        return
    for each in value if is_array(value) else [value]:
        if is_object(each) and each:
            yield each


def _require_code(found: dict[str, Any], code: str) -> None:
    if found.get(CODE) != code:
        why = f"its {CODE} should be {code}, not {show(found.get(CODE), 40)}"
        raise UnreadableError(JudgeFaultKind.UNSEALED, why)
