"""What a client may ask of `punie serve`: its request, checked, and cut to what mlx_lm takes.

mlx_lm's server loses its generation thread, and with it the whole server, to a bad `stop`, an empty
prompt, or a `top_k` as large as the vocabulary; it drops the connection for others and passes
silently over what it does not know. So nothing of a request is passed on but what is named here.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

MAX_BODY_BYTES = 8 * 2**20
MAX_BYTES_PER_TOKEN = 32
"""No text has so many on average; what is longer than the context by this measure cannot fit, and
mlx_lm, which looks at no context, would fill the memory with it."""
MAX_DEPTH = 64
MAX_STOPS = 16
MAX_BIASES = 1024
SEED_LIMIT = 2**64
ROLES = ("assistant", "function", "system", "tool", "user")
TEMPLATE_ARGUMENTS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    }
)
"""What transformers' `apply_chat_template` takes for itself: a client that set one of these would
change what comes out of it (a tensor, nothing, its own template), which ends mlx_lm's thread."""


class Refused(Exception):  # noqa: N818 - it reads as what happened, and is no PunieError
    """A request that is not passed on, with what its sender should know."""

    def __init__(self, message: str, *, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """What the served model bounds. `max_tokens` is for requests that name none."""

    max_tokens: int
    vocabulary: int | None = None
    context_length: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request: the body for mlx_lm but for the model's name, and how to answer it."""

    body: dict[str, Any]
    stream: bool
    include_usage: bool


def checked(raw: bytes, limits: Limits, *, chat: bool) -> Asked:
    """Check a request body. Raises Refused with the first thing that is wrong with it.

    A null counts as not given, as it does at OpenAI. Fields that change nothing at mlx_lm (user,
    store, metadata, ...) are dropped; those that promise something it does not keep are refused.
    """
    if limits.context_length and len(raw) > MAX_BYTES_PER_TOKEN * limits.context_length:
        raise Refused(f"this cannot fit into the context of {limits.context_length} tokens")
    asked = _parsed(raw)
    _refuse_unkept_promises(asked, chat=chat)
    body: dict[str, Any] = {}
    if chat:
        body["messages"] = _messages(asked.get("messages"))
        _put_tools(asked, body)
        if (template := _template_arguments(asked)) is not None:
            body["chat_template_kwargs"] = template
    else:
        body["prompt"] = _prompt(asked.get("prompt"))
    body |= {name: rule(name, asked[name]) for name, rule in RULES.items() if name in asked}
    body["max_tokens"] = _max_tokens(asked, limits)
    if "top_k" in body and limits.vocabulary is not None and body["top_k"] >= limits.vocabulary:
        _refuse("top_k", f"must be less than the vocabulary's {limits.vocabulary} tokens")
    if "logit_bias" in asked:
        body["logit_bias"] = _logit_bias(asked["logit_bias"], limits.vocabulary)
    stream = _truth("stream", asked.get("stream", False))
    if stream and body.get("logprobs"):
        _refuse("logprobs", "cannot be streamed here; ask with stream false")
    return Asked(body, stream, include_usage=_include_usage(asked))


def _refuse(param: str, message: str) -> NoReturn:
    raise Refused(f"{param} {message}", param=param)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        value: Any = json.loads(raw.decode("utf-8"), parse_constant=_no_number, parse_float=_finite)
        # Half of a surrogate pair cannot be written as UTF-8, and ends mlx_lm's thread in `stop`.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise Refused("the body is not valid UTF-8") from None
    except RecursionError:
        raise Refused("the body is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise Refused("the body must be a JSON object")
    if _deeper_than(value, MAX_DEPTH):
        raise Refused(f"the body is nested more than {MAX_DEPTH} levels deep")
    asked = cast("dict[str, Any]", value)
    return {name: part for name, part in asked.items() if part is not None}


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _deeper_than(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        inner = list(cast("dict[str, Any]", value).values())
    elif isinstance(value, list):
        inner = cast("list[Any]", value)
    else:
        return False
    return not levels or any(_deeper_than(each, levels - 1) for each in inner)


def _refuse_unkept_promises(asked: dict[str, Any], *, chat: bool) -> None:
    """Refuse what mlx_lm ignores although the answer would have to be another one."""
    if asked.get("n", 1) != 1 or asked.get("best_of", 1) != 1:
        _refuse("n", "must be 1: one answer is given to each request")
    response_format = asked.get("response_format", {"type": "text"})
    if response_format != {"type": "text"}:
        _refuse("response_format", "is not enforced by mlx_lm; ask for the format in the prompt")
    if chat:
        if asked.get("tool_choice", "auto") not in ("auto", "none"):
            _refuse("tool_choice", "must be auto or none: mlx_lm cannot force a call")
        if asked.get("audio") or asked.get("modalities", ["text"]) != ["text"]:
            _refuse("modalities", "must be text: nothing else is served")
    else:
        if asked.get("echo"):
            _refuse("echo", "is not supported by mlx_lm")
        if asked.get("suffix"):
            _refuse("suffix", "is not supported by mlx_lm; write the model's own markers")


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        _refuse("messages", "must be a list of at least one message")
    messages = cast("list[Any]", value)
    return [_message(message, f"messages[{at}]") for at, message in enumerate(messages)]


def _message(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(place, "must be an object")
    given = cast("dict[str, Any]", value)
    role = given.get("role")
    if role == "developer":  # OpenAI's newer name; no chat template knows it
        role = "system"
    if role not in ROLES:
        _refuse(f"{place}.role", f"must be one of {', '.join(ROLES)}")
    message: dict[str, Any] = {"role": role, "content": _text(given.get("content"), place)}
    for name in ("name", "tool_call_id", "reasoning", "reasoning_content"):
        if given.get(name) is not None:
            message[name] = _string(f"{place}.{name}", given[name])
    if given.get("tool_calls"):
        message["tool_calls"] = _calls(given["tool_calls"], f"{place}.tool_calls")
    elif given.get("content") is None and role != "assistant":
        _refuse(f"{place}.content", "is missing")
    return message


def _text(content: Any, place: str) -> str:
    """The text of a message; its parts are joined, as mlx_lm does."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        _refuse(f"{place}.content", "must be text or a list of text parts")
    texts: list[str] = []
    for part in cast("list[Any]", content):
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case _:
                _refuse(f"{place}.content", "may hold text parts only; images, audio and files "
                        "are not served")  # fmt: skip
    return "".join(texts)


def _calls(value: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        _refuse(place, "must be a list")
    calls: list[dict[str, Any]] = []
    for call in cast("list[Any]", value):
        match call:
            case {"function": {"name": str(name), "arguments": str(arguments)}}:
                known = call.get("id")
                function = {"name": name, "arguments": _json_object(arguments, place)}
                calls.append({"type": "function", "function": function})
                if known is not None:
                    calls[-1]["id"] = _string(f"{place}.id", known)
            case _:
                _refuse(place, "must hold functions with a name and arguments as JSON text")
    return calls


def _json_object(arguments: str, place: str) -> str:
    """A call's arguments, which templates walk through as an object."""
    try:
        if isinstance(json.loads(arguments or "{}"), dict):
            return arguments or "{}"
    except (ValueError, RecursionError):
        pass
    return _refuse(f"{place}.function.arguments", "must be a JSON object, as text")


def _put_tools(asked: dict[str, Any], body: dict[str, Any]) -> None:
    tools: Any = asked.get("tools")
    if not tools or asked.get("tool_choice") == "none":
        return
    if not isinstance(tools, list):
        _refuse("tools", "must be a list")
    for at, tool in enumerate(cast("list[Any]", tools)):
        match tool:
            case {"type": "function", "function": {"name": str()} as function}:
                parameters = cast("dict[str, Any]", function).get("parameters")
                if parameters is not None and not isinstance(parameters, dict):
                    _refuse(f"tools[{at}].function.parameters", "must be an object")
            case _:
                _refuse(f"tools[{at}]", "must be a function with a name")
    body["tools"] = tools


def _template_arguments(asked: dict[str, Any]) -> dict[str, Any] | None:
    name = "chat_template_kwargs"
    if name not in asked:
        return None
    value = asked[name]
    if not isinstance(value, dict):
        _refuse(name, "must be an object")
    arguments = cast("dict[str, Any]", value)
    for key, argument in arguments.items():
        if key in TEMPLATE_ARGUMENTS or not isinstance(argument, bool | int | str):
            _refuse(f"{name}.{key}"[:100], "cannot be set by a request")
    return arguments


def _prompt(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse("prompt", "must be text that is not empty; lists are not served")
    return value


def _max_tokens(asked: dict[str, Any], limits: Limits) -> int:
    """How long the answer may be; never longer than the model's context."""
    name = "max_completion_tokens" if "max_completion_tokens" in asked else "max_tokens"
    wanted = _whole(1)(name, asked.get(name, limits.max_tokens))
    return min(wanted, limits.context_length or wanted)


def _logit_bias(value: Any, vocabulary: int | None) -> dict[str, float]:
    name = "logit_bias"
    if not isinstance(value, dict):
        _refuse(name, "must be an object of token ids and numbers")
    biases = cast("dict[str, Any]", value)
    if len(biases) > MAX_BIASES:
        _refuse(name, f"may hold {MAX_BIASES} tokens at most")
    for token, bias in biases.items():
        if not (token.isascii() and token.isdecimal() and len(token) < 10):
            _refuse(name, "must have token ids as its keys")
        if vocabulary is not None and int(token) >= vocabulary:
            _refuse(name, f"names a token beyond the vocabulary's {vocabulary}")
        _real(-100, 100)(name, bias)
    return biases


def _include_usage(asked: dict[str, Any]) -> bool:
    options = asked.get("stream_options", {})
    if not isinstance(options, dict):
        _refuse("stream_options", "must be an object")
    wanted = cast("dict[str, Any]", options).get("include_usage")
    return _truth("stream_options.include_usage", False if wanted is None else wanted)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        _refuse(name, "must be true or false")
    return value


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(name, "must be text")
    return value


def _whole(low: int, high: float = math.inf) -> Callable[[str, Any], int]:
    """A rule for a whole number from `low` to `high`."""

    def rule(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            _refuse(name, f"must be a whole number {_from_to(low, high)}")
        return value

    return rule


def _real(low: float, high: float) -> Callable[[str, Any], float]:
    """A rule for a number from `low` to `high`."""

    def rule(name: str, value: Any) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            _refuse(name, f"must be a number {_from_to(low, high)}")
        return value

    return rule


def _from_to(low: float, high: float) -> str:
    return f"from {low} to {high}" if high < math.inf else f"of at least {low}"


def _stop(name: str, value: Any) -> list[str]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or len(cast("list[Any]", given)) > MAX_STOPS:
        _refuse(name, f"must be text or a list of at most {MAX_STOPS} texts")
    words = cast("list[Any]", given)
    for word in words:
        if not isinstance(word, str) or not word:
            _refuse(name, "must hold texts that are not empty")
    return words


RULES: dict[str, Callable[[str, Any], Any]] = {
    "temperature": _real(0, 2),
    "top_p": _real(0, 1),
    "min_p": _real(0, 1),
    "top_k": _whole(0),
    "frequency_penalty": _real(-2, 2),
    "presence_penalty": _real(-2, 2),
    "repetition_penalty": _real(0, 10),
    "seed": _whole(0, SEED_LIMIT - 1),
    "stop": _stop,
    "logprobs": _truth,
    "top_logprobs": _whole(0, 11),
}
"""What is passed on as it is, each with its rule. The ranges are OpenAI's or mlx_lm's own."""
