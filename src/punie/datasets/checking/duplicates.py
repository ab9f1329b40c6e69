"""Rows that say the same, nearly the same, or answer the same question differently."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from punie.datasets.checking.near import near_pairs
from punie.datasets.checking.texts import (
    answer_text,
    asked_text,
    place_of,
    whole_text,
    words_of,
)
from punie.records.datacheck import SHOWN_PLACES, DataFinding, Severity
from punie.records.dataset import Row, Split

MANY = 0.1
"""From this share of a split's rows on, near duplicates are more than a note."""


def find_duplicates(rows: Mapping[Split, Sequence[Row]]) -> Iterator[DataFinding]:
    """Find duplicates inside each split; those between splits are leakage."""
    for split, each in rows.items():
        texts = [_folded(whole_text(row)) for row in each]
        first = _exact(texts)
        copies = [(first[text], at) for at, text in enumerate(texts) if first[text] != at]
        if copies:
            yield _finding(
                Severity.WARNING,
                f"{len(copies):,} of {len(each):,} rows of {split} are there already",
                each,
                copies,
                link="as",
                hint="a row that is there twice counts twice: take one out",
            )
        yield from _disagreeing(split, each)
        yield from _near(split, each, list(first.values()))


def _exact(texts: Sequence[str]) -> dict[str, int]:
    first: dict[str, int] = {}
    for at, text in enumerate(texts):
        first.setdefault(text, at)
    return first


def _disagreeing(split: Split, rows: Sequence[Row]) -> Iterator[DataFinding]:
    """The same system turn, tools and question, and another answer."""
    asked: defaultdict[object, dict[str, int]] = defaultdict(dict)
    for at, row in enumerate(rows):
        if row.text is None and (answer := _folded(answer_text(row))):
            system = tuple(turn.content for turn in row.messages if turn.role == "system")
            question = (system, row.tools and tuple(tool.name for tool in row.tools))
            asked[question, _folded(asked_text(row))].setdefault(answer, at)
    pairs = [
        (first, other)
        for answers in asked.values()
        for first, *others in [list(answers.values())]
        for other in others
    ]
    if pairs:
        yield _finding(
            Severity.WARNING,
            f"{len(pairs):,} rows of {split} answer a question otherwise than an earlier row",
            rows,
            sorted(pairs, key=lambda pair: pair[1]),
            link="against",
            hint="keep one answer, unless several are meant to be learned",
        )


def _near(split: Split, rows: Sequence[Row], different: Sequence[int]) -> Iterator[DataFinding]:
    texts = [words_of(whole_text(rows[at])) for at in different]
    pairs = [(different[one], different[other]) for one, other in near_pairs(texts)]
    if pairs:
        yield _finding(
            Severity.WARNING if len(pairs) >= MANY * len(rows) else Severity.NOTE,
            f"{len(pairs):,} of {len(rows):,} rows of {split} are nearly an earlier one",
            rows,
            pairs,
            link="nearly",
            hint="variants teach little beyond the first; more different rows would",
        )


def _finding(
    severity: Severity,
    what: str,
    rows: Sequence[Row],
    pairs: Sequence[tuple[int, int]],
    *,
    link: str,
    hint: str,
) -> DataFinding:
    places = tuple(
        place_of(rows[other], f"{link} {rows[one].file}:{rows[one].line}")
        for one, other in pairs[:SHOWN_PLACES]
    )
    return DataFinding(
        check="duplicates",
        severity=severity,
        what=what,
        places=places,
        count=len(pairs),
        hint=hint,
    )


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
