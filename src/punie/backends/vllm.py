"""The cuda backend's other server: a real vLLM, in an environment of its own, that punie owns."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from punie.backends.cuda_env import AUTO, CPU, GPU, cuda_env
from punie.backends.gpu import gpus
from punie.backends.mlx import lazy_decoder
from punie.backends.vllm_python import SCRIPT, VllmPython, vllm_python
from punie.errors import ModelError
from punie.models.adapter_overlay import overlay
from punie.models.check import read_json
from punie.models.peft import PEFT_WEIGHTS
from punie.models.safetensors import read_header
from punie.records.run import ModelIdentity
from punie.records.training import Quantization
from punie.serving.config import ServerConfig
from punie.serving.endpoint import Abilities, Endpoint
from punie.serving.owned import owned
from punie.serving.process import ServerProcess

MODEL, BASE = "default_model", "base_model"
"""What vLLM calls the model that it serves, and the same one without its adapter."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that `--max-lora-rank` takes."""
TYPES = ("float32", "float16", "bfloat16")
PARSERS = {
    "json_tools": "hermes",
    "qwen3_coder": "qwen3_coder",
    "mistral": "mistral",
    "glm47": "glm47",
    "kimi_k2": "kimi_k2",
    "kimi_k3": "kimi_k3",
    "minimax_m2": "minimax_m2",
    "minicpm5": "minicpm5",
    "longcat": "longcat",
    "gemma4": "gemma4",
    "function_gemma": "functiongemma",
    "pythonic": "lfm2",
}
"""vLLM's names of the forms in which models write calls, by mlx_lm's names of them."""
WARM_UP_S = 600.0
"""Beyond loading: vLLM compiles the model and tries its batches before it answers."""
INHERITED_PREFIX = "VLLM_CPU_"
KV_CACHE, KV_CACHE_GB = "VLLM_CPU_KVCACHE_SPACE", "4"
"""On the CPU vLLM would take what it finds free, for keys and values alone."""
QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter in PEFT's form, its rank, and how many layers it has."""

    folder: Path
    rank: int
    layers: int


def server_argv(
    python: VllmPython,
    config: ServerConfig,
    *,
    load: Path | None = None,
    lora: Lora | None = None,
    dtype: str = "auto",
    quantization: Quantization = Quantization.NONE,
    parser: str | None = None,
    context_length: int | None = None,
) -> list[str]:
    """The command line of the server for `config`.

    `load` is the model's folder where it is another one than `config` says: one whose weights an
    adapter of full fine-tuning replaced. An adapter of `lora` is held beside the model.
    """
    model = str(load or config.model)
    argv = [str(python.path), "-I", str(SCRIPT), "--model", str(config.model), "--load", model]
    if config.adapter is not None:
        argv += ["--adapter", str(config.adapter), "--layers", str(lora.layers if lora else 1)]
    if lora is not None:
        argv += ["--load-adapter", str(lora.folder)]
    argv += ["--host", config.host, "--port", str(config.port), "--"]
    argv += ["--model", model, "--served-model-name", BASE if lora else MODEL]
    if lora is not None:
        most = next(each for each in RANKS if each >= lora.rank)
        argv += ["--enable-lora", "--max-lora-rank", str(most)]
        argv += ["--lora-modules", f"{MODEL}={lora.folder}"]
    argv += ["--dtype", dtype, "--max-num-seqs", str(config.decode_concurrency)]
    if context_length is not None:
        argv += ["--max-model-len", str(context_length)]
    if quantization is Quantization.FOUR_BIT:
        argv += ["--quantization", "bitsandbytes"]
    if parser is not None:
        argv += ["--enable-auto-tool-choice", "--tool-call-parser", parser]
    if python.cpu:
        argv += ["--enforce-eager"]  # compiling for the CPU takes minutes, and a compiler
    # The model's own sampling settings would be put silently into requests that leave them out.
    argv += ["--generation-config", "vllm", "--seed", "0"]
    argv += ["--enable-prompt-tokens-details", "--disable-fastapi-docs"]
    return [*argv, "--disable-uvicorn-access-log"]


class VllmBackend:
    """Serves folders of Hugging Face's form with the vLLM of the environment of `interpreter`.

    The other arguments are those of `CudaBackend`. `served_by_vllm` completes `identity`.
    """

    def __init__(
        self,
        identity: ModelIdentity,
        interpreter: str,
        *,
        tools: bool,
        parser: str | None = None,
        vocabulary: int | None = None,
        context_length: int | None = None,
        quantization: Quantization = Quantization.NONE,
        device: str = AUTO,
    ) -> None:
        self._identity = identity
        self._interpreter = interpreter
        self._parser = PARSERS.get(parser or "") if tools else None
        self._vocabulary = vocabulary
        self._context_length = context_length
        self._quantization = quantization
        self._device = device

    @asynccontextmanager
    async def serve(self, config: ServerConfig) -> AsyncGenerator[Endpoint]:
        """Start the server, give its endpoint once it answered, and end it afterwards.

        Raises ModelError for an interpreter, a device, a packing or an adapter that will not do,
        and ServerError where the server does not start.
        """
        python = vllm_python(self._interpreter)
        identity = served_by_vllm(self._identity, python, self._quantization, self._device)
        load = overlay(config.adapter, config.model) if config.adapter else None
        lora = lora_of(load) if load else None
        config = config.model_copy(
            update={
                "start_timeout_s": config.start_timeout_s + WARM_UP_S,
                "on_gpu": not python.cpu,
                # It takes at the start all that it will ever take, and keeps within it.
                "memory_cap_bytes": None,
            }
        )
        argv = server_argv(
            python,
            config,
            load=None if lora else load,
            lora=lora,
            dtype=computed_in(python, self._identity),
            quantization=self._quantization,
            parser=self._parser,
            context_length=self._context_length,
        )
        process = ServerProcess(argv, vllm_env(python), config)
        endpoint = self._endpoint(identity, config, BASE if lora else None)
        async with owned(process, endpoint) as ready:
            yield ready

    def _endpoint(
        self, identity: ModelIdentity, config: ServerConfig, base: str | None
    ) -> Endpoint:
        return Endpoint(
            base_url="",
            model=MODEL,
            identity=identity,
            abilities=Abilities(
                tools=self._parser is not None, token_ids=True, parser=self._parser, schema=True
            ),
            timeout_s=config.total_s,
            first_token_s=config.first_token_s,
            vocabulary=self._vocabulary,
            context_length=self._context_length,
            base_model=base,
            decode=lazy_decoder(config.model),
        )


def served_by_vllm(
    identity: ModelIdentity, python: VllmPython, quantization: Quantization, device: str
) -> ModelIdentity:
    """The identity with this vLLM, what it computes on, and its type where the files have another.

    Raises ModelError for a device or a packing that this vLLM does not do.
    """
    on = chosen_device(python, device)
    refuse_packing(python, quantization)
    dtype = computed_in(python, identity)
    return identity.model_copy(
        update={
            "server": "vllm",
            "server_version": python.version,
            "device": on,
            "computed_in": dtype if dtype not in {identity.dtype, "auto"} else None,
        }
    )


def computed_in(python: VllmPython, identity: ModelIdentity) -> str:
    """The type that vLLM computes in; `auto` where the files have one that it does not take."""
    dtype = identity.dtype if python.cpu else "bfloat16"
    return dtype if dtype in TYPES else "auto"


def chosen_device(python: VllmPython, device: str) -> str:
    """What this vLLM computes on: `cpu`, or the name of the GPU. Raises ModelError.

    A vLLM is built for one or the other; the setting `device` can only agree with it.
    """
    if python.cpu:
        if device == GPU:
            raise ModelError(
                f"a GPU was asked for, and the vLLM in {python.path} is built for the CPU",
                hint="name an environment with the vLLM for GPUs, or leave device out",
            )
        return CPU
    if device == CPU:
        raise ModelError(
            f"the CPU was asked for, and the vLLM in {python.path} is built for GPUs",
            hint="name an environment with vllm-cpu, or leave device out",
        )
    if not gpus():
        raise ModelError(
            f"the vLLM in {python.path} is built for GPUs, and none is visible",
            hint="name an environment with vllm-cpu, or unset vllm to serve without it",
        )
    return gpus()[0].name


def refuse_packing(python: VllmPython, quantization: Quantization) -> None:
    """Raise ModelError for a packing that this vLLM does not do while it loads."""
    if quantization is Quantization.EIGHT_BIT:
        raise ModelError(
            "vLLM packs weights into 4 bits while it loads them, not into 8",
            hint="4bit, or unset vllm to serve without it",
        )
    if quantization is Quantization.FOUR_BIT and python.cpu:
        raise ModelError(
            f"the vLLM in {python.path} is built for the CPU, where it packs no weights",
            hint="serve unpacked, or unset vllm to serve without it",
        )


def lora_of(load: Path) -> Lora | None:
    """The adapter in an overlay folder; None where it replaced weights instead.

    Raises ModelError for a rank that vLLM does not take.
    """
    settings = load / "adapter_config.json"
    if not settings.exists():
        return None
    rank = int(read_json(settings)["r"])
    if rank > RANKS[-1]:
        raise ModelError(
            f"the adapter has rank {rank}, and vLLM takes {RANKS[-1]} at most",
            hint="fuse it first (punie adapters fuse), or unset vllm to serve without it",
        )
    names = read_header(load / PEFT_WEIGHTS)
    return Lora(load, rank, sum(name.endswith(".lora_A.weight") for name in names))


def vllm_env(python: VllmPython) -> dict[str, str]:
    """The environment of the server: that of every cuda child, with nothing told to anybody."""
    env = cuda_env(CPU if python.cpu else AUTO)
    env |= {name: v for name, v in os.environ.items() if name.startswith(INHERITED_PREFIX)}
    if python.cpu:
        env.setdefault(KV_CACHE, KV_CACHE_GB)
    return env | QUIET
