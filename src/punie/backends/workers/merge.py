"""Add an adapter to the weights of its base: `python -m … workers.merge JOB`, JOB being JSON.

JOB names `model` (a Hugging Face folder whose weights are unpacked), `adapter` (in mlx_lm's form),
`folder`, which is there and gets the weights and config.json, and `dtype`, in which they are
written. On stdout one line of JSON: `{"merged": {"changed": n}}`, or `{"error": …}`. Ends by itself
when stdin is closed.

numpy alone: what comes out does not depend on the backend. Names and shards are the base's, so
whatever loads the base loads this. Sums are made in float32 and rounded once.
"""

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from punie.backends.workers.lifeline import end_with_parent, say
from punie.backends.workers.weights_file import Tensor, bfloat16, write_safetensors
from punie.backends.workers.weights_read import FLOATS, WeightsFile
from punie.errors import ModelError
from punie.models.adapter import WEIGHTS
from punie.models.check import read_json, weight_files

Values = NDArray[np.float32]
Change = Callable[[Values], Values]
TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
INDEX = "model.safetensors.index.json"


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Merge; what `say` is told. Raises ModelError for what cannot be merged."""
    model, folder, kind = Path(job["model"]), Path(job["folder"]), TYPES[job["dtype"]]
    config = read_json(model / "config.json")
    if config.get("quantization") or config.get("quantization_config"):
        raise ModelError(
            "the base is quantised, and its weights are not unpacked here",
            hint="give --model with the 16-bit model that it was made from",
        )
    files = [WeightsFile(file) for file in weight_files(model)]
    changes = dict(changes_of(Path(job["adapter"])))
    there = {name for file in files for name in file.tensors}
    if missing := sorted(changes.keys() - there):
        raise ModelError(
            f"the adapter changes {missing[0]}, which the base's files do not hold under this name",
            hint="its layers are merged by mlx_lm only: --format mlx",
        )
    written = 0
    for file in files:
        tensors = [_merged(file, name, kind, changes.get(name)) for name in file.tensors]
        written += sum(tensor.size for tensor in tensors)
        with (folder / file.path.name).open("xb") as out:
            write_safetensors(out, tensors, lambda _done, _total: None)
    _write_index(model, folder, written)
    text = json.dumps(_typed(config, job["dtype"]), indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    return {"changed": len(changes)}


def changes_of(adapter: Path) -> Iterator[tuple[str, Change]]:
    """Which tensors of the base an adapter changes, and how."""
    file = WeightsFile(adapter / WEIGHTS)
    settings = read_json(adapter / "adapter_config.json")
    if settings.get("fine_tune_type") == "full":
        for name in file.tensors:
            yield name, _replaced(file, name)
        return
    scale = float(settings["lora_parameters"]["scale"])
    for name, tensor in file.tensors.items():
        module = name.removesuffix(".lora_a")
        if module == name:
            continue
        if len(tensor.shape) != 2:
            raise ModelError(
                f"the adapter changes the experts of a mixture ({module})",
                hint="they are merged by mlx_lm only: --format mlx",
            )
        yield f"{module}.weight", _added(file, module, scale)


def _replaced(file: WeightsFile, name: str) -> Change:
    return lambda _: file.floats(name)


def _added(file: WeightsFile, module: str, scale: float) -> Change:
    """LoRA: W + scale·(A·B)ᵀ, where W is (out, in), A (in, r), B (r, out).

    Of an embedding (rows, width) A·B is added as it is. DoRA then gives each row the length `m`.
    """

    def change(weight: Values) -> Values:
        a, b = file.floats(f"{module}.lora_a"), file.floats(f"{module}.lora_b")
        linear = weight.shape == (b.shape[1], a.shape[0])
        summed = weight + ((scale * b.T) @ a.T if linear else scale * a @ b)
        if f"{module}.m" in file.tensors:
            lengths = np.linalg.norm(summed, axis=1)
            summed *= (file.floats(f"{module}.m") / lengths)[:, None]
        return summed.astype(np.float32, copy=False)

    return change


def _merged(file: WeightsFile, name: str, kind: str, change: Change | None) -> Tensor:
    """One tensor of the merged model. What is no decimal number stays as it is."""
    tensor = file.tensors[name]
    if tensor.dtype.startswith(("F4", "F6", "F8")):
        raise ModelError(
            f"the base keeps {name} in {tensor.dtype}, which is not unpacked here",
            hint="give --model with its 16-bit form",
        )
    if change is None and (tensor.dtype == kind or tensor.dtype not in FLOATS):
        return Tensor(name, tensor.dtype, tensor.shape, lambda: iter([file.raw(name)]))
    return Tensor(name, kind, tensor.shape, partial(_values, file, name, kind, change))


def _values(
    file: WeightsFile, name: str, kind: str, change: Change | None
) -> Iterator[NDArray[Any]]:
    values = file.floats(name)
    if change is not None:
        values = change(values)
    shape = file.tensors[name].shape
    if values.shape != shape:
        raise ModelError(f"the adapter's {name} is {values.shape}, the base's is {shape}")
    with np.errstate(over="ignore"):  # looked for at once
        rounded = values.astype("<f2" if kind == "F16" else "<f4")
    if not np.isfinite(rounded).all():
        raise ModelError(
            f"{name} holds numbers that {kind} cannot hold", hint="write it in another --dtype"
        )
    yield bfloat16(np.ascontiguousarray(rounded)) if kind == "BF16" else rounded


def _write_index(model: Path, folder: Path, written: int) -> None:
    """Copy which file holds what, with the new size in bytes."""
    if (model / INDEX).exists():
        index = read_json(model / INDEX)
        index["metadata"] = {"total_size": written}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _typed(config: dict[str, Any], dtype: str) -> dict[str, Any]:
    """The config with the new type where it names one, in the spelling that it uses."""
    typed = dict(config)
    key = "dtype" if "dtype" in config else "torch_dtype"
    typed[key] = dtype
    text: Any = config.get("text_config")
    if isinstance(text, dict):
        typed["text_config"] = _typed(cast("dict[str, Any]", text), dtype)
    return typed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m punie.backends.workers.merge JOB")
    end_with_parent()
    try:
        say({"merged": main(json.loads(sys.argv[1]))})
    except ModelError as error:
        say({"error": {"message": error.message, "hint": error.hint}})
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - files of others fail in any way
        what = f"{type(error).__name__}: {error}"
        say({"error": {"message": f"it could not be merged ({what[:500]})", "hint": ""}})
        sys.exit(1)
