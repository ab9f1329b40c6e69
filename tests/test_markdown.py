import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

import journal_run
from punie.records.result import EvalFault, Outcome
from punie.records.suite import EvalPrompt
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level
from punie.reporting.escaping import LONGEST, code, defang, escape, fence, table
from punie.reporting.markdown import LISTED, bar, results_markdown, sparkline
from punie.text import one_line
from synthetic_run import INCIDENTS, PASSED

GFM = MarkdownIt("commonmark").enable(["table", "strikethrough"])

TEXTS = ("name", "sentence", "consequence")

# Letters are rare here: what matters is how marks stand beside one another.
HOSTILE = st.text(alphabet=st.sampled_from("`|\\*_[](){}<>!#@~-+=.:/&;$1 0aGHw\n\t\r\x1b\u202e"))


def test_the_headline_counts_the_categories_that_have_an_answer():
    rows: list[tuple[EvalPrompt, Outcome]]
    rows = [(prompt, outcome) for prompt, outcome in journal_run.rows() if prompt.id != "weather"]
    lost = next(outcome for _, outcome in rows if isinstance(outcome, EvalFault))
    weather = next(prompt for prompt, _ in journal_run.rows() if prompt.id == "weather")
    rows.append((weather, lost.model_copy(update={"prompt_id": "weather"})))
    report, outcomes = journal_run.report(rows), [outcome for _, outcome in rows]
    written = results_markdown(report, outcomes)
    assert ", mean over 2 of 3 categories. Passed" in written
    assert "calling: no answer; the score is the mean over 2 of 3 categories." in written
    before = results_markdown(report, outcomes, results_format=2)
    assert ", mean over 3 categories. Passed" in before
    assert "no answer" not in before
    assert "--resume" not in before


def test_a_fault_is_told_with_its_status_and_no_more_of_its_message():
    rows = [
        (prompt, outcome.model_copy(update={"message": "HTTP 503: http://10.0.0.9"}))
        if isinstance(outcome, EvalFault)
        else (prompt, outcome)
        for prompt, outcome in journal_run.rows()
    ]
    written = results_markdown(journal_run.report(rows), [outcome for _, outcome in rows])
    assert "| timed out (HTTP 503) |" in written
    assert "10.0.0.9" not in written


def visible_text(markdown: str) -> str:
    """What a reader sees, without the zero-width spaces that part mentions."""
    return "".join(seen(GFM.parse(markdown))).replace("\u200b", "")


def seen(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.children:
            yield from seen(token.children)
        elif token.type in {"text", "code_inline"}:
            yield token.content
        elif token.type in {"html_inline", "html_block"}:
            pytest.fail(f"HTML got through: {token.content}")


def kinds(markdown: str) -> set[str]:
    found: set[str] = set()
    for token in GFM.parse(markdown):
        found |= {token.type, *(child.type for child in token.children or ())}
    return found


@given(HOSTILE | st.text())
def test_escaped_text_is_one_paragraph_that_shows_exactly_its_characters(text: str):
    line = one_line(text, LONGEST)
    escaped = escape(text)
    assert visible_text(escaped) == line
    assert kinds(escaped) <= {"paragraph_open", "inline", "text", "paragraph_close"}


@given(HOSTILE | st.text(), HOSTILE)
def test_escaped_text_and_names_stay_in_their_table_cell(text: str, name: str):
    tokens = GFM.parse(table(["a", "b", "c"], [["", escape(text), code(name)]]))
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 6
    assert "".join(seen([cells[4]])).replace("\u200b", "") == one_line(text, LONGEST)
    shown = one_line(name, LONGEST)
    # A code span drops no space here: one_line has trimmed the name.
    assert "".join(seen([cells[5]])).replace("\u200b", "") == (shown or "–")


@given(HOSTILE | st.text())
def test_a_fence_holds_whatever_is_in_it(text: str):
    tokens = GFM.parse(f"{fence(text, 'text')}\n\nafter")
    assert [token.type for token in tokens] == [
        "fence",
        "paragraph_open",
        "inline",
        "paragraph_close",
    ]
    assert not re.search(r"<[A-Za-z/!?]|-->", tokens[0].content)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("tool_calling", "tool_calling"),
        ("@octocat", "@&#8203;octocat"),
        ("a@b.example", "a@&#8203;b.example"),
        ("see #12", "see \\#&#8203;12"),
        ("GH-12", "GH-&#8203;12"),
        ("https://evil.example", "https:&#8203;//evil.example"),
        ("www.evil.example", "www.&#8203;evil.example"),
        ("a|b", "a\\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("$x$", "&#36;x&#36;"),
        ("two\nlines", "two lines"),
    ],
)
def test_escapes_are_no_more_than_needed(text: str, escaped: str):
    assert escape(text) == escaped


def test_images_and_html_are_taken_apart_but_stay_readable():
    assert defang("![cat](http://x/c.png)") == "[image: cat]"
    assert defang("<img src=x> a < b") == "⟨img src=x⟩ a < b"
    assert defang("<!-- punie:end -->") == "⟨!-- punie:end --⟩"


def test_sparklines_span_the_scale_from_nothing_to_all():
    assert sparkline([0, 0.3, 0.6, 1, -1, 2]) == "▁▃▅█▁█"
    assert bar(0) == "▁▁▁▁▁▁▁▁"
    assert bar(0.5) == "████▁▁▁▁"
    assert bar(1) == "████████"


def results(*, text: bool) -> str:
    rows = journal_run.rows()
    report = journal_run.report(rows)
    suite = report.suite.model_copy(update={"prompts": tuple(journal_run.prompts())})
    report = report.model_copy(update={"suite": suite})
    return results_markdown(report, [outcome for _, outcome in rows], text=text)


def test_results_hold_every_kind_of_number():
    written = results(text=False)
    summary = journal_run.report(journal_run.rows()).summary
    assert summary.score is not None
    assert f"**Overall {100 * summary.score.value:.1f} %**" in written
    for part in (
        "n = 5 prompts",
        "| reasoning ",
        "| coder ",
        "| Latency ",
        "| Tokens out ",
        "| Peak memory of the server ",
        "- `lost`: timed out",
        "| not called ",
        "| pipe\\|id ",
        "`hostile` **must pass**",
        "| 2 of 2 |",
        "macOS 26",
        "dddddddddddd, with changes",
    ):
        assert part in written
    assert "What they said" not in written
    assert "octocat" not in written
    assert "192.168.1.5" not in written


def test_hostile_text_stays_text():
    written = results(text=True)
    assert "<img" not in written
    assert "evil.example" not in written
    assert "-->" not in written
    tokens = GFM.parse(written)
    fences = [token for token in tokens if token.type == "fence"]
    assert len(fences) == 6
    assert all("⟨" in each.content for each in fences if "octocat" in each.content)
    blocks = [token.content.strip() for token in tokens if token.type == "html_block"]
    assert blocks == [block for block in blocks if re.match(r"</?details>", block)]
    assert html.escape("wrong answer") in blocks[0]


def test_a_long_list_of_failures_is_cut_with_its_rest_counted():
    asked = [EvalPrompt(id=f"p{n}", messages=()) for n in range(LISTED + 7)]
    rows = [(prompt, journal_run.answer(prompt, 0)) for prompt in asked]
    written = results_markdown(journal_run.report(rows), [outcome for _, outcome in rows])
    assert "- and 7 more, in run.json" in written


def test_an_unscored_run_says_so():
    prompt = EvalPrompt(id="chat", messages=())
    outcome = journal_run.answer(prompt, 1).model_copy(
        update={"scores": (), "score": None, "passed": None}
    )
    rows = [(prompt, outcome)]
    written = results_markdown(journal_run.report(rows), [outcome])
    assert written.startswith("**No score**")
    assert "Answered: 100 %" in written


def judged(checks: Checks | None, **more: Any) -> str:
    """The results of a run in which every answer came at once."""
    rows = [(prompt, journal_run.answer(prompt, 1)) for prompt in journal_run.prompts()]
    fields: dict[str, Any] = {"incidents": (), **more}
    report = journal_run.report(rows, checks=checks, **fields)
    return results_markdown(report, [outcome for _, outcome in rows])


def test_a_run_without_checks_is_written_as_before_and_a_clean_one_has_a_line_more():
    before, clean = judged(None), judged(PASSED)
    line = (
        "Sound: every self-check passed, and every request was answered. Self-checks: all 4 passed."
    )
    assert line in clean
    assert clean.replace(f"{line}\n\n", "") == before


def test_skipped_checks_and_what_befell_the_machine_are_said():
    assert "Read with care: no self-checks were made (--no-checks)" in judged(Checks(skipped=True))
    written = judged(None, incidents=INCIDENTS)
    assert "- 01:52 UTC **server restarted**: The server was killed" in written
    assert "- 2026-11-22 07:05 UTC **run resumed**" in written


@given(HOSTILE | st.text())
def test_hostile_findings_and_incidents_stay_text(text: str):
    finding = Finding(name=text, level=Level.WARNING, sentence=text, consequence=text)
    incident = Incident(at=text, kind=IncidentKind.GAVE_UP, what=text)
    written = judged(Checks(findings=(finding,)), incidents=(incident,))
    clean = judged(
        Checks(findings=(finding.model_copy(update=dict.fromkeys(TEXTS, "x")),)),
        incidents=(Incident(at="x", kind=IncidentKind.GAVE_UP, what="x"),),
    )
    assert kinds(written) <= kinds(clean) | {"code_inline"}
    visible_text(written)
