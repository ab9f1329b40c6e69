"""The rows of one file, in any of the three forms that mlx_lm reads, as `Row`s."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from punie.datasets.tools import ToolSets
from punie.datasets.turns import read_turns
from punie.records.dataset import Row, RowForm
from punie.records.suite import Message, Tool
from punie.scoring.json_text import is_object
from punie.sources.faults import FormError

_FORM_KEYS: Final = {
    RowForm.MESSAGES: ("messages",),
    RowForm.COMPLETION: ("prompt", "completion"),
    RowForm.TEXT: ("text",),
}
_LABELS: Final = ("category", "role", "group")
_KNOWN: Final = ("messages", "tools", "prompt", "completion", "text", *_LABELS)
_MISSPELLED = 0.85
"""Similarity from which a key is taken for a known one; `prompt_id` is not `prompt`."""
LABEL = re.compile(r"[^\x00-\x1f]{1,64}")


class FileRows:
    """Reads the parsed rows of one file. All must have the form of the first one."""

    def __init__(self, file: str, tools: ToolSets) -> None:
        self.ignored: Counter[str] = Counter()
        """Keys that are not of the form, and how many rows have them."""
        self.form: RowForm | None = None
        self._first = 0
        self._file = sys.intern(file)
        self._tools = tools
        self._systems: dict[str, Message] = {}

    def read(self, data: Any, line: int, faults: list[FormError]) -> Row | None:
        """Read the row that stands in `line`, or None if anything was added to `faults`."""
        if not is_object(data):
            faults.append(FormError((), "should be an object, one a line"))
            return None
        form = self._form(data, line, faults)
        if form is None:
            return None
        before = len(faults)
        self._pass_over(data, form, faults)
        messages, tools, text = self._content(data, form, faults)
        category, role, group = (_label(data, name, faults) for name in _LABELS)
        if len(faults) > before:
            return None
        return Row(
            messages=messages,
            tools=tools,
            text=text,
            form=form,
            file=self._file,
            line=line,
            category=category,
            role=role,
            group=group,
        )

    def _form(self, data: dict[str, Any], line: int, faults: list[FormError]) -> RowForm | None:
        forms = forms_of(data)
        if len(forms) > 1:
            names = " and ".join(" with ".join(_FORM_KEYS[form]) for form in forms)
            faults.append(FormError((), f"has {names}: keep one of them"))
            return None
        if not forms:
            faults.extend(_formless(data))
            return None
        if self.form is None:
            self.form, self._first = forms[0], line
        elif forms[0] is not self.form:
            what = f"is {_described(forms[0])}, but line {self._first} is {_described(self.form)}"
            faults.append(FormError((), f"{what}: a file has rows of one form"))
            return None
        return forms[0]

    def _pass_over(self, data: dict[str, Any], form: RowForm, faults: list[FormError]) -> None:
        own = (*_FORM_KEYS[form], "tools", *_LABELS)
        for key in data:
            if key in own:
                continue
            meant = "" if key in _KNOWN else _meant(key)
            if meant and meant not in data:
                faults.append(FormError((key,), f"unknown key; did you mean {meant}?", key=True))
            else:
                self.ignored[key[:80]] += 1

    def _content(
        self, data: dict[str, Any], form: RowForm, faults: list[FormError]
    ) -> tuple[tuple[Message, ...], tuple[Tool, ...], str | None]:
        if form is RowForm.TEXT:
            if data.get("tools") is not None:
                what = "a text has no tools: they go with messages, or prompt and completion"
                faults.append(FormError(("tools",), what, key=True))
            return (), (), _text(data, "text", faults)
        tools = self._tools.read(data.get("tools"), faults)
        if form is RowForm.MESSAGES:
            return self._shared(read_turns(data["messages"], faults)), tools, None
        prompt, completion = _text(data, "prompt", faults), _text(data, "completion", faults)
        if prompt is None or completion is None:
            return (), tools, None
        asked = Message(role="user", content=prompt)
        return (asked, Message(role="assistant", content=completion)), tools, None

    def _shared(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """Keep equal system turns once: a dataset repeats them on every row."""
        if not messages or messages[0].role != "system" or messages[0].content is None:
            return messages
        return (self._systems.setdefault(messages[0].content, messages[0]), *messages[1:])


def forms_of(data: dict[str, Any]) -> list[RowForm]:
    """Name the forms that a row's keys make; one that can be read has exactly one."""
    return [form for form, keys in _FORM_KEYS.items() if all(key in data for key in keys)]


def _formless(data: dict[str, Any]) -> Iterator[FormError]:
    misspelled = {key: meant for key in data if key not in _KNOWN and (meant := _meant(key))}
    for key, meant in misspelled.items():
        yield FormError((key,), f"unknown key; did you mean {meant}?", key=True)
    if misspelled:
        return
    for one, other in (("prompt", "completion"), ("completion", "prompt")):
        if one in data:
            yield FormError((), f"has a {one}, but no {other}")
            return
    what = "needs messages, or prompt and completion, or text"
    if "conversations" in data:
        what += "; conversations of from and value are messages of role and content"
    elif data:
        what += f"; has {', '.join(key[:40] for key in list(data)[:6])}"
    yield FormError((), what)


def _described(form: RowForm) -> str:
    return {"messages": "a chat", "completion": "a prompt with completion", "text": "a text"}[form]


def _text(data: dict[str, Any], name: str, faults: list[FormError]) -> str | None:
    text = data[name]
    if not isinstance(text, str):
        hint = "; a chat goes under messages" if isinstance(text, list) else ""
        faults.append(FormError((name,), f"should be a text{hint}"))
        return None
    if not text.strip():
        faults.append(FormError((name,), "is empty"))
        return None
    return text


def _label(data: dict[str, Any], name: str, faults: list[FormError]) -> str | None:
    value = data.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and LABEL.fullmatch(value):
        return sys.intern(value)
    faults.append(FormError((name,), "should be a text of at most 64 characters"))
    return None


@lru_cache(maxsize=256)
def _meant(key: str) -> str:
    """Name the known key that was probably meant, if it is that close."""
    close = get_close_matches(key[:200].lower(), _KNOWN, n=1, cutoff=_MISSPELLED)
    return next(iter(close), "")
