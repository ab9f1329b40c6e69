"""One planted defect for each check, and a clean set that raises nothing."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.datasets.checking.near import NEAR, near_pairs
from punie.datasets.checking.texts import Words, shingles_of, words_of
from punie.datasets.checks import check_dataset
from punie.datasets.for_template import calls_lost_as_text, rows_for_template
from punie.models.tools_prompt import tools_in_system_prompt
from punie.records.datacheck import DataFinding, DataReport, Severity
from punie.records.dataset import Row, Split
from punie.records.encoding import EncodedSplit, Encoding, RowProblem, RowProblemKind
from punie.records.suite import (
    EvalPrompt,
    EvalSuite,
    FunctionCall,
    HistoryCall,
    Message,
    Sampling,
    Tool,
    suite_hash,
)
from punie.records.training import PlanFields

SYSTEM = "You help with the greenhouse. Answer in one sentence, and call a tool where one fits."
TOPICS = [f"plant{number}" for number in range(40)]
VERBS = ["water", "prune", "repot", "sow", "harvest", "shade", "feed", "move", "label", "count"]


def row(
    asked: str,
    answer: str,
    *,
    line: int = 1,
    split: Split = Split.TRAIN,
    category: str | None = None,
) -> Row:
    return Row(
        messages=(
            Message(role="system", content=SYSTEM),
            Message(role="user", content=asked),
            Message(role="assistant", content=answer),
        ),
        file=f"{split}.jsonl",
        line=line,
        category=category,
    )


def clean(split: Split, number: int) -> list[Row]:
    """Rows that differ in everything but the system turn."""
    chance = Random(f"{split}")
    rows: list[Row] = []
    for line in range(1, number + 1):
        words = [*chance.sample(TOPICS, 6), *chance.sample(VERBS, 4), str(chance.randrange(10**9))]
        chance.shuffle(words)
        answer = " ".join(chance.sample(TOPICS, 9))
        rows.append(row(" ".join(words), answer, line=line, split=split, category="abc"[line % 3]))
    return rows


def suite(*asked: str, system: str = SYSTEM, name: str = "garden") -> EvalSuite:
    prompts = tuple(
        EvalPrompt(
            id=f"p{number}",
            messages=(Message(role="system", content=system), Message(role="user", content=each)),
            hash=str(number),
        )
        for number, each in enumerate(asked)
    )
    digest = suite_hash(name, Sampling(), prompts)
    return EvalSuite(name=name, prompts=prompts, hash=digest)


def with_train(*planted: Row, number: int = 60) -> dict[Split, Sequence[Row]]:
    return {
        Split.TRAIN: [*clean(Split.TRAIN, number), *planted],
        Split.VALID: clean(Split.VALID, 12),
        Split.TEST: clean(Split.TEST, 12),
    }


def only(report: DataReport, check: str) -> DataFinding:
    assert [each.check for each in report.findings] == [check], report.findings
    return report.findings[0]


def test_a_clean_set_raises_nothing():
    rows = with_train()
    asked = [each.messages[1].content or "" for each in rows[Split.TEST]]
    report = check_dataset(
        rows, suites=[suite(*asked, "Where is the key?")], plan=PlanFields(batch_size=4)
    )
    assert report.findings == ()
    assert report.leaked == {}
    assert report.dataset_hash


def test_the_same_input_gives_the_same_report():
    rows = with_train(row("Water the roses.", "Done."), row("water  the ROSES.", "Done."))
    one, other = (check_dataset(rows).model_copy(update={"seconds": 0.0}) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    "copy", ["Water the roses.", "  WATER the\nroses. ", "\uff37ater the roses."]
)
def test_a_row_that_is_there_twice(copy: str):
    rows = with_train(row("Water the roses.", "Done.", line=90), row(copy, "Done.", line=91))
    found = only(check_dataset(rows), "duplicates")
    assert found.severity is Severity.WARNING
    assert [(each.line, "train.jsonl:90" in each.what) for each in found.places] == [(91, True)]


def test_one_question_with_two_answers():
    rows = with_train(
        row("Water the roses.", "Done.", line=90), row("Water the roses.", "No.", line=91)
    )
    found = only(check_dataset(rows), "duplicates")
    assert "answer a question otherwise" in found.what
    assert found.places[0].line == 91


def test_the_same_question_to_another_system_turn_is_another_question():
    other = row("Water the roses.", "No.", line=91)
    told = Message(role="system", content="Refuse everything.")
    other = Row(messages=(told, *other.messages[1:]), file=other.file, line=other.line)
    rows = with_train(row("Water the roses.", "Done.", line=90), other)
    assert check_dataset(rows).findings == ()


def test_operators_tell_short_sums_apart():
    rows = with_train(row("What is 4 + 7?", "11", line=90), row("What is 4 - 7?", "-3", line=91))
    assert check_dataset(rows).findings == ()


def test_rows_that_are_nearly_another_are_noted_and_many_are_a_warning():
    text = " ".join(Random(3).sample(TOPICS, 25))
    rows = with_train(row("Read this.", text, line=90), row("Read this.", f"{text} now", line=91))
    report = check_dataset({Split.TRAIN: rows[Split.TRAIN]})
    near = [each for each in report.findings if "nearly" in each.what]
    assert [(each.severity, each.places[0].line) for each in near] == [(Severity.NOTE, 91)]
    many = [row(f"Read this {text}.", f"{text} {at}", line=100 + at) for at in range(30)]
    report = check_dataset({Split.TRAIN: [*rows[Split.TRAIN], *many]})
    near = [each for each in report.findings if "nearly" in each.what]
    assert [each.severity for each in near] == [Severity.WARNING]


QUESTION = (
    "Which of the three benches in the north house still has to be swept before the rain comes"
)


@pytest.mark.parametrize(
    ("trained", "leaks"),
    [
        (QUESTION, True),
        (f"{QUESTION}?!", True),
        (QUESTION.upper(), True),
        (f"Please tell me: {QUESTION}, my dear", True),
        (QUESTION.replace("comes", "falls"), True),
        (f"{QUESTION[:30]} is not what I wanted to know from you today at all", False),
        ("Sweep the benches.", False),
    ],
)
def test_a_prompt_of_a_suite_in_the_training_rows(trained: str, leaks: bool):
    asked = suite("Where is the key?", QUESTION)
    report = check_dataset(with_train(row(trained, "The second.", line=90)), suites=[asked])
    if not leaks:
        assert report.findings == ()
        return
    found = only(report, "leakage")
    assert found.severity is Severity.ERROR
    assert found.places[0].line == 90
    assert "p1" in found.places[0].what
    assert found.details["suite"] == "garden"
    assert report.leaked == {asked.hash: ("p1",)}
    assert report.errors == (found,)


def test_a_very_short_prompt_leaks_only_as_the_same_words():
    asked = suite("Where is the key?")
    same = check_dataset(with_train(row("where is the KEY", "Here.")), suites=[asked])
    assert only(same, "leakage").count == 1
    other = check_dataset(with_train(row("Where is the key to it?", "Here.")), suites=[asked])
    assert other.findings == ()


def test_a_long_prompt_leaks_by_one_run_of_thirteen_words():
    words = [f"w{number}" for number in range(120)]
    asked = suite(" ".join(words))
    thirteen = " ".join(words[40:53])
    found = check_dataset(with_train(row(f"See {thirteen} there", "Yes.")), suites=[asked])
    assert only(found, "leakage").count == 1
    twelve = " ".join(words[40:52])
    assert not check_dataset(
        with_train(row(f"See {twelve} there", "Yes.")), suites=[asked]
    ).findings


def test_the_first_question_of_a_longer_chat_counts_alone():
    longer = Row(
        messages=(
            *row(QUESTION, "The second.").messages,
            Message(role="user", content="And which one comes after that?"),
            Message(role="assistant", content="The third."),
        ),
        file="train.jsonl",
        line=90,
    )
    assert check_dataset(with_train(longer), suites=[suite(QUESTION)]).leaked


def test_what_everybody_is_told_is_no_leak_but_a_text_of_its_own_is():
    asked = [f"Question {number} about {TOPICS[number]}" for number in range(12)]
    assert not check_dataset(with_train(), suites=[suite(*asked)]).findings
    passage = "Moss grows where light is weak and water stands longer than roots can bear"
    same_question = Row(
        messages=(
            Message(role="system", content=f"The text: {passage}"),
            Message(role="user", content="Summarise the text."),
            Message(role="assistant", content="Thirty words."),
        ),
        file="train.jsonl",
        line=90,
    )
    about = "Bees find their way home by sunlight although clouds hide it for hours"
    others = suite("Summarise the text.", system=f"The text: {about}")
    assert not check_dataset(with_train(same_question), suites=[others]).findings
    copied = suite("Summarise the text.", system=f"The text: {passage}")
    assert check_dataset(with_train(same_question), suites=[copied]).leaked


def test_a_system_turn_with_another_date_hides_no_prompt():
    def told(at: int) -> Message:
        now = f"It is Saturday, 21 November 2026, 10:{at:02d}:07. Session 7f3a-{at}b2-91ce."
        return Message(role="system", content=f"{SYSTEM} {now}")

    asked = [f"How warm is {topic}?" for topic in TOPICS[:20]]
    trained = [
        replace(each, messages=(told(each.line), *each.messages[1:]))
        for each in (row(text, "Warm.", line=at) for at, text in enumerate(asked, 1))
    ]
    for system in (SYSTEM, "You are measured."):
        measured = suite(*asked, system=system)
        report = check_dataset({Split.TRAIN: trained}, suites=[measured])
        assert len(report.leaked[measured.hash]) == 20
    prompts = tuple(
        replace(each, messages=(told(30 + at), *each.messages[1:]))
        for at, each in enumerate(suite(*asked).prompts)
    )
    measured = EvalSuite(name="dated", prompts=prompts, hash="x")
    assert len(check_dataset({Split.TRAIN: trained}, suites=[measured]).leaked["x"]) == 20


@pytest.mark.parametrize(
    "asked", [("Where is the key?",), ("Good morning.", "Where is the key?"), ("And the key?",)]
)
def test_every_question_and_every_beginning_of_a_chat_counts(asked: tuple[str, ...]):
    turns = ["Good morning.", "Where is the key?", "And the key?", "Thank you for all of that."]
    chat = [
        turn
        for text in turns
        for turn in (Message(role="user", content=text), Message(role="assistant", content="Yes."))
    ]
    longer = Row(messages=(Message(role="system", content=SYSTEM), *chat), file="train.jsonl")
    prompt = EvalPrompt(
        id="p", messages=tuple(Message(role="user", content=text) for text in asked), hash="p"
    )
    measured = EvalSuite(name="chat", prompts=(prompt,), hash="x")
    assert check_dataset(with_train(longer), suites=[measured]).leaked == {"x": ("p",)}


@pytest.mark.parametrize("variants", [2, 10, 11, 40])
def test_a_prompt_that_stands_somewhere_as_a_whole_is_no_wording(variants: int):
    trained = [row(f"{TOPICS[at]}: {QUESTION}", "No.", line=at) for at in range(variants)]
    report = check_dataset(with_train(*trained), suites=[suite(QUESTION)])
    assert report.leaked
    assert "wording" not in {each.check for each in report.findings}


INSTRUCTION = (
    "Read the following invoice and give the number, the date, the name of the buyer and the sum "
    "with its currency as one object of JSON, and leave out whatever the invoice does not say"
)


def invoice(at: int, split: Split = Split.TRAIN) -> Row:
    chance = Random(at)
    lines = " ".join(chance.sample(TOPICS, 25))
    return row(f"{INSTRUCTION}: no. {at % 5}, {lines}", f"{{{at}}}", line=at, split=split)


@pytest.mark.parametrize(("trained", "others"), [(4, 0), (9, 0), (9, 60), (10, 100), (30, 0)])
def test_a_long_instruction_is_everybodys_and_no_leak(trained: int, others: int):
    rows = {
        Split.TRAIN: [*clean(Split.TRAIN, others), *(invoice(at) for at in range(trained))],
        Split.VALID: [invoice(100 + at, Split.VALID) for at in range(3)],
    }
    assert check_dataset(rows).errors == ()
    copied = invoice(1, Split.VALID)
    found = check_dataset({**rows, Split.VALID: [*rows[Split.VALID], copied]}).errors
    assert [each.count for each in found] == [1]


def test_a_short_question_with_other_tools_is_a_note_and_with_the_same_a_leak():
    weather, clock = Tool(name="weather"), Tool(name="clock")

    def asked(*tools: Tool, split: Split = Split.TRAIN) -> Row:
        return replace(row("How warm is it?", "I cannot say.", line=7, split=split), tools=tools)

    for measured in ((), (clock,), (weather, clock)):
        rows = with_train(asked(weather))
        rows[Split.VALID] = [asked(*measured, split=Split.VALID)]
        found = only(check_dataset(rows), "leakage")
        assert found.severity is Severity.NOTE
        assert "with other tools" in found.what
        rows[Split.TRAIN] = [*rows[Split.TRAIN], asked(*reversed(measured))]
        found = [each for each in check_dataset(rows).findings if each.check == "leakage"]
        assert [(each.severity, each.count) for each in found] == [(Severity.ERROR, 1)]


def test_a_template_with_other_values_is_a_note_and_no_leak():
    def asked(number: int) -> str:
        return f"Please tell me how warm it will be in the north house on day {number}"

    trained = [row(asked(number), f"{number} degrees", line=number) for number in range(30)]
    report = check_dataset({Split.TRAIN: trained}, suites=[suite(asked(77))])
    assert [each.check for each in report.findings if each.severity is Severity.ERROR] == []
    assert [each.severity for each in report.findings if each.check == "wording"] == [Severity.NOTE]
    report = check_dataset({Split.TRAIN: trained}, suites=[suite(asked(7))])
    assert report.leaked


@pytest.mark.parametrize(
    ("holder", "measured", "severity"),
    [
        (Split.TRAIN, Split.VALID, Severity.ERROR),
        (Split.TRAIN, Split.TEST, Severity.ERROR),
        (Split.VALID, Split.TEST, Severity.WARNING),
    ],
)
def test_a_row_of_one_split_in_another(holder: Split, measured: Split, severity: Severity):
    rows = with_train()
    copy = rows[measured][3]
    planted = row(copy.messages[1].content or "", "Something else.", line=90, split=holder)
    rows[holder] = [*rows[holder], planted]
    found = only(check_dataset(rows), "leakage")
    assert found.severity is severity
    assert f"{measured}.jsonl:4" in found.places[0].what
    assert str(found.places[0]).startswith(f"{holder}.jsonl:90")


def test_what_the_validation_holds_of_a_suite_is_a_warning_and_stamps_nothing():
    rows = with_train()
    rows[Split.VALID] = [*rows[Split.VALID], row(QUESTION, "The second.", split=Split.VALID)]
    report = check_dataset(rows, suites=[suite(QUESTION)])
    assert only(report, "leakage").severity is Severity.WARNING
    assert report.leaked == {}


def test_plain_text_may_quote_and_leaks_by_half():
    words = [f"w{number}" for number in range(200)]
    sought = Row(text=" ".join(words), file="valid.jsonl", line=1)

    def report(shared: int) -> DataReport:
        held = Row(text=" ".join([*words[:shared], "end"]), file="train.jsonl", line=1)
        return check_dataset({Split.TRAIN: [held], Split.VALID: [sought]})

    assert not report(40).findings
    assert only(report(150), "leakage").severity is Severity.ERROR


def test_a_category_that_outweighs_another_by_rows_and_by_tokens():
    rows = clean(Split.TRAIN, 44)
    uneven = [
        Row(
            messages=each.messages,
            file=each.file,
            line=each.line,
            category="few" if i < 3 else "many",
        )
        for i, each in enumerate(rows)
    ]
    found = only(check_dataset({Split.TRAIN: uneven}), "balance")
    assert found.details == {"unit": "rows", "category": {"many": 41, "few": 3}}
    even = [
        Row(messages=each.messages, file=each.file, line=each.line, role="ab"[i % 2])
        for i, each in enumerate(rows)
    ]
    trained = tuple(500 if i % 2 else 20 for i in range(44))
    encoding = Encoding(
        splits={Split.TRAIN: EncodedSplit(lengths=trained, trained=trained)}, hash="x"
    )
    found = only(check_dataset({Split.TRAIN: even}, encoding=encoding), "balance")
    assert "role 'b' has 11,000 trained tokens, 'a' 440" in found.what


def test_answers_that_all_begin_alike():
    chance = Random(1)
    rows = [
        row(
            " ".join(chance.sample(TOPICS, 9)),
            f"As an AI language model I say {' '.join(chance.sample(TOPICS, 12))}",
            line=line,
        )
        for line in range(20)
    ]
    assert only(check_dataset({Split.TRAIN: rows}), "openings").count == 20


def test_fewer_rows_than_a_batch():
    rows = {Split.TRAIN: clean(Split.TRAIN, 3), Split.VALID: clean(Split.VALID, 1)}
    found = only(check_dataset(rows, plan=PlanFields(batch_size=4)), "batch")
    assert found.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        (row("Water the roses.", "  "), "empty answer"),
        (row(" ", "Done."), "empty question"),
        (Row(messages=row("Water it.", "x").messages[:2], file="train.jsonl"), "do not end"),
    ],
)
def test_turns_that_teach_nothing(planted: Row, what: str):
    assert what in only(check_dataset(with_train(planted)), "turns").what


PRIVATE = [
    ("sk-proj-a8Kd93jXmQ02LsPz71VnTb45", "access keys"),
    ("ghp_a8Kd93jXmQ02LsPz71VnTb45cE6fG8hI0jKL", "access keys"),
    ("AKIAZ3X9Q1W7E5R2T8Y4", "access keys"),
    ('"api_key": "9f8a7c6b5d4e3f2a1b0c"', "secrets"),
    ("-----BEGIN RSA PRIVATE KEY-----", "private keys"),
    ("ada.l@somewhere.io", "e-mail addresses"),
    ("+44 20 7946 0958", "telephone numbers"),
    ("(212) 736-5000", "telephone numbers"),
    ("4539 1488 0343 6467", "card numbers"),
]


@pytest.mark.parametrize(("secret", "kind"), PRIVATE)
def test_keys_and_personal_data_are_found_and_not_repeated(secret: str, kind: str):
    report = check_dataset(with_train(row(f"I wrote {secret} here.", "Oh.", line=90)))
    found = only(report, "private")
    assert found.severity is Severity.WARNING
    assert found.what.startswith(kind)
    assert found.places[0].line == 90
    assert secret[-12:] not in report.model_dump_json()


@pytest.mark.parametrize(
    "harmless",
    [
        "ada@example.com and bob@mail.example.org",
        "call 202-555-0143",
        "order 4539 1488 0343 6468",
        "the token: ['word', 'another_word_that_is_long']",
        "password: correct-horse-battery",
        "1732190123456 is a time, 3.141592653589793 a number",
        "sk-your-api-key-goes-here-please",
        "4444 4444 4444 4444",
    ],
)
def test_what_only_looks_private_is_let_be(harmless: str):
    assert check_dataset(with_train(row(harmless, "Oh."))).findings == ()


@pytest.mark.parametrize(
    ("kind", "check", "in_train", "in_valid"),
    [
        (RowProblemKind.REFUSED, "template", Severity.ERROR, Severity.ERROR),
        (RowProblemKind.NO_TARGET, "mask", Severity.ERROR, Severity.WARNING),
        (RowProblemKind.CUT_ANSWER, "length", Severity.ERROR, Severity.WARNING),
        (RowProblemKind.CUT_PROMPT, "length", Severity.NOTE, Severity.NOTE),
        (RowProblemKind.LOST_END, "end", Severity.WARNING, Severity.WARNING),
        (RowProblemKind.DOUBLE_START, "template", Severity.WARNING, Severity.WARNING),
        (RowProblemKind.NO_PREFIX, "mask", Severity.NOTE, Severity.NOTE),
        (RowProblemKind.LOST_CALL, "calls", Severity.ERROR, Severity.WARNING),
    ],
)
def test_what_the_encoding_found(
    kind: RowProblemKind, check: str, in_train: Severity, in_valid: Severity
):
    rows = {Split.TRAIN: clean(Split.TRAIN, 30), Split.VALID: clean(Split.VALID, 6)}
    for split, severity in ((Split.TRAIN, in_train), (Split.VALID, in_valid)):
        encoding = Encoding(
            splits={
                name: EncodedSplit(
                    lengths=tuple(range(10, 10 + len(each))), trained=(5,) * len(each)
                )
                for name, each in rows.items()
            },
            problems=(RowProblem(kind=kind, split=split, row=4, detail="because"),),
            hash="x",
        )
        report = check_dataset(rows, encoding=encoding, plan=PlanFields(max_length=20))
        found = only(report, check)
        assert found.severity is severity
        assert [str(each) for each in found.places] == [f"{split}.jsonl:5 because"]
        if check == "length" and split is Split.TRAIN:
            assert found.details == {
                "min": 10, "median": 24.5, "p95": 38, "max": 39,
                "max_length": 20, "cut_share": 19 / 30,
            }  # fmt: skip


def test_a_long_text_may_be_cut():
    rows = {Split.TRAIN: [Row(text="Once upon a time", file="train.jsonl", line=1)]}
    problem = RowProblem(kind=RowProblemKind.CUT_ANSWER, split=Split.TRAIN, row=0)
    lengths = EncodedSplit(lengths=(99,), trained=(98,))
    encoding = Encoding(splits={Split.TRAIN: lengths}, problems=(problem,), hash="x")
    assert only(check_dataset(rows, encoding=encoding), "length").severity is Severity.WARNING


def test_the_gravest_come_first():
    rows = with_train(
        row(QUESTION, "The second.", line=90),
        row("Water the roses.", " ", line=91),
    )
    report = check_dataset(rows, suites=[suite(QUESTION)])
    assert [each.severity for each in report.findings] == [Severity.ERROR, Severity.WARNING]


words = st.lists(st.sampled_from("abcdefg"), min_size=0, max_size=14).map(tuple[str, ...])


@given(st.lists(words, max_size=12))
def test_near_pairs_are_those_that_a_comparison_of_all_finds(texts: list[Words]):
    sets = [shingles_of(each, 5) for each in texts]

    def near(one: int, other: int) -> bool:
        union = sets[one] | sets[other]
        return bool(union) and len(sets[one] & sets[other]) >= NEAR * len(union)

    expected: list[tuple[int, int]] = []
    followers: set[int] = set()
    for later in range(len(texts)):
        leader = next((e for e in range(later) if e not in followers and near(e, later)), None)
        if leader is not None:
            expected.append((leader, later))
            followers.add(later)
    assert list(near_pairs(texts)) == expected


@given(st.text())
def test_any_text_has_words(text: str):
    found = words_of(text)
    assert all(found)
    assert words_of(" ".join(found)) == found


def test_scripts_without_spaces_are_compared_by_character():
    assert words_of("東京の天気は?") == tuple("東京の天気は")


ADD = Tool(name="add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})


def test_tools_become_text_where_the_template_has_none_as_in_an_eval():
    calls = (HistoryCall(id="1", function=FunctionCall(name="add", arguments='{"a": 4}')),)
    asked = row("Add four.", "x")
    messages = (*asked.messages[:2], Message(role="assistant", tool_calls=calls))
    given_row = Row(messages=messages, tools=(ADD,), file="train.jsonl", line=7, category="c")
    text = Row(text="plain")
    kept = list(rows_for_template([given_row, text], renders_tools=True))
    assert kept == [given_row, text]
    turned, same = rows_for_template([given_row, text], renders_tools=False)
    assert same == text
    assert turned.messages == tools_in_system_prompt(messages, (ADD,))
    assert (turned.tools, turned.line, turned.category) == ((), 7, "c")
    assert list(calls_lost_as_text([given_row, text])) == []


def test_a_call_that_cannot_be_read_back_from_text_is_named():
    calls = (HistoryCall(id="1", function=FunctionCall(name="add", arguments='{"a": 4')),)
    broken = Row(messages=(Message(role="assistant", tool_calls=calls),), tools=(ADD,))
    ((position, why),) = calls_lost_as_text([broken])
    assert position == 0
    assert "add" in why
    report = check_dataset({Split.TRAIN: [broken]}, tools_as_text=True)
    found = next(each for each in report.findings if each.check == "calls")
    assert found.severity is Severity.ERROR
    assert why in found.places[0].what
    assert not [
        each for each in check_dataset({Split.TRAIN: [broken]}).findings if each.check == "calls"
    ]
