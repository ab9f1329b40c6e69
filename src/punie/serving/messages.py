"""The messages of a client's request: text only, in the form that chat templates expect."""

import json
from typing import Any, cast

from punie.serving.fields import refuse, string

ROLES = ("assistant", "function", "system", "tool", "user")


def messages_of(value: Any) -> list[dict[str, Any]]:
    """The messages as they are passed on. Raises Refused, with the place."""
    if not isinstance(value, list) or not value:
        refuse("messages", "must be a list of at least one message")
    messages = cast("list[Any]", value)
    return [_message(message, f"messages[{at}]") for at, message in enumerate(messages)]


def _message(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(place, "must be an object")
    given = cast("dict[str, Any]", value)
    role = given.get("role")
    if role == "developer":  # OpenAI's newer name; no chat template knows it
        role = "system"
    if role not in ROLES:
        refuse(f"{place}.role", f"must be one of {', '.join(ROLES)}")
    message: dict[str, Any] = {"role": role, "content": _text(given.get("content"), place)}
    for name in ("name", "tool_call_id", "reasoning", "reasoning_content"):
        if given.get(name) is not None:
            message[name] = string(f"{place}.{name}", given[name])
    if given.get("tool_calls"):
        message["tool_calls"] = _calls(given["tool_calls"], f"{place}.tool_calls")
    elif given.get("content") is None and role != "assistant":
        refuse(f"{place}.content", "is missing")
    return message


def _text(content: Any, place: str) -> str:
    """The text of a message; its parts are joined, as mlx_lm does."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        refuse(f"{place}.content", "must be text or a list of text parts")
    texts: list[str] = []
    for part in cast("list[Any]", content):
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case _:
                refuse(f"{place}.content", "may hold text parts only; images, audio and files "
                        "are not served")  # fmt: skip
    return "".join(texts)


def _calls(value: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        refuse(place, "must be a list")
    calls: list[dict[str, Any]] = []
    for call in cast("list[Any]", value):
        match call:
            case {"function": {"name": str(name), "arguments": str(arguments)}}:
                known = call.get("id")
                function = {"name": name, "arguments": _json_object(arguments, place)}
                calls.append({"type": "function", "function": function})
                if known is not None:
                    calls[-1]["id"] = string(f"{place}.id", known)
            case _:
                refuse(place, "must hold functions with a name and arguments as JSON text")
    return calls


def _json_object(arguments: str, place: str) -> str:
    """A call's arguments, which templates walk through as an object."""
    try:
        if isinstance(json.loads(arguments or "{}"), dict):
            return arguments or "{}"
    except (ValueError, RecursionError):
        pass
    return refuse(f"{place}.function.arguments", "must be a JSON object, as text")
