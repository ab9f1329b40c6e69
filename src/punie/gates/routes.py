"""`routes.yaml`: a decision's routes as a file that people review and programs read."""

import json
import re
from collections.abc import Iterator

from punie.errors import InputError
from punie.records.gate import Decision
from punie.records.run import Run
from punie.text import inert_json, one_line

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""What some reader of YAML takes for something else than a text."""


def routes_yaml(decision: Decision, base: Run, current: Run) -> str:
    """Write the routes as YAML, with the evidence of each as a comment.

    What is not named goes to the base. Raises InputError where the decision has no routes: the
    suite has no roles.
    """
    if not decision.routes:
        raise InputError(
            "there are no routes: no prompt of these runs has a role",
            hint="give the suite's prompts a role each, and measure both again",
        )
    return "\n".join([*_lines(decision, base, current), ""])


def _lines(decision: Decision, base: Run, current: Run) -> Iterator[str]:
    yield f"# {one_line(f'Decision: {decision.action.value}. {decision.because}', 400)}"
    for name, run in (("base", base), ("current", current)):
        yield f"{name}:"
        for key, value in _routed(run).items():
            yield f"  {key}: {_quoted(value)}"
    yield "default: base"
    yield "routes:"
    for route in decision.routes:
        sure = "" if route.sure else "the better guess, "
        yield f"  # {one_line(sure + route.why, 400)}"
        yield f"  {_key(route.role)}: {route.serves}"


def _routed(run: Run) -> dict[str, str]:
    adapter = {"adapter": run.model.adapter} if run.model.adapter else {}
    return {"model": run.model.name, **adapter, "run": run.id}


def _key(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    # A JSON string is one of YAML's, but for two characters that YAML takes for line breaks.
    written = inert_json(json.dumps(text, ensure_ascii=False))
    return written.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
