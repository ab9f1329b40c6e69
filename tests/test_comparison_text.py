"""A comparison in the terminal and as markdown."""

import io

import pytest
from rich.console import Console

from punie.records.compared import Compared
from punie.records.comparison import Bucket, Flip, Word
from punie.records.gate import Verdict
from punie.reporting import comparison_wording as words
from punie.reporting.comparison_markdown import LISTED, matrix_markdown, titled_markdown
from punie.reporting.comparison_terminal import comparison_view, matrix_view
from synthetic_comparison import a_compared, a_comparison, a_matrix, paired_rows


@pytest.fixture(scope="module")
def compared() -> Compared:
    return a_compared(paired_rows())


def printed(thing: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 62, 80, 100, 140])
def test_the_table_fits_its_window_and_keeps_every_difference_whole(
    compared: Compared, width: int
) -> None:
    shown = printed(comparison_view(compared), width)
    assert max(map(len, shown.splitlines())) <= width
    for row in words.rows(compared.comparisons[0], tags=5):
        assert row.difference in shown


def test_the_terminal_shows_verdict_flips_gate_and_decision(compared: Compared) -> None:
    shown = " ".join(printed(comparison_view(compared), 100).split())
    first = compared.comparisons[0]
    assert words.subject(compared) in shown
    assert words.counted_over(first) in shown
    assert words.detectable(first) in shown
    for bucket, count in words.buckets(first):
        assert f"{bucket} {count}" in shown
    flip = words.flips(first, Bucket.REGRESSED)[0]
    assert f"− {flip.id} {words.reasons(flip)}" in shown
    assert compared.gate is not None
    for result in compared.gate.results:
        assert f"{words.VERDICT_MARKS[result.verdict]} {result.name}: {result.asked}." in shown
    assert compared.decision is not None
    assert f"Decision: {compared.decision.action}." in shown
    for route in compared.decision.routes:
        assert f"{route.role}: {route.serves} serves it" in shown
    for line in (*first.cautions, *compared.missing, *compared.decision.measure_next):
        assert line in shown
    assert "adapter: – → greenhouse (may move scores)" in shown


def test_markdown_has_every_row_bound_and_flip(compared: Compared) -> None:
    text = titled_markdown(compared)
    first = compared.comparisons[0]
    lines = text.splitlines()
    for row in words.rows(first):
        assert any(row.difference in line and row.base in line for line in lines)
    for flip in first.flips:
        assert any(flip.id in line and "→" in line for line in lines)
    assert compared.gate is not None
    bounds = [line for line in lines if line.startswith(tuple(f"| {m}" for m in "✓✗?"))]
    assert len(bounds) == len(compared.gate.results)
    for run in (first.base, first.current):
        assert run.id in text
    assert "Both answers" not in text


def test_markdown_shows_answers_only_where_they_are_given(compared: Compared) -> None:
    flip = words.flips(compared.comparisons[0], Bucket.REGRESSED)[0]
    hostile = "```\n<img src=x onerror=alert(1)>\n# heading"
    text = titled_markdown(compared, answers={flip.id: ("before", hostile)})
    assert "### Both answers to what flipped" in text
    assert "````\n```\n⟨img" in text  # the fence is longer than what is in it
    assert "<img" not in text


def test_a_long_list_of_flips_ends_with_how_many_more(compared: Compared) -> None:
    many = tuple(
        Flip(id=f"p{at}", hash="", bucket=Bucket.REGRESSED, category="c", base_score=1,
             current_score=0)
        for at in range(LISTED + 7)
    )  # fmt: skip
    first = compared.comparisons[0].model_copy(update={"flips": many})
    long = compared.model_copy(update={"comparisons": (first,)})
    assert "- and 7 more" in titled_markdown(long)
    assert "and 99 more regressed" in printed(comparison_view(long), 80)


def test_hostile_names_are_text_everywhere(compared: Compared) -> None:
    name = "<b>|[x](y)\x1b[31m\n# no"
    first = compared.comparisons[0]
    flip = first.flips[0].model_copy(update={"id": name})
    slices = (first.categories[0].model_copy(update={"name": name}),)
    first = first.model_copy(
        update={"flips": (flip,), "categories": slices, "cautions": (name,), "faulted": (name,)}
    )
    told = compared.model_copy(update={"comparisons": (first,), "missing": (name,)})
    text = titled_markdown(told)
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "\n# no" not in text
    assert "\x1b" not in printed(comparison_view(told), 80)


def test_words_for_people() -> None:
    first = a_comparison(paired_rows())
    assert words.word_of(first) == "better"
    no_worse = first.model_copy(update={"word": Word.NO_WORSE, "margin": 0.025})
    assert words.word_of(no_worse) == "no worse by more than 2.5 points"
    assert words.word_of(first.model_copy(update={"word": None})) == "nothing to compare"
    assert words.points(0.01) == "1 point"
    assert words.p_value(0.00001) == "p < 0.0001"
    assert words.p_value(0.0312) == "p = 0.031"
    one = first.model_copy(update={"changed": ("a",), "faulted": ("b", "c"), "only_base": 2})
    assert words.coverage(one) == (
        "Not compared: 1 prompt changed between them; 2 only the base was asked; "
        "2 lost to faults: the verdict counts them both ways."
    )
    alike = first.model_copy(update={"current": first.base.model_copy(update={"id": "other"})})
    assert words.titles(alike) == (
        f"smollm2-135m ({first.base.id})",
        "smollm2-135m (other)",
    )


def test_a_clear_interval_beside_too_few_is_explained(compared: Compared) -> None:
    first = compared.comparisons[0]
    assert not words.dependence(first)
    part = first.categories[0]
    assert part.difference is not None
    shared = part.difference.model_copy(update={"independent": 4.0})
    first = first.model_copy(
        update={"categories": (part.model_copy(update={"difference": shared}),)}
    )
    told = compared.model_copy(update={"comparisons": (first,)})
    assert "fewer than 8 are independent" in titled_markdown(told)
    shown = " ".join(printed(comparison_view(told), 80).split())
    assert "fewer than 8 are independent" in shown


def test_nothing_measured_is_said_and_no_number_made_up(compared: Compared) -> None:
    first = compared.comparisons[0].model_copy(
        update={
            "score": None,
            "word": None,
            "base_score": None,
            "current_score": None,
            "discordance": None,
            "smallest_detectable": None,
            "scored": 0,
            "categories": (),
            "roles": (),
            "tags": (),
            "flips": (),
            "buckets": {},
            "latency": None,
        }
    )
    empty = compared.model_copy(update={"comparisons": (first,), "gate": None, "decision": None})
    assert "Nothing to compare" in titled_markdown(empty)
    assert "nothing to compare" in printed(comparison_view(empty), 80)


def test_a_gate_in_one_line(compared: Compared) -> None:
    assert compared.gate is not None
    held = compared.gate.model_copy(
        update={
            "verdict": Verdict.PASS,
            "results": compared.gate.results[:1],
        }
    )
    assert words.gate_line(held) == "Gate go-no-go: pass, its bound holds"
    assert words.gate_line(compared.gate) == "Gate go-no-go: inconclusive (1 undecided, 2 held)"


def test_a_matrix_names_each_pair_and_what_holm_leaves() -> None:
    matrix = a_matrix(a_comparison(paired_rows()))
    shown = printed(matrix_view(matrix), 100)
    text = matrix_markdown(matrix)
    for cell in matrix.cells:
        told = words.difference(cell.difference)
        assert told in shown
        assert told in text
    for title in matrix.titles:
        assert title in shown
