"""Renders a model's chat template in the environment that transformers gives it, within limits.

    python -m punie.backends.workers.template < request.json > answer.json

A template is a program that came with a download: it can loop without end or fill the memory. The
request names the templates, the special tokens and what to render; the answer has one text for each
rendering, empty where the template refuses or is broken.
"""

import contextlib
import datetime as dt
import json
import resource
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_S = 2
MEMORY_BYTES = 1 << 30
TEXT_LIMIT = 1_000_000
"""Characters of a rendering; the probes are a few hundred, the largest templates write 20,000."""


def main() -> None:
    """Read the request, render, write the answer."""
    _limit()
    request: dict[str, Any] = json.load(sys.stdin)
    try:
        texts = [_render(request, each) for each in request["renderings"]]
    except MemoryError:
        sys.exit("takes more memory than a template needs")
    json.dump({"texts": texts}, sys.stdout)


def _limit() -> None:
    """Take from this process what a template does not need. Some systems refuse some limits."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))


def _render(request: Mapping[str, Any], rendering: Mapping[str, Any]) -> str:
    variables: dict[str, Any] = {
        **request["tokens"],
        "documents": None,
        "add_generation_prompt": True,
        **rendering["variables"],
    }
    source = request["templates"].get(rendering["template"], "")
    length = 0
    parts: list[str] = []
    try:
        for part in _environment().from_string(source).generate(variables):
            length += len(part)
            if length > TEXT_LIMIT:
                sys.exit(f"writes more than {TEXT_LIMIT:,} characters")
            parts.append(part)
    except (
        TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        SyntaxError,
        TypeError,
        ValueError,
    ):
        return ""
    return "".join(parts).encode("utf-8", "replace").decode("utf-8")


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


if __name__ == "__main__":
    main()
