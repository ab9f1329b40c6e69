import json
import re
import tracemalloc
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from chromium import Chromium, find_chromium
from punie.records.expect import Exact, Expect, ExpectedCall, ToolCalls
from punie.records.result import (
    Completion,
    Culprit,
    EvalFault,
    FaultKind,
    Outcome,
    Score,
    ToolCall,
)
from punie.records.run import EvalReport, RunStatus
from punie.records.suite import EvalPrompt, FunctionCall, HistoryCall, Message, Tool
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level
from punie.reporting.html import render_html
from synthetic_run import PASSED, Rows, a_result, report_of, synthetic_report, with_trust

HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "closing": "</script></style></table><script>window.hacked = 1</script>",
    "image": '<img src=x onerror="window.hacked = 1">',
    "template": "{{ 7 * 7 }} {% raw %} ${7 * 7}",
    "link": "[click](javascript:window.hacked=1) <a href='javascript:window.hacked=1'>x</a>",
    "cdata": "]]> --> <!-- <![CDATA[",
    "attribute": '" onclick="window.hacked = 1" x=\'',
    "surrogate": "before \ud800 after",
    "nul": "before \x00 after",
    "ansi": "before \x1b[31mred\x1b[0m after",
    "override": "before \u202eafter",
    "long": "x" * 2**20,
}
VISIBLE = HOSTILE | {
    "surrogate": "before ⟨U+D800⟩ after",
    "nul": "before ␀ after",
    "ansi": "before ␛[31mred␛[0m after",
    "override": "before ⟨U+202E⟩after",
}


def hostile_rows() -> Rows:
    """Every hostile text in every field that a model, a server or a suite can fill."""
    rows: Rows = []
    for name, text in HOSTILE.items():
        short = text[:1000]
        # The records themselves refuse a lone surrogate here.
        callee = short.replace("\ud800", "")
        prompt = EvalPrompt(
            id=f"{name} {short}",
            messages=(
                Message(role="system", content=text),
                Message(
                    role="assistant",
                    tool_calls=(
                        HistoryCall(id="1", function=FunctionCall(name=short, arguments=text)),
                    ),
                ),
                Message(role="tool", content=text, tool_call_id="1", name=short),
                Message(role="user", content=text),
            ),
            tools=(Tool(name="f", description=text, parameters={"title": text}),),
            expect=Expect(
                exact=Exact(values=(text,)),
                tool_calls=ToolCalls(
                    calls=(ExpectedCall(name=callee, arguments={short: {"any_of": [text]}}),)
                ),
            ),
            category=short,
            role=short,
            tags=(short,),
            must_pass=True,
        )
        score = Score(
            scorer="exact",
            value=0.5,
            passed=False,
            culprit=Culprit.WRONG_ANSWER,
            note=text,
            details={short: text},
        )
        calls = (
            ToolCall(name=short, arguments={short: text}),
            ToolCall(name=short, arguments=None, raw=text),
        )
        answer = Completion(text=text, reasoning=text, finish_reason=short, tool_calls=calls)
        said = Completion(text=text, latency_s=1)
        other = EvalPrompt(id=f"said {prompt.id}", messages=prompt.messages, category=short)
        lost = EvalPrompt(id=f"lost {prompt.id}", messages=prompt.messages, category=short)
        fault = EvalFault(prompt_id=lost.id, prompt_hash="", kind=FaultKind.REFUSED, message=text)
        rows += [
            (prompt, a_result(prompt, answer, score, started_at=short)),
            (other, a_result(other, said)),
            (lost, fault),
        ]
    return rows


def hostile_checks() -> Checks:
    """Each hostile text in each field of a finding; the records refuse a lone surrogate."""
    texts = list(HOSTILE.values())
    return Checks(
        findings=tuple(
            Finding(name=text, level=level, sentence=text, consequence=text, details={"said": text})
            for text, level in zip(texts, cycle(Level))
        )
    )


def hostile_incidents() -> tuple[Incident, ...]:
    texts = list(HOSTILE.values())
    return tuple(
        Incident(at=text, kind=kind, what=text) for text, kind in zip(texts, cycle(IncidentKind))
    )


def in_page_order(rows: Rows) -> Rows:
    """Answers as they come, then what could not be measured."""
    return sorted(rows, key=lambda row: isinstance(row[1], EvalFault))


def hostile_report(rows: Rows) -> EvalReport:
    report = report_of(rows)
    text = "".join(value[:100] for value in HOSTILE.values())
    model = report.run.model.model_copy(update={"name": text, "adapter": text, "url": text})
    source = report.run.provenance.model_copy(
        update={"command": text, "versions": {text: text, "punie": text}, "hardware": text}
    )
    run = report.run.model_copy(
        update={
            "model": model,
            "provenance": source,
            "suite_name": text,
            "suite_version": text,
            "created_at": text,
            "selection": {text: text},
            "checks": hostile_checks(),
            "incidents": hostile_incidents(),
        }
    )
    suite = report.suite.model_copy(update={"description": text})
    return report.model_copy(update={"run": run, "suite": suite})


def written(path: Path, report: EvalReport, rows: Rows) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(render_html(report, rows))
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Chromium(program, tmp_path_factory.mktemp("profile")) as chromium:
        chromium.look(width=1280, height=900)
        yield chromium


@pytest.fixture(scope="module")
def synthetic_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    return written(path, *synthetic_report(66, demo=True, adapter="lora-r8", troubled=True))


def test_the_report_comes_in_pieces_and_reads_its_rows_once():
    report, rows = synthetic_report(66)
    taken = 0

    def counted() -> Iterator[tuple[EvalPrompt, Outcome]]:
        nonlocal taken
        for row in rows:
            taken += 1
            yield row

    pieces = render_html(report, counted())
    head = next(pieces)
    assert head.startswith("<!doctype html>")
    assert taken == 0
    assert "".join(pieces).rstrip().endswith("</html>")
    assert taken == len(rows)


def test_nothing_in_the_file_names_another_file():
    report, rows = synthetic_report(66)
    page = "".join(render_html(report, rows))
    assert not re.search(r"<(link|img|iframe|object|embed|form action)|@import|url\(", page)
    assert not re.search(r'\s(src|srcset|data|action)="', page)
    assert re.findall(r'href="([^#][^"]*)"', page) == []
    assert "unsafe-inline" not in page


def test_a_run_says_how_it_ended_and_whose_model_it_is():
    plain = "".join(render_html(*synthetic_report(12)))
    assert "not yours" not in plain
    demo, rows = synthetic_report(12, demo=True, status=RunStatus.INTERRUPTED)
    page = "".join(render_html(demo, rows))
    assert "demo model, not yours" in page
    assert "Interrupted before its end" in page


def test_a_run_in_which_nothing_was_answered_still_makes_a_page():
    prompt = EvalPrompt(id="p", messages=(Message(role="user", content="?"),))
    fault = EvalFault(
        prompt_id="p", prompt_hash="", kind=FaultKind.UNREACHABLE, message="connection refused"
    )
    page = "".join(render_html(report_of([(prompt, fault)]), [(prompt, fault)]))
    assert "no score" in page
    assert "Nothing answered at the address." in page
    assert "there is nothing to time" in page


def test_a_thousand_synthetic_prompts_stay_small():
    report, rows = synthetic_report(1000)
    page = "".join(render_html(report, rows))
    packed = sum(map(len, re.findall(r'<script type="text/plain"[^>]*>([^<]*)<', page)))
    assert packed < 400_000
    assert len(page) < 1_300_000


def test_memory_does_not_grow_with_the_rows():
    report, rows = synthetic_report(300)

    def peak(repeats: int) -> int:
        tracemalloc.start()
        for _ in render_html(report, (row for _ in range(repeats) for row in rows)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(6) - peak(1) < 1_000_000


def test_a_sound_run_says_so_in_one_sentence():
    report, rows = synthetic_report(12, fault_share=0)
    page = "".join(render_html(with_trust(report, PASSED), rows))
    assert "Sound: every self-check passed, and every request was answered." in page
    assert "Self-checks: all 4 passed" in page
    assert "--resume" not in page
    assert "What could not be measured" not in page
    assert "asked again" not in page


def test_what_befell_the_machine_stands_apart_from_wrong_answers():
    report, rows = synthetic_report(66, troubled=True, status=RunStatus.INTERRUPTED)
    page = "".join(render_html(report, rows))
    assert "Read with care: the run was interrupted, 2 requests could not be measured" in page
    assert "1 self-check warned (seed)" in page
    assert '<code id="resume">punie eval --resume 20261121-0152-k3f9</code>' in page
    assert "A second run will differ by chance" in page
    assert "probably out of memory" in page
    assert "connection lost (7), server died (7)" in page
    assert page.count("asked again: server died, connection lost") == 7
    answers, faults = page.split('<tbody id="unmeasured">')
    assert faults.count('class="row"') == 2
    assert faults.count('data-status="fault"') == 2
    assert 'data-status="fault"' not in answers


@pytest.mark.browser
def test_the_page_loads_alone_without_a_complaint(browser: Chromium, synthetic_page: Path):
    browser.open(synthetic_page)
    assert browser.problems() == []
    assert browser.requests() == [synthetic_page.as_uri()]
    assert browser.evaluate("document.querySelectorAll('tr.row').length") == 66
    assert browser.evaluate("document.querySelectorAll('#map .cells i').length") == 66


@pytest.mark.browser
def test_the_policy_stops_what_is_not_ours(browser: Chromium, synthetic_page: Path):
    browser.open(synthetic_page)
    browser.evaluate(
        "{const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
        "document.body.append(s); const i = new Image(); i.src = 'http://127.0.0.1:9/x';"
        "document.body.append(i)}"
    )
    assert browser.evaluate("window.hacked ?? null") is None
    assert any("Content Security Policy" in text for text in browser.problems())


SHOWN = "rows.filter((row) => !row.hidden)"


@pytest.mark.browser
def test_filters_narrow_the_table(browser: Chromium, synthetic_page: Path):
    browser.open(synthetic_page)
    total = browser.evaluate(f"{SHOWN}.length")
    assert total == 66
    browser.evaluate("document.querySelector('#status input[value=fail]').click()")
    failed = browser.evaluate(f"{SHOWN}.map((row) => row.dataset.status)")
    assert set(failed) == {"fail"}
    assert 0 < len(failed) < total
    browser.evaluate(
        "{const c = document.getElementById('category'); c.value = 'tool_calling';"
        "c.dispatchEvent(new Event('change'))}"
    )
    both = browser.evaluate(f"{SHOWN}.map((row) => row.dataset.category)")
    assert set(both) == {"tool_calling"}
    assert len(both) < len(failed)
    assert browser.evaluate("document.getElementById('shown').textContent") == f"{len(both)} of 66"
    browser.evaluate("document.querySelector('#culprits [data-show]').click()")
    word = browser.evaluate("document.querySelector('#culprits [data-show]').dataset.show")
    shown = browser.evaluate(f"{SHOWN}.map((row) => row.querySelector('.culprit').textContent)")
    assert set(shown) == {word}


@pytest.mark.browser
def test_the_keyboard_reaches_everything(browser: Chromium, synthetic_page: Path):
    browser.open(synthetic_page)
    press(browser, "/", "Slash")
    assert browser.evaluate("document.activeElement.id") == "text"
    browser.call("Input.insertText", text="weather-0")
    names = browser.evaluate(f"{SHOWN}.map((row) => row.querySelector('button').textContent)")
    assert names
    assert all("weather-0" in name for name in names)
    browser.evaluate(f"{SHOWN}[0].querySelector('button').focus()")
    press(browser, "ArrowDown", "ArrowDown")
    assert browser.evaluate("document.activeElement.textContent") == names[1]
    press(browser, "Enter", "Enter", text="\r")
    assert browser.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"


def press(browser: Chromium, key: str, code: str, *, text: str = "") -> None:
    number = {"Slash": 191, "ArrowDown": 40, "Enter": 13}[code]
    keys = {"key": key, "code": code, "windowsVirtualKeyCode": number}
    browser.call("Input.dispatchKeyEvent", type="keyDown", text=text, **keys)
    browser.call("Input.dispatchKeyEvent", type="keyUp", **keys)


@pytest.mark.browser
def test_opening_a_prompt_shows_its_transcript(browser: Chromium, tmp_path: Path):
    report, rows = synthetic_report(230, fault_share=0.1)
    browser.open(written(tmp_path / "report.html", report, rows))
    shown = in_page_order(rows)
    assert isinstance(shown[229][1], EvalFault)
    for at in (0, 99, 100, 229):
        prompt, outcome = shown[at]
        text = browser.evaluate(f"toggle(rows[{at}]).then(() => rows[{at}].sheet.innerText)")
        assert (prompt.messages[-1].content or "") in text
        wanted = outcome.message if isinstance(outcome, EvalFault) else outcome.scores[0].note
        assert wanted in text
    browser.evaluate("toggle(rows[0])")
    assert browser.evaluate("document.querySelectorAll('tr.open').length") == 3
    assert browser.problems() == []


@pytest.mark.browser
def test_hostile_text_stays_text(browser: Chromium, tmp_path: Path):
    rows = hostile_rows()
    browser.open(written(tmp_path / "report.html", hostile_report(rows), rows))
    browser.evaluate("Promise.all(rows.map(toggle)).then(() => null)")
    for element in document_parts(browser):
        assert element not in {"IMG", "A:javascript"}
    assert browser.evaluate("document.querySelectorAll('script:not([type])').length") == 1
    sheets = browser.evaluate("rows.map((row) => row.sheet.textContent)")
    wanted = [text for text in VISIBLE.values() for _ in range(3)]
    texts = dict(zip((prompt.id for prompt, _ in rows), wanted, strict=True))
    for (prompt, _), sheet in zip(in_page_order(rows), sheets, strict=True):
        assert sheet.count(texts[prompt.id][:20_000]) >= 3, prompt.id[:20]
    assert "show all 1,048,576 characters" in sheets[-1]
    touch = "document.querySelectorAll('.sheet :not(button)').forEach((each) => each.click())"
    browser.evaluate(touch)
    assert browser.evaluate("window.hacked ?? null") is None
    assert browser.problems() == []
    assert len(browser.requests()) == 1
    page = "document.documentElement"
    assert browser.evaluate(f"{page}.scrollWidth <= {page}.clientWidth")


def document_parts(browser: Chromium) -> list[str]:
    """Names of all elements, a link's with the scheme that it leads to."""
    return json.loads(
        browser.evaluate(
            "JSON.stringify([...document.querySelectorAll('*')].map((each) =>"
            " each.href?.startsWith?.('javascript') ? 'A:javascript' : each.tagName))"
        )
    )


@pytest.mark.browser
def test_faults_and_second_tries_can_be_shown_alone(browser: Chromium, tmp_path: Path):
    report, rows = synthetic_report(66, troubled=True)
    browser.open(written(tmp_path / "report.html", report, rows))
    heads = "[...document.querySelectorAll('#map h3 span')].map((each) => each.textContent)"
    told: list[str] = browser.evaluate(heads)
    numbers = [list(map(int, re.findall(r"\d+", each))) for each in told]
    # The third number is that of the faults; the second counts what has an answer.
    assert sum(each[1] for each in numbers) == 64
    assert sum(sum(each[2:]) for each in numbers) == 2
    lost: Rows = [(prompt, each) for prompt, each in rows if isinstance(each, EvalFault)]
    browser.open(written(tmp_path / "lost.html", report_of(lost), lost))
    assert set(browser.evaluate(heads)) <= {"no answer, 1 fault", "no answer, 2 faults"}
    browser.open(tmp_path / "report.html")
    browser.evaluate("document.querySelector('#faults [data-show]').click()")
    assert browser.evaluate(f"{SHOWN}.map((row) => row.dataset.status)") == ["fault", "fault"]
    assert not browser.evaluate("document.querySelector('tr.apart').hidden")
    browser.evaluate("document.querySelector('.timeline [data-show]').click()")
    assert browser.evaluate(f"{SHOWN}.length") == 7
    assert browser.evaluate("document.querySelector('tr.apart').hidden")
    sheet = browser.evaluate(f"toggle({SHOWN}[0]).then(() => {SHOWN}[0].sheet.innerText)")
    assert "failed before server died, connection lost" in sheet


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_its_window(
    browser: Chromium, synthetic_page: Path, width: int, *, dark: bool
):
    browser.look(width=width, height=900, dark=dark)
    browser.open(synthetic_page)
    browser.evaluate("Promise.all([...Array(9).keys()].map((at) => toggle(rows[at])))")
    inner = browser.evaluate("document.documentElement.clientWidth")
    assert browser.evaluate("document.documentElement.scrollWidth") <= inner
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(number) for number in re.findall(r"\d+", ground)]
    assert (sum(islice(channels, 3)) < 200) is dark
    browser.look(width=1280, height=900)


@pytest.mark.browser
def test_paper_shows_every_row_whatever_the_filter(browser: Chromium, synthetic_page: Path):
    browser.open(synthetic_page)
    browser.evaluate("filter({text: 'no such prompt'})")
    assert browser.evaluate(f"{SHOWN}.length") == 0
    browser.look(width=1280, height=900, dark=True, media="print")
    heights = browser.evaluate("rows.filter((row) => row.offsetHeight > 0).length")
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.look(width=1280, height=900)
    assert heights == 66
    assert ground == "rgb(255, 255, 255)"
    assert browser.pdf().startswith(b"%PDF")


def test_code_that_a_model_brings_is_named_as_never_run():
    report, rows = synthetic_report(12)
    assert "Code of its own" not in "".join(render_html(report, rows))
    hostile = ("<script>window.hacked = 1</script>.py",)
    model = report.run.model.model_copy(update={"own_code": hostile})
    report = report.model_copy(update={"run": report.run.model_copy(update={"model": model})})
    page = "".join(render_html(report, rows))
    assert "never run (&lt;script&gt;window.hacked = 1&lt;/script&gt;.py)" in page
    assert hostile[0] not in page
