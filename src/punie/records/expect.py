"""What a prompt expects: one class per scorer, holding its settings and its version.

A scorer's `version` is part of the prompt's hash: when the same answer would get another score, the
version grows, and runs from before are no longer paired with runs from after.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeGuard

from pydantic import Field, JsonValue, model_validator
from pydantic.dataclasses import dataclass

from punie.records.base import SLIM

PassAt = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(gt=0)]


def _is_list(value: Any) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Keywords:
    """Words that must be there (`all`), of which one must (`any`), or that must not (`none`).

    The value is the share of met conditions: each of `all` and of `none` is one, `any` is one.
    `match` is how a keyword is looked for: as a whole word, a substring, or a regular expression.
    """

    kind: ClassVar[str] = "keywords"
    version: ClassVar[int] = 1

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    match: Literal["word", "substring", "regex"] = "word"
    case: bool = False
    weight: Weight = 1.0
    pass_at: PassAt = 1.0

    @model_validator(mode="before")
    @classmethod
    def _a_list_means_all(cls, value: Any) -> Any:
        return {"all": value} if _is_list(value) else value

    @model_validator(mode="after")
    def _asks_for_something(self) -> "Keywords":
        if not (self.all or self.any or self.none):
            msg = "needs at least one keyword under all, any or none"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Exact:
    """One of the accepted `values`, compared after trimming and folding white space.

    Unless `case` is set, letters are folded; a final full stop or quotes around it do not count.
    """

    kind: ClassVar[str] = "exact"
    version: ClassVar[int] = 1

    values: Annotated[tuple[str, ...], Field(min_length=1)]
    case: bool = False
    weight: Weight = 1.0
    pass_at: PassAt = 1.0

    @model_validator(mode="before")
    @classmethod
    def _a_text_is_the_only_value(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"values": (value,)}
        return {"values": value} if _is_list(value) else value


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Number:
    """A number, found as the last one in the prose; thousands separators are understood.

    Right if within `tolerance` (absolute) or `relative` (a share of `value`) of `value`.
    """

    kind: ClassVar[str] = "number"
    version: ClassVar[int] = 1

    value: Annotated[float, Field(allow_inf_nan=False)]
    tolerance: Annotated[float, Field(ge=0)] = 1e-9
    relative: Annotated[float, Field(ge=0)] = 0.0
    weight: Weight = 1.0
    pass_at: PassAt = 1.0

    @model_validator(mode="before")
    @classmethod
    def _a_number_is_the_value(cls, value: Any) -> Any:
        bare = isinstance(value, int | float) and not isinstance(value, bool)
        return {"value": value} if bare else value


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Json:
    """JSON that parses, fits `schema`, and whose fields are those of `gold`.

    With `gold` the value is the F1 of its leaf fields (path and value), else 1 or 0. Without
    either, parsing is enough. JSON that had to be repaired scores 0; what it would have scored
    stands beside it.
    """

    kind: ClassVar[str] = "json"
    version: ClassVar[int] = 1

    schema: dict[str, JsonValue] | None = None
    gold: JsonValue = None
    weight: Weight = 1.0
    pass_at: PassAt = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class ExpectedCall:
    """One call that must be made.

    An argument's value is a pattern: a plain value accepts itself; `{any_of: [...]}` accepts any of
    the patterns in it, and with `optional: true` the argument may be left out. Patterns nest in
    dicts and lists.
    """

    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class ToolCalls:
    """The calls that must be made; an empty list means that the model should abstain.

    The value is the share of right calls among the larger of expected and made ones. `strict`
    counts `"5"` for 5 as a wrong type (an int where the tool's schema says number is fine either
    way); otherwise such a value is compared after conversion.
    """

    kind: ClassVar[str] = "tool_calls"
    version: ClassVar[int] = 1

    calls: tuple[ExpectedCall, ...] = ()
    ordered: bool = False
    strict: bool = True
    weight: Weight = 1.0
    pass_at: PassAt = 1.0

    @model_validator(mode="before")
    @classmethod
    def _a_list_is_the_calls(cls, value: Any) -> Any:
        return {"calls": value} if _is_list(value) else value


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Python:
    """Python source that `ast.parse` accepts and that defines the named functions or classes.

    The source is the first fenced block, or the whole answer where there is none. Nothing is run.
    """

    kind: ClassVar[str] = "python"
    version: ClassVar[int] = 1

    defines: tuple[str, ...] = ()
    weight: Weight = 1.0
    pass_at: PassAt = 1.0

    @model_validator(mode="before")
    @classmethod
    def _true_means_it_parses(cls, value: Any) -> Any:
        if value is True:
            return {}
        return {"defines": value} if _is_list(value) else value


Expectation = Keywords | Exact | Number | Json | ToolCalls | Python


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Expect:
    """The scorers of one prompt; none at all means that only being answered counts."""

    keywords: Keywords | None = None
    exact: Exact | None = None
    number: Number | None = None
    json: Json | None = None
    tool_calls: ToolCalls | None = None
    python: Python | None = None

    def __iter__(self) -> Iterator[Expectation]:
        for expectation in (
            self.keywords,
            self.exact,
            self.number,
            self.json,
            self.tool_calls,
            self.python,
        ):
            if expectation is not None:
                yield expectation
