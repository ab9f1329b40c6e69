"""What is known of a model without loading it."""

from pathlib import Path
from typing import Any, cast

from punie.models.caches import cached_models, folder_size
from punie.models.catalog import BUILTINS
from punie.models.check import base_tensors, own_code, read_json, whatever_is_in_it
from punie.models.fingerprint import fingerprint
from punie.models.pull import builtin_folder
from punie.models.quantization import count_parameters, dtype_label
from punie.models.template import template_abilities
from punie.records.model import ListedModel, Model, ModelInfo, ModelSource


def describe(model: Model) -> ModelInfo:
    """The model in numbers, from its config, its weights' headers and its template.

    The first call reads the weights once to hash them. Raises ModelError for a damaged folder.
    """
    with whatever_is_in_it(model.path):
        return _describe(model)


def _describe(model: Model) -> ModelInfo:
    config = read_json(model.path / "config.json")
    inner: Any = config.get("text_config")
    text = cast("dict[str, Any]", inner) if isinstance(inner, dict) else config
    tensors = base_tensors(model.path)
    return ModelInfo(
        model=model,
        architecture=str(config.get("model_type")),
        parameters=count_parameters(tensors, config),
        dtype=dtype_label(tensors, config),
        layers=_number(text, "num_hidden_layers", "n_layer"),
        context_length=_number(text, "max_position_embeddings", "n_positions", "max_seq_len"),
        vocabulary=_number(text, "vocab_size"),
        size_bytes=folder_size(model.path),
        abilities=template_abilities(model.path),
        own_code=own_code(model.path),
        fingerprint=fingerprint(model.path),
    )


def list_models(*, cache: Path | None = None) -> list[ListedModel]:
    """Every name that `resolve` knows: the built-in ones, then those of other programs' caches."""
    listed: list[ListedModel] = []
    for builtin in BUILTINS.values():
        folder = builtin_folder(builtin, cache=cache)
        here = folder.is_dir()
        listed.append(
            ListedModel(
                name=builtin.name,
                source=ModelSource.BUILTIN,
                path=folder if here else None,
                size_bytes=folder_size(folder) if here else builtin.bytes,
                architecture="llama",
            )
        )
    return listed + cached_models()


def _number(config: dict[str, Any], *names: str) -> int | None:
    found = (config.get(name) for name in names)
    return next((value for value in found if isinstance(value, int)), None)
