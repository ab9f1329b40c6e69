"""One prompt of one run, as a comparison's entry keeps it: flat, bounded, without words."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Annotated, Literal

from pydantic import Field

from punie.analysis.pairing import Asked
from punie.records.base import Record
from punie.records.comparison import Side
from punie.records.result import Culprit, FaultKind

ArmName = Literal["base", "current"]
_Share = Annotated[float, Field(ge=0, le=1)]
_Seconds = Annotated[float, Field(ge=0, le=1e9)]
_Count = Annotated[int, Field(ge=0, le=10**12)]
_OF_SIDE = tuple(each.name for each in fields(Side))
_OF_PROMPT = tuple(each.name for each in fields(Asked) if each.name != "side")


class SideRow(Record):
    """One prompt of one run."""

    pair: _Count = 0
    """Which of the record's pairs of runs."""
    arm: ArmName
    id: str
    hash: str = ""
    category: str = "general"
    role: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    must_pass: bool = False
    weight: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    score: _Share | None = None
    passed: _Share | None = None
    answers: _Count = 0
    faults: _Count = 0
    fault: FaultKind | None = None
    culprit: Culprit | None = None
    latency_s: _Seconds | None = None
    first_token_s: _Seconds | None = None
    tokens_out: _Count | None = None

    def asked(self) -> Asked:
        """The row as a comparison takes it."""
        side = Side(**{name: getattr(self, name) for name in _OF_SIDE})
        return Asked(side=side, **{name: getattr(self, name) for name in _OF_PROMPT})


def side_rows(number: int, arm: ArmName, asked: Iterable[Asked]) -> list[SideRow]:
    """The prompts of one run, of the record's `number`-th pair of runs."""
    return [
        SideRow(
            pair=number,
            arm=arm,
            **{name: getattr(each, name) for name in _OF_PROMPT},
            **{name: getattr(each.side, name) for name in _OF_SIDE},
        )
        for each in asked
    ]
