"""Tool calls that do not survive being written as text, for templates without tools."""

from collections.abc import Iterator, Mapping, Sequence

from punie.datasets.checking.texts import place_of
from punie.datasets.for_template import calls_lost_as_text
from punie.records.datacheck import SHOWN_PLACES, DataFinding, Severity
from punie.records.dataset import Row, Split


def find_lost_calls(rows: Mapping[Split, Sequence[Row]]) -> Iterator[DataFinding]:
    """Find calls that `punie eval` would not read back from the text that they become."""
    for split, each in rows.items():
        lost = list(calls_lost_as_text(each))
        if lost:
            yield DataFinding(
                check="calls",
                severity=Severity.ERROR if split is Split.TRAIN else Severity.WARNING,
                what=f"{len(lost):,} tool calls of {split} are not read back as they are written",
                places=tuple(place_of(each[at], why) for at, why in lost[:SHOWN_PLACES]),
                count=len(lost),
                hint="the model would learn calls that nobody can run: see what comes back instead",
            )
