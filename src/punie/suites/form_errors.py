"""pydantic's errors in the words of someone who wrote the file, at the place that they wrote."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from punie.records import expect as scorers
from punie.records.suite import FunctionCall, HistoryCall, Tool
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest, wording
from punie.sources.yaml_source import DataPath
from punie.suites import file_form as form

_EXPECT = ("expect",)
_NESTED: dict[tuple[str, ...], type[Any]] = {
    ("defaults",): form.DefaultsForm,
    ("tools",): Tool,
    ("tools", "function"): form.FunctionForm,
    ("messages",): form.MessageForm,
    ("messages", "content"): form.TextPart,
    ("messages", "tool_calls"): HistoryCall,
    ("messages", "tool_calls", "function"): FunctionCall,
    _EXPECT: scorers.Expect,
    (*_EXPECT, "keywords"): scorers.Keywords,
    (*_EXPECT, "exact"): scorers.Exact,
    (*_EXPECT, "number"): scorers.Number,
    (*_EXPECT, "json"): scorers.Json,
    (*_EXPECT, "tool_calls"): scorers.ToolCalls,
    (*_EXPECT, "tool_calls", "calls"): scorers.ExpectedCall,
    (*_EXPECT, "python"): scorers.Python,
}
"""Which form stands under which keys; the root is the form that was validated."""

_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})


def form_errors(error: ValidationError, root: type[BaseModel], data: Any) -> Iterator[FormError]:
    """Translate every error that pydantic found when `root` was validated from `data`."""
    for each in error.errors(include_url=False):
        location = tuple(step for step in each["loc"] if step not in form.UNION_TAGS)
        path = path_in(data, location)
        if each["type"] in _UNKNOWN:
            known = known_keys(root, location[:-1])
            yield FormError(path, f"unknown key{nearest(str(location[-1]), known)}", key=True)
        else:
            yield FormError(path, wording(each["type"], each["msg"], each["input"]))


def known_keys(root: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Name the keys that the form at `location` has."""
    names = tuple(step for step in location if isinstance(step, str))
    owner = _NESTED.get(names, root) if names else root
    if is_dataclass(owner):
        return [field.name for field in fields(owner)]
    return list(owner.model_fields)


def path_in(data: Any, location: tuple[str | int, ...]) -> DataPath:
    """Drop the steps that the file does not have, since a scorer's shorthand skips them."""
    path: list[str | int] = []
    here: Any = data
    for i, step in enumerate(location):
        if is_object(here):
            present = step in here
            here = here[str(step)] if present else None
            if present or i == len(location) - 1:
                path.append(step)
        elif is_array(here) and isinstance(step, int) and step < len(here):
            here = here[step]
            path.append(step)
    return tuple(path)
