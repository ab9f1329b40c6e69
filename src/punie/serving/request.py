"""What is asked of a server, and its JSON."""

from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from punie.records.suite import Message, Sampling, Tool
from punie.serving.endpoint import Endpoint

SEED_LIMIT = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What is asked: the turns, the tools, how to sample.

    `schema`, a JSON Schema, is for a server that forces its answers into one; others take it and
    silently answer as ever.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    tools: tuple[Tool, ...] = ()
    schema: dict[str, JsonValue] | None = None


def request_body(endpoint: Endpoint, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
    """The JSON of a chat request, with nothing in it that is known to break a server.

    Settings that are None are left out (mlx_lm refuses null); temperature 0 sends no seed, because
    mlx_lm answers seeded requests one at a time; one that would be ignored is not sent either.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [_message_body(message) for message in request.messages],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
    }
    for name in ("top_p", "top_k", "min_p"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.seed is not None and sampling.temperature > 0 and endpoint.abilities.seed:
        body["seed"] = sampling.seed % SEED_LIMIT
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
    if request.schema is not None:
        form = {"name": "answer", "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    elif endpoint.abilities.token_ids:
        body["logprobs"] = True
        if endpoint.identity.server == "vllm":
            body["return_token_ids"] = True  # its logprobs show the tokens' text, not their ids
    return body


def _message_body(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": call.type,
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls
        ]
    elif message.content is None:
        body["content"] = ""
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        body["name"] = message.name
    return body
