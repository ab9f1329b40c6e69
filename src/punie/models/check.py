"""Is this folder a model that `mlx_lm` can load? Found out without loading it."""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from punie.errors import ModelError
from punie.models.safetensors import TensorInfo, read_header
from punie.reading import MIB, read_regular
from punie.text import one_line

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "*.tiktoken", "vocab.json")
MAX_JSON = 256 * MIB
"""The largest vocabularies take 40 MB as JSON."""
_NAME = re.compile(r"[\w.-]{1,255}")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@contextmanager
def whatever_is_in_it(
    place: Path, *, hint: str = "download or convert the model again"
) -> Generator[None]:
    """Turn what reading a file of an unexpected shape can raise into a ModelError.

    The files are somebody else's JSON: any value may be of any type. `place` is the file, or the
    folder of several.
    """
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"cannot read {error.filename or place}: {error.strerror}", hint="check the path"
        ) from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise ModelError(
            f"{f'{place}: a file of it' if place.is_dir() else place} is not of the expected form "
            f"({type(error).__name__}: {error!s:.200})",
            hint=hint,
        ) from error


def check_model_folder(folder: Path) -> None:
    """Raise ModelError unless `folder` holds a config, a tokenizer and sound weights.

    Weights are read by their headers only. Pickled weights are refused: unpickling runs code. So is
    a model that needs Python code of its own.
    """
    with whatever_is_in_it(folder):
        _check_model_folder(folder)


def _check_model_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(f"no model folder at {folder}", hint="check the path")
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise ModelError(f"{folder / 'config.json'} names no model_type", hint="is it a model's?")
    if not re.fullmatch(r"[\w-]{1,64}", kind):
        raise ModelError(
            f"{folder / 'config.json'}: model_type {kind[:80]!r} is no architecture's name",
            hint="copy the file again",
        )
    if config.get("model_file") is not None:
        raise ModelError(
            f"{folder} needs Python code of its own ({str(config['model_file'])[:80]!r} as "
            "model_file in config.json), which punie does not run",
            hint="take a model of an architecture that mlx_lm has",
        )
    base_tensors(folder)
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        raise ModelError(
            f"{folder} has no tokenizer",
            hint="copy tokenizer.json and tokenizer_config.json from the model's hub page into it",
        )
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        if (folder / name).exists():
            read_json(folder / name)


def base_tensors(folder: Path) -> dict[str, TensorInfo]:
    """Every tensor of the model's weights, by name. Raises ModelError for missing or bad files."""
    files = weight_files(folder)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = set(cast("dict[str, str]", read_json(index).get("weight_map") or {}).values())
        for shard in shards:
            if not _NAME.fullmatch(shard) or not shard.endswith(".safetensors"):
                raise ModelError(
                    f"{index} names {shard[:80]!r}, which is no weight file of its folder",
                    hint="copy the file again",
                )
        missing = sorted(shards - {file.name for file in files})
        if missing:
            raise ModelError(
                f"{folder} lacks {len(missing)} of its {len(shards)} weight files: {missing[0]}",
                hint="finish the download",
            )
    return {name: tensor for file in files for name, tensor in read_header(file).items()}


def weight_files(folder: Path) -> list[Path]:
    """The files that mlx_lm loads. Raises ModelError where there are none."""
    files = sorted(folder.glob("model*.safetensors"))
    if files:
        return files
    pickled = sorted(file.name for pattern in PICKLED for file in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"{folder} holds only pickled weights ({pickled[0]}), which can run code when loaded",
            hint="get the safetensors version, or run `mlx_lm.convert` if you trust the file",
        )
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    if others:
        raise ModelError(
            f"{folder} has no model*.safetensors, only {others[0]}",
            hint="an adapter is given by --adapter; weights must be named model*.safetensors",
        )
    raise ModelError(
        f"{folder} holds no weights (model*.safetensors)", hint="is it the right folder?"
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ModelError if it is missing or is none."""
    try:
        value: Any = json.loads(read_regular(path, MAX_JSON).decode("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent} has no {path.name}", hint="is it complete?") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", hint="check it") from error
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise ModelError(f"{place}: is no valid JSON: {error.msg}", hint="copy it again") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is no valid JSON: {error}", hint="copy it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} does not hold a JSON object", hint="copy it again")
    return cast("dict[str, Any]", value)


def own_code(folder: Path) -> tuple[str, ...]:
    """The Python files that a model's configs name (`auto_map`): they are never run."""
    found: set[str] = set()
    for name in ("config.json", "tokenizer_config.json"):
        mapping: Any = (
            read_json(folder / name).get("auto_map") if (folder / name).exists() else None
        )
        pending: list[Any] = [mapping]
        while pending:
            each = pending.pop()
            if isinstance(each, dict):
                pending.extend(cast("dict[str, Any]", each).values())
            elif isinstance(each, list):
                pending.extend(cast("list[Any]", each))
            elif isinstance(each, str):
                file = f"{each.rpartition('--')[2].partition('.')[0]}.py"
                found.add(one_line(file))  # it is written into runs, reports and entries
    return tuple(sorted(found))
