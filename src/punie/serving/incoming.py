"""What a client may ask of `punie serve`: its request, checked, and cut to what the server takes.

mlx_lm's server loses its generation thread, and with it the whole server, to a bad `stop`, an empty
prompt, or a `top_k` as large as the vocabulary; it drops the connection for others and passes
silently over what it does not know; others do the like. So nothing of a request is passed on but
what is named here, and what the server's abilities leave out is refused.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from punie.serving.endpoint import SAMPLING, Abilities
from punie.serving.fields import RULES, Refused, logit_bias, refuse, truth, whole
from punie.serving.messages import messages_of

MAX_BODY_BYTES = 8 * 2**20
MAX_BYTES_PER_TOKEN = 32
"""No text has so many on average; what is longer than the context by this measure cannot fit, and
mlx_lm, which looks at no context, would fill the memory with it."""
MAX_DEPTH = 64
NOTHING: dict[str, Any] = {
    "top_p": 1,
    "top_k": 0,
    "min_p": 0,
    "stop": [],
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "repetition_penalty": 1,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
}
"""What some clients send by habit, and what changes nothing."""
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What the served model and its server bound. `max_tokens` is for requests that name none.

    `server` is who is named in a refusal.
    """

    max_tokens: int
    vocabulary: int | None = None
    context_length: int | None = None
    abilities: Abilities = field(default_factory=Abilities)
    server: str = "the server"


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request: the server's body but for the model's name, and how to answer it."""

    body: dict[str, Any]
    stream: bool
    include_usage: bool


def checked(raw: bytes, limits: Limits, *, chat: bool) -> Asked:
    """Check a request body. Raises Refused with the first thing that is wrong with it.

    A null counts as not given, as it does at OpenAI. Fields that change nothing (user, store,
    metadata, ...) are dropped; those that promise something the server does not keep are refused.
    """
    if limits.context_length and len(raw) > MAX_BYTES_PER_TOKEN * limits.context_length:
        raise Refused(f"this cannot fit into the context of {limits.context_length} tokens")
    asked = _parsed(raw)
    _refuse_unkept_promises(asked, chat=chat)
    asked = _within_abilities(asked, limits)
    body: dict[str, Any] = {}
    if chat:
        body["messages"] = messages_of(asked.get("messages"))
        _put_tools(asked, body, limits)
        if (template := template_arguments(asked)) is not None:
            body["chat_template_kwargs"] = template
    else:
        body["prompt"] = prompt_of(asked.get("prompt"))
    if (form := _response_format(asked, limits)) is not None:
        body["response_format"] = form
    body |= {name: rule(name, asked[name]) for name, rule in RULES.items() if name in asked}
    body["max_tokens"] = _max_tokens(asked, limits)
    if "top_k" in body and limits.vocabulary is not None and body["top_k"] >= limits.vocabulary:
        refuse("top_k", f"must be less than the vocabulary's {limits.vocabulary} tokens")
    if "logit_bias" in asked:
        body["logit_bias"] = logit_bias(asked["logit_bias"], limits.vocabulary)
    stream = truth("stream", asked.get("stream", False))
    if stream and body.get("logprobs"):
        refuse("logprobs", "cannot be streamed here; ask with stream false")
    return Asked(body, stream, include_usage=_include_usage(asked))


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
        refuse("n", "must be 1: one answer is given to each request")
    if chat:
        if asked.get("tool_choice", "auto") not in ("auto", "none"):
            refuse("tool_choice", "must be auto or none: no call is forced here")
        if asked.get("audio") or asked.get("modalities", ["text"]) != ["text"]:
            refuse("modalities", "must be text: nothing else is served")
    else:
        if asked.get("echo"):
            refuse("echo", "is not supported here")
        if asked.get("suffix"):
            refuse("suffix", "is not supported here; write the model's own markers")


def _within_abilities(asked: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The request without what says nothing; refuses what the server is known not to keep."""
    able, server = limits.abilities, limits.server
    unkept = dict.fromkeys(SAMPLING - able.sampling, f"is not heeded by {server}")
    if not able.token_ids:
        unkept |= dict.fromkeys(("logprobs", "top_logprobs"), f"are not told by {server}")
    if not able.seed:
        unkept["seed"] = f"would be ignored: {server} draws with random numbers of its own"
    kept = dict(asked)
    for name in sorted(unkept.keys() & asked.keys()):
        greedy = name == "seed" and asked.get("temperature") == 0
        if not greedy and asked[name] != NOTHING.get(name):
            refuse(name, unkept[name])
        del kept[name]
    return kept


def _response_format(asked: dict[str, Any], limits: Limits) -> dict[str, Any] | None:
    """The form that answers are forced into; None for plain text."""
    name = "response_format"
    given: Any = asked.get(name, {"type": "text"})
    if given == {"type": "text"}:
        return None
    if not limits.abilities.schema:
        refuse(name, f"is not enforced by {limits.server}; ask for the format in the prompt")
    match given:
        case {"type": "json_object"}:
            pass
        case {"type": "json_schema", "json_schema": {"name": str(), "schema": dict()}}:
            pass
        case _:
            refuse(name, "must be text, json_object, or json_schema with a name and a schema")
    return cast("dict[str, Any]", given)


def _put_tools(asked: dict[str, Any], body: dict[str, Any], limits: Limits) -> None:
    tools: Any = asked.get("tools")
    if not tools or asked.get("tool_choice") == "none":
        return
    if not limits.abilities.tools:
        why = f"would not reach this model, or {limits.server} would not read its calls"
        refuse("tools", why)
    check_tools(tools)
    body["tools"] = tools


def check_tools(tools: Any) -> None:
    """Raise Refused for what is no list of functions."""
    if not isinstance(tools, list):
        refuse("tools", "must be a list")
    for at, tool in enumerate(cast("list[Any]", tools)):
        match tool:
            case {"type": "function", "function": {"name": str()} as function}:
                parameters = cast("dict[str, Any]", function).get("parameters")
                if parameters is not None and not isinstance(parameters, dict):
                    refuse(f"tools[{at}].function.parameters", "must be an object")
            case _:
                refuse(f"tools[{at}]", "must be a function with a name")


def template_arguments(asked: dict[str, Any]) -> dict[str, Any] | None:
    """What a request tells its chat template; None for nothing. Raises Refused."""
    name = "chat_template_kwargs"
    if name not in asked:
        return None
    value = asked[name]
    if not isinstance(value, dict):
        refuse(name, "must be an object")
    arguments = cast("dict[str, Any]", value)
    for key, argument in arguments.items():
        if key in TEMPLATE_ARGUMENTS or not isinstance(argument, bool | int | str):
            refuse(f"{name}.{key}"[:100], "cannot be set by a request")
    return arguments


def prompt_of(value: Any) -> str:
    """The text to go on with. Raises Refused."""
    if not isinstance(value, str) or not value.strip():
        refuse("prompt", "must be text that is not empty; lists are not served")
    return value


def _max_tokens(asked: dict[str, Any], limits: Limits) -> int:
    """How long the answer may be; never longer than the model's context."""
    name = "max_completion_tokens" if "max_completion_tokens" in asked else "max_tokens"
    wanted = whole(1)(name, asked.get(name, limits.max_tokens))
    return min(wanted, limits.context_length or wanted)


def _include_usage(asked: dict[str, Any]) -> bool:
    options = asked.get("stream_options", {})
    if not isinstance(options, dict):
        refuse("stream_options", "must be an object")
    wanted = cast("dict[str, Any]", options).get("include_usage")
    return truth("stream_options.include_usage", False if wanted is None else wanted)
