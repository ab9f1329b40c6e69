"""The JSON Schema of a suite file, for editors: made of the forms that read it."""

import ast
import inspect
from typing import Any

from punie.scoring.json_text import is_array, is_object
from punie.suites import file_form

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_SHORTHANDS: dict[str, list[dict[str, Any]]] = {
    "Keywords": [_TEXTS],
    "Exact": [{"type": "string"}, _TEXTS],
    "Number": [{"type": "number"}],
    "ToolCalls": [{"type": "array", "items": {"$ref": "#/$defs/ExpectedCall"}}],
    "Python": [{"const": True}, {"type": "array", "items": {"type": "string"}}],
}
"""What the scorers' own validators also take, which pydantic cannot see."""


def suite_schema() -> dict[str, Any]:
    """Build the JSON Schema (2020-12) of a suite's YAML."""
    schema = file_form.SuiteForm.model_json_schema(mode="validation")
    definitions = schema["$defs"]
    for name, documented in _docstrings().items():
        properties = (schema if name == "SuiteForm" else definitions.get(name, {})).get(
            "properties"
        )
        for field, text in documented.items():
            if properties and field in properties:
                properties[field]["description"] = text
    for name, others in _SHORTHANDS.items():
        full = definitions[name]
        definitions[name] = {"description": full.get("description", ""), "anyOf": [full, *others]}
    prompt = definitions["PromptForm"]
    prompt["oneOf"] = [
        {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
        {"required": ["messages"], "properties": {"messages": {"type": "array"}}},
    ]
    return {"$schema": DIALECT, "title": "punie suite", **_without_titles(schema)}


def _docstrings() -> dict[str, dict[str, str]]:
    """What stands under each field of each form, inherited fields included.

    Read from the source here, and not by pydantic at each import, where it costs 15 ms.
    """
    classes = [
        node
        for node in ast.parse(inspect.getsource(file_form)).body
        if isinstance(node, ast.ClassDef)
    ]
    found: dict[str, dict[str, str]] = {}
    for node in classes:
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        found[node.name] = {k: v for base in bases for k, v in found.get(base, {}).items()}
        for field, after in zip(node.body, node.body[1:], strict=False):
            match field, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[node.name][name] = inspect.cleandoc(text)
                case _:
                    pass
    return found


def _without_titles(schema: Any, *, names: bool = False) -> Any:
    """Drop the titles that pydantic makes of field names; `names`: the keys are the file's own."""
    if is_array(schema):
        return [_without_titles(each) for each in schema]
    if not is_object(schema):
        return schema
    return {
        key: _without_titles(value, names=not names and key in {"properties", "$defs"})
        for key, value in schema.items()
        if names or key != "title" or not isinstance(value, str)
    }
