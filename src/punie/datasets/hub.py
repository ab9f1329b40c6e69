"""Training data from the Hugging Face Hub, by its own library, into its own cache."""

# huggingface_hub is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from punie.errors import InputError
from punie.records.dataset import Split

_SPLIT_NAMES = {
    Split.TRAIN: r"train|training",
    Split.VALID: r"valid|validation|val|dev|eval",
    Split.TEST: r"test|testing",
}


@dataclass(frozen=True, slots=True)
class HubDataset:
    """The files of a dataset in the hub's cache; `origin` names its revision."""

    files: dict[Split, Path]
    origin: str


def download_dataset(name: str) -> HubDataset:
    """Fetch the JSON lines of the hub's dataset `name`, or take them from its cache.

    HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE and the cache's variables are honoured. Raises InputError.
    """
    folder = _snapshot(name)
    files = files_by_split(sorted(folder.rglob("*.jsonl")))
    if Split.TRAIN not in files:
        raise InputError(
            f"{name}: the hub's dataset has no JSON lines that punie can tell apart as train",
            hint="load it with the datasets library, and write it by Dataset.to_json(FILE); "
            "then punie data split FILE",
        )
    return HubDataset(files, f"hub:{name}@{folder.name}")


def files_by_split(paths: list[Path]) -> dict[Split, Path]:
    """Tell by their names which file is which split; a single file is all train.

    A split in several files is left out: which of them are meant is not for punie to say.
    """
    if len(paths) == 1:
        return {Split.TRAIN: paths[0]}
    found: dict[Split, Path] = {}
    for split, names in _SPLIT_NAMES.items():
        pattern = re.compile(rf"(?:^|[^a-z])(?:{names})(?:[^a-z]|$)", re.IGNORECASE)
        matching = [path for path in paths if pattern.search(path.stem)]
        if len(matching) == 1:
            found[split] = matching[0]
    return found


def _snapshot(name: str) -> Path:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError(
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
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=["*.jsonl"]))
    except GatedRepoError as error:
        raise InputError(
            f"{name} is gated on the Hugging Face Hub",
            hint=f"accept its terms at https://huggingface.co/datasets/{name} and set HF_TOKEN",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"there is no folder {name}, and the Hugging Face Hub has no such dataset either",
            hint="check the spelling; set HF_TOKEN for a private one",
        ) from error
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"{name} is no folder here, nor in the hub's cache, and the hub cannot be reached",
            hint="check the spelling, the network, or HF_ENDPOINT and HF_HUB_OFFLINE",
        ) from error
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"cannot download {name} from the Hugging Face Hub: {first[:300]}",
            hint="run it again: what was downloaded is kept",
        ) from error
