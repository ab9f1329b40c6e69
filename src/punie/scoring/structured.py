"""JSON answers: do they parse, fit a schema, hold the gold fields."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue

from punie.records.expect import Json
from punie.records.result import Completion, Culprit, Score
from punie.scoring.grade import grade, quote, unanswered, was_cut
from punie.scoring.json_schema import misfits
from punie.scoring.json_text import as_json, is_array, is_object, parse_json, show
from punie.scoring.text import fenced_blocks

REPAIR_LIMIT = 4_000
"""Characters of broken JSON up to which repair is tried: its cost can grow with their square (half
a second at this length for text such as `{"{"{"`)."""

Leaf = tuple[tuple[str | int, ...], str, JsonValue]
"""A field's path, its JSON type, its value: hashable, and 5 equals 5.0 but neither True nor "5"."""


def score_json(expectation: Json, completion: Completion, text: str) -> Score:
    """F1 of the gold's leaf fields, or 1 where there is no gold; 0 if unparsable or misfitting."""
    empty = unanswered(text, completion)
    if empty:
        return grade(expectation, 0.0, empty, "expected JSON, got no answer")
    try:
        finding = _judge(expectation, parse_json(json_part(text)))
    except ValueError as problem:
        return _broken(expectation, completion, text, str(problem))
    return grade(expectation, finding.value, finding.culprit, finding.note, finding.details)


def json_part(text: str) -> str:
    """Where the JSON of an answer stands.

    It is the first fenced block named json, else the first block, else the whole answer.
    """
    blocks = fenced_blocks(text)
    named = [block for block in blocks if block.language.startswith("json")]
    chosen = (named or blocks or [None])[0]
    return chosen.content if chosen else text


@dataclass(frozen=True, slots=True)
class _Finding:
    value: float
    culprit: Culprit | None = None
    note: str = ""
    details: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


def _judge(expectation: Json, made: JsonValue) -> _Finding:
    details: dict[str, JsonValue] = {}
    value, note = 1.0, ""
    if expectation.gold is not None:
        value, note = _compare(expectation.gold, made, details)
    if expectation.schema is not None:
        misfit = next(misfits(expectation.schema, made), None)
        if misfit is not None:
            note = f"expected JSON that fits the schema, got at {misfit.path}: {misfit.what}"
            return _Finding(0.0, Culprit.SCHEMA_MISMATCH, note, details)
    return _Finding(value, Culprit.WRONG_FIELD if value < 1 else None, note, details)


def _compare(gold: JsonValue, made: JsonValue, details: dict[str, JsonValue]) -> tuple[float, str]:
    """F1 and what first differs. F1 = 2PR/(P+R), as in van Rijsbergen, Information Retrieval."""
    wanted, found = Counter(leaves(gold)), Counter(leaves(made))
    right = (wanted & found).total()
    details["precision"] = right / found.total()
    details["recall"] = right / wanted.total()
    value = details["f1"] = 2 * right / (wanted.total() + found.total())
    missed = next(iter(wanted - found), None)
    extra = next(iter(found - wanted), None)
    if missed is not None:
        at = {leaf[0]: leaf[2] for leaf in found}
        got = show(at[missed[0]]) if missed[0] in at else "no such field"
        return value, f"expected {_path(missed)} {show(missed[2])}, got {got}"
    if extra is not None:
        return value, f"expected no {_path(extra)}, got {show(extra[2])}"
    return value, ""


def leaves(value: JsonValue, path: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """The leaf fields of a JSON value; an empty object or list is a leaf itself."""
    if is_object(value) and value:
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif is_array(value) and value:
        for index, each in enumerate(value):
            yield from leaves(each, (*path, index))
    elif is_object(value) or is_array(value):
        yield path, type(value).__name__, None
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield path, "number" if number else type(value).__name__, value


def _path(leaf: Leaf) -> str:
    keys = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in leaf[0])
    return "".join(keys).removeprefix(".") or "value"


def _broken(expectation: Json, completion: Completion, text: str, problem: str) -> Score:
    """Unparsable JSON scores 0; what its repair would have scored stands in the details."""
    details: dict[str, JsonValue] = {}
    culprit = Culprit.INVALID_JSON
    repaired = _repair(text)
    if repaired is not None:
        culprit = Culprit.REPAIRED_JSON
        details["repaired"] = _judge(expectation, repaired).value
    if was_cut(completion):
        culprit = Culprit.TRUNCATED
    note = f"expected JSON, got {quote(text)} ({problem})"
    return grade(expectation, 0.0, culprit, note, details)


def _repair(text: str) -> JsonValue:
    """An object or a list that could be made of broken JSON or found in prose; None without one."""
    if len(text) > REPAIR_LIMIT:
        return None
    import json_repair  # noqa: PLC0415 - only broken answers need it

    try:
        value = as_json(json_repair.loads(text, skip_json_loads=True))
    except (ValueError, RecursionError):
        return None
    return value if value and (is_object(value) or is_array(value)) else None
