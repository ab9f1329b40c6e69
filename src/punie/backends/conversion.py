"""Models made from models, by workers: fused, merged, dequantised, packed, written as GGUF.

Each function blocks until its worker has ended. A worker ends with us: it watches its stdin.
"""

import json
import subprocess
from collections import deque
from pathlib import Path
from typing import Any, cast

from punie.backends.installed import require
from punie.backends.mlx import server_env
from punie.errors import ModelError
from punie.models.cache import cache_root
from punie.models.worker import worker_argv
from punie.records.adapter import Agreement, Packing


def fuse(
    model: Path,
    adapter: Path | None,
    folder: Path,
    *,
    dequantize: bool = False,
    quantize: Packing | None = None,
) -> Agreement:
    """Write base and adapter as one model into `folder`, which does not exist yet.

    Only weights and config.json are written. Gives how far the written model and the served pair
    agree on a text. Raises ModelError.
    """
    job = {
        "model": str(model),
        "adapter": str(adapter) if adapter else None,
        "folder": str(folder),
        "dequantize": dequantize,
        "quantize": quantize.model_dump() if quantize else None,
    }
    require("mlx")
    said = _run("fuse", json.dumps(job))
    found = {k: v for k, v in said["fused"].items() if k != "layers"}
    return Agreement.model_validate(found | {"backend": "mlx"})


def merge(model: Path, adapter: Path, folder: Path, *, dtype: str) -> None:
    """Write base and adapter as one Hugging Face folder into `folder`, which is there and empty.

    Only weights, in `dtype` (bfloat16, float16 or float32), and config.json are written; no backend
    is needed. `model` must be unpacked. Raises ModelError for what cannot be merged.
    """
    job = {"model": str(model), "adapter": str(adapter), "folder": str(folder), "dtype": dtype}
    _run("merge", json.dumps(job))


def agreement(model: Path, adapter: Path, merged: Path, *, backend: str) -> Agreement:
    """How far `merged` and the pair agree on a text, asked on `backend`. Raises ModelError."""
    require(backend)
    job = {"model": str(model), "adapter": str(adapter), "merged": str(merged)}
    said = _run("agreement_torch" if backend == "cuda" else "agreement_mlx", json.dumps(job))
    return Agreement.model_validate(said["agreement"] | {"backend": backend})


def write_gguf(model: Path, file: Path, *, name: str, notes: dict[str, str]) -> dict[str, Any]:
    """Write the unpacked model in `model` as the GGUF file `file`, and read it back.

    `notes` become metadata of their own. Gives what was compared. Raises ModelError for a model or
    a tokenizer that cannot be written rightly.
    """
    job = {"model": str(model), "file": str(file), "name": name, "notes": notes}
    return cast("dict[str, Any]", _run("gguf_export", json.dumps(job))["gguf"])


def why_no_gguf(model: Path) -> str:
    """Why `write_gguf` would refuse the model once it is unpacked; empty: it would not."""
    try:
        _run("gguf_export", json.dumps({"model": str(model)}))
    except ModelError as error:
        return error.message
    return ""


def look_at_gguf(file: Path) -> dict[str, Any]:
    """The architecture and the number of tensors of a GGUF file. Raises ModelError."""
    return cast("dict[str, Any]", _run("gguf_export", json.dumps({"file": str(file)}))["gguf"])


def _run(worker: str, *words: str) -> dict[str, Any]:
    """The last JSON line of a worker; what it says as an error is raised as ModelError."""
    hub_cache = cache_root() / "no-hub"
    hub_cache.mkdir(parents=True, exist_ok=True)
    tail: deque[str] = deque(maxlen=8)
    said: dict[str, Any] = {}
    with subprocess.Popen(  # noqa: S603 - our own command line
        worker_argv(worker, *words),
        env=server_env(hub_cache),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{"):
                    said |= _message(line)
                else:
                    tail.append(line.strip())
            status = child.wait()
        except BaseException:
            child.kill()
            raise
    if error := said.get("error"):
        raise ModelError(str(error["message"]), hint=str(error.get("hint", "")))
    if status != 0 or not said:
        raise ModelError(
            f"the {worker} worker ended with status {status}: {' '.join(tail)[-500:]}",
            hint="was there enough memory?" if status < 0 else "",
        )
    return said


def _message(line: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(line)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
