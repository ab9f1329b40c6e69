"""The tables of a comparison's page, each line with its drawing."""

from typing import NamedTuple

from markupsafe import Markup

from punie.records.compared import Compared, Matrix
from punie.records.comparison import Comparison, Difference, SliceComparison, Word
from punie.records.duel import DuelSummary
from punie.reporting import comparison_wording as words_of
from punie.reporting import numbers
from punie.reporting.arms_chart import arms_cell
from punie.reporting.duel import (
    DuelRow,
    duel_rows,
    duel_title,
    figures,
    remarks,
    stamp,
    steadiness,
    verdict,
)
from punie.reporting.forest_chart import Scale, forest_axis, forest_cell, scale_of
from punie.reporting.page import drawing
from punie.reporting.win_chart import win_cell
from punie.text import one_line

CLASSES = {
    Word.BETTER: "better",
    Word.NO_WORSE: "hold",
    Word.WORSE: "worse",
    Word.UNCLEAR: "unclear",
}
"""The class of a word in the style of the page."""


class ForestRow(NamedTuple):
    """One line of the forest plot, which is its own table."""

    name: str
    cell: Markup | str
    difference: str
    word: str
    kind: str
    flips: str
    pairs: str


class Forest(NamedTuple):
    """The plot, its groups in order, and the scale that all its lines share."""

    headline: Markup | str
    axis: Markup
    groups: list[tuple[str, list[ForestRow]]]


def forest_of(compared: Compared) -> Forest:
    """Overall, categories, roles and tags of the first comparison, and the other suites."""
    first, *others = compared.comparisons
    tags = sorted(first.tags, key=lambda each: -each.pairs)
    slices = [("Category", first.categories), ("Role", first.roles), ("Tag", tags)]
    found = [first.score, *(each.score for each in others)]
    found += [each.difference for _, group in slices for each in group]
    scale = scale_of(found, first.margin)
    groups = [("Overall", [_whole(first, "overall", scale, first.margin)])]
    groups += [
        (name, [_part(each, scale, first.margin) for each in group])
        for name, group in slices
        if group
    ]
    if others:
        rows = [_whole(each, words_of.suite_of(each), scale, first.margin) for each in others]
        groups.append(("Other suites", rows))
    headline = ""
    if first.score:
        own_scale = scale_of([first.score], first.margin)
        headline = drawing(
            forest_cell(first.score, own_scale, margin=first.margin, label="Difference")
            + forest_axis(own_scale, margin=first.margin)
        )
    return Forest(headline, drawing(forest_axis(scale, margin=first.margin)), groups)


def _whole(each: Comparison, name: str, scale: Scale, margin: float) -> ForestRow:
    split = each.discordance
    return ForestRow(
        name,
        _cell(each.score, scale, margin, name),
        words_of.difference(each.score),
        words_of.word_of(each),
        CLASSES[each.word] if each.word else "",
        f"+{split.gained} −{split.lost}" if split else numbers.NOTHING,
        numbers.count(each.scored),
    )


def _part(each: SliceComparison, scale: Scale, margin: float) -> ForestRow:
    return ForestRow(
        one_line(each.name, 60),
        _cell(each.difference, scale, margin, each.name),
        words_of.difference(each.difference),
        each.word.value if each.word else "nothing to compare",
        CLASSES[each.word] if each.word else "",
        f"+{each.gained} −{each.lost}",
        numbers.count(each.pairs),
    )


def _cell(found: Difference | None, scale: Scale, margin: float, label: str) -> Markup | str:
    if found is None:
        return ""
    return drawing(forest_cell(found, scale, margin=margin, label=one_line(label, 60)))


class Standing(NamedTuple):
    """One slice in both runs, with its pair of bars."""

    name: str
    cell: Markup
    base: str
    current: str
    faults: int


def standings_of(first: Comparison) -> list[tuple[str, list[Standing]]]:
    """Overall, categories and roles in both runs, by group."""
    overall = Standing(
        "overall",
        drawing(arms_cell(first.base_score, first.current_score, label="overall")),
        numbers.percent_interval(first.base_score),
        numbers.percent_interval(first.current_score),
        len(first.faulted),
    )
    named = [("Category", first.categories), ("Role", first.roles)]
    return [
        ("Overall", [overall]),
        *((name, [_standing(each) for each in slices]) for name, slices in named if slices),
    ]


def _standing(each: SliceComparison) -> Standing:
    name = one_line(each.name, 60)
    return Standing(
        name,
        drawing(arms_cell(each.base, each.current, label=name)),
        numbers.percent_interval(each.base),
        numbers.percent_interval(each.current),
        each.faults,
    )


class MatrixLine(NamedTuple):
    """Two of several runs."""

    row: str
    column: str
    difference: str
    p: str
    adjusted: str
    clear: bool


def matrix_of(matrix: Matrix | None) -> list[MatrixLine]:
    """One line for each two of several runs."""
    if matrix is None:
        return []
    titles = dict(zip(matrix.runs, map(one_line, matrix.titles), strict=True))
    return [
        MatrixLine(
            titles[cell.row],
            titles[cell.column],
            words_of.difference(cell.difference),
            words_of.p_value(cell.p) if cell.p is not None else numbers.NOTHING,
            words_of.p_value(cell.adjusted) if cell.adjusted is not None else numbers.NOTHING,
            cell.adjusted is not None and cell.adjusted < matrix.alpha,
        )
        for cell in matrix.cells
    ]


class DuelLine(NamedTuple):
    """One slice before the judge, with its bar."""

    row: DuelRow
    cell: Markup


class DuelTable(NamedTuple):
    """What a judge says of the two runs, ready to show."""

    title: str
    verdict: str
    stamp: str
    lines: list[DuelLine]
    remarks: list[str]


def duel_of(duel: DuelSummary | None) -> DuelTable | None:
    """Wins, ties and losses with everything that a reader must know of the judge."""
    if duel is None:
        return None
    slices = {
        ("overall", duel.overall.name): duel.overall,
        **{("category", each.name): each for each in duel.categories},
        **{("role", each.name): each for each in duel.roles},
    }
    lines = [
        DuelLine(row, drawing(win_cell(slices[row.kind, row.name]))) for row in duel_rows(duel)
    ]
    said = [stamp(duel), *remarks(duel), *(f"{each}." for each in steadiness(duel))]
    return DuelTable(
        one_line(duel_title(duel), 160), verdict(duel), said[0], lines, [*said[1:], figures(duel)]
    )
