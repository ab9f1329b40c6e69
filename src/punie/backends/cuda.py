"""The cuda backend: a real `transformers serve` that punie owns, on a GPU or on the CPU."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from punie.backends.cuda_env import cuda_env, uses_gpu
from punie.backends.gpu import gpus
from punie.backends.installed import require
from punie.models.adapter_overlay import overlay
from punie.models.worker import worker_argv
from punie.records.run import ModelIdentity
from punie.records.training import Quantization
from punie.serving.config import ServerConfig
from punie.serving.endpoint import Abilities, Endpoint
from punie.serving.owned import owned
from punie.serving.process import ServerProcess

MODEL, BASE = "default_model", "base_model"
"""What the worker calls the model that it serves, and the same one without its adapter."""
CALLS_READ = frozenset({"json_tools", "qwen3_coder", "gemma4"})
"""The forms of tool calls that the worker reads, by mlx_lm's names of their parsers."""
BATCH_TOKENS = {"gpu": 32_768, "cpu": 8192}
"""Tokens of all answers that are written side by side. Their keys and values are held from the
start, 46 KB a token for a model of 135 million weights in float32."""
HEEDED = frozenset({"top_p", "top_k", "min_p", "stop", "repetition_penalty", "logit_bias"})


def computed_in(*, on_gpu: bool) -> str:
    """The type that torch computes in: bfloat16 on a GPU, on the CPU that of the files (`auto`)."""
    return "bfloat16" if on_gpu else "auto"


def server_argv(
    config: ServerConfig,
    *,
    load: Path | None = None,
    quantization: Quantization = Quantization.NONE,
    on_gpu: bool = False,
    several: bool = False,
    parser: str | None = None,
) -> list[str]:
    """The command line of the server for `config`.

    `load` is the folder that holds model and adapter together. `several` GPUs are filled one after
    the other.
    """
    argv = worker_argv("torch_serve", "--model", str(config.model))
    if config.adapter is not None:
        argv += ["--adapter", str(config.adapter), "--load", str(load)]
    argv += ["--host", config.host, "--port", str(config.port)]
    argv += ["--quantization", quantization.value]
    argv += ["--computed-in", computed_in(on_gpu=on_gpu)]
    argv += ["--device", ("sequential" if several else "cuda:0") if on_gpu else "cpu"]
    argv += ["--batch", str(config.decode_concurrency)]
    argv += ["--batch-tokens", str(BATCH_TOKENS["gpu" if on_gpu else "cpu"])]
    if parser is not None:
        argv += ["--tool-parser", parser]
    return argv


class CudaBackend:
    """Serves folders of Hugging Face's form. `identity` says what is served, for the run's record.

    `device` is `auto`, `gpu` or `cpu`, `quantization` how bitsandbytes packs the weights. What this
    server shares with the one of `vllm.py`: the environment (`cuda_env.py`) and the adapter in
    PEFT's form (`models/adapter_overlay.py`).
    """

    def __init__(
        self,
        identity: ModelIdentity,
        *,
        tools: bool,
        parser: str | None = None,
        vocabulary: int | None = None,
        context_length: int | None = None,
        quantization: Quantization = Quantization.NONE,
        device: str = "auto",
    ) -> None:
        self._identity = identity
        self._parser = parser if parser in CALLS_READ else None
        self._abilities = Abilities(
            tools=tools and self._parser is not None,
            parser=self._parser,
            schema=False,
            seed=True,
            sampling=HEEDED,
        )
        self._vocabulary = vocabulary
        self._context_length = context_length
        self._quantization = quantization
        self._device = device

    @asynccontextmanager
    async def serve(self, config: ServerConfig) -> AsyncGenerator[Endpoint]:
        """Start the server, give its endpoint once it answered, and end it afterwards.

        Raises ModelError where the backend or the GPU is missing or the adapter cannot be served,
        and ServerError where the server does not start.
        """
        require("cuda")
        env = cuda_env(self._device)
        on_gpu = uses_gpu(self._device)
        load = overlay(config.adapter, config.model) if config.adapter else None
        argv = server_argv(
            config,
            load=load,
            quantization=self._quantization,
            on_gpu=on_gpu,
            several=on_gpu and len(gpus()) > 1,
            parser=self._parser,
        )
        process = ServerProcess(argv, env, config.model_copy(update={"on_gpu": on_gpu}))
        async with owned(process, self._endpoint(config, load)) as endpoint:
            yield endpoint

    def _endpoint(self, config: ServerConfig, load: Path | None) -> Endpoint:
        can_be_taken_off = load is not None and (load / "adapter_config.json").exists()
        return Endpoint(
            base_url="",
            model=MODEL,
            identity=self._identity,
            abilities=self._abilities,
            timeout_s=config.total_s,
            first_token_s=config.first_token_s,
            vocabulary=self._vocabulary,
            context_length=self._context_length,
            base_model=BASE if can_be_taken_off else None,
        )
