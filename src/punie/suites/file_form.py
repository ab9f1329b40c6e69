"""The shape of a suite file, as a person writes it. What it means is checked after this."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
)

from punie.records.expect import Expect
from punie.records.suite import HistoryCall, Message, Sampling, Tool

ID_PATTERN = r"^[A-Za-z0-9][\w.-]{0,63}$"

Id = Annotated[str, Field(pattern=ID_PATTERN)]
Label = Annotated[str, Field(min_length=1, max_length=64)]


class Form(BaseModel):
    """A mapping of the file. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class TextPart(Form):
    """A piece of a message's content. Only text is sent: images and sounds are refused."""

    type: Literal["text"]
    text: str


def _content_kind(value: Any) -> str:
    return "<parts>" if isinstance(value, list) else "<text>"


Content = Annotated[
    Annotated[str | None, Tag("<text>")] | Annotated[list[TextPart], Tag("<parts>")],
    Discriminator(_content_kind),
]


class MessageForm(Form):
    """One turn of a chat, as in OpenAI's API."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Content = None
    tool_calls: list[HistoryCall] = []
    """Calls that an assistant turn made; `arguments` is JSON text."""
    tool_call_id: str | None = None
    """In a tool's turn: the call that it answers."""
    name: str | None = None

    def message(self) -> Message:
        """Build the record; text parts are joined."""
        parts = self.content
        content = "".join(part.text for part in parts) if isinstance(parts, list) else parts
        return Message(
            role=self.role,
            content=content,
            tool_calls=tuple(self.tool_calls),
            tool_call_id=self.tool_call_id,
            name=self.name,
        )


class FunctionForm(Form):
    """The function inside an OpenAI-wrapped tool."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    """A JSON Schema of type object."""
    strict: bool | None = None
    """OpenAI's switch for constrained decoding; read, but not sent."""


class WrappedTool(Form):
    """A tool as OpenAI's API takes it."""

    type: Literal["function"]
    function: FunctionForm

    def tool(self) -> Tool:
        """Unwrap the definition."""
        given = self.function.model_dump(exclude={"strict"}, exclude_none=True)
        return Tool(**given)


def _tool_kind(value: Any) -> str:
    if isinstance(value, str):
        return "<by-name>"
    return "<wrapped>" if isinstance(value, dict) and "function" in value else "<bare>"


ToolDefinition = Annotated[
    Annotated[WrappedTool, Tag("<wrapped>")] | Annotated[Tool, Tag("<bare>")],
    Discriminator(_tool_kind),
]
ToolUse = Annotated[
    Annotated[str, Tag("<by-name>")]
    | Annotated[WrappedTool, Tag("<wrapped>")]
    | Annotated[Tool, Tag("<bare>")],
    Discriminator(_tool_kind),
]
UNION_TAGS = frozenset({"<text>", "<parts>", "<by-name>", "<wrapped>", "<bare>"})
"""What pydantic writes into an error's location beside the keys of the file."""


class PromptForm(Form):
    """One prompt: what is sent, what is expected, and how it is sorted into slices."""

    id: Id
    """Unique in the suite: letters, digits, `_`, `.`, `-`, at most 64."""
    prompt: str | None = None
    """The user's one message; `messages` is the other way to say what is sent."""
    messages: list[MessageForm] | None = None
    """The whole chat that is sent; ends with a user's or a tool's turn."""
    tools: list[ToolUse] | None = None
    """Names from the library, or definitions; absent means `defaults.tools`, `[]` means none."""
    expect: Expect = Expect()
    """The scorers; none means that only being answered counts."""
    category: Label = "general"
    role: Label | None = None
    """The agent's role, e.g. coder, tester, researcher, coordinator, reviewer."""
    tags: list[Label] = []
    group: Label | None = None
    """Shared by prompts whose errors are not independent, such as those about one passage."""
    must_pass: bool = False
    """A run in which this prompt fails does not pass its gate."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """The prompt's share in its category's mean."""
    max_tokens: Annotated[int | None, Field(ge=1, le=131_072)] = None
    """Overrides `defaults.max_tokens`."""


class DefaultsForm(Sampling):
    """What holds for every prompt that does not say otherwise."""

    model_config = ConfigDict(defer_build=True)

    system: str | None = None
    """A system message for the prompts that bring none."""
    tools: tuple[str, ...] = ()
    """Names from the library."""

    def sampling(self) -> Sampling:
        """Give the part that is sent with each request."""
        return Sampling.model_validate(self.model_dump(exclude={"system", "tools"}))


def _version_text(value: Any) -> Any:
    # `version: 2` is a natural thing to write. 1.10 is refused: as a number it is 1.1.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class HeaderForm(Form):
    """A suite without its prompts."""

    name: Id
    version: Annotated[
        str, BeforeValidator(_version_text, json_schema_input_type=str | int), Field(max_length=64)
    ] = "1"
    description: str = ""
    defaults: DefaultsForm = DefaultsForm()
    tools: list[ToolDefinition] = []
    """The library: definitions that prompts use by name."""


class SuiteForm(HeaderForm):
    """A suite: prompts with what is expected of their answers."""

    prompts: (
        Annotated[list[PromptForm], Field(min_length=1)]
        | Annotated[str, Field(pattern=r"\.jsonl$")]
    )
    """The prompts, or the name of a JSONL file in the suite's folder with one prompt a line."""


class RowForm(Form):
    """What any row of a plain JSONL may carry; other keys of the data are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    id: Id | None = None
    category: Label = "general"
    role: Label | None = None
    tags: list[Label] = []
    group: Label | None = None


class ChatForm(RowForm):
    """A chat: its last assistant turn is the expectation."""

    messages: Annotated[list[MessageForm], Field(min_length=1)]
    tools: list[ToolDefinition] | None = None


class CompletionForm(RowForm):
    """A prompt and its completion, which is the expectation."""

    prompt: Annotated[str, Field(min_length=1)]
    completion: str
