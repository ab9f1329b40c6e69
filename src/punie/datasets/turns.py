"""The turns of a training chat, in OpenAI's form, as messages, or what is wrong with them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeGuard

from punie.records.suite import FunctionCall, HistoryCall, Message
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest
from punie.sources.json_rows import json_inside
from punie.sources.yaml_source import DataPath

Role = Literal["system", "user", "assistant", "tool"]
ROLES: Final = ("system", "user", "assistant", "tool")
_OTHER_NAMES = {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "developer": "system",
    "function": "tool",
    "observation": "tool",
}
"""What other forms and programs call the roles."""
_TURN_KEYS = ["role", "content", "tool_calls", "tool_call_id", "name"]
_CALL_KEYS = ["id", "type", "function", "index"]


def read_turns(given: Any, faults: list[FormError]) -> tuple[Message, ...]:
    """Read `messages` of a row; what is wrong with them is added to `faults`.

    Text parts are joined, arguments given as an object become JSON text, calls without an id get
    one, and a result without one answers the oldest call that is still open.
    """
    if not is_array(given):
        faults.append(FormError(("messages",), "should be a list of turns"))
        return ()
    if not given:
        faults.append(FormError(("messages",), "is empty"))
        return ()
    before = len(faults)
    calls = _Calls()
    turns = [_turn(each, ("messages", i), calls, faults) for i, each in enumerate(given)]
    if len(faults) > before:
        return ()
    read = tuple(each for each in turns if each is not None)
    faults.extend(_order_faults(read))
    return read


class _Calls:
    """The calls of a chat that have been made, and those that have no result yet."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.open: list[str] = []

    def name(self) -> str:
        number = len(self.made) + 1
        while f"call_{number}" in self.made:
            number += 1
        return f"call_{number}"

    def make(self, call: str) -> None:
        self.made.add(call)
        self.open.append(call)


def _turn(given: Any, here: DataPath, calls: _Calls, faults: list[FormError]) -> Message | None:
    if not is_object(given):
        faults.append(FormError(here, "should be a turn: a mapping with role and content"))
        return None
    role = given.get("role")
    if not _is_role(role):
        faults.append(_role_fault(given, here))
        return None
    before = len(faults)
    faults.extend(unknown_keys(given, _TURN_KEYS, here))
    content = _content(given.get("content"), (*here, "content"), faults)
    own_calls = _calls(given.get("tool_calls"), (*here, "tool_calls"), calls, faults)
    if own_calls and role != "assistant":
        what = "only an assistant turn makes calls"
        faults.append(FormError((*here, "tool_calls"), what, key=True))
    answers = _answers(given.get("tool_call_id"), role, here, calls, faults)
    name = given.get("name")
    if not isinstance(name, str | None):
        faults.append(FormError((*here, "name"), "should be a text"))
    if len(faults) > before:
        return None
    if not own_calls:
        faults.extend(_silence(content, role, here))
    elif not content:
        content = None  # "", null and no key mean the same beside calls
    return Message(
        role=role, content=content, tool_calls=own_calls, tool_call_id=answers, name=name or None
    )


def _is_role(value: Any) -> TypeGuard[Role]:
    return value in ROLES if isinstance(value, str) else False


def _role_fault(given: dict[str, Any], here: DataPath) -> FormError:
    if "role" not in given:
        hint = " (from and value are role and content)" if {"from", "value"} <= set(given) else ""
        return FormError(here, f"has no role{hint}")
    role = given["role"]
    if not isinstance(role, str):
        return FormError((*here, "role"), f"should be one of {', '.join(ROLES)}")
    meant = _OTHER_NAMES.get(role.lower())
    known = f"; did you mean {meant}?" if meant else nearest(role, list(ROLES))
    return FormError((*here, "role"), f"unknown role {role[:40]!r}{known}")


def _silence(content: str | None, role: Role, here: DataPath) -> Iterator[FormError]:
    """A turn without calls says something; the result of a call may be empty, but must be there."""
    if content is None:
        what = "has neither content nor tool_calls" if role == "assistant" else "has no content"
        yield FormError(here, what)
    elif role != "tool" and not content.strip():
        yield FormError((*here, "content"), "is empty")


def _content(given: Any, here: DataPath, faults: list[FormError]) -> str | None:
    if given is None or isinstance(given, str):
        return given
    if not is_array(given):
        faults.append(FormError(here, "should be a text"))
        return None
    texts: list[str] = []
    for i, part in enumerate(given):
        kind = part.get("type", "text") if is_object(part) else None
        text = part.get("text") if is_object(part) else None
        if kind == "text" and isinstance(text, str):
            texts.append(text)
        elif isinstance(kind, str) and kind != "text":
            what = f"is a part of type {kind[:40]!r}: only text is trained"
            faults.append(FormError((*here, i), what))
        else:
            faults.append(FormError((*here, i), "should be a part of type text, with a text"))
    return "".join(texts)


def _calls(
    given: Any, here: DataPath, calls: _Calls, faults: list[FormError]
) -> tuple[HistoryCall, ...]:
    if given is None:
        return ()
    if not is_array(given):
        faults.append(FormError(here, "should be a list of calls"))
        return ()
    read = [_call(each, (*here, i), calls, faults) for i, each in enumerate(given)]
    return tuple(each for each in read if each is not None)


def _call(given: Any, here: DataPath, calls: _Calls, faults: list[FormError]) -> HistoryCall | None:
    function = given.get("function") if is_object(given) else None
    if not is_object(given) or not is_object(function):
        what = "should be a call: {id, type, function: {name, arguments}}"
        faults.append(FormError(here, what))
        return None
    before = len(faults)
    faults.extend(unknown_keys(given, _CALL_KEYS, here))
    faults.extend(unknown_keys(function, ["name", "arguments"], (*here, "function")))
    if given.get("type", "function") != "function":
        faults.append(FormError((*here, "type"), "should be function"))
    name = function.get("name")
    if not isinstance(name, str) or not name:
        place: DataPath = (*here, "function", *(["name"] if "name" in function else []))
        faults.append(FormError(place, "a call needs the name of its function"))
    arguments = _arguments(function, (*here, "function"), faults)
    call_id = given.get("id") or calls.name()
    if not isinstance(call_id, str):
        faults.append(FormError((*here, "id"), "should be a text"))
    elif call_id in calls.made:
        faults.append(FormError((*here, "id"), f"another call has the id {call_id[:40]!r} too"))
    if len(faults) > before or not isinstance(name, str):
        return None
    calls.make(call_id)
    return HistoryCall(id=call_id, function=FunctionCall(name=name, arguments=arguments))


def _arguments(function: dict[str, Any], here: DataPath, faults: list[FormError]) -> str:
    given = function.get("arguments")
    if is_object(given):
        return json.dumps(given, ensure_ascii=False)
    if given is None:
        faults.append(FormError(here, 'a call needs arguments; "{}" where there are none'))
    elif not isinstance(given, str):
        faults.append(FormError((*here, "arguments"), "should be the JSON text of an object"))
    elif not is_object(json_inside(given)):
        what = "is a text that is no JSON object"
        faults.append(FormError((*here, "arguments"), what))
    return given if isinstance(given, str) else ""


def _answers(
    given: Any, role: Role, here: DataPath, calls: _Calls, faults: list[FormError]
) -> str | None:
    """Give the id of the call that a tool's turn answers, which is then no longer open."""
    place = (*here, "tool_call_id")
    if role != "tool":
        if given is not None:
            faults.append(FormError(place, "only a tool's turn answers a call", key=True))
        return None
    if given is None:
        if not calls.open:
            faults.append(FormError(here, "answers no call: none before it is still open"))
            return None
        return calls.open.pop(0)
    if not isinstance(given, str):
        faults.append(FormError(place, "should be a text"))
    elif given in calls.open:
        calls.open.remove(given)
    else:
        again = " that has no result yet" if given in calls.made else ""
        faults.append(FormError(place, f"answers no call{again}: {given[:40]!r}"))
    return given if isinstance(given, str) else None


def _order_faults(turns: Sequence[Message]) -> Iterator[FormError]:
    for i, turn in enumerate(turns[1:], start=1):
        if turn.role == "system":
            first = turns[0].role == "system"
            what = "is a second system turn" if first else "a system turn can only be the first"
            yield FormError(("messages", i, "role"), what)
    if all(turn.role != "assistant" for turn in turns):
        yield FormError(("messages",), "has no assistant turn: there is nothing to learn")
    elif turns[-1].role != "assistant":
        what = f"the last turn is the {turns[-1].role}'s: it should be the assistant's"
        yield FormError(("messages", len(turns) - 1, "role"), what)


def unknown_keys(given: dict[str, Any], known: list[str], here: DataPath) -> Iterator[FormError]:
    """Refuse what training would silently lose; empty values, as exports have them, lose nothing.

    OpenAI's exports write `"refusal": null` and the like into every turn.
    """
    for key, value in given.items():
        if key not in known and value not in (None, "", [], {}):
            what = f"unknown key, which training would lose{nearest(key, known)}"
            yield FormError((*here, key), what, key=True)
