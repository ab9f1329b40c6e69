import json
import re
import tracemalloc
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
from pydantic import JsonValue

from chromium import Chromium, find_chromium
from punie.analysis.pairing import Arm, Asked
from punie.records.compared import Compared
from punie.records.comparison import Bucket, Comparison, Side
from punie.records.result import Culprit, EvalFault, FaultKind, Outcome
from punie.records.suite import EvalPrompt
from punie.reporting.comparison_html import render_comparison
from punie.reporting.comparison_notes import notes_of
from punie.reporting.flipped import FlippedRow, flipped_rows, telling
from punie.reporting.heat_map import Cell, HeatRow
from punie.reporting.runs_map import map_rows, splits
from synthetic_comparison import (
    Paired,
    a_compared,
    a_comparison,
    a_matrix,
    flip_of,
    flipped,
    paired_rows,
)
from synthetic_run import PASSED, Rows, a_result

HOSTILE = (
    "</script></style></table><script>window.hacked = 1</script>"
    '<img src=x onerror="window.hacked = 1">" onclick="window.hacked = 1" x=\''
    "{{ 7 * 7 }} \x00 \x1b[31m \u202e"
)

FIXED = {
    "quantization",
    "status",
    "word",
    "bucket",
    "verdict",
    "holds",
    "action",
    "serves",
    "purpose",
    "how",
    "base_culprit",
    "current_culprit",
}
"""Fields that hold one of a few words."""


def page_of(compared: Compared, rows: list[FlippedRow], *, words: bool = True) -> str:
    first = compared.comparisons[0]
    prompts = [
        HeatRow(flip.id, flip.category, (Cell(right=1), Cell(wrong=1), Cell(unasked=1)))
        for flip in first.flips
    ]
    return "".join(
        render_comparison(compared, rows, words=words, matrix=a_matrix(first), prompts=prompts)
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Chromium(program, tmp_path_factory.mktemp("profile")) as chromium:
        chromium.look(width=1280, height=900)
        yield chromium


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paired = paired_rows(60)
    path = tmp_path_factory.mktemp("comparison") / "comparison.html"
    path.write_text(page_of(a_compared(paired), flipped(paired)), "utf-8")
    return path


def both_rows(paired: Paired) -> tuple[Rows, Rows]:
    return [(prompt, one) for prompt, one, _ in paired], [(p, other) for p, _, other in paired]


def test_flips_come_with_both_answers_in_the_order_of_worth():
    paired = paired_rows(60)
    base, current = both_rows(paired)
    flips = a_comparison(paired).flips
    rows = list(flipped_rows(flips, lambda _: base, lambda _: current))
    assert rows == flipped(paired)
    assert [row.flip.bucket for row in rows] == sorted(
        (row.flip.bucket for row in rows), key=list(Bucket).index
    )
    # Another order of one run changes nothing but the order within a bucket.
    shuffled = list(flipped_rows(flips, lambda _: base[::-1], lambda _: current))
    assert {row.flip.id: row.base for row in shuffled} == {row.flip.id: row.base for row in rows}


def test_a_renamed_prompt_finds_its_answer_and_repeats_stay_together():
    (prompt, one, other), *_ = paired_rows(1)
    renamed = replace(prompt, id="old name")
    again = one.model_copy(update={"repeat": 1})
    base: Rows = [(renamed, one), (renamed, again)]
    flip = flip_of(prompt, one, other).model_copy(update={"bucket": Bucket.REGRESSED})
    (row,) = flipped_rows([flip], lambda _: base, lambda _: [(prompt, other)])
    assert row.base == (one, again)
    assert row.current == (other,)


def test_of_repeats_the_first_that_failed_is_shown():
    paired = paired_rows(60)
    right = next(one for _, one, _ in paired if one.passed)
    wrong = next(one for _, one, _ in paired if not one.passed)
    lost = EvalFault(prompt_id="p", prompt_hash="", kind=FaultKind.TIMEOUT, message="late")
    assert telling([right, wrong, wrong]) == (1, wrong)
    assert telling([lost, right]) == (1, right)
    assert telling([lost]) == (0, lost)


def test_the_page_says_all_that_was_found():
    paired = paired_rows(60)
    compared = a_compared(paired)
    page = page_of(compared, flipped(paired))
    for words in (
        "smollm2-135m + greenhouse",
        "asked to gain",
        "Gate: inconclusive",
        "gains more than 0 points",
        "About 120 more prompts would settle it.",
        "Decision: hybrid",
        "the better guess",
        "punie eval guard.yaml --sample 165",
        "success at least 98 %: even 60 of 60 has a lower bound of 94 %",
        "The base run asked for no self-checks.",
        "The gate&#39;s suite held-out was not measured: punie eval",
        "guard suite 1",
        "Weighted (tool_calling 70.0 %, reasoning 30.0 %)",
        "mlx-lm",
        "may move scores",
        "20261121-0101-base",
        "After Holm",
        "not timed side by side",
        "Are these measurements sound?",
    ):
        assert words in page, words
    assert page.count('<tr class="row"') == len(compared.comparisons[0].flips)
    order = re.findall(r'<tr class="row" data-status="([a-z-]+)"', page)
    ranked = ["regressed", "fixed", "still-failing"]
    assert order == sorted(order, key=ranked.index)
    assert set(order) == set(ranked)


def test_the_page_comes_in_pieces_and_reads_its_flips_once():
    paired = paired_rows(60)
    rows = flipped(paired)
    taken = 0

    def counted() -> Iterator[FlippedRow]:
        nonlocal taken
        for row in rows:
            taken += 1
            yield row

    pieces = render_comparison(a_compared(paired), counted())
    assert next(pieces).startswith("<!doctype html>")
    assert taken == 0
    assert "".join(pieces).rstrip().endswith("</html>")
    assert taken == len(rows)


def test_nothing_in_the_file_names_another_file():
    paired = paired_rows(60)
    page = page_of(a_compared(paired), flipped(paired))
    assert not re.search(r"<(link|img|iframe|object|embed|form action)|@import", page)
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {
        "#stripes-regressed",
        "#stripes-failing",
        "#stripes-loss",
    }
    assert re.findall(r'href="([^#][^"]*)"', page) == []
    assert "unsafe-inline" not in page


def test_a_bare_comparison_makes_a_page():
    """Nothing scored, nothing measured, nothing flipped, and no gate."""
    paired = paired_rows(1)
    first = a_comparison(paired)
    bare = Comparison(
        base=first.base.model_copy(update={"summary": None}),
        current=first.current,
        pairs=0,
        scored=0,
    )
    page = "".join(render_comparison(Compared(comparisons=(bare,)), []))
    assert "nothing to compare" in page
    for absent in ('id="gate"', 'id="decision"', 'id="matrix"', 'id="duel"', 'class="latency"'):
        assert absent not in page
    assert "The run has no numbers of its own." in page


def test_one_prompt_and_two_equal_runs_make_a_page():
    one = paired_rows(1)
    assert "overall" in page_of(a_compared(one), flipped(one))
    same: Paired = [(prompt, a, a) for prompt, a, _ in paired_rows(30)]
    page = page_of(a_compared(same), flipped(same))
    assert 'data-status="regressed"' not in page
    assert 'data-status="fixed"' not in page


def test_without_words_the_page_says_that_they_were_not_kept():
    paired = paired_rows(30)
    page = page_of(a_compared(paired), flipped(paired), words=False)
    assert page.count("(not kept: the database of the run has it)") == len(flipped(paired))
    assert "How warm is it" not in page


def hostile(paired: Paired) -> tuple[Compared, list[FlippedRow]]:
    """The hostile text in every field that a person, a model or a server can fill."""
    written = HOSTILE
    compared = a_compared(paired)

    def poison(value: JsonValue, key: str = "") -> JsonValue:
        if isinstance(value, dict):
            return {name: poison(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [poison(each, key) for each in value]
        return written if isinstance(value, str) and key not in FIXED else value

    poisoned = Compared.model_validate(poison(compared.model_dump(mode="json")))
    rows = [
        FlippedRow(
            row.flip.model_copy(update={"id": written, "category": written, "role": written}),
            replace(
                row.prompt,
                id=written,
                tags=(written,),
                messages=tuple(replace(each, content=written) for each in row.prompt.messages),
            ),
            [_poisoned(each, written) for each in row.base],
            [_poisoned(each, written) for each in row.current],
        )
        for row in flipped(paired)
    ]
    return poisoned, rows


def _poisoned(outcome: Outcome, written: str) -> Outcome:
    assert not isinstance(outcome, EvalFault)
    answer = outcome.completion.model_copy(update={"text": written, "reasoning": written})
    scores = tuple(each.model_copy(update={"note": written}) for each in outcome.scores)
    return outcome.model_copy(update={"completion": answer, "scores": scores})


@pytest.mark.browser
def test_hostile_text_stays_text(browser: Chromium, tmp_path: Path):
    compared, rows = hostile(paired_rows(24))
    path = tmp_path / "hostile.html"
    path.write_text(page_of(compared, rows), "utf-8")
    browser.open(path)
    browser.evaluate("Promise.all(rows.map(toggle)).then(() => null)")
    assert browser.evaluate("document.querySelectorAll('img, [onclick], [onerror]').length") == 0
    assert browser.evaluate("document.querySelectorAll('script:not([type])').length") == 1
    assert browser.evaluate("window.hacked ?? null") is None
    assert "{{ 7 * 7 }}" in browser.evaluate("document.body.innerText")
    assert browser.problems() == []
    assert len(browser.requests()) == 1
    page = "document.documentElement"
    for width in (1280, 400):
        browser.look(width=width, height=900)
        assert browser.evaluate(f"{page}.scrollWidth <= {page}.clientWidth"), width
    browser.look(width=1280, height=900)


SHOWN = "rows.filter((row) => !row.hidden)"


@pytest.mark.browser
def test_the_diff_can_be_filtered_and_searched(browser: Chromium, page: Path):
    browser.open(page)
    total = browser.evaluate(f"{SHOWN}.length")
    browser.evaluate("document.querySelector('.buckets [data-only=regressed]').click()")
    assert set(browser.evaluate(f"{SHOWN}.map((row) => row.dataset.status)")) == {"regressed"}
    assert browser.evaluate("document.querySelector('#status input:checked').value") == "regressed"
    browser.evaluate("document.querySelector('#status input[value=still-failing]').click()")
    failing = browser.evaluate(f"{SHOWN}.length")
    assert 0 < failing < total
    browser.evaluate("reset('not called')")
    culprits = browser.evaluate(f"{SHOWN}.map((row) => row.querySelector('.culprit').textContent)")
    assert culprits
    assert all(str(Culprit.NOT_CALLED) in each for each in culprits)
    labels = browser.evaluate("document.getElementById('status').textContent")
    assert "still failing" in labels
    assert browser.problems() == []


@pytest.mark.browser
def test_a_flip_opens_to_both_answers_side_by_side(browser: Chromium, page: Path):
    browser.look(width=1280, height=900)
    browser.open(page)
    text = browser.evaluate("toggle(rows[0]).then(() => rows[0].sheet.innerText)")
    assert "Base: smollm2-135m\n" in text
    assert "Current: smollm2-135m + greenhouse" in text
    assert "pass, score 1" in text
    assert browser.evaluate("rows[0].sheet.querySelectorAll('.arm').length") == 2
    lefts: list[float] = browser.evaluate(
        "[...rows[0].sheet.querySelectorAll('.arm')].map((each) => each.offsetLeft)"
    )
    assert lefts[0] < lefts[1]
    last = browser.evaluate("toggle(rows.at(-1)).then(() => rows.at(-1).sheet.innerText)")
    assert "score 0" in last
    assert browser.problems() == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 400, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_its_window(browser: Chromium, page: Path, width: int, *, dark: bool):
    browser.look(width=width, height=900, dark=dark)
    browser.open(page)
    browser.evaluate("Promise.all([...Array(9).keys()].map((at) => toggle(rows[at])))")
    inner = browser.evaluate("document.documentElement.clientWidth")
    assert browser.evaluate("document.documentElement.scrollWidth") <= inner
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(number) for number in re.findall(r"\d+", ground)]
    assert (sum(islice(channels, 3)) < 200) is dark
    browser.look(width=1280, height=900)


CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map(linear);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgb("white");
  };
  const poor = [];
  for (const element of document.querySelectorAll("main *")) {
    const own = [...element.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    const [a, b] = [light(rgb(svg ? style.fill : style.color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([element.className, element.textContent.slice(0, 30), ratio]);
  }
  return JSON.stringify(poor);
})()
"""


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_every_word_stands_out_from_its_ground(browser: Chromium, page: Path, *, dark: bool):
    browser.look(width=1280, height=900, dark=dark)
    browser.open(page)
    browser.evaluate("toggle(rows[0])")
    assert json.loads(browser.evaluate(CONTRAST)) == []
    browser.look(width=1280, height=900)


@pytest.mark.browser
def test_paper_shows_every_flip_whatever_the_filter(browser: Chromium, page: Path):
    browser.open(page)
    total = browser.evaluate("rows.length")
    browser.evaluate("filter({text: 'no such prompt'})")
    browser.look(width=1280, height=900, dark=True, media="print")
    heights = browser.evaluate("rows.filter((row) => row.offsetHeight > 0).length")
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.look(width=1280, height=900)
    assert heights == total
    assert ground == "rgb(255, 255, 255)"
    assert browser.pdf().startswith(b"%PDF")


def test_memory_does_not_grow_with_the_flips():
    paired = paired_rows(300)
    compared, rows = a_compared(paired), flipped(paired)

    def peak(repeats: int) -> int:
        tracemalloc.start()
        for _ in render_comparison(compared, (row for _ in range(repeats) for row in rows)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(6) - peak(1) < 1_000_000


def test_five_thousand_prompts_are_gathered_one_at_a_time():
    """The runs come as streams, of what flipped alone; that is held until its partner is read."""
    paired = paired_rows(60)
    comparison = a_comparison(paired)
    (filler, answer, _) = paired[0]

    def rows(which: int, hashes: Collection[str]) -> Iterator[tuple[EvalPrompt, Outcome]]:
        long = answer.completion.model_copy(update={"text": "x" * 2_000})
        for at in range(5_000):
            prompt = replace(filler, id=f"filler-{at}", hash=f"f{at}")
            if prompt.hash in hashes:
                yield prompt, a_result(prompt, long)
        for row in paired:
            if row[0].hash in hashes:
                yield row[0], (row[1], row[2])[which]

    tracemalloc.start()
    base, current = partial(rows, 0), partial(rows, 1)
    found = sum(1 for _ in flipped_rows(comparison.flips, base, current))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == len(comparison.flips)
    assert most < 2_000_000


def test_self_checks_of_both_runs_are_shown():
    paired = paired_rows(12)
    first = a_comparison(paired)
    checked = first.current.model_copy(update={"checks": PASSED})
    compared = Compared(comparisons=(first.model_copy(update={"current": checked}),))
    page = "".join(render_comparison(compared, flipped(paired)))
    assert "Sound: every self-check passed" in page
    assert "No self-checks were made" in page


def test_what_was_not_compared_is_named():
    compared = a_compared(paired_rows(12))
    first = compared.comparisons[0].model_copy(
        update={
            "must_pass_failed": ("tool-weather-03",),
            "must_pass_unmeasured": ("vital",),
            "faulted": tuple(f"lost-{at}" for at in range(14)),
            "changed": ("reworded",),
        }
    )
    notes = notes_of(compared.model_copy(update={"comparisons": (first,)}))
    texts = [note.text for note in notes]
    assert notes[0].prompts == ("tool-weather-03",)
    assert "Must pass, and not measured: vital" in texts
    assert any(text.endswith("lost-10, lost-11 and 2 more") for text in texts)
    assert "Changed between the runs: reworded" in texts


def test_every_prompt_stands_beside_itself_in_every_run():
    texts = {"a": "both", "b": "lost", "c": "half", "d": "alone"}

    def arm(**sides: Side) -> Arm:
        return tuple(
            Asked(id=name, hash=texts[name], side=side, category="tools")
            for name, side in sides.items()
        )

    right, wrong = Side(passed=1, score=1, answers=1), Side(passed=0, score=0, answers=1)
    half, lost = Side(passed=0.5, score=0.5, answers=4), Side(faults=1)
    rows = map_rows([arm(a=right, b=lost, c=half), arm(a=right, b=wrong, c=wrong, d=right)])
    assert [row.cells for row in rows] == [
        (Cell(right=1), Cell(right=1)),
        (Cell(faults=1), Cell(wrong=1)),
        (Cell(right=2, wrong=2), Cell(wrong=1)),
        (Cell(unasked=1), Cell(right=1)),
    ]
    assert list(splits(rows)) == [("c", "tools", ("2 of 4 right", "✗ wrong"))]


def test_a_judge_is_shown_with_all_that_tells_against_it():
    paired = paired_rows(12)
    page = page_of(a_compared(paired), flipped(paired))
    for words in (
        "qwen3-8b, pair by pair, each in both orders",
        "No clear winner: 30 to 17 (sign test p = 0.08). Not calibrated",
        "30/17/13",
        "1.76:1",
        "2 faults",
        "The longer answer wins more often than chance explains.",
    ):
        assert words in page, words
