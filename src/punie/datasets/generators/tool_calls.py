"""Training rows for one small tool-calling task, made of phrasings and fills from a seed.

The splits share the tools and nothing else: each has its own phrasings, names and numbers, so a
test prompt can only be answered by who has learnt the task. Requests that no tool fits are declined
with a sentence that the system turn states.

Chance comes from `Random.random` alone, seeded by texts: the one sequence that Python promises to
keep between versions.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import cycle
from random import Random
from typing import TypeVar

from punie.datasets.generators.domain import (
    ABSTAIN,
    Domain,
    Value,
    load_domain,
    properties_of,
    slots_of,
)
from punie.errors import InputError
from punie.records.dataset import Row, Split
from punie.records.suite import FunctionCall, HistoryCall, Message, Tool

T = TypeVar("T")
Parts = dict[Split, tuple[Row, ...]]


def generate_tool_calls(
    seed: int, *, train: int, valid: int, test: int, domain: Domain | None = None
) -> Parts:
    """Make the rows of each split: its size shared evenly by the categories, in a mixed order.

    A row's category is its tool's name or `abstain`; its group is its phrasing. No prompt occurs
    twice. Raises InputError where a split has fewer different prompts than it should have rows.
    """
    domain = domain or load_domain()
    sizes = {Split.TRAIN: train, Split.VALID: valid, Split.TEST: test}
    return {split: _rows(domain, split, size, seed) for split, size in sizes.items()}


def _rows(domain: Domain, split: Split, size: int, seed: int) -> tuple[Row, ...]:
    categories = list(domain.phrasings)
    made = {
        category: _rows_of(domain, category, split, f"{seed}/{split}/{category}")
        for category in categories
    }
    rows: list[Row] = []
    for i in range(size):
        category = categories[i % len(categories)]
        row = next(made[category], None)
        if row is None:
            raise InputError(
                f"there are only {i:,} different prompts for {split}.jsonl, {size:,} are asked for",
                hint=f"ask for at most {i:,}",
            )
        rows.append(row)
    return tuple(_shuffled(rows, Random(f"{seed}/{split}")))  # noqa: S311 - data, no secret


def _rows_of(domain: Domain, category: str, split: Split, seed: str) -> Iterator[Row]:
    """Every row of a category, each once; its phrasings take turns."""
    chance = Random(seed)  # noqa: S311 - data, no secret
    numbered = list(enumerate(domain.phrasings[category][split], start=1))
    turns = [
        (f"{category}-{split}-{number:02d}", phrasing, _fillings(domain, phrasing, split, chance))
        for number, phrasing in _shuffled(numbered, chance)
    ]
    offers = cycle(domain.offers(category))
    while turns:
        for turn in list(turns):
            group, phrasing, fillings = turn
            filling = next(fillings, None)
            if filling is None:
                turns.remove(turn)
            else:
                tools = next(offers)
                prompt = phrasing.format(**filling)
                answer = _answer(domain, category, filling)
                yield _row(domain.system, prompt, answer, tools, (category, group))


def _fillings(
    domain: Domain, phrasing: str, split: Split, chance: Random
) -> Iterator[dict[str, Value]]:
    """Every way to fill a phrasing, each once, in an order of chance.

    The ways are numbered; where a number drawn was drawn before, the next free one is taken.
    """
    values = {slot: domain.values(slot, split) for slot in slots_of(phrasing)}
    ways = 1
    for each in values.values():
        ways *= len(each)
    taken: set[int] = set()
    while len(taken) < ways:
        way = int(chance.random() * ways)
        while way in taken:
            way = (way + 1) % ways
        taken.add(way)
        filling: dict[str, Value] = {}
        for slot, each in values.items():
            way, place = divmod(way, len(each))
            filling[slot] = each[place]
        yield filling


def _answer(domain: Domain, category: str, filling: Mapping[str, Value]) -> Message:
    if category == ABSTAIN:
        return Message(role="assistant", content=domain.decline)
    tool = next(tool for tool in domain.tools if tool.name == category)
    return Message(role="assistant", tool_calls=(_call(tool, filling),))


def _row(
    system: str, prompt: str, answer: Message, tools: tuple[Tool, ...], labels: tuple[str, str]
) -> Row:
    category, group = labels
    messages = (
        Message(role="system", content=system),
        Message(role="user", content=prompt[0].upper() + prompt[1:]),
        answer,
    )
    return Row(messages=messages, tools=tools, category=category, group=group)


def _call(tool: Tool, filling: Mapping[str, Value]) -> HistoryCall:
    arguments = {name: filling[name] for name in properties_of(tool) if name in filling}
    text = json.dumps(arguments, ensure_ascii=False)
    return HistoryCall(id="call_1", function=FunctionCall(name=tool.name, arguments=text))


def _shuffled(items: list[T], chance: Random) -> list[T]:
    """Fisher and Yates's shuffle, by `random` alone."""
    left = list(items)
    mixed: list[T] = []
    while left:
        mixed.append(left.pop(int(chance.random() * len(left))))
    return mixed
