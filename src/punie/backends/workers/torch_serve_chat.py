"""The requests that `torch_serve` answers: what transformers would drop or misread is put right."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportUntypedBaseClass=false
# transformers is only partly typed.

import json
from typing import Any

from fastapi import HTTPException
from jinja2 import TemplateError
from transformers import GenerationConfig
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.utils import BaseHandler

from punie.backends.workers.torch_serve_lanes import WANTED, Wanted
from punie.serving.fields import RULES, Refused, logit_bias, refuse, whole
from punie.serving.incoming import check_tools, prompt_of, template_arguments
from punie.serving.messages import messages_of

MODEL = "default_model"
"""The name of the model that is served, with its adapter."""
BASE = "base_model"
"""The name of the same model without its adapter."""
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
KNOWN = {
    *SAMPLING,
    *("model", "messages", "prompt", "tools", "chat_template_kwargs", "stream", "stream_options"),
    *("max_tokens", "max_completion_tokens", "seed", "stop", "logit_bias"),
}
"""The fields that change an answer here. Any other is refused, where transformers ignores it."""
NOTHING = {
    "n": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logprobs": False,
    "response_format": {"type": "text"},
    "tool_choice": "auto",
}
"""What clients send along that asks for nothing."""
DEFAULT_TOKENS = 1024


def wanted_of(body: dict[str, Any], *, vocabulary: int, adapter: bool) -> Wanted:
    """Check a request, and what it wants beyond transformers' generation settings.

    Nulls, and what asks for nothing, are taken out of `body`. Raises HTTPException.
    """
    for name in [n for n, value in body.items() if value is None or NOTHING.get(n) == value]:
        del body[name]
    try:
        _check(body, vocabulary)
    except Refused as error:
        raise HTTPException(error.status, error.message) from None
    names = (MODEL, BASE) if adapter else (MODEL,)
    if body.get("model", MODEL) not in names:
        raise HTTPException(404, f"no model {body['model']!r:.200}: {' or '.join(names)} is served")
    stop: str | list[str] = body.get("stop", [])
    return Wanted(
        seed=body.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        base=body.get("model") == BASE,
        tools=bool(body.get("tools")),
        greedy=not any(body.get(name) for name in ("temperature", "logit_bias"))
        and body.get("repetition_penalty", 1.0) == 1.0,
    )


def _check(body: dict[str, Any], vocabulary: int) -> None:
    for name in body:
        if name not in KNOWN:
            refuse(name, "is not supported by this server")
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeError:
        raise Refused("half of a surrogate pair is no text") from None
    if "messages" in body:
        messages_of(body["messages"])
    else:
        prompt_of(body.get("prompt"))
    template_arguments(body)
    check_tools(body.get("tools", []))
    for name, rule in RULES.items():
        if name in body:
            rule(name, body[name])
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body:
            whole(1)(name, body[name])
    if "logit_bias" in body:
        logit_bias(body["logit_bias"], vocabulary)


def settings_of(body: dict[str, Any], model: Any) -> GenerationConfig:
    """How to generate: as the request says.

    The model's `generation_config` holds nothing but the tokens that begin and end a text
    (`torch_serve_model`): transformers fills in from it what is left out here.
    """
    temperature = float(body.get("temperature") or 0.0)
    chosen: dict[str, Any] = {"do_sample": temperature > 0, "num_beams": 1}
    if temperature > 0:
        chosen |= {"temperature": temperature, "top_p": 1.0, "top_k": 0}
    for name in ("top_p", "top_k", "min_p"):
        if temperature > 0 and body.get(name) is not None:
            chosen[name] = body[name]
    if body.get("repetition_penalty") is not None:
        chosen["repetition_penalty"] = float(body["repetition_penalty"])
    if body.get("logit_bias"):
        chosen["sequence_bias"] = {
            (int(token),): float(v) for token, v in body["logit_bias"].items()
        }
    most = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_TOKENS
    own = model.generation_config
    return GenerationConfig(
        max_new_tokens=int(most),
        eos_token_id=own.eos_token_id,
        pad_token_id=own.pad_token_id,
        bos_token_id=own.bos_token_id,
        **chosen,
    )


class Put(BaseHandler):
    """What both kinds of request share; mixed into transformers' handlers before they are made."""

    def _validate_request(self, body: dict[str, Any]) -> None:
        model = self._served()
        vocabulary: int = model.config.get_text_config().vocab_size
        adapter = bool(getattr(model, "_hf_peft_config_loaded", False))
        WANTED.set(wanted_of(body, vocabulary=vocabulary, adapter=adapter))

    def _resolve_model(self, body: dict[str, Any]) -> Any:
        return super()._resolve_model({**body, "model": MODEL})

    def _build_generation_config(self, body: dict[str, Any], *_: Any, **__: Any) -> Any:
        return settings_of(body, self._served())

    def _served(self) -> Any:
        (held,) = self.model_manager.loaded_models.values()
        return held.model


class Chats(Put, ChatCompletionHandler):
    """/v1/chat/completions."""

    async def handle_request(self, body: dict[str, Any], request_id: str) -> Any:
        """Answer one request. Raises HTTPException: 400 for what no model could answer."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise HTTPException(400, "messages must be a list of at least one message")
        try:
            return await super().handle_request(body, request_id)
        except TemplateError as error:
            raise HTTPException(400, f"the chat template refuses: {error}") from error
        except json.JSONDecodeError as error:
            raise HTTPException(400, f"the arguments of a call are no JSON: {error}") from error


class Texts(Put, CompletionHandler):
    """/v1/completions."""
