"""A plain JSONL of chats as a suite: the last assistant turn is what is expected.

Tool calls become `tool_calls`, a JSON object or list becomes the gold of `json`, a short line
becomes `exact`. Any other last turn, or none, leaves the row unscored: it is sent, and counts for
the answered rate and the times alone. Rows with an `expect` are prompts as a suite file has them.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from punie.records.expect import Exact, Expect, ExpectedCall, Json, ToolCalls
from punie.records.suite import EvalSuite, HistoryCall, Message, Sampling, Tool, suite_hash
from punie.scoring.json_text import is_object
from punie.sources.faults import FormError
from punie.sources.json_rows import JsonRow, json_inside, json_rows
from punie.sources.yaml_source import DataPath
from punie.suites.file_form import ChatForm, CompletionForm, RowForm, WrappedTool
from punie.suites.form_errors import form_errors
from punie.suites.prompt_check import expect_errors, message_errors, tool_errors
from punie.suites.prompts import Inside, PromptReader

SHORT = 80
"""Longest answer, in characters, that is expected word by word; longer ones have no one wording."""


def read_rows(path: Path, file: str, reader: PromptReader, *, chats: bool) -> None:
    """Read every row of a JSONL into `reader`; with `chats`, rows without `expect` are chats."""
    for row in json_rows(path, file):
        if not isinstance(row, JsonRow):
            reader.keep(row)
        elif row.problems:
            for problem in row.problems:
                reader.keep(problem)
        elif not is_object(row.data):
            reader.note(row, (), "should be an object, one a line")
        elif not chats or "expect" in row.data:
            reader.read(row.data, row)
        else:
            _read_chat(row, reader)


def chat_suite(path: Path, file: str, reader: PromptReader) -> EvalSuite:
    """Build the suite of the prompts that were read; its name is the file's."""
    name = re.sub(r"[^\w.-]", "-", path.stem)[:64].lstrip("_.-") or "chats"
    prompts = tuple(reader.prompts)
    return EvalSuite(
        name=name,
        source=file,
        sampling=Sampling(),
        prompts=prompts,
        hash=suite_hash(name, Sampling(), prompts),
    )


def _read_chat(row: JsonRow, reader: PromptReader) -> None:
    kind = CompletionForm if "messages" not in row.data and "completion" in row.data else ChatForm
    unknown = [
        FormError((key,), f"unknown key; did you mean {meant}?", key=True)
        for key in row.data
        if key not in kind.model_fields and (meant := _misspelled(key, kind))
    ]
    if reader.report(row, unknown):
        return
    if not row.data.keys() & {"messages", "prompt", "completion"}:
        what = "needs messages, or prompt and completion, or a prompt with expect"
        reader.note(row, (), what)
        return
    try:
        form = kind.model_validate(row.data)
    except ValidationError as error:
        reader.report(row, form_errors(error, kind, row.data))
        return
    prompt_id = form.id or f"row-{row.line:05d}"
    before = reader.found
    reader.claim_id(prompt_id, row)
    if isinstance(form, CompletionForm):
        expect = _expected_text(form.completion)
        messages: tuple[Message, ...] = (Message(role="user", content=form.prompt),)
        tools: tuple[Tool, ...] = ()
    else:
        assert isinstance(form, ChatForm)
        tools = _tools(form, row, reader)
        messages = tuple(each.message() for each in form.messages)
        reader.report(row, message_errors(messages, open_end=False))
        if reader.found > before:
            return
        expect, messages = _split(messages, row, reader, tools)
    if reader.found == before:
        reader.add(prompt_id, messages, tools, expect, form)


def _misspelled(key: str, kind: type[RowForm]) -> str:
    """Tell a misspelled key from a column of the data's own."""
    from difflib import get_close_matches  # noqa: PLC0415 - most rows have no unknown key

    return next(iter(get_close_matches(key, list(kind.model_fields), n=1, cutoff=0.8)), "")


def _tools(form: ChatForm, row: JsonRow, reader: PromptReader) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    for i, definition in enumerate(form.tools or ()):
        wrapped = isinstance(definition, WrappedTool)
        tool = definition.tool() if wrapped else definition
        here: DataPath = ("tools", i, "function") if wrapped else ("tools", i)
        reader.report(Inside(row, here), tool_errors(tool))
        tools.append(tool)
    return reader.shared_tools(tools)


def _split(
    messages: tuple[Message, ...], row: JsonRow, reader: PromptReader, tools: Sequence[Tool]
) -> tuple[Expect, tuple[Message, ...]]:
    """Take the last assistant turn off the chat, as what is expected."""
    last = messages[-1]
    if last.role != "assistant":
        reader.report(row, message_errors(messages))
        return Expect(), messages
    sent = messages[:-1]
    if not sent:
        reader.note(row, ("messages",), "nothing stands before the answer")
        return Expect(), sent
    reader.report(row, message_errors(sent))
    if not last.tool_calls:
        return _expected_text(last.content or ""), sent
    expect = Expect(tool_calls=ToolCalls(calls=tuple(map(_expected_call, last.tool_calls))))
    turn: DataPath = ("messages", len(sent), "tool_calls")
    reader.report(
        row,
        (
            FormError(_in_turn(turn, each.path), each.what)
            for each in expect_errors(expect, tools, reader.is_schema)
        ),
    )
    return expect, sent


def _in_turn(turn: DataPath, path: DataPath) -> DataPath:
    """Point at the turn's own call instead of the expectation that was made of it."""
    index = path[3:4]
    part = path[4:5]
    return (*turn, *index, "function", *part) if index else turn


def _expected_call(call: HistoryCall) -> ExpectedCall:
    return ExpectedCall(
        name=call.function.name, arguments=json_inside(call.function.arguments) or {}
    )


def _expected_text(text: str) -> Expect:
    text = text.strip()
    if text[:1] in {"{", "["}:
        gold = json_inside(text)
        return Expect() if gold is None else Expect(json=Json(gold=gold))
    if text and len(text) <= SHORT and "\n" not in text:
        return Expect(exact=Exact(values=(text,)))
    return Expect()
