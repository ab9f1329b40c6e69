"""The tools of a row: OpenAI's definitions, or bare ones, as `Tool`s. Equal lists are kept once."""

import re
from collections.abc import Iterator
from typing import Any

from punie.datasets.turns import unknown_keys
from punie.records.suite import Tool
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest
from punie.sources.yaml_source import DataPath

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEYS = ["name", "description", "parameters", "strict"]
"""`strict` is OpenAI's switch for constrained decoding: read, and of no use to training."""


class ToolSets:
    """Reads lists of tools, and remembers: most rows of a dataset have the same few."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Tool, ...]] = {}

    def read(self, given: Any, faults: list[FormError]) -> tuple[Tool, ...]:
        """Read `tools` of a row; what is wrong with them is added to `faults`."""
        if given is None:
            return ()
        spelled = repr(given)
        known = self._known.get(spelled)
        if known is not None:
            return known
        before = len(faults)
        tools = _tools(given, faults)
        if len(faults) == before:
            self._known[spelled] = tools
        return tools


def _tools(given: Any, faults: list[FormError]) -> tuple[Tool, ...]:
    if not is_array(given):
        faults.append(FormError(("tools",), "should be a list of tools"))
        return ()
    tools: list[Tool] = []
    for i, each in enumerate(given):
        tool = _tool(each, ("tools", i), faults)
        if tool is None:
            continue
        if any(tool.name == other.name for other in tools):
            faults.append(FormError(("tools", i), f"a second tool is named {tool.name!r}"))
        tools.append(tool)
    return tuple(tools)


def _tool(given: Any, here: DataPath, faults: list[FormError]) -> Tool | None:
    if is_object(given) and "function" in given:
        if given.get("type", "function") != "function":
            faults.append(FormError((*here, "type"), "should be function"))
        given = given["function"]
        here = (*here, "function")
    if not is_object(given):
        faults.append(FormError(here, "should be a tool: {name, description, parameters}"))
        return None
    before = len(faults)
    faults.extend(unknown_keys(given, _KEYS, here))
    faults.extend(_member_faults(given, here))
    if len(faults) > before:
        return None
    parts: dict[str, Any] = {k: given[k] for k in _KEYS[:3] if given.get(k) is not None}
    return Tool(**parts)


def _member_faults(given: dict[str, Any], here: DataPath) -> Iterator[FormError]:
    name = given.get("name")
    if name is None:
        yield FormError(here, "a tool needs a name")
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        what = "should be at most 64 letters, digits, _, . and -"
        yield FormError((*here, "name"), what)
    if not isinstance(given.get("description"), str | None):
        yield FormError((*here, "description"), "should be a text")
    parameters = given.get("parameters")
    if is_object(parameters):
        yield from _schema_faults(parameters, (*here, "parameters"))
    elif parameters is not None:
        yield FormError((*here, "parameters"), "should be the JSON Schema of an object")


def _schema_faults(parameters: dict[str, Any], here: DataPath) -> Iterator[FormError]:
    """As far as templates and suites rely on the schema of a tool's arguments."""
    if parameters.get("type", "object") != "object":
        yield FormError((*here, "type"), "should be object")
    properties = parameters.get("properties", {})
    if not is_object(properties):
        yield FormError((*here, "properties"), "should be a mapping of names to schemas")
        return
    for name, schema in properties.items():
        if not isinstance(schema, dict | bool):
            yield FormError((*here, "properties", name), "should be a JSON Schema")
    required = parameters.get("required", [])
    if not is_array(required):
        yield FormError((*here, "required"), "should be a list of names")
        return
    for i, name in enumerate(required):
        if not isinstance(name, str) or name not in properties:
            what = f"{name!r} is required but no property{nearest(str(name), list(properties))}"
            yield FormError((*here, "required", i), what)
