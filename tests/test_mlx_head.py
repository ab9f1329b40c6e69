"""Logits only where the loss counts: the same loss and gradients, whatever the last layer."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx is only partly typed.

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import cohere, gemma2, llama
from mlx_lm.tuner.utils import linear_to_lora_layers

from punie.backends.workers.mlx_head import (
    PADDING,
    Head,
    find_head,
    mean_loss,
    where_it_counts,
)

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 160,
}


def tied() -> Any:
    return llama.Model(
        llama.ModelArgs(model_type="llama", rms_norm_eps=1e-5, tie_word_embeddings=True, **SIZES)
    )


def untied() -> Any:
    return llama.Model(
        llama.ModelArgs(model_type="llama", rms_norm_eps=1e-5, tie_word_embeddings=False, **SIZES)
    )


def capped() -> Any:
    """Logits that are bent after the last layer."""
    return gemma2.Model(
        gemma2.ModelArgs(
            model_type="gemma2",
            head_dim=16,
            rms_norm_eps=1e-5,
            final_logit_softcapping=5.0,
            **SIZES,
        )
    )


def scaled() -> Any:
    """Logits that are scaled after the last layer."""
    return cohere.Model(cohere.ModelArgs(model_type="cohere", logit_scale=0.5, **SIZES))


def quantised() -> Any:
    model = tied()
    nn.quantize(model, group_size=32, bits=8)
    return model


def with_lora() -> Any:
    model = untied()
    model.freeze()
    linear_to_lora_layers(model, 2, {"rank": 4, "scale": 2.0, "dropout": 0.0})
    return model


MODELS = [tied, untied, capped, scaled, quantised, with_lora]


def batch() -> tuple[mx.array, "np.ndarray[Any, np.dtype[np.bool_]]"]:
    draw = np.random.default_rng(3)
    tokens = draw.integers(0, 160, (3, 65)).astype(np.int32)
    counts = np.zeros((3, 64), np.bool_)
    counts[0, 40:50] = counts[1, 60:] = counts[2, 5] = True
    given: Any = tokens
    return mx.array(given), counts


def gradients(model: Any, tokens: mx.array, where: Any, head: Head | None) -> dict[str, mx.array]:
    (loss, counted), found = nn.value_and_grad(model, mean_loss)(
        model, tokens, mx.array(where), head
    )
    flat: Any = tree_flatten(found)
    return {"loss": loss, "counted": counted, **dict(flat)}


@pytest.mark.parametrize("make", MODELS)
def test_loss_and_gradients_are_those_of_all_logits(make: Any) -> None:
    mx.random.seed(1)
    model = make()
    names = [name for name, _ in model.named_modules()]
    tokens, counts = batch()
    wanted = gradients(model, tokens, counts, None)
    head = find_head(model)
    assert head is not None
    assert head.vocabulary == 160
    assert [name for name, _ in model.named_modules()] == names
    positions = where_it_counts(counts, 160, worth_bytes=1)
    assert positions.shape == (64,)
    some = gradients(model, tokens, positions, head)
    assert some["counted"].item() == wanted["counted"].item() == 15
    assert some.keys() == wanted.keys()
    for name, each in wanted.items():
        assert mx.allclose(some[name], each, rtol=1e-4, atol=1e-6).item(), name
    # What follows sees all logits again: a validation with many positions, or a server.
    assert model(tokens).shape == (3, 65, 160)


def test_a_model_whose_last_layer_is_not_found_is_left_alone() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Embedding(160, 8)
            self.second = nn.Embedding(160, 8)

        def __call__(self, tokens: mx.array) -> mx.array:
            return self.second.as_linear(self.first(tokens))

    assert find_head(Odd()) is None


def test_a_last_layer_that_is_used_otherwise_is_left_alone() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed_tokens = nn.Embedding(160, 8)

        def __call__(self, tokens: mx.array) -> mx.array:
            hidden = self.embed_tokens(tokens)
            once = self.embed_tokens.as_linear(hidden)
            return once + self.embed_tokens.as_linear(hidden)

    model = Twice()
    assert find_head(model) is None
    assert model(mx.array([[1, 2]])).shape == (1, 2, 160)


def test_positions_are_taken_only_where_that_saves_much() -> None:
    counts = np.zeros((4, 256), np.bool_)
    counts[:, 250:] = True
    assert where_it_counts(counts, 516).ndim == 2  # a small vocabulary
    positions = where_it_counts(counts, 49152)
    assert positions.shape == (64,)
    assert (positions >= 0).sum() == 24
    assert set(positions[24:]) == {PADDING}
    assert positions[0] == 250
    assert where_it_counts(np.ones((4, 256), np.bool_), 49152).ndim == 2  # nothing to leave out
