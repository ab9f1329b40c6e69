"""What the encoding found: rows that do not render, answers that are cut away, lost calls."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from punie.datasets.checking.texts import place_of
from punie.records.datacheck import SHOWN_PLACES, DataFinding, Severity
from punie.records.dataset import Row, Split
from punie.records.encoding import Encoding, RowProblem, RowProblemKind
from punie.records.training import PlanFields


class _Kind(NamedTuple):
    check: str
    severity: Severity
    what: str
    hint: str


_KINDS = {
    RowProblemKind.REFUSED: _Kind(
        "template",
        Severity.ERROR,
        "refused by the model's chat template",
        "change the order of the roles, or what the template says it does not take",
    ),
    RowProblemKind.NO_TARGET: _Kind(
        "mask",
        Severity.ERROR,
        "without a token that would be trained",
        "each row needs an answer of the assistant",
    ),
    RowProblemKind.CUT_ANSWER: _Kind(
        "length",
        Severity.ERROR,
        "longer than max_length, so that a part of the answer would be cut away",
        "raise max_length, or shorten these rows",
    ),
    RowProblemKind.CUT_PROMPT: _Kind(
        "length",
        Severity.NOTE,
        "longer than max_length; only what follows the last trained token is cut",
        "nothing is lost; a row may as well end with its last answer",
    ),
    RowProblemKind.LOST_END: _Kind(
        "end",
        Severity.WARNING,
        "with an answer that no end-of-turn token ends",
        "the adapter may not stop by itself: use a template that writes the token, or cap answers",
    ),
    RowProblemKind.DOUBLE_START: _Kind(
        "template",
        Severity.WARNING,
        "beginning with two start-of-text tokens",
        "take it out of the text: the tokenizer or the template adds it already",
    ),
    RowProblemKind.NO_PREFIX: _Kind(
        "mask",
        Severity.NOTE,
        "whose prompt as it is served is no beginning of the row",
        "the answers were found another way; look at the example to see that they are right",
    ),
    RowProblemKind.LOST_CALL: _Kind(
        "calls",
        Severity.ERROR,
        "with tool calls that the server would not read back as they were written",
        "the model would learn calls that nobody can run: see what comes back instead",
    ),
}
_ONLY_TRAINED = (RowProblemKind.NO_TARGET, RowProblemKind.CUT_ANSWER, RowProblemKind.LOST_CALL)
"""Errors of training rows alone; in a validation row they only blur the loss."""


def find_encoding_problems(
    rows: Mapping[Split, Sequence[Row]], encoding: Encoding, plan: PlanFields | None
) -> Iterator[DataFinding]:
    """Give what the encoding found, one finding for each kind and split."""
    grouped: dict[tuple[Split, RowProblemKind, bool], list[RowProblem]] = {}
    for problem in encoding.problems:
        of_split = rows.get(problem.split, ())
        if problem.row < len(of_split):
            prose = of_split[problem.row].text is not None
            grouped.setdefault((problem.split, problem.kind, prose), []).append(problem)
    for (split, kind, prose), problems in grouped.items():
        lengths = _lengths(split, encoding, plan)
        yield _finding(split, kind, problems, rows[split], lengths=lengths, prose=prose)


def _finding(
    split: Split,
    kind: RowProblemKind,
    problems: Sequence[RowProblem],
    rows: Sequence[Row],
    *,
    lengths: Mapping[str, int | float],
    prose: bool,
) -> DataFinding:
    check, severity, what, hint = _KINDS[kind]
    milder = split is not Split.TRAIN and kind in _ONLY_TRAINED
    if milder or (prose and kind is RowProblemKind.CUT_ANSWER):
        severity = Severity.WARNING
    return DataFinding(
        check=check,
        severity=severity,
        what=f"{len(problems):,} of {len(rows):,} rows of {split} {what}",
        places=tuple(place_of(rows[each.row], each.detail) for each in problems[:SHOWN_PLACES]),
        count=len(problems),
        hint=hint,
        details=dict(lengths) if check == "length" else {},
    )


def _lengths(split: Split, encoding: Encoding, plan: PlanFields | None) -> dict[str, int | float]:
    """Tokens of a split's rows: least, middle, 95 of 100, most; and the share that is cut."""
    lengths = sorted(encoding.splits[split].lengths)
    found: dict[str, int | float] = {
        "min": lengths[0],
        "median": median(lengths),
        "p95": lengths[min(len(lengths) - 1, round(0.95 * len(lengths)))],
        "max": lengths[-1],
    }
    if plan is not None:
        cut = sum(length > plan.max_length for length in lengths)
        found |= {"max_length": plan.max_length, "cut_share": cut / len(lengths)}
    return found
