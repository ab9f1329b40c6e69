"""How the rows divide: by category and role, in rows and in tokens; and how answers begin."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from punie.datasets.checking.texts import answer_text, place_of, words_of
from punie.records.datacheck import SHOWN_PLACES, DataFinding, Severity
from punie.records.dataset import Row, Split
from punie.records.encoding import Encoding

UNEVEN = 10
"""The largest part may be so many times the smallest."""
OPENING = 5
"""Words that make an opening."""
ANSWER_FROM = 12
"""Words of an answer that has an opening; shorter ones may well begin alike."""
ALIKE = 0.3
"""From this share of the answers on, an opening is boilerplate."""
ANSWERS_FROM = 20
"""With fewer long answers nothing is said."""


def find_imbalance(
    rows: Mapping[Split, Sequence[Row]], encoding: Encoding | None
) -> Iterator[DataFinding]:
    """Find parts of the training rows that outweigh others, and openings of too many answers."""
    train = rows.get(Split.TRAIN, ())
    tokens = _tokens(train, encoding)
    for label in ("category", "role"):
        parts: list[str | None] = [getattr(row, label) for row in train]
        yield from _uneven(label, "rows", _weigh(parts, [1] * len(train)))
        if tokens is not None:
            yield from _uneven(label, "trained tokens", _weigh(parts, tokens))
    yield from _openings(train)


def _tokens(rows: Sequence[Row], encoding: Encoding | None) -> Sequence[int] | None:
    if encoding is None or Split.TRAIN not in encoding.splits:
        return None
    trained = encoding.splits[Split.TRAIN].trained
    return trained if len(trained) == len(rows) else None


def _weigh(parts: Sequence[str | None], weights: Sequence[int]) -> Counter[str]:
    """The weight of each part; rows without a label are of none."""
    weighed: Counter[str] = Counter()
    for part, weight in zip(parts, weights, strict=True):
        if part:
            weighed[part] += weight
    return weighed


def _uneven(label: str, unit: str, weights: Counter[str]) -> Iterator[DataFinding]:
    ordered = weights.most_common()
    if len(ordered) < 2:
        return
    (largest, most), (smallest, least) = ordered[0], ordered[-1]
    if most <= UNEVEN * least:
        return
    counts: dict[str, JsonValue] = dict(ordered)
    yield DataFinding(
        check="balance",
        severity=Severity.WARNING,
        what=f"{label} {largest!r} has {most:,} {unit}, {smallest!r} {least:,}",
        count=len(ordered),
        hint="more rows of the small part, or fewer of the large one, keep it from being forgotten",
        details={"unit": unit, label: counts},
    )


def _openings(rows: Sequence[Row]) -> Iterator[DataFinding]:
    openings: dict[tuple[str, ...], list[int]] = {}
    answers = 0
    for at, row in enumerate(rows):
        if row.messages and row.messages[-1].tool_calls:
            continue
        words = words_of(answer_text(row))
        if len(words) >= ANSWER_FROM:
            answers += 1
            openings.setdefault(words[:OPENING], []).append(at)
    if answers < ANSWERS_FROM:
        return
    for opening, places in openings.items():
        if len(places) >= ALIKE * answers:
            yield DataFinding(
                check="openings",
                severity=Severity.WARNING,
                what=f"{len(places) / answers:.0%} of {answers:,} longer answers begin with "
                f"“{' '.join(opening)}”",
                places=tuple(place_of(rows[at]) for at in places[:SHOWN_PLACES]),
                count=len(places),
                hint="the model will begin its answers so too: cut it, if it says nothing",
            )
