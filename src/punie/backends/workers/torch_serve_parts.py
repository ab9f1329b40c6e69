"""The parts of `transformers serve` that `torch_serve` puts its own in place of."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportUnknownLambdaType=false
# pyright: reportPrivateImportUsage=false, reportAttributeAccessIssue=false, reportPrivateUsage=false
# transformers is only partly typed.

import argparse
import copy
import logging
import re
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from transformers.cli.serving import chat_completion, completion, server, utils
from transformers.generation.continuous_batching import continuous_api

from punie.backends.workers.torch_serve_chat import MODEL, Chats, Texts
from punie.backends.workers.torch_serve_lanes import WANTED, Lanes, end_with_the_batch
from punie.backends.workers.torch_serve_tail import WholeCBStreamer, WholeDirectStreamer

log = logging.getLogger("punie")


def serve_only(manager: Any, model: Any, tokenizer: Any) -> None:
    """Have the server hold the model that is loaded already, and list no other."""
    manager._load_model = lambda *_, **__: model  # noqa: SLF001 - there is no public seam
    manager._load_processor = lambda *_, **__: tokenizer  # noqa: SLF001 - as above
    listed = [{"id": MODEL, "object": "model", "created": 0, "owned_by": "punie"}]
    manager.get_gen_models = staticmethod(lambda: listed)


def answer_in_lanes(asked: argparse.Namespace, model: Any) -> None:
    """Have both handlers read requests as punie does, and generate in two lanes."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    lanes = Lanes(tokens=asked.batch_tokens, requests=asked.batch, context=context)
    utils.GenerationState.get_manager = lambda *_, **__: lanes
    # The lanes choose for themselves; prompts come to them as lists of ids.
    utils.GenerationState.use_continuous_batching = lambda *_: True
    utils.DirectStreamer = WholeDirectStreamer
    utils.CBStreamer = WholeCBStreamer
    chat_completion.ChatCompletionHandler = Chats
    completion.CompletionHandler = Texts
    end_with_the_batch(continuous_api.ContinuousBatchingManager)


def read_calls(parser: str | None) -> None:
    """Have calls read where a request has tools, and a malformed answer kept as text."""
    known = utils.get_response_template
    parse = chat_completion.parse_assistant_message

    def template(processor: Any, model: Any) -> dict[str, Any] | None:
        found = known(processor, model)
        if WANTED.get().tools:
            return found or form_of(parser, processor)
        if found is None:
            return None
        found = copy.deepcopy(found)
        found["fields"].pop("tool_calls", None)  # without tools it is text that the model wrote
        return found

    def parse_or_keep(processor: Any, model: Any, ids: Any, *rest: Any, **named: Any) -> Any:
        try:
            return parse(processor, model, ids, *rest, **named)
        except Exception as error:  # noqa: BLE001 - any shape of a model's text may come here
            log.warning("Kept a malformed answer as text: %s", error)
            return processor.decode(ids, skip_special_tokens=True), None, None

    utils.get_response_template = template
    chat_completion.parse_assistant_message = parse_or_keep


def form_of(parser: str | None, tokenizer: Any) -> dict[str, Any] | None:
    """How transformers reads calls of mlx_lm's form `parser`, where it knows none for the model.

    It goes by the type of the model, and knows Qwen's and Gemma's; others write in the same form.
    """
    if parser == "json_tools":
        return json_calls(tokenizer)
    known = {"qwen3_coder": "qwen3_5", "gemma4": "gemma4"}.get(parser or "")
    forms = utils._RESPONSE_TEMPLATE_FALLBACKS.items()  # noqa: SLF001 - there is no public place
    return next((form for types, form in forms if known in types), None)


def json_calls(tokenizer: Any) -> dict[str, Any]:
    """How calls are read that are JSON between `<tool_call>` and `</tool_call>`."""
    ends = "|".join(re.escape(str(token)) for token in tokenizer.all_special_tokens) or "$^"
    calls = {
        "open_pattern": r"\s*<tool_call>",
        "close": "</tool_call>",
        "repeats": True,
        "content": "json",
        "transform": {"type": "function", "function": "{content}"},
    }
    content = {"close_pattern": rf"\s*(?:{ends})", "content": "text"}
    return {
        "defaults": {"role": "assistant"},
        "start_anchor_pattern": r"\Z",  # the answer begins where the prompt ends
        "fields": {"tool_calls": calls, "content": content},
    }


def leave_only(paths: tuple[str, ...]) -> None:
    """Have the server answer at these paths alone, and errors as OpenAI's do."""
    build = server.build_server

    def built(*given: Any, **named: Any) -> Any:
        app = build(*given, **named)
        app.router.routes[:] = [r for r in app.router.routes if getattr(r, "path", "") in paths]
        app.add_exception_handler(HTTPException, as_openai)
        return app

    server.build_server = built


async def as_openai(_: Request, error: Exception) -> JSONResponse:
    """An error in the form that clients of OpenAI's kind read."""
    assert isinstance(error, HTTPException)
    body = {"error": {"message": str(error.detail), "type": "invalid_request_error"}}
    return JSONResponse(body, status_code=error.status_code)
