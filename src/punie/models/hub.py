"""Downloading from the Hugging Face Hub, by its own library, into its own cache."""

# huggingface_hub is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import importlib.util
import os
import sys
from pathlib import Path

from punie.errors import ModelError

FILES = ["*.json", "model*.safetensors", "*.jinja", "*.txt", "*.tiktoken", "*.model"]
"""What mlx_lm loads; never Python code, and never weights of another form."""


def hub_is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def download(name: str) -> Path:
    """The snapshot of the hub id's newest commit; its progress goes to a terminal's stderr.

    HF_TOKEN, HF_ENDPOINT and the cache's variables are honoured. Raises ModelError.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ModelError(
            f"{name} would come from the Hugging Face Hub, but huggingface_hub is not installed",
            hint="pip install 'punie[mlx]'",
        )
    from huggingface_hub import snapshot_download, utils  # noqa: PLC0415 - slow, and rarely needed
    from huggingface_hub.errors import (  # noqa: PLC0415 - as above
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except GatedRepoError as error:
        raise ModelError(
            f"{name} is gated on the Hugging Face Hub",
            hint=f"accept its terms at https://huggingface.co/{name} and set HF_TOKEN",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"the Hugging Face Hub has no model {name}, or it is private",
            hint="check the spelling; set HF_TOKEN for a private one",
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{name} is not on this machine, and the Hugging Face Hub cannot be reached",
            hint="check the network, or HF_ENDPOINT and HF_HUB_OFFLINE",
        ) from error
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"cannot download {name} from the Hugging Face Hub: {first[:300]}",
            hint="run it again: what was downloaded is kept",
        ) from error
