"""Rows of a suite to prompts: checked, with tools resolved, hashed, and sharing what is equal.

A suite of many thousand prompts repeats its system message, its tools and its labels: each is kept
once.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from punie.errors import Problem
from punie.records.expect import Expect
from punie.records.suite import EvalPrompt, Message, Tool, prompt_hash
from punie.scoring.json_text import is_object
from punie.sources.faults import FormError, nearest
from punie.sources.yaml_source import DataPath
from punie.suites.file_form import DefaultsForm, PromptForm, ToolUse, WrappedTool
from punie.suites.form_errors import form_errors, path_in
from punie.suites.prompt_check import (
    SchemaCheck,
    conversation_errors,
    expect_errors,
    message_errors,
    tool_errors,
)

MAX_PROBLEMS = 100
"""Kept of a file, in the order of reading; the others are counted. Nobody reads more."""


class Place(Protocol):
    """Where a value was read: it turns a path inside the value into a problem."""

    def problem(self, path: DataPath, what: str, *, key: bool = False) -> Problem:
        """Build the problem at `path`."""
        ...


class Inside:
    """The place of a value inside another one."""

    def __init__(self, outer: Place, base: DataPath) -> None:
        self._outer = outer
        self._base = base

    def problem(self, path: DataPath, what: str, *, key: bool = False) -> Problem:
        """Build the problem at `path` below the base."""
        return self._outer.problem((*self._base, *path), what, key=key)


class PromptReader:
    """Reads the prompts of one suite and gathers their problems."""

    def __init__(
        self,
        *,
        library: Iterable[Tool] = (),
        defaults: DefaultsForm | None = None,
        whole_library: bool = True,
    ) -> None:
        defaults = defaults or DefaultsForm()
        self.problems: list[Problem] = []
        self.found = 0
        """Problems that there are; `problems` holds the first of them."""
        self.prompts: list[EvalPrompt] = []
        self.seen: set[str] = set()
        self._library = {tool.name: tool for tool in library}
        self._whole_library = whole_library
        self._default_tools = tuple(defaults.tools)
        self._system = (
            None if defaults.system is None else Message(role="system", content=defaults.system)
        )
        self._tool_sets: dict[tuple[str, ...], tuple[Tool, ...]] = {}
        self._system_messages: dict[str, Message] = {}
        self.is_schema = SchemaCheck()

    def keep(self, problem: Problem) -> None:
        """Keep a problem while there is room; count it in any case."""
        self.found += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def note(self, at: Place, path: DataPath, what: str, *, key: bool = False) -> None:
        """Keep a problem at a place, which is only looked up while there is room."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(at.problem(path, what, key=key))
        self.found += 1

    def report(self, at: Place, errors: Iterable[FormError]) -> bool:
        """Keep errors as problems; say whether there were any."""
        before = self.found
        for each in errors:
            self.note(at, each.path, each.what, key=each.key)
        return self.found > before

    def read(self, data: Any, at: Place) -> None:
        """Read one prompt as the suite file writes it: into `prompts`, or into `problems`."""
        before = self.found
        self.claim_id(data.get("id") if is_object(data) else None, at)
        form, broken = self._form(data, at)
        if form is None:
            return
        if not broken & {"prompt", "messages"}:
            self.report(at, conversation_errors(form.prompt, form.messages))
        messages = self._messages(form)
        if form.messages:
            own = [each.message() for each in form.messages]
            self.report(at, message_errors(own))
        tools = None if "tools" in broken else self._tools(form.tools, at)
        self.report(
            at,
            (
                FormError(path_in(data, each.path), each.what, key=each.key)
                for each in expect_errors(form.expect, tools, self.is_schema)
            ),
        )
        if getattr(form, "must_pass", False) and not any(form.expect):
            what = "is true, and nothing is expected: add expect, or no answer can fail"
            self.report(at, [FormError(("must_pass",), what, key=True)])
        if self.found == before and tools is not None:
            self.add(form.id, messages, tools, form.expect, form)

    def add(
        self,
        prompt_id: str,
        messages: tuple[Message, ...],
        tools: tuple[Tool, ...],
        expect: Expect,
        form: Any,
    ) -> None:
        """Keep one prompt. `form` brings the labels, and the weight where it has one."""
        self.prompts.append(
            EvalPrompt(
                id=prompt_id,
                messages=tuple(self._shared(message) for message in messages),
                expect=expect,
                tools=tools,
                category=sys.intern(form.category),
                role=sys.intern(form.role) if form.role else None,
                tags=tuple(sys.intern(tag) for tag in form.tags),
                group=sys.intern(form.group) if form.group else None,
                must_pass=getattr(form, "must_pass", False),
                weight=getattr(form, "weight", 1.0),
                max_tokens=getattr(form, "max_tokens", None),
                hash=prompt_hash(messages, tools, expect),
            )
        )

    def claim_id(self, prompt_id: Any, at: Place) -> None:
        """Report an id that another prompt has."""
        if not isinstance(prompt_id, str):
            return
        if prompt_id in self.seen:
            self.note(at, ("id",), f"{prompt_id!r} is another prompt's id too")
        self.seen.add(prompt_id)

    def shared_tools(self, tools: Sequence[Tool]) -> tuple[Tool, ...]:
        """Give the one tuple that stands for equal tools."""
        return self._tool_sets.setdefault(tuple(map(repr, tools)), tuple(tools))

    def _shared(self, message: Message) -> Message:
        if message.role != "system" or message.content is None:
            return message
        return self._system_messages.setdefault(message.content, message)

    def _form(self, data: Any, at: Place) -> tuple[PromptForm | None, set[str]]:
        """Validate; in error, what is left without the wrong keys, so that it is checked too."""
        try:
            return PromptForm.model_validate(data), set()
        except ValidationError as error:
            wrong = list(form_errors(error, PromptForm, data))
        self.report(at, wrong)
        if not is_object(data):
            return None, set()
        rest: dict[str, Any] = dict(data)
        for each in wrong:
            if each.path[:1] == ("expect",) and len(each.path) > 1:
                rest["expect"] = {k: v for k, v in rest["expect"].items() if k != each.path[1]}
            elif each.path:
                rest.pop(str(each.path[0]), None)
        rest["id"] = "unnamed"
        try:
            return PromptForm.model_validate(rest), {str(e.path[0]) for e in wrong if e.path}
        except ValidationError:
            return None, set()

    def _messages(self, form: PromptForm) -> tuple[Message, ...]:
        if form.messages is None:
            messages = [Message(role="user", content=form.prompt)]
        else:
            messages = [each.message() for each in form.messages]
        if self._system is not None and messages and messages[0].role != "system":
            messages.insert(0, self._system)
        return tuple(messages)

    def _tools(self, uses: Sequence[ToolUse] | None, at: Place) -> tuple[Tool, ...] | None:
        """Resolve names; None where one is unknown, so that no calls are checked against it."""
        names = self._default_tools if uses is None else tuple(uses)
        tools: list[Tool] = []
        sound = True
        for i, use in enumerate(names):
            here: DataPath = () if uses is None else ("tools", i)
            if isinstance(use, str):
                found = self._library.get(use)
                if found is None:
                    sound = False
                    # An unknown default, or a library in error, was reported in the header.
                    if uses is not None and self._whole_library:
                        what = f"the library has no tool {use!r}{nearest(use, list(self._library))}"
                        self.note(at, here, what)
                    continue
            else:
                found = use.tool() if isinstance(use, WrappedTool) else use
                inner = (*here, "function") if isinstance(use, WrappedTool) else here
                sound = not self.report(Inside(at, inner), tool_errors(found)) and sound
            if any(found.name == other.name for other in tools):
                self.note(at, here, f"has two tools named {found.name!r}")
            tools.append(found)
        return self.shared_tools(tools) if sound else None
