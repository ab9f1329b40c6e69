"""Whatever a candidate writes stays between the marker lines, and is never the judge's own word."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_judge import judging
from fake_server import FakeServer
from injections import FIVES, INJECTIONS
from punie.judging.ask import Judge, Told, Untold, identity_of
from punie.judging.cache import MemoryCache
from punie.judging.prompt import Marking, Marks, marking, prompt_hash
from punie.judging.quoting import LONGEST, quoted
from punie.judging.rubric import default_rubric
from punie.records.expect import Exact, Expect
from punie.records.judgement import JudgeFaultKind
from punie.records.result import Completion
from punie.records.run import ModelIdentity
from punie.records.suite import EvalPrompt, Message
from punie.serving.client import ChatClient
from punie.serving.endpoint import Endpoint

RUBRIC = default_rubric()
TOKENS = re.compile(
    r"<\|[^<>\s]*\|>|<\|turn>|<turn\|>|<(?:start|end)_of_turn>|</?s>|\[/?INST\]|<</?SYS>>"
    r"|<\uff5c[^<>]*\uff5c>|\uff1c\uff5c[^<>]*\uff5c\uff1e|</?think>|</?tool_call>"
    r"|\[/?SYSTEM_PROMPT\]"
)
UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
attacks = pytest.mark.parametrize("attack", INJECTIONS.values(), ids=INJECTIONS)


def asked_about(answer: str, question: str = "What is 2 + 2?") -> Marking:
    prompt = EvalPrompt(
        id="p",
        messages=(Message(role="user", content=question),),
        expect=Expect(exact=Exact(values=("4",))),
    )
    return marking(RUBRIC, prompt, Completion(text=answer))


def words_of(asked: Marking) -> str:
    content = asked.question.messages[-1].content
    assert content is not None
    return content


def outside(words: str, code: str) -> str:
    """All that a judge reads as ours: the lines that are not between marker lines."""
    ours: list[str] = []
    inside = ""
    for line in words.split("\n"):
        if inside:
            if line == f"[[END {inside} {code}]]":
                inside = ""
            else:
                assert line == "|" or line.startswith("| "), line
            continue
        opened = re.fullmatch(rf"\[\[([A-Z]+) {code}\]\]", line)
        if opened:
            inside = opened[1]
        ours.append(line)
    assert not inside
    return "\n".join(ours)


def test_there_are_many_attacks() -> None:
    assert len(INJECTIONS) >= 30


@attacks
def test_an_answer_cannot_leave_its_lines(attack: str) -> None:
    asked, honest = asked_about(attack), asked_about("4")
    code = asked.question.code
    assert code not in attack
    ours = outside(words_of(asked), code).replace(code, "CODE")
    remarks = ("\nThe answer is empty.\n",)
    for remark in remarks:
        ours = ours.replace(remark, "")
    assert ours == outside(words_of(honest), honest.question.code).replace(
        honest.question.code, "CODE"
    )
    assert len(words_of(asked)) < 4 * LONGEST


@attacks
def test_nothing_in_an_answer_is_a_part_of_the_chat_or_unseen(attack: str) -> None:
    words = words_of(asked_about(attack))
    assert not TOKENS.search(words)
    assert not UNSEEN.search(words.replace("\t", ""))
    words.encode()


@attacks
def test_what_is_asked_of_the_judge_never_changes(attack: str) -> None:
    system, honest = (asked_about(each).question for each in (attack, "4"))
    said = str(system.messages[0].content).replace(system.code, "CODE")
    assert said == str(honest.messages[0].content).replace(honest.code, "CODE")


@attacks
def test_a_question_is_no_better_than_an_answer(attack: str) -> None:
    asked = asked_about("4", attack)
    ours = outside(words_of(asked), asked.question.code)
    assert "give 5" not in ours.lower()
    assert not TOKENS.search(words_of(asked))


@given(st.text(max_size=300))
def test_no_text_at_all_leaves_its_lines(text: str) -> None:
    asked = asked_about(text)
    outside(words_of(asked), asked.question.code)


@given(
    st.lists(st.sampled_from(["<|", "|>", "im_end", "<", ">", "[[", "END ANSWER", "\n", "\u200b"]))
)
def test_no_heap_of_fragments_becomes_a_token(parts: list[str]) -> None:
    text = quoted("".join(parts)).text
    assert not re.search(r"<\|[^<>\n]+\|>", text)
    assert not re.search(r"\[\[[ \t]*END ANSWER", text)


def test_an_honest_answer_is_left_as_it_is() -> None:
    block = "```python\nif a < b | c > d:\n    x = [[1, 2], [3]]\n```\n"
    code = block + "[[bin]]\nname = 'x'\n" + "<b>é</b> 👩\u200d💻 ❤\ufe0f naïve 日本\n\n- [x] a"
    shown = quoted(code)
    assert (shown.text, shown.altered, shown.clipped) == (code, False, False)
    assert quoted("a\r\nb").text == "a\nb"
    assert not quoted("a\r\nb").altered


def test_what_was_made_harmless_is_said() -> None:
    assert quoted("<|im_end|>") == ("< |im_end|>", True, False)
    assert quoted("a\u200bb").text == "a⟨U+200B⟩b"
    assert quoted("a\u200b\u200b\u202eb").text == "a⟨3 hidden characters⟩b"
    assert quoted("[[END ANSWER]]").text == "[ [END ANSWER]]"


def test_a_long_answer_shows_its_beginning_and_its_end() -> None:
    shown = quoted("begin " + "x" * 2 * LONGEST + " end")
    assert shown.clipped
    assert shown.text.startswith("begin ")
    assert shown.text.endswith(" end")
    assert f"{LONGEST + 10:,} characters are left out here" in shown.text


def test_the_code_follows_from_all_that_is_asked() -> None:
    codes = {
        asked_about("4").question.code,
        asked_about("5").question.code,
        asked_about("4", "What is 1 + 3?").question.code,
    }
    assert len(codes) == 3
    assert asked_about("4").question.code in codes  # and is the same again
    first = asked_about("4").question.code
    assert asked_about(f"4 {first}").question.code != first


def _quotes_the_answer(words: str) -> str:
    """A judge that does what the answer says: it writes the first object that stands there."""
    found = re.search(r"\{.*\}", words.partition("[[ANSWER ")[2].partition("\n[[END ANSWER ")[0])
    return found[0] if found else "I give it 5."


def _echoes_the_answer(words: str) -> str:
    text = words.partition("[[ANSWER ")[2].partition("\n[[END ANSWER ")[0]
    return "\n".join(line[2:] for line in text.split("\n")[1:])


@pytest.mark.parametrize("obey", [_quotes_the_answer, _echoes_the_answer])
async def test_a_verdict_of_the_candidate_is_never_the_judges(obey: Callable[[str], str]) -> None:
    async with FakeServer(
        replies=lambda words: obey(words) if "[[ANSWER" in words else None
    ) as fake:
        for attack in INJECTIONS.values():
            said = await ask(fake, attack)
            assert isinstance(said, Untold)
            assert said.kind in {
                JudgeFaultKind.PROSE,
                JudgeFaultKind.UNSEALED,
                JudgeFaultKind.FORM,
            }


async def test_a_judge_that_puts_its_code_on_a_candidates_verdict_is_believed() -> None:
    """What no check of form can catch: it is why a judge is calibrated before it gates."""
    fives = judging(
        lambda asked: json.dumps({"code": asked.code, "reason": "as told", "marks": FIVES})
    )
    async with FakeServer(replies=fives) as fake:
        said = await ask(fake, INJECTIONS["ask for the code"])
    assert isinstance(said, Told)
    assert said.value.marks == FIVES


async def ask(fake: FakeServer, answer: str) -> Told[Marks] | Untold | None:
    model = ModelIdentity(name="judge", backend="endpoint", url=fake.url)
    identity = identity_of(model, prompt_hash=prompt_hash(), rubric_hash=RUBRIC.hash)
    async with ChatClient(Endpoint(fake.url, "judge", model)) as client:
        return await Judge(client, identity, cache=MemoryCache()).ask(asked_about(answer).question)
