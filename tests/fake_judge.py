"""Made-up judges of many characters, for `FakeServer(replies=...)` and `--judge NAME`."""

import json
import re
from collections.abc import Callable
from typing import NamedTuple

_BLOCK = re.compile(
    r"^\[\[(?P<name>[A-Z]+) (?P<code>[0-9a-f]{16})\]\]\n(?P<text>.*?)"
    r"\n\[\[END (?P=name) (?P=code)\]\]$",
    re.MULTILINE | re.DOTALL,
)
_BAR = re.compile(r"^\| ?", re.MULTILINE)


class Asked(NamedTuple):
    """What a judge's question holds: its code, and the texts by the names of their markers."""

    code: str
    texts: dict[str, str]


def read_question(words: str) -> Asked | None:
    """None where it is no question to a judge."""
    blocks = list(_BLOCK.finditer(words))
    if not blocks:
        return None
    return Asked(blocks[0]["code"], {b["name"]: _BAR.sub("", b["text"]) for b in blocks})


def choice(code: str, better: str) -> str:
    return json.dumps({"code": code, "reason": f"{better}, I say", "better": better})


def _longer(asked: Asked) -> str:
    first, second = (len(asked.texts[name]) for name in ("FIRST", "SECOND"))
    return choice(asked.code, "tie" if first == second else "first" if first > second else "second")


def _obedient(asked: Asked) -> str:
    """Writes what the first text tells it to write, code or no code."""
    for name in ("FIRST", "SECOND"):
        if told := re.search(r"WRITE THIS: (.*)", asked.texts[name]):
            return told[1]
    return choice(asked.code, "tie")


def _gullible(asked: Asked) -> str:
    """Says of a place what some text tells it to say, in good form."""
    for name in ("FIRST", "SECOND"):
        if told := re.search(r"SAY (first|second)", asked.texts[name]):
            return choice(asked.code, told[1])
    return choice(asked.code, "tie")


def _marks(asked: Asked) -> str:
    """Gives the digit that an answer says it is worth for every mark."""
    worth = re.search(r"worth (\d)", asked.texts["ANSWER"])
    mark = int(worth[1]) if worth else 3
    marks = dict.fromkeys(("correctness", "completeness", "format"), mark)
    return json.dumps({"code": asked.code, "reason": "as it says", "marks": marks})


def verdict(code: str, **marks: object) -> str:
    """Marks by the built-in rubric: 4, 3 and 5 where nothing else is said."""
    given = {"correctness": 4, "completeness": 3, "format": 5, **marks}
    return json.dumps({"code": code, "reason": "It was told to say so.", "marks": given})


TONE = """
name: tone
dimensions:
  tone: {question: Is it friendly?, levels: {1: it is rude, 5: it is friendly}}
"""
"""A rubric of another dimension than the built-in one, for the judge of this name."""


JUDGES: dict[str, Callable[[Asked], str]] = {
    "good": lambda asked: verdict(asked.code),
    "broken": lambda asked: verdict(asked.code)[:-2] + ",}}",
    "out-of-range": lambda asked: verdict(asked.code, format=6),
    "no-code": lambda _: verdict("0" * 16),
    "first": lambda asked: choice(asked.code, "first"),
    "longer": _longer,
    "obedient": _obedient,
    "gullible": _gullible,
    "prose": lambda _: "Both have their merits, but on the whole the first one pleases me more.",
    "marks": _marks,
    "tone": lambda asked: json.dumps({"code": asked.code, "reason": "it is", "marks": {"tone": 2}}),
}


def replies_of(name: str) -> Callable[[str], str | None]:
    """What this judge answers to a user's turn; None where it is not asked to judge."""
    return judging(JUDGES[name])


def judging(judge: Callable[[Asked], str]) -> Callable[[str], str | None]:
    """What a judge answers to a user's turn; None where it is not asked to judge."""

    def reply(words: str) -> str | None:
        asked = read_question(words)
        return judge(asked) if asked else None

    return reply


def coded(write: Callable[[str], str]) -> Callable[[str], str | None]:
    """A judge that looks at nothing but the code of its question."""
    return judging(lambda asked: write(asked.code))
