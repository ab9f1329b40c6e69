"""What counts as the same model, and as asked in the same way."""

from typing import Any

import pytest

from punie.analysis.same import same_model, same_sampling
from punie.records.run import ModelIdentity
from punie.records.suite import Sampling

LOCAL: dict[str, Any] = {"backend": "mlx", "weights_hash": "w", "template_hash": "t"}
URL: dict[str, Any] = {"name": "m", "backend": "endpoint", "url": "http://lab/v1"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"model_hash": "a"}, {"model_hash": "a", "name": "another name"}, True),
        # The same weights and template, but another config or tokenizer.
        ({"model_hash": "a"}, {"model_hash": "b"}, False),
        ({"model_hash": "a"}, {"model_hash": "a", "adapter_hash": "x"}, False),
        (
            {"model_hash": "a", "adapter": "one", "adapter_hash": "x"},
            {"model_hash": "a", "adapter": "renamed", "adapter_hash": "x"},
            True,
        ),
        ({}, {"name": "another name"}, False),
        ({}, {"weights_hash": "other"}, False),
        ({}, {}, True),
        (URL, URL, True),
        (URL, {**URL, "url": "http://other/v1"}, False),
        ({**URL, "adapter": "one"}, {**URL, "adapter": "two"}, False),
    ],
)
def test_a_model_is_told_by_its_hashes_and_else_by_its_names(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    made: list[dict[str, Any]] = [
        each if each.get("url") else {"name": "m", **LOCAL, **each} for each in (one, other)
    ]
    first, second = (ModelIdentity(**each) for each in made)
    assert same_model(first, second) is same
    assert same_model(second, first) is same


def test_a_seed_counts_where_it_is_sent() -> None:
    assert same_sampling(Sampling(), Sampling(seed=7))
    assert not same_sampling(Sampling(temperature=0.5), Sampling(temperature=0.5, seed=7))
    assert not same_sampling(Sampling(), Sampling(max_tokens=9))
