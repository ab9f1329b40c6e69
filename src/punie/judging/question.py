"""`Question`: what a judge is asked, the form of its answer, and how that is read."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import JsonValue

from punie.judging.reading import Read, Take, read_judgement
from punie.records.base import digest
from punie.records.result import Completion
from punie.records.suite import MESSAGES, Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[T]):
    """One question to a judge, whose answer is a JSON object that carries `code`.

    `schema` is for endpoints that can be forced into one; it must not give the code away (no
    `const`). `take` makes a value of the object, or raises UnreadableError with the reason.
    """

    messages: tuple[Message, ...]
    code: str
    schema: dict[str, JsonValue]
    take: Take[T]
    max_tokens: int = 1024

    def key(self, judge: str) -> str:
        """What a reply to it is kept under; `judge` is the key of a JudgeIdentity."""
        messages = MESSAGES.dump_python(self.messages, mode="json", exclude_defaults=True)
        asked = {"messages": messages, "schema": self.schema, "max_tokens": self.max_tokens}
        return digest({"judge": judge, "question": asked})

    def read(self, completion: Completion) -> Read[T]:
        """The value in what a judge wrote. Raises UnreadableError."""
        return read_judgement(completion, self.code, self.take)
