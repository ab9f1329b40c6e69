"""A model of this machine by its name: found or fetched, checked, served."""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from punie.backends.base import ServingBackend
from punie.backends.choose import BackendChoice
from punie.backends.cuda import CudaBackend
from punie.backends.cuda_env import as_served, uses_gpu
from punie.backends.mlx import MlxBackend
from punie.backends.vllm import VllmBackend, served_by_vllm
from punie.backends.vllm_python import vllm_python
from punie.errors import ModelError
from punie.models.adapter import check_adapter
from punie.models.adapter_form import in_mlx_form
from punie.models.check import read_json, weight_files, whatever_is_in_it
from punie.models.describe import describe
from punie.models.experts import require_packable
from punie.models.fingerprint import adapter_hash
from punie.models.hf_folder import hf_folder
from punie.models.manifest import check_manifest
from punie.models.pull import Progress, quiet
from punie.models.resolve import resolve
from punie.models.template import read_template
from punie.records.run import ModelIdentity
from punie.records.training import Quantization
from punie.serving.config import DECODE_CONCURRENCY, ServerConfig
from punie.serving.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class LocalModel:
    """What the backend serves, and how the run's record will name it."""

    path: Path
    adapter: Path | None
    identity: ModelIdentity
    how: BackendChoice
    """Settled: with a backend that is installed."""
    renders_tools: bool
    weight_bytes: int
    vocabulary: int | None
    context_length: int | None
    parser: str | None


def prepare(
    name: str,
    adapter: Path | None = None,
    *,
    how: BackendChoice | None = None,
    demo: bool = False,
    progress: Progress = quiet,
) -> LocalModel:
    """Find (or fetch) the model, check it and the adapter, and read what is on record of them.

    `how` is what serves it, by default this machine's usual. `demo` marks a model that nobody
    chose. Raises InputError or ModelError, before anything is started.
    """
    how = (how or BackendChoice()).settled()
    assert how.backend is not None
    vllm = vllm_python(how.vllm) if how.backend == "cuda" and how.vllm else None
    model = resolve(name, progress=progress)
    if how.quantization is not Quantization.NONE and vllm is None:
        with whatever_is_in_it(model.path):
            require_packable(read_json(model.path / "config.json"))
    info = describe(model)
    found_hash: str | None = None
    if adapter is not None:
        adapter = adapter.expanduser().absolute()
        converted = in_mlx_form(adapter, model.path, info.fingerprint, progress=progress)
        check_adapter(converted, model.path)
        found_hash = adapter_hash(converted)
        check_manifest(adapter, info.fingerprint, found_hash)
        adapter = converted
    identity = ModelIdentity(
        name=name,
        backend=how.backend,
        weights_hash=info.fingerprint.weights,
        model_hash=info.fingerprint.whole,
        template_hash=info.fingerprint.template,
        parameters=info.parameters,
        dtype=info.dtype,
        adapter=adapter.name if adapter else None,
        adapter_hash=found_hash,
        builtin_demo=demo,
        own_code=info.own_code,
        quantization=how.quantization,
    )
    path = model.path
    if how.backend == "cuda":
        path = hf_folder(model.path, progress=progress)
        if vllm is None:
            identity = as_served(identity, how.quantization, on_gpu=uses_gpu(how.device))
        else:
            identity = served_by_vllm(identity, vllm, how.quantization, how.device)
    return LocalModel(
        path=path,
        adapter=adapter,
        identity=identity,
        how=how,
        renders_tools=info.abilities.tools,
        weight_bytes=sum(file.stat().st_size for file in weight_files(path)),
        vocabulary=info.vocabulary,
        context_length=info.context_length,
        parser=info.abilities.parser,
    )


@asynccontextmanager
async def serve(
    model: LocalModel, log: Path, *, concurrency: int = 1, memory_cap_bytes: int | None = None
) -> AsyncGenerator[Endpoint]:
    """Serve a prepared model; the server's output goes to the file `log`.

    `concurrency` is how many requests will come at once. Above `memory_cap_bytes` the server is
    started again. Raises ModelError for a model without a chat template that torch would serve:
    mlx_lm has a form of its own for those.
    """
    if model.how.backend == "cuda":
        _require_template(model.path)
    config = ServerConfig(
        model=model.path,
        adapter=model.adapter,
        log=log,
        decode_concurrency=max(DECODE_CONCURRENCY, concurrency),
        memory_cap_bytes=memory_cap_bytes,
    )
    async with _backend(model).serve(config.scaled_to(model.weight_bytes)) as endpoint:
        yield endpoint


def _require_template(folder: Path) -> None:
    with whatever_is_in_it(folder):
        template = read_template(folder)
    if "default" not in template:
        raise ModelError(
            f"{folder} has no chat template, so it cannot answer chats on cuda",
            hint="take its instruct version, or put a chat_template.jinja into the folder",
        )


def _backend(model: LocalModel) -> ServingBackend[ServerConfig]:
    if model.how.backend == "cuda" and model.how.vllm:
        return VllmBackend(
            model.identity,
            model.how.vllm,
            tools=model.renders_tools,
            parser=model.parser,
            vocabulary=model.vocabulary,
            context_length=model.context_length,
            quantization=model.how.quantization,
            device=model.how.device,
        )
    if model.how.backend == "cuda":
        return CudaBackend(
            model.identity,
            tools=model.renders_tools,
            parser=model.parser,
            vocabulary=model.vocabulary,
            context_length=model.context_length,
            quantization=model.how.quantization,
            device=model.how.device,
        )
    return MlxBackend(
        model.identity,
        tools=model.renders_tools,
        parser=model.parser,
        vocabulary=model.vocabulary,
        context_length=model.context_length,
    )


@asynccontextmanager
async def serve_model(
    name: str, *, adapter: Path | None = None, how: BackendChoice | None = None
) -> AsyncGenerator[Endpoint]:
    """Serve the model called `name` while the context is open.

    Raises InputError, ModelError or ServerError; its log is in the error and then gone.
    """
    model = prepare(name, adapter, how=how)
    with tempfile.TemporaryDirectory(prefix="punie-") as folder:
        async with serve(model, Path(folder) / "server.log") as endpoint:
            yield endpoint
