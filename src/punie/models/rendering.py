"""Rendering a chat template in the environment that transformers gives it, but without it."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class ChatTemplate:
    """One template and the special tokens that it may write."""

    def __init__(self, source: str, settings: Mapping[str, Any]) -> None:
        self._source = source
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        self._tokens = {name: _token_text(settings.get(name)) for name in names}

    def render(
        self,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None = None,
        enable_thinking: bool = False,
    ) -> str:
        """The prompt, or "" where the template refuses these messages or is broken."""
        variables: dict[str, Any] = {
            **self._tokens,
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": True,
            "enable_thinking": enable_thinking,
        }
        try:
            return _environment().from_string(self._source).render(variables)
        except (
            TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ):
            return ""


class _Generation(Extension):
    """`{% generation %}` marks what the model wrote; for the prompt it means nothing."""

    tags: ClassVar[set[str]] = {"generation"}  # pyright: ignore[reportIncompatibleVariableOverride]

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    own: dict[str, Any] = {"raise_exception": _raise, "strftime_now": _now}
    cast("dict[str, Any]", environment.globals).update(own)
    return environment


def _raise(message: str) -> None:
    raise TemplateError(message)


def _now(form: str) -> str:
    return dt.datetime.now().astimezone().strftime(form)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=options.pop("ensure_ascii", False), **options)


def _token_text(token: Any) -> str:
    found: Any = cast("dict[str, Any]", token).get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""
