"""Tools as text in the chat, for templates that cannot render them."""

import json

from punie.models.tools_prompt import tools_in_system_prompt
from punie.records.result import Completion
from punie.records.suite import FunctionCall, HistoryCall, Message, Tool
from punie.scoring.calls import offer, read_calls

TOOL = Tool(name="wetter", description="Wetter für eine Stadt", parameters={"type": "object"})
ASK = Message(role="user", content="Hi")


def called(arguments: str, content: str | None = None) -> Message:
    call = HistoryCall(id="1", function=FunctionCall(name="wetter", arguments=arguments))
    return Message(role="assistant", content=content, tool_calls=(call,))


def test_signatures_and_the_form_of_a_call_join_the_system_turn():
    system, user = tools_in_system_prompt([Message(role="system", content="Be kind."), ASK], [TOOL])
    assert (system.role, user) == ("system", ASK)
    assert system.content is not None
    assert system.content.startswith("Be kind.\n\nYou may call functions")
    (signature,) = system.content.partition("<tools>\n")[2].partition("\n</tools>")[0].splitlines()
    assert json.loads(signature) == {
        "type": "function",
        "function": {
            "name": "wetter",
            "description": "Wetter für eine Stadt",
            "parameters": {"type": "object"},
        },
    }
    assert "Wetter für" in signature
    example = system.content[system.content.rindex("<tool_call>") :]
    assert example.startswith('<tool_call>\n{"name": "function_name", "arguments": {')


def test_a_chat_without_a_system_turn_gets_one():
    system, user = tools_in_system_prompt([ASK], [TOOL])
    assert (system.role, user) == ("system", ASK)
    assert system.content is not None
    assert system.content.startswith("You may call functions")


def test_calls_and_results_of_the_history_become_text_that_is_read_back():
    history = [
        ASK,
        called('{"stadt": "Köln"}', "Moment."),
        Message(role="tool", content="12 °C", tool_call_id="1"),
        Message(role="tool", content=None, tool_call_id="2"),
        called("", None),
        called("{broken", None),
    ]
    _, call, results, empty, broken = tools_in_system_prompt(history, [])
    text = 'Moment.\n<tool_call>\n{"name": "wetter", "arguments": {"stadt": "Köln"}}\n</tool_call>'
    assert call == Message(role="assistant", content=text)
    (read,) = read_calls(Completion(text=text), offer([TOOL]))
    assert (read.name, read.arguments) == ("wetter", {"stadt": "Köln"})
    assert results.role == "user"
    assert results.content == (
        "<tool_response>\n12 °C\n</tool_response>\n<tool_response>\n\n</tool_response>"
    )
    assert empty.content == '<tool_call>\n{"name": "wetter", "arguments": {}}\n</tool_call>'
    assert '"arguments": "{broken"' in str(broken.content)


def test_a_chat_without_tools_stays_as_it_is():
    chat = (Message(role="system", content="s"), ASK, Message(role="assistant", content="a"))
    assert tools_in_system_prompt(chat, []) == chat
