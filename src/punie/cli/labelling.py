"""A person's word on answers, one key at a time, without knowing whose answers they are."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from punie.cli.keys import END, Keys
from punie.judging.label_file import LabelFile
from punie.judging.matches import AnswerPair
from punie.judging.transcript import answer_of, question_of, reference_of
from punie.records.base import digest
from punie.records.duel import DuelOutcome
from punie.records.judgement import Dimension, Rubric
from punie.records.labels import Label, LabelKey
from punie.records.result import EvalResult
from punie.records.suite import EvalPrompt
from punie.text import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHOWN = 20_000
"""Characters of one text that are shown."""
SIDE_BY_SIDE = 90
"""Columns from which on two answers stand beside each other."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is shown at once: a prompt with one answer, or with two whose runs nobody names."""

    prompt: EvalPrompt
    answer: EvalResult
    against: EvalResult | None
    key: LabelKey
    answer_left: bool = True
    """Whether `answer` stands left of `against`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One question to the person, and what each key answers."""

    name: str
    question: str
    keys: dict[str, tuple[Any, str]]
    """What it means, and how it is shown."""


class Move(StrEnum):
    """What a person may do instead of answering."""

    SKIP = "s"
    BACK = "b"
    QUIT = "q"


def single_items(run: str, answers: Sequence[tuple[EvalPrompt, EvalResult]]) -> list[Item]:
    """The answers of one run."""
    return [
        Item(
            prompt,
            answer,
            None,
            LabelKey(run, None, prompt.id, prompt.hash, answer.repeat),
        )
        for prompt, answer in answers
    ]


def paired_items(run: str, against: str, matches: Sequence[AnswerPair], seed: int) -> list[Item]:
    """Pairs of different answers; which stands left is drawn for each by seed and prompt."""
    return [
        Item(
            match.prompt,
            match.current,
            match.base,
            LabelKey(run, against, match.prompt.id, match.prompt.hash, match.current.repeat),
            answer_left=random.Random(f"{seed} {match.prompt.id}").random() < 0.5,  # noqa: S311 - an order
        )
        for match in matches
        if not match.equal
    ]


def in_order(items: Sequence[Item], seed: int, sample: int | None) -> list[Item]:
    """The items shuffled by `seed`; a larger sample begins with the smaller one."""
    shuffled = sorted(items, key=lambda item: digest([seed, item.key.prompt_id, item.key.repeat]))
    return shuffled[:sample]


def choices_of(rubric: Rubric | None, *, paired: bool) -> list[Choice]:
    """What is asked of each item: marks by a rubric, right or wrong, or which answer is better."""
    if paired:
        keys = {
            "l": ("left", "left"),
            "r": ("right", "right"),
            "t": ("tie", "tie"),
            "\x1b[D": ("left", ""),
            "\x1b[C": ("right", ""),
        }
        return [Choice("better", "Which answer is better?", keys)]
    if rubric is None:
        keys = {"r": (True, "right"), "w": (False, "wrong")}
        return [Choice("right", "Is the answer right?", keys)]
    return [_marks_of(each) for each in rubric.dimensions]


def _marks_of(dimension: Dimension) -> Choice:
    marks = range(dimension.lowest, dimension.highest + 1)
    keys = {str(mark): (mark, dimension.levels.get(mark, "")) for mark in marks}
    return Choice(dimension.name, dimension.question, keys)


class Labelling:
    """One sitting: shows items, asks, and writes each label before the next item is shown."""

    def __init__(
        self,
        items: Sequence[Item],
        choices: Sequence[Choice],
        *,
        console: "Console",
        seed: int,
        rubric: Rubric | None,
    ) -> None:
        self._items = items
        self._choices = choices
        self._console = console
        self._seed = seed
        self._rubric = rubric
        self.labelled: set[LabelKey] = set()

    def sit(self, keys: Keys, file: LabelFile) -> None:
        """Go through the items until all are labelled or skipped, or the person quits."""
        at = 0
        while at < len(self._items):
            item = self._items[at]
            self._show(item, at)
            said = self._ask(keys)
            if said is Move.QUIT:
                return
            if said is Move.BACK:
                at = max(0, at - 1)
                continue
            if not isinstance(said, Move):
                file.add(self._label(item, said))
                self.labelled.add(item.key)
            at += 1

    def _ask(self, keys: Keys) -> dict[str, Any] | Move:
        """An answer to each choice. Back takes the last one back, and then the item before."""
        from rich.text import Text

        given: list[Any] = []
        while len(given) < len(self._choices):
            choice = self._choices[len(given)]
            self._console.print(_asked(choice))
            key = keys.read()
            while key not in choice.keys and key not in (*Move, END):
                key = keys.read()
            if key in choice.keys:
                value, shown = choice.keys[key]
                self._console.print(Text(f"  → {shown or value}", style="bold"))
                given.append(value)
            elif key == Move.BACK and given:
                given.pop()
            else:
                return Move(key) if key else Move.QUIT
        return dict(zip((each.name for each in self._choices), given, strict=True))

    def _label(self, item: Item, said: dict[str, Any]) -> Label:
        content: dict[str, Any]
        if item.against is not None:
            side = said["better"]
            won = (side == "left") == item.answer_left
            outcome = DuelOutcome.WIN if won else DuelOutcome.LOSS
            content = {
                "outcome": DuelOutcome.TIE if side == "tie" else outcome,
                "against_hash": digest(answer_of(item.against.completion)),
            }
        elif self._rubric is None:
            content = {"right": said["right"]}
        else:
            content = {"marks": said, "rubric_hash": self._rubric.hash}
        return Label(
            **item.key._asdict(),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            seed=self._seed,
            answer_hash=digest(answer_of(item.answer.completion)),
            **content,
        )

    def _show(self, item: Item, at: int) -> None:
        from rich.rule import Rule
        from rich.text import Text

        console = self._console
        console.print()
        console.print(Rule(f"{at + 1} of {len(self._items)}", style="bold"))
        console.print(_shown(question_of(item.prompt)))
        if reference := reference_of(item.prompt.expect):
            console.print(Text("\nexpected", style="dim"))
            console.print(_shown(reference))
        answer = _shown(answer_of(item.answer.completion))
        if item.against is None:
            console.print(Rule("answer", align="left"))
            console.print(answer)
        else:
            other = _shown(answer_of(item.against.completion))
            pair = (answer, other) if item.answer_left else (other, answer)
            console.print(_beside(*pair, width=console.width))
        console.print(Rule(style="dim"))


def _beside(left: "RenderableType", right: "RenderableType", *, width: int) -> "RenderableType":
    from rich.console import Group
    from rich.rule import Rule
    from rich.table import Table

    if width < SIDE_BY_SIDE:
        return Group(Rule("left", align="left"), left, Rule("right", align="left"), right)
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0))
    table.add_column("left", ratio=1)
    table.add_column("right", ratio=1)
    table.add_row(left, right)
    return table


def _asked(choice: Choice) -> "RenderableType":
    from rich.text import Text

    line = Text.assemble((choice.name, "bold"), f": {visible(choice.question)}\n")
    for key, (_, shown) in choice.keys.items():
        if key.isprintable():
            line.append(f"  {key}", style="cyan")
            line.append(f" {visible(shown)}\n" if shown else "\n")
    return line.append("  s skip, b back, q quit", style="dim")


def _shown(text: str) -> "RenderableType":
    """What somebody else wrote, unable to do anything to a terminal."""
    from rich.text import Text

    left_out = len(text) - SHOWN
    more = f"\n… and {left_out:,} more characters" if left_out > 0 else ""
    return Text(visible(text[:SHOWN]) + more if text.strip() else "(empty answer)")
