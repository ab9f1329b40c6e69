"""What a generated task is about: its tools, its phrasings, and the values that fill them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from pydantic import TypeAdapter

from punie.records.base import Record
from punie.records.dataset import Split
from punie.records.suite import Tool

ABSTAIN = "abstain"
"""The category of requests that no tool fits."""

Value = str | int
Parted = dict[Split, tuple[str, ...]]


class Domain(Record):
    """A task as data. Everything that must not be shared between splits stands under its split."""

    name: str
    description: str
    system: str
    decline: str
    """The answer to a request that no tool fits; the system turn states it."""
    tools: tuple[Tool, ...]
    desks: tuple[tuple[str, ...], ...]
    """The names of the tools that a row offers; each tool is at one desk."""
    integers: dict[str, tuple[int, int]]
    """The smallest and the largest value of a slot that takes whole numbers."""
    fills: dict[str, Parted]
    phrasings: dict[str, Parted]
    """Of each category: a tool's name, or `abstain`."""

    def offers(self, category: str) -> list[tuple[Tool, ...]]:
        """The tools of each desk that a category's requests go to: one, or all to abstain from."""
        return [
            tuple(tool for tool in self.tools if tool.name in desk)
            for desk in self.desks
            if category in (*desk, ABSTAIN)
        ]

    def values(self, slot: str, split: Split) -> Sequence[Value]:
        """What may fill a slot in this split.

        Only a closed set, an enum of a tool's schema, has the same values in each.
        """
        if slot in self.integers:
            low, high = self.integers[slot]
            return [n for n in range(low, high + 1) if split_of_number(n) is split]
        if slot in self.fills:
            return self.fills[slot][split]
        return self.closed_sets[slot]

    @property
    def closed_sets(self) -> dict[str, list[str]]:
        """The enums of the tools' schemas, by argument."""
        properties: list[tuple[str, Any]] = [
            pair for tool in self.tools for pair in properties_of(tool).items()
        ]
        return {name: schema["enum"] for name, schema in properties if "enum" in schema}


def split_of_number(number: int) -> Split:
    """The one split in which a number may occur: half are for training, a quarter for the test."""
    return (Split.TRAIN, Split.TEST, Split.TRAIN, Split.VALID)[number % 4]


def slots_of(phrasing: str) -> list[str]:
    """The names of a phrasing's slots, in order."""
    return [name for _, name, _, _ in Formatter().parse(phrasing) if name]


def properties_of(tool: Tool) -> dict[str, Any]:
    """The arguments that a tool's schema declares, in its order."""
    properties: Any = tool.parameters["properties"]
    return properties


@cache
def load_domain(name: str = "greenhouse") -> Domain:
    """Read a domain that comes with punie."""
    import yaml  # noqa: PLC0415 - only who generates data needs it

    text = Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8")
    return TypeAdapter(Domain).validate_python(yaml.safe_load(text))
