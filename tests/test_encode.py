"""Rows as tokens: what is trained of them, whatever the template."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import chat_templates
from chat_templates import with_template
from encoded_rows import ADD, LONG, SHORT, call, chat, encoded, mlx_lm_text, say, served
from punie.datasets.for_template import rows_for_template
from punie.records.dataset import Row, RowForm, Split
from punie.records.encoding import RowProblemKind
from punie.records.training import Masking


async def test_the_prompt_is_the_servers_and_the_answer_is_trained_with_its_end(
    tiny_model: Path, tmp_path: Path
):
    got = await encoded(tiny_model, tmp_path, SHORT, LONG)
    assert got.trained(0) == ["Paris<|im_end|>"]
    assert got.trained(1) == [
        '\n<tool_call>\n{"name": "add", "arguments": {"a": 4, "b": 7}}\n</tool_call><|im_end|>',
        "It is eleven.<|im_end|>",
        "Paris<|im_end|>",
    ]
    for row, source, turns in ((0, SHORT, (1,)), (1, LONG, (2, 4, 6))):
        for turn in turns:
            prompt = served(got.tokenizer, source, turn)
            assert got.ids(row)[: len(prompt)] == prompt
            assert got.mask(row)[len(prompt) - 1 : len(prompt) + 1] == [0, 1]
    assert not got.encoding.problems
    assert got.encoding.parser == "json_tools"
    assert got.encoding.example.endswith("<|im_start|>assistant\n⟦Paris<|im_end|>⟧\n")
    split = got.encoding.splits[Split.TRAIN]
    assert split.lengths == (len(got.ids(0)), len(got.ids(1)))
    assert split.trained == (sum(got.mask(0)), sum(got.mask(1)))


TWO = chat(
    say("user", "What is the capital?"),
    say("assistant", "Paris"),
    say("user", "And of Italy?"),
    say("assistant", "Rome"),
)


@pytest.mark.parametrize(
    ("masking", "trained"),
    [
        (Masking.ASSISTANT, ["Paris<|im_end|>", "Rome<|im_end|>"]),
        (Masking.LAST, ["Rome<|im_end|>"]),
    ],
)
async def test_what_is_trained_follows_the_masking(
    tiny_model: Path, tmp_path: Path, masking: Masking, trained: list[str]
):
    got = await encoded(tiny_model, tmp_path, TWO, masking=masking)
    assert got.trained(0) == trained
    assert not got.encoding.problems


async def test_without_masking_everything_but_the_first_token_is_trained(
    tiny_model: Path, tmp_path: Path
):
    got = await encoded(tiny_model, tmp_path, TWO, masking=Masking.NONE)
    assert got.mask(0) == [0, *[1] * (len(got.ids(0)) - 1)]
    assert not got.encoding.problems


async def test_plain_text_is_trained_whole_with_its_end_as_in_mlx_lm(
    tiny_model: Path, tmp_path: Path
):
    texts = ["The capital of France is Paris.", "A city.<|im_end|>"]
    rows = [Row(text=text, form=RowForm.TEXT) for text in texts]
    got = await encoded(tiny_model, tmp_path, *rows)
    for at, text in enumerate(texts):
        ids = mlx_lm_text(got.tokenizer, text)
        assert got.ids(at) == ids
        assert got.mask(at) == [0, *[1] * (len(ids) - 1)]
    assert not got.encoding.problems


@dataclass(frozen=True)
class Habit:
    """A template, and what must be found of two turns."""

    template: str
    trained: list[str]
    kinds: set[RowProblemKind]
    tokens: tuple[str, ...] = ()
    row: Row = TWO


ENDS = ["Paris<|im_end|>", "Rome<|im_end|>"]
THOUGHT = chat(
    say("user", "What is the capital?"),
    say("assistant", "<think>\nFrance?\n</think>\n\nParis"),
    say("user", "And of Italy?"),
    say("assistant", "<think>\nRome.\n</think>\n\nRome"),
)
CHAINED = chat(
    say("user", "What is the capital?"),
    say("assistant", "<think>\nLook.\n</think>\n\nI look."),
    say("tool", "Paris"),
    say("assistant", "<think>\nSo.\n</think>\n\nParis"),
    say("user", "Thanks"),
    say("assistant", "Good"),
)
HABITS = {
    "thinking, plain rows": Habit(
        chat_templates.THINKING,
        ["Paris<|im_end|>", "<think>\n\n</think>\n\nRome<|im_end|>"],
        {RowProblemKind.NO_PREFIX},
        tokens=("<think>", "</think>"),
    ),
    "thinking, with thoughts": Habit(
        chat_templates.THINKING,
        ["Paris<|im_end|>", "<think>\nRome.\n</think>\n\nRome<|im_end|>"],
        {RowProblemKind.NO_PREFIX},
        tokens=("<think>", "</think>"),
        row=THOUGHT,
    ),
    "thinking, history rewritten under a later turn": Habit(
        chat_templates.THINKING,
        ["I look.<|im_end|>", "Paris<|im_end|>", "<think>\n\n</think>\n\nGood<|im_end|>"],
        {RowProblemKind.NO_PREFIX},
        tokens=("<think>", "</think>"),
        row=CHAINED,
    ),
    "thinking switched off": Habit(chat_templates.THINKING, [*ENDS], {RowProblemKind.NO_PREFIX}),
    "the prompt opens a thought": Habit(
        chat_templates.OPENS_THOUGHT, [*ENDS], {RowProblemKind.NO_PREFIX}
    ),
    "an answer that begins as the thought does": Habit(
        chat_templates.OPENS_THOUGHT,
        ["<tool>x<|im_end|>"],
        {RowProblemKind.NO_PREFIX},
        row=chat(say("user", "Do it."), say("assistant", "<tool>x")),
    ),
    "generation marks": Habit(chat_templates.MARKED, [*ENDS], {RowProblemKind.NO_PREFIX}),
    "no part of a chat": Habit(chat_templates.WHOLE_ONLY, [*ENDS], {RowProblemKind.NO_PREFIX}),
    "two starts": Habit(chat_templates.TWO_STARTS, [*ENDS], {RowProblemKind.DOUBLE_START}),
    "llama": Habit(chat_templates.LLAMA, [*ENDS], set()),
    "mistral": Habit(chat_templates.MISTRAL, [" Paris<|im_end|>", " Rome<|im_end|>"], set()),
    "no end": Habit(
        chat_templates.NO_END,
        ["Paris\n", "Rome\n"],
        {RowProblemKind.LOST_END, RowProblemKind.NO_PREFIX},
    ),
    "a space before the answer": Habit(chat_templates.SPACED, [*ENDS], {RowProblemKind.NO_PREFIX}),
}


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
async def test_the_answers_are_found_whatever_the_template(
    tiny_model: Path, tmp_path: Path, habit: Habit
):
    model = with_template(
        tiny_model, tmp_path, habit.template, tokens=habit.tokens, bos_token="<|endoftext|>"
    )
    got = await encoded(model, tmp_path, habit.row)
    assert (got.trained(0), got.kinds()) == (habit.trained, habit.kinds), got.encoding.problems
    assert len(got.encoding.problems) == len(habit.kinds)


async def test_tokens_are_parted_where_the_servers_prompt_ends(tiny_model: Path, tmp_path: Path):
    model = with_template(tiny_model, tmp_path, chat_templates.SPACED)
    got = await encoded(model, tmp_path, TWO, masking=Masking.LAST)
    prompt = served(got.tokenizer, TWO, 3)
    assert got.ids(0)[: len(prompt)] == prompt
    assert got.tokenizer.encode("user: x assistant: Rome") != [
        *got.tokenizer.encode("user: x assistant: "),
        *got.tokenizer.encode("Rome"),
    ]
    assert got.trained(0) == ["Rome<|im_end|>"]
    assert "parted as a server parts them" in got.details(RowProblemKind.NO_PREFIX)[0]


async def test_rows_that_no_template_takes_are_refused_with_its_reason(
    tiny_model: Path, tmp_path: Path
):
    model = with_template(tiny_model, tmp_path, chat_templates.NO_SYSTEM)
    told = chat(say("system", "Be kind."), *SHORT.messages)
    unreadable = chat(say("user", "Add"), say("assistant", None, call("add", '{"a": ')))
    got = await encoded(model, tmp_path, told, SHORT, unreadable)
    assert got.kinds(0) == {RowProblemKind.REFUSED}
    assert got.kinds(1) == set()
    assert got.kinds(2) == {RowProblemKind.REFUSED}
    first, second = got.details(RowProblemKind.REFUSED)
    assert first == "System role not supported"
    assert "no JSON" in second
    assert got.ids(0) == got.ids(2) == []
    assert got.encoding.splits[Split.TRAIN].lengths[0] == 0
    assert got.trained(1) == ["Paris<|im_end|>"]


async def test_rows_without_an_answer_have_nothing_to_train(tiny_model: Path, tmp_path: Path):
    got = await encoded(tiny_model, tmp_path, chat(say("user", "What is it?")))
    assert got.kinds() == {RowProblemKind.NO_TARGET}
    assert sum(got.mask(0)) == 0


async def test_what_is_too_long_is_cut_and_said(tiny_model: Path, tmp_path: Path):
    ends_with_a_question = chat(*SHORT.messages, say("user", "And of Italy? " * 20))
    long_answer = chat(say("user", "Count."), say("assistant", "one two three " * 40))
    long_question = chat(say("user", "Count. " * 100), say("assistant", "one"))
    rows = (SHORT, ends_with_a_question, long_answer, long_question)
    got = await encoded(tiny_model, tmp_path, *rows, max_length=64)
    assert got.kinds(0) == set()
    assert got.kinds(1) == {RowProblemKind.CUT_PROMPT}
    assert got.kinds(2) == {RowProblemKind.CUT_ANSWER}
    assert got.kinds(3) == {RowProblemKind.CUT_ANSWER, RowProblemKind.NO_TARGET}
    split = got.encoding.splits[Split.TRAIN]
    assert [len(got.ids(row)) for row in range(1, 4)] == [64] * 3
    assert all(length > 64 for length in split.lengths[1:])
    assert split.trained == tuple(sum(got.mask(row)) for row in range(4))


GREETS = chat(
    say("user", "Add four."),
    say("assistant", "So:", call("add", '{"a": 4, "note": "</tool_call> is é\\n"}')),
)
NESTED = call("add", '{"a": {"b": [1, 2.5, null, true, "x"]}, "c": "é"}')
TWICE = chat(say("user", "Add."), say("assistant", None, NESTED, call("add", "{}")), tools=(ADD,))


async def test_calls_come_back_from_the_servers_parser_or_are_named(
    tiny_model: Path, tmp_path: Path
):
    got = await encoded(tiny_model, tmp_path, TWICE, GREETS)
    assert got.kinds(0) == set()
    assert got.kinds(1) == {RowProblemKind.LOST_CALL}
    assert "turn 2" in got.details(RowProblemKind.LOST_CALL)[0]


NO_MARKERS = """\
{%- for tool in tools or [] %}{{- tool | tojson }}{%- endfor %}
{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content }}
{%- for c in m.tool_calls or [] %}{{- CALL }}{%- endfor %}
{{- '<|im_end|>\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""


async def test_calls_without_a_parser_are_read_as_an_eval_reads_them(
    tiny_model: Path, tmp_path: Path
):
    said = """{'name': c.function.name, 'arguments': c.function.arguments} | tojson"""
    model = with_template(tiny_model, tmp_path, NO_MARKERS.replace("CALL", said))
    got = await encoded(model, tmp_path, TWICE)
    assert got.encoding.parser is None
    assert not got.encoding.problems
    silent = tmp_path / "silent"
    silent.mkdir()
    model = with_template(tiny_model, silent, NO_MARKERS.replace("CALL", "'calls'"))
    got = await encoded(model, silent, TWICE)
    assert got.details(RowProblemKind.LOST_CALL) == ["turn 2: 2 written, 0 read back"]


@pytest.mark.model
async def test_a_model_without_tools_in_its_template(smollm2: Path, tmp_path: Path):
    (row,) = rows_for_template([LONG], renders_tools=False)
    got = await encoded(smollm2, tmp_path, row, SHORT)
    assert not got.encoding.problems
    assert got.trained(0) == [
        '<tool_call>\n{"name": "add", "arguments": {"a": 4, "b": 7}}\n</tool_call><|im_end|>',
        "It is eleven.<|im_end|>",
        "Paris<|im_end|>",
    ]
    for at, source, turns in ((0, row, (2, 4, 6)), (1, SHORT, (1,))):
        for turn in turns:
            prompt = served(got.tokenizer, source, turn)
            assert got.ids(at)[: len(prompt)] == prompt
