"""What came back: the completion, how it scored, or why it could not be measured."""

from enum import StrEnum

from pydantic import Field, JsonValue

from punie.records.base import SCHEMA_VERSION, Record


class Culprit(StrEnum):
    """Why an answer lost points, in the words of the reports."""

    NOT_CALLED = "not called"
    WRONG_NAME = "wrong name"
    MISSING_ARGUMENT = "missing argument"
    WRONG_VALUE = "wrong value"
    WRONG_TYPE = "wrong type"
    UNKNOWN_ARGUMENT = "unknown argument"
    EXTRA_CALL = "extra call"
    SHOULD_ABSTAIN = "called when it should abstain"
    WRONG_ORDER = "wrong order"
    UNPARSABLE = "unparsable"
    TRUNCATED = "truncated"
    LOST_BY_SERVER = "lost by the server's parser"
    MISSING_KEYWORD = "missing keyword"
    FORBIDDEN_KEYWORD = "forbidden keyword"
    WRONG_ANSWER = "wrong answer"
    NO_NUMBER = "no number"
    INVALID_JSON = "invalid JSON"
    REPAIRED_JSON = "JSON needed repair"
    SCHEMA_MISMATCH = "schema mismatch"
    WRONG_FIELD = "wrong field"
    NO_CODE = "no code"
    SYNTAX_ERROR = "syntax error"
    MISSING_DEFINITION = "missing definition"
    EMPTY = "empty answer"
    FILTERED = "stopped by a content filter"


class CallForm(StrEnum):
    """How a tool call stood in the answer."""

    STRUCTURED = "structured field"
    TAGGED = "<tool_call> text"
    FENCED = "fenced JSON"
    BARE = "bare JSON"
    PYTHON = "Python call"


class ToolCall(Record):
    """One call that the model made. `arguments` is None where they could not be parsed."""

    name: str
    arguments: dict[str, JsonValue] | None
    form: CallForm = CallForm.STRUCTURED
    raw: str = ""
    """The text that it was read from, kept where `arguments` is None."""


class Completion(Record):
    """One answered chat request. Times in seconds, on a monotonic clock.

    `latency_s` runs from sending the request to the answer's last byte; `first_token_s` to the
    first content, and is None where the answer was not streamed.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    latency_s: float = 0.0
    first_token_s: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    recovered: bool = False
    """The server lost this text while parsing a tool call; it was decoded from the token ids."""
    clipped: bool = False
    """The answer was longer than what is stored."""
    logprob: float | None = None
    """Sum of the natural logarithms of its tokens' probabilities, where the server gave them."""


class Score(Record):
    """What one scorer says of one answer: `value` in [0, 1], and why it is not 1."""

    scorer: str
    value: float = Field(ge=0, le=1)
    passed: bool
    weight: float = 1.0
    culprit: Culprit | None = None
    note: str = ""
    """One line for people: what was expected, what was found."""
    details: dict[str, JsonValue] = Field(default_factory=dict)
    """Numbers of the scorer's own, e.g. precision and recall, or the score after repair."""


class FaultKind(StrEnum):
    """Why a prompt could not be measured."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timed out"
    CONNECTION_LOST = "connection lost"
    RATE_LIMITED = "rate limited"
    SERVER_ERROR = "server error"
    REFUSED = "request refused"
    MALFORMED = "malformed response"
    SERVER_DIED = "server died"
    TOO_LONG = "does not fit the context"
    SLEPT = "machine slept"
    UNSCORABLE = "could not be scored"
    """A pattern or schema of the suite did not come to an end on the answer."""


class EvalResult(Record):
    """A prompt that was answered. `score` and `passed` are None where nothing was expected."""

    schema_version: int = SCHEMA_VERSION
    prompt_id: str
    prompt_hash: str
    repeat: int = 0
    attempts: int = 1
    """Requests that were sent until one was answered."""
    failures: tuple[FaultKind, ...] = ()
    """Why the earlier ones were not, in order. Not empty: this answer came on a second try."""
    started_at: str = ""
    """UTC, ISO 8601."""
    server_memory_bytes: int | None = None
    """What a server of our own held when the answer came, read once a second."""
    completion: Completion
    scores: tuple[Score, ...] = ()
    score: float | None = None
    passed: bool | None = None

    @property
    def culprit(self) -> Culprit | None:
        """The first scorer's reason for a lost point."""
        return next((s.culprit for s in self.scores if s.culprit and not s.passed), None)


class EvalFault(Record):
    """A prompt that could not be measured: neither right nor wrong."""

    schema_version: int = SCHEMA_VERSION
    prompt_id: str
    prompt_hash: str
    repeat: int = 0
    attempts: int = 1
    failures: tuple[FaultKind, ...] = ()
    """Why the earlier requests failed, in order; `kind` is the last one's reason."""
    started_at: str = ""
    kind: FaultKind
    message: str
    elapsed_s: float = 0.0


Outcome = EvalResult | EvalFault
