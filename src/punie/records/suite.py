"""A suite and its prompts, as they are after loading: everything resolved, everything hashed."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter
from pydantic.dataclasses import dataclass

from punie.records.base import SCHEMA_VERSION, SLIM, Record, digest
from punie.records.expect import Expect


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class FunctionCall:
    """The function half of a call in a chat's history; `arguments` is JSON text, as in OpenAI's."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class HistoryCall:
    """A call that an assistant turn of the prompt's own history made."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Message:
    """One turn of the chat that is sent. Text only."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: tuple[HistoryCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Tool:
    """A function that the model may call; `parameters` is a JSON Schema object."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str = ""
    parameters: dict[str, JsonValue] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )


class Sampling(Record):
    """How an answer is drawn. None leaves a setting out of the request, so the server decides."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[int, Field(ge=1, le=131_072)] = 512
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_k: Annotated[int | None, Field(ge=1)] = None
    min_p: Annotated[float | None, Field(ge=0, le=1)] = None
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class EvalPrompt:
    """One question of a suite, with everything that is sent and everything that is expected.

    `group` names prompts that share a passage or template: their errors are not independent.
    `hash` covers what is sent and expected, never how it is sampled.
    """

    id: str
    messages: tuple[Message, ...]
    expect: Expect = Field(default_factory=Expect)
    tools: tuple[Tool, ...] = ()
    category: str = "general"
    role: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    must_pass: bool = False
    weight: float = 1.0
    max_tokens: int | None = None
    hash: str = ""


class EvalSuite(Record):
    """A named, versioned list of prompts. `hash` covers the prompts' hashes and the defaults."""

    schema_version: int = SCHEMA_VERSION
    name: str
    version: str = "1"
    description: str = ""
    source: str = ""
    """`builtin`, or the file it came from."""
    sampling: Sampling = Sampling()
    prompts: tuple[EvalPrompt, ...]
    hash: str = ""


MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])
PROMPT: TypeAdapter[EvalPrompt] = TypeAdapter(EvalPrompt)
_EXPECT: TypeAdapter[Expect] = TypeAdapter(Expect)
_TOOLS: TypeAdapter[tuple[Tool, ...]] = TypeAdapter(tuple[Tool, ...])


def prompt_hash(messages: tuple[Message, ...], tools: tuple[Tool, ...], expect: Expect) -> str:
    """SHA-256 of the canonical messages, tools, expectations and their scorers' versions.

    Settings at their defaults are left out, so that a new setting leaves old hashes alone.
    """
    return digest(
        {
            "messages": MESSAGES.dump_python(messages, mode="json", exclude_defaults=True),
            "tools": _TOOLS.dump_python(tools, mode="json", exclude_defaults=True),
            "expect": _EXPECT.dump_python(expect, mode="json", exclude_defaults=True),
            "scorers": {each.kind: each.version for each in expect},
        }
    )


def suite_hash(name: str, sampling: Sampling, prompts: tuple[EvalPrompt, ...]) -> str:
    """SHA-256 of the suite's name, its defaults, and each prompt's identity in order."""
    identity: list[Any] = [
        [p.id, p.hash, p.category, p.role, p.weight, p.must_pass, p.max_tokens] for p in prompts
    ]
    return digest({"name": name, "sampling": sampling.model_dump(mode="json"), "prompts": identity})
