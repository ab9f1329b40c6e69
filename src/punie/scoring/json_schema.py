"""JSON Schemas of a suite: compiled once, never fetching anything, and for a bounded time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol, cast

from pydantic import JsonValue

from punie.errors import InputError
from punie.scoring.expressions import SECONDS, UnscorableError, expression_fault, finds
from punie.scoring.json_text import is_array, is_object

_CACHE_SIZE = 512
_SHALLOW: tuple[JsonValue, ...] = ({}, [], "", 0, None)
"""Values on which a schema that can be used ends at once."""


class _Error(Protocol):
    """What is read of `jsonschema.ValidationError`."""

    message: str
    json_path: str
    validator: str
    absolute_path: Sequence[str | int]
    context: Sequence["_Error"]


class _Validator(Protocol):
    """What is used of a `jsonschema` validator."""

    def iter_errors(self, instance: JsonValue) -> Iterator[_Error]: ...
    def descend(
        self, instance: JsonValue, schema: JsonValue, path: str = "", schema_path: str = ""
    ) -> Iterator[_Error]: ...


class _Keyword(Protocol):
    """What judges a value by one keyword of a schema."""

    def __call__(
        self, validator: _Validator, rule: Any, value: JsonValue, schema: dict[str, Any], /
    ) -> Iterator[_Error] | None: ...


@dataclass(frozen=True, slots=True)
class Misfit:
    """Where a value does not fit a schema, what the schema says, and whether it is the type."""

    path: str
    what: str
    keys: tuple[str | int, ...] = ()
    is_type: bool = False


_compiled: dict[int, tuple[dict[str, JsonValue], _Validator]] = {}
_ends_at: ContextVar[float] = ContextVar("_ends_at")


def misfits(schema: dict[str, JsonValue], value: JsonValue) -> Iterator[Misfit]:
    """Every way in which `value` does not fit.

    Raises InputError if the schema itself is unusable, UnscorableError where it takes more than
    `SECONDS` of processor time.
    """
    from jsonschema.exceptions import UnknownType  # noqa: PLC0415 - most runs need no schema
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - as above

    validator = _validator(schema)
    _ends_at.set(time.process_time() + SECONDS)
    try:
        for error in validator.iter_errors(value):
            keys = tuple(error.absolute_path)
            yield Misfit(error.json_path, error.message, keys, _is_type(error))
    except (UnknownType, Unresolvable) as problem:
        raise _unusable(str(problem).splitlines()[0]) from problem
    except (RecursionError, ValueError):
        # Too deep for the schema's references, or an int of more digits than Python writes.
        yield Misfit("$", "a value that is too deep or too long to validate")


def schema_fault(schema: Any) -> str:
    """Why a value cannot be used as a JSON Schema, or an empty text.

    It must be one, all its references must lead somewhere inside it, its expressions must be fast,
    and it must come to an end.
    """
    from jsonschema.exceptions import UnknownType  # noqa: PLC0415 - most runs need no schema

    try:
        validator = _compile(schema)
        _follow_references(schema)
        for pattern in _expressions(schema):
            if fault := expression_fault(pattern):
                return f"its pattern {pattern:.80} {fault}"
        _ends_at.set(time.process_time() + SECONDS)
        for value in _SHALLOW:
            for _ in validator.iter_errors(value):
                pass
    except RecursionError:
        return "refers to itself without end"
    except InputError as error:
        return error.message
    except UnknownType as error:
        return f"this is no valid JSON Schema: {error.type!r} is no type"
    return ""


def _follow_references(schema: Any) -> None:
    """Raise InputError for a reference that leads nowhere, or out of the schema."""
    from referencing import Registry, Resource  # noqa: PLC0415 - most runs need no schema
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - as above
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415 - as above

    root: Any = cast("Any", Resource).from_contents(schema, default_specification=DRAFT202012)
    registry: Any = cast("Any", Registry)()
    pending: list[tuple[Any, Any]] = [(root, registry.resolver_with_root(root))]
    while pending:
        resource, resolver = pending.pop()
        resolver = resolver.in_subresource(resource)
        contents = resource.contents
        for keyword in ("$ref", "$dynamicRef"):
            reference = contents.get(keyword) if is_object(contents) else None
            if isinstance(reference, str):
                try:
                    resolver.lookup(reference)
                except (Unresolvable, ValueError, LookupError, TypeError) as error:
                    raise InputError(
                        f"its {keyword} {reference:.80} leads nowhere inside it"
                    ) from error
        pending.extend((each, resolver) for each in resource.subresources())


def _expressions(schema: Any) -> Iterator[str]:
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if is_array(part):
            pending.extend(part)
        elif is_object(part):
            if isinstance(part.get("pattern"), str):
                yield part["pattern"]
            if is_object(part.get("patternProperties")):
                yield from part["patternProperties"]
            pending.extend(part.values())


def _is_type(error: _Error) -> bool:
    """Whether a value has the wrong type, for a choice of schemas: for each of them."""
    if error.validator in ("anyOf", "oneOf"):
        return bool(error.context) and all(map(_is_type, error.context))
    return error.validator == "type"


def _validator(schema: dict[str, JsonValue]) -> _Validator:
    """The schema's validator, kept by the schema's identity: prompts share and keep theirs."""
    known = _compiled.get(id(schema))
    if known is not None and known[0] is schema:
        return known[1]
    validator = _compile(schema)
    if len(_compiled) >= _CACHE_SIZE:
        _compiled.clear()
    # The schema is kept beside it, so that its id is not given to another one.
    _compiled[id(schema)] = (schema, validator)
    return validator


def _compile(schema: Any) -> _Validator:
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - as above
    from jsonschema.validators import validator_for  # noqa: PLC0415 - as above
    from referencing import Registry  # noqa: PLC0415 - as above

    try:
        kind: Any = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
    except SchemaError as problem:
        where = "/".join(str(step) for step in problem.absolute_path)
        message = problem.message if len(problem.message) <= 120 else f"{problem.message[:117]}..."
        raise _unusable(f"{message}{f' (at {where})' if where else ''}") from problem
    except RecursionError as problem:
        raise _unusable("it is nested too deeply") from problem
    _refuse_unbounded(schema)
    # An empty registry: a `$ref` to the network is an error and never a request.
    return cast("_Validator", _bounded(kind)(schema, registry=cast("Any", Registry)()))


def _refuse_unbounded(schema: Any) -> None:
    """Refuse the one pair of keywords for which jsonschema calls `re` where we cannot bound it."""
    found: set[str] = set()
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if is_object(part):
            found |= part.keys()
            pending.extend(part.values())
        elif is_array(part):
            pending.extend(part)
    if {"unevaluatedProperties", "patternProperties"} <= found:
        raise _unusable("unevaluatedProperties beside patternProperties is not supported")


def _bounded(kind: Any) -> Any:
    """The validator class `kind` with keywords that keep to the time."""
    from jsonschema import validators  # noqa: PLC0415 - as above

    if kind not in _bounded_kinds:
        keywords: dict[str, _Keyword] = {**kind.VALIDATORS, **_OWN_KEYWORDS}
        timed = {name: _timed(keyword) for name, keyword in keywords.items()}
        _bounded_kinds[kind] = cast("Any", validators).extend(kind, timed)
    return _bounded_kinds[kind]


_bounded_kinds: dict[Any, Any] = {}


def _timed(keyword: _Keyword) -> _Keyword:
    """Look at the clock before a keyword: whatever grows without end comes by here often."""

    @wraps(cast("Any", keyword))
    def within_the_time(
        validator: _Validator, rule: Any, value: JsonValue, schema: dict[str, Any], /
    ) -> Iterator[_Error] | None:
        if time.process_time() > _ends_at.get():
            raise UnscorableError(
                f"a JSON Schema of the suite takes more than {SECONDS:g} s on this answer",
                hint="make its choices and references simpler",
            )
        return keyword(validator, rule, value, schema)

    return within_the_time


def _error(what: str) -> _Error:
    from jsonschema import ValidationError  # noqa: PLC0415 - as above

    return cast("_Error", ValidationError(what))


def _pattern(
    _validator: _Validator, rule: Any, value: JsonValue, _schema: dict[str, Any], /
) -> Iterator[_Error]:
    if isinstance(value, str) and not finds(rule, value):
        yield _error(f"{value!r} does not match {rule!r}")


def _pattern_properties(
    validator: _Validator, rule: Any, value: JsonValue, _schema: dict[str, Any], /
) -> Iterator[_Error]:
    if is_object(value):
        for pattern, inner in rule.items():
            for key in value:
                if finds(pattern, key):
                    yield from validator.descend(value[key], inner, path=key, schema_path=pattern)


def _additional_properties(
    validator: _Validator, rule: Any, value: JsonValue, schema: dict[str, Any], /
) -> Iterator[_Error]:
    if not is_object(value):
        return
    named = schema.get("properties", {})
    patterns = list(schema.get("patternProperties", {}))
    others = [
        key for key in value if key not in named and not any(finds(each, key) for each in patterns)
    ]
    if is_object(rule):
        for key in others:
            yield from validator.descend(value[key], rule, path=key)
    elif rule is False and others:
        plural = "were" if len(others) > 1 else "was"
        names = ", ".join(map(repr, others))
        yield _error(f"Additional properties are not allowed ({names} {plural} unexpected)")


def _unique_items(
    _validator: _Validator, rule: Any, value: JsonValue, _schema: dict[str, Any], /
) -> Iterator[_Error]:
    """In one pass: jsonschema compares all pairs where the items cannot be sorted."""
    if rule and is_array(value) and len(set(map(_hashable, value))) < len(value):
        yield _error(f"{value!r:.200} has non-unique elements")


def _hashable(value: JsonValue) -> Any:
    if is_object(value):
        return frozenset((key, _hashable(each)) for key, each in value.items())
    if is_array(value):
        return tuple(map(_hashable, value))
    return (value, isinstance(value, bool))


_OWN_KEYWORDS: Mapping[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}


def _unusable(reason: str) -> InputError:
    return InputError(
        f"this is no valid JSON Schema: {reason}",
        hint="Mend the schema under `expect.json` or in the tool's parameters.",
    )
