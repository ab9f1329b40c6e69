"""The loss of a batch, with logits only where it counts."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# torch and transformers are only partly typed.

import inspect
from typing import Any

import torch
from torch.nn import functional

TRIED = 8
CLOSE = 1e-3
"""Of the largest logit: another order of additions is no more than that apart, in bfloat16 too."""


def keeps_logits(model: Any) -> bool:
    """Whether the model gives logits at chosen positions of each row, tried on a few tokens."""
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        return False
    training = model.training
    model.eval()
    tokens = torch.arange(2 * TRIED, device=model.device).reshape(2, TRIED)
    at = torch.zeros(2, TRIED, dtype=torch.bool, device=model.device)
    at[0, 1] = at[0, TRIED - 1] = at[1, 2] = True
    with torch.no_grad():
        wanted = _logits(model, tokens)[at].float()
        try:
            some = _logits(model, tokens, logits_to_keep=at).float()
        except (TypeError, ValueError, IndexError, RuntimeError):
            some = wanted[:0]
    model.train(training)
    if some.shape != wanted.shape:
        return False
    return bool((some - wanted).abs().max() <= CLOSE * wanted.abs().max())


def mean_loss(
    model: Any, tokens: torch.Tensor, counts: torch.Tensor, total: int, *, keeps: bool
) -> torch.Tensor:
    """Cross-entropy in float32, in nats: the sum over the predictions that count, over `total`.

    `tokens` is (rows, width), `counts` (rows, width - 1). `keeps` is what `keeps_logits` says.
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    if keeps:
        logits = _logits(model, inputs, logits_to_keep=counts)
    else:
        logits = _logits(model, inputs)[counts]
    return functional.cross_entropy(logits.float(), targets[counts], reduction="sum") / total


def _logits(model: Any, tokens: torch.Tensor, **options: Any) -> torch.Tensor:
    # Padding stands at the end, where no token that counts looks: no mask is needed.
    logits: torch.Tensor = model(input_ids=tokens, use_cache=False, **options).logits
    return logits
