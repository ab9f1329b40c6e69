"""Two lanes into one model: many greedy answers in one batch, all others one after the other.

`transformers serve` has both, and makes the whole server use one. Continuous batching keeps the
sampling of the first request for all that follow, reads no stop strings and no seeds, and dies of
a prompt that does not fit into its cache. One after the other keeps every promise, and is slow. So
each request takes the fast lane where nothing of it would be lost there.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# transformers is only partly typed.

import os
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from fastapi import HTTPException
from transformers import ContinuousBatchingConfig, StoppingCriteria, StoppingCriteriaList
from transformers.cli.serving.utils import BaseGenerateManager, CBGenerateManager, GenerateManager

from punie.backends.workers.torch_serve_model import without_adapter
from punie.backends.workers.torch_serve_stop import cut_at, until_stopped

GENERATION_FAILED = 70
"""The exit code of a server that can no longer generate: EX_SOFTWARE of sysexits.h."""
OUT_OF_MEMORY = 72
"""The exit code of a server whose GPU had too little memory for an answer."""
PAGE = 256
"""Tokens of a page of the batch's cache: transformers' own number."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants that transformers' own generation settings have no place for."""

    seed: int | None = None
    stop: tuple[str, ...] = ()
    base: bool = False
    """Whether it asks the model without its adapter."""
    tools: bool = False
    greedy: bool = True
    """Whether it takes the likeliest token each time, and changes no probability before."""

    @property
    def alone(self) -> bool:
        """Whether it cannot share a batch with others."""
        return not self.greedy or bool(self.stop) or self.base


WANTED: ContextVar[Wanted] = ContextVar("wanted")
"""Of the request that is being answered: each one has a context of its own."""


def batching(tokens: int, requests: int) -> ContinuousBatchingConfig:
    """How to batch: a cache of so many tokens for all answers together, and nothing shared.

    Left to itself transformers takes nine tenths of the memory that is free. Prompts do not share
    the pages of their common beginnings, so that an answer is the same whatever came before it.
    """
    return ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=-(-tokens // PAGE),
        max_batch_tokens=min(tokens, 2048),
        max_requests_per_batch=requests,
        allow_block_sharing=False,
        auto_switch_to_flash=False,
    )


class Batch(CBGenerateManager):
    """The fast lane."""

    def held(self) -> AbstractContextManager[None]:
        """Nothing is computed in the batch while the context is open; its answers wait."""
        return self._cb.pause() if self._cb is not None else nullcontext()


class Lanes(BaseGenerateManager):
    """Chooses the lane of each request. `tokens` is the size of the batch's cache."""

    def __init__(self, *, tokens: int, requests: int, context: int | None) -> None:
        self._batch = Batch(cb_config=batching(tokens, requests))
        self._alone = GenerateManager()
        self._tokens = tokens
        self._context = context

    def generate_streaming(  # noqa: PLR0917 - transformers' own signature
        self,
        model: Any,
        processor: Any,
        inputs: Any,
        gen_config: Any,
        request_id: str,
        response_parser: Any = None,
    ) -> Any:
        """The queue of an answer's parts, and who writes them."""
        wanted = WANTED.get()
        lane, model, inputs = self._lane(model, processor, inputs, gen_config)
        queue, streamer = lane.generate_streaming(
            model, processor, inputs, gen_config, request_id, response_parser=response_parser
        )
        return until_stopped(queue, wanted.stop) if wanted.stop else queue, streamer

    async def generate_non_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, request_id: str
    ) -> Any:
        """The text of an answer, the prompt's tokens, and the answer's token ids."""
        wanted = WANTED.get()
        lane, model, inputs = self._lane(model, processor, inputs, gen_config)
        text, prompt_tokens, ids = await lane.generate_non_streaming(
            model, processor, inputs, gen_config, request_id
        )
        return cut_at(text, wanted.stop), prompt_tokens, ids

    def is_alive(self) -> bool:
        """Whether the batch still goes on; asked for /health."""
        return self._batch.is_alive()

    def stop(self) -> None:
        """End the batch."""
        self._batch.stop()

    def _lane(
        self, model: Any, tokenizer: Any, inputs: Any, gen_config: Any
    ) -> tuple[BaseGenerateManager, Any, Any]:
        """Which lane, and what it is given. Raises HTTPException for a prompt that is too long."""
        wanted = WANTED.get()
        ids: list[int] = inputs["input_ids"]
        self._fit(len(ids), gen_config)
        needs = len(ids) + gen_config.max_new_tokens
        if not wanted.alone and needs <= self._tokens and can_batch(model):
            self._batch.init_cb(model, gen_config)
            return self._batch, model, inputs
        hold = self._batch.held if wanted.base else nullcontext
        stop = StopAt(tokenizer, len(ids), wanted.stop)
        return self._alone, Turn(model, wanted, stop, hold), tensors(ids, model)

    def _fit(self, prompt: int, gen_config: Any) -> None:
        if self._context is None:
            return
        if prompt >= self._context:
            raise HTTPException(
                400, f"the prompt's {prompt} tokens do not fit into the context of {self._context}"
            )
        gen_config.max_new_tokens = min(gen_config.max_new_tokens, self._context - prompt)


class Turn:
    """The model for one answer of the slow lane, with its seed, and its adapter on or off."""

    def __init__(self, model: Any, wanted: Wanted, stop: "StopAt", hold: Callable[[], Any]) -> None:
        self._model = model
        self._wanted = wanted
        self._stop = stop
        self._hold = hold

    def generate(self, **inputs: Any) -> Any:
        """Generate as transformers does; runs in the thread that does nothing else."""
        wanted = self._wanted
        if wanted.seed is not None:
            torch.manual_seed(wanted.seed)
        try:
            with self._hold(), without_adapter(self._model) if wanted.base else nullcontext():
                return self._model.generate(
                    **inputs, stopping_criteria=StoppingCriteriaList([self._stop])
                )
        except Exception as error:
            end_if_hopeless(error)
            raise


class StopAt(StoppingCriteria):
    """Ends an answer whose text holds one of `stops`; `prompt` tokens stand before it.

    The text is looked at as the client gets it, as it is where the answer is cut.
    """

    def __init__(self, tokenizer: Any, prompt: int, stops: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._stops = stops

    def __call__(self, input_ids: Any, *_: Any, **__: Any) -> Any:
        """Whether each row, and there is one, has ended."""
        ended = False
        if self._stops:
            text: str = self._tokenizer.decode(
                input_ids[0, self._prompt :], skip_special_tokens=True
            )
            ended = any(stop in text for stop in self._stops)
        return torch.full((len(input_ids),), ended, dtype=torch.bool, device=input_ids.device)


def can_batch(model: Any) -> bool:
    """Whether the batch's cache can hold all that the model remembers of a text.

    8-bit weights share no batch: which columns they keep in 16 bits is decided by all tokens of it,
    so each answer would depend on the others.
    """
    if getattr(model, "is_loaded_in_8bit", False):
        return False
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    stateful: bool = model._is_stateful  # noqa: SLF001 - it is told nowhere else
    return not stateful and kinds <= {"full_attention", "sliding_attention"}


def tensors(ids: list[int], model: Any) -> dict[str, Any]:
    """A prompt's ids as the slow lane takes them."""
    rows = torch.tensor([ids], device=model.device)
    return {"input_ids": rows, "attention_mask": torch.ones_like(rows)}


def end_if_hopeless(error: BaseException) -> None:
    """End the process after an error that no later answer would survive.

    A GPU that failed once fails always in this process; one that is full stays so fragmented.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        end(OUT_OF_MEMORY, error)
    if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
        end(GENERATION_FAILED, error)


def end(code: int, error: BaseException) -> None:
    """End this process at once, with the reason in the log."""
    traceback.print_exception(error)
    os._exit(code)


def end_with_the_batch(manager: Any) -> None:
    """Have the end of the batching thread end the process; transformers' would answer 503."""
    fail = manager._handle_critical_error  # noqa: SLF001 - there is no public seam

    def fail_and_end(self: Any, error: Exception, batch_processor: Any) -> None:
        end_if_hopeless(error)
        end(GENERATION_FAILED, error)
        fail(self, error, batch_processor)

    manager._handle_critical_error = fail_and_end  # noqa: SLF001 - see above
