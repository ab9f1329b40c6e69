"""The mlx backend: a real `mlx_lm.server` that punie owns."""

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from punie.backends.blas import find_openblas
from punie.backends.installed import require
from punie.models.cache import cache_root
from punie.models.worker import worker_argv
from punie.records.run import ModelIdentity
from punie.serving.config import ServerConfig
from punie.serving.endpoint import Abilities, Endpoint
from punie.serving.owned import owned
from punie.serving.process import ServerProcess

BOUND_MODEL = "default_model"
"""The name under which mlx_lm.server keeps model and adapter together. Any other name drops the
adapter silently."""
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "HF_HOME", "HF_HUB_CACHE", "USER")
"""What a child sees of our environment: no key, no token."""
INHERITED_PREFIXES = ("MLX_", "OMP_", "OPENBLAS_", "MTL_", "METAL_")
LOCAL_ORIGINS = "http://127.0.0.1,http://localhost"


def server_argv(config: ServerConfig) -> list[str]:
    """The command line of the server for `config`."""
    argv = worker_argv("serve", "--model", str(config.model))
    argv += ["--host", config.host, "--port", str(config.port)]
    argv += ["--allowed-origins", LOCAL_ORIGINS]
    argv += ["--decode-concurrency", str(config.decode_concurrency)]
    argv += ["--prompt-concurrency", str(config.prompt_concurrency)]
    if config.adapter is not None:
        argv += ["--adapter-path", str(config.adapter)]
    return argv


def server_env(hub_cache: Path) -> dict[str, str]:
    """The environment of the server: an allow-list, offline, with OpenBLAS where it is found.

    `hub_cache` must exist: without such a folder /v1/models answers 200 with an empty body.
    """
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env |= {name: v for name, v in os.environ.items() if name.startswith(INHERITED_PREFIXES)}
    env.setdefault("HF_HUB_CACHE", str(hub_cache))
    env |= {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    blas = find_openblas()
    if blas is not None:
        env["PUNIE_BLAS"] = str(blas)
    return env


class MlxBackend:
    """Serves local MLX folders. `identity` says what is served, for the record of the run."""

    def __init__(
        self,
        identity: ModelIdentity,
        *,
        tools: bool,
        parser: str | None = None,
        vocabulary: int | None = None,
        context_length: int | None = None,
    ) -> None:
        self._identity = identity
        self._abilities = Abilities(tools=tools, token_ids=True, parser=parser, schema=False)
        self._vocabulary = vocabulary
        self._context_length = context_length

    @asynccontextmanager
    async def serve(self, config: ServerConfig) -> AsyncGenerator[Endpoint]:
        """Start the server, give its endpoint once it answered, and end it afterwards."""
        require("mlx")
        hub_cache = cache_root() / "no-hub"
        hub_cache.mkdir(parents=True, exist_ok=True)
        process = ServerProcess(server_argv(config), server_env(hub_cache), config)
        async with owned(process, self._endpoint(config)) as endpoint:
            yield endpoint

    def _endpoint(self, config: ServerConfig) -> Endpoint:
        return Endpoint(
            base_url="",
            model=BOUND_MODEL,
            identity=self._identity,
            abilities=self._abilities,
            timeout_s=config.total_s,
            first_token_s=config.first_token_s,
            vocabulary=self._vocabulary,
            context_length=self._context_length,
            base_model=str(config.model) if config.adapter else None,
            decode=lazy_decoder(config.model),
        )


def lazy_decoder(model: Path) -> Callable[[Sequence[int]], str]:
    """Turn token ids of `model` into text; the tokenizer is read at the first call only.

    Special tokens are kept, because markers such as `<tool_call>` may be special; what ends the
    turn is cut off.
    """
    tokenizer: Any = None

    def decode(ids: Sequence[int]) -> str:
        nonlocal tokenizer
        if tokenizer is None:
            from tokenizers import Tokenizer  # noqa: PLC0415 - only if a call was lost

            tokenizer = cast("Any", Tokenizer).from_file(str(model / "tokenizer.json"))
        text = str(tokenizer.decode(list(ids), skip_special_tokens=False))
        for end in ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>", "<end_of_turn>"):
            text = text.removesuffix(end)
        return text

    return decode
