"""What counts as the same model, and as asked in the same way, for whoever pairs runs."""

from punie.analysis.served_by import served_alike
from punie.records.run import ModelIdentity
from punie.records.suite import Sampling


def same_model(one: ModelIdentity, other: ModelIdentity) -> bool:
    """Whether both are one model (weights, config, tokenizer, template) with one adapter.

    Served in one way, too: another backend or packing answers otherwise. Where the hashes are
    out of reach, as of a URL, address and names have to do.
    """
    return _what(one) == _what(other) and served_alike(one, other)


def same_sampling(one: Sampling, other: Sampling) -> bool:
    """Whether both sample alike; at temperature 0 no seed is sent, so none counts."""
    return _effective(one) == _effective(other)


def _what(model: ModelIdentity) -> tuple[str | None, ...]:
    if model.model_hash:
        known = (model.model_hash,)
    else:
        hashes = (model.weights_hash, model.template_hash)
        known = (model.backend, model.name, model.url, *hashes)
    return (*known, model.adapter_hash or model.adapter)


def _effective(sampling: Sampling) -> Sampling:
    return sampling if sampling.temperature else sampling.model_copy(update={"seed": None})
