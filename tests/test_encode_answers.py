"""Answers in chats of any text and templates of every habit: found whole, and nothing else."""

from functools import cache
from typing import Any, cast

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

import chat_templates
from punie.backends.workers.answers import Chat, Range, Turns

END = "<|im_end|>"
PIECES = [
    "Paris",
    "two\nlines",
    " ",
    "\n",
    "<",
    "<think>",
    "</think>",
    "assistant",
    ":",
    "é",
    "x" * 30,
]
TEXTS = st.lists(st.sampled_from([*PIECES, "<|im_start|>assistant\n"]), max_size=5).map("".join)
CHATS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3)


@cache
def compiled(template: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    own: dict[str, Any] = {"raise_exception": refuse}
    cast("dict[str, Any]", environment.globals).update(own)
    return environment.from_string(template)


def refuse(reason: str) -> None:
    raise jinja2.TemplateError(reason)


def ends_in(text: str) -> list[Range]:
    found: list[Range] = []
    at = text.find(END)
    while at >= 0:
        found.append((at, at + len(END)))
        at = text.find(END, at + 1)
    return found


def chat_of(template: str, turns: Turns) -> Chat:
    def render(turns: Turns, *, ask: bool) -> str | None:
        variables = {"messages": turns, "add_generation_prompt": ask, "bos_token": "<s>"}
        try:
            return compiled(template).render(variables, eos_token=END, enable_thinking=True)
        except jinja2.TemplateError:
            return None

    whole = render(turns, ask=False)
    assert whole is not None
    return Chat(render, turns, whole, ends_in(whole))


TEMPLATES = {
    "plain": chat_templates.TURNS + chat_templates.ASK,
    "opens a thought": chat_templates.OPENS_THOUGHT,
    "no part of a chat": chat_templates.WHOLE_ONLY,
    "llama": chat_templates.LLAMA,
    "mistral": chat_templates.MISTRAL,
    "spaced": chat_templates.SPACED,
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@given(CHATS)
def test_an_answer_is_its_text_and_its_end(template: str, chats: list[tuple[str, str]]):
    turns: Turns = [
        {"role": role, "content": text}
        for pair in chats
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    chat = chat_of(template, turns)
    after = 0
    for at in range(1, len(turns), 2):
        found = chat.answer(at, after)
        assert found is not None
        text = turns[at]["content"]
        if template == chat_templates.OPENS_THOUGHT:  # then the server's prompt has it already
            text = text.removeprefix("<think>\n")
        trained = chat.whole[found.start : found.end]
        assert found.start >= after
        assert trained.endswith(END)
        assert trained.removesuffix(END).strip() == text.strip()
        after = found.end


@given(CHATS)
def test_an_answer_with_a_thought_is_found_with_it_where_it_is_rendered(
    chats: list[tuple[str, str]],
):
    turns: Turns = []
    for asked, answer in chats:
        said = answer.replace("think>", "")
        turns += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": f"<think>\nhm\n</think>\n\n{said}"},
        ]
    chat = chat_of(chat_templates.THINKING, turns)
    after = 0
    for at in range(1, len(turns), 2):
        found = chat.answer(at, after)
        assert found is not None
        said = turns[at]["content"].removeprefix("<think>\nhm\n</think>\n\n").lstrip("\n")
        thought = "<think>\nhm\n</think>\n\n" if at == len(turns) - 1 else ""
        assert chat.whole[found.start : found.end] == f"{thought}{said}{END}"
        after = found.end
