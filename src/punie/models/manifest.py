"""An adapter's `punie.json`: read, and held against what is really there.

The shapes of an adapter's tensors fit any model of the same architecture; only the hashes tell the
base that it was trained on from a sibling on which it would answer something else, unnoticed.
"""

from pathlib import Path, PurePath

from pydantic import ValidationError

from punie.errors import ModelError
from punie.reading import MIB, read_regular
from punie.records.adapter import AdapterManifest
from punie.records.model import Fingerprint
from punie.text import one_line, visible

ADAPTERS = "adapters"
"""The project's folder of them."""
MANIFEST = "punie.json"
MAX_BYTES = 64 * MIB
_AWAY = "to use it all the same, copy adapters.safetensors and adapter_config.json alone elsewhere"


def read_manifest(folder: Path) -> AdapterManifest | None:
    """The manifest of the adapter in `folder`; None where it was made by another program.

    Raises ModelError for a file that cannot be read or is no manifest.
    """
    path = folder / MANIFEST
    try:
        manifest = AdapterManifest.model_validate_json(read_regular(path, MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", hint="check it") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            f"{path} is no adapter's manifest: {where or 'it'}: {first['msg']}",
            hint=f"get the whole folder again; {_AWAY}",
        ) from error
    if wrong := _untrusted(manifest):
        raise ModelError(f"{path}: {wrong}", hint=f"do not trust it; {_AWAY}")
    return manifest


def _untrusted(manifest: AdapterManifest) -> str:
    """What no manifest of punie's says, because its names are printed, and its suite is opened."""
    names = {
        "name": manifest.name,
        "base.name": manifest.base.name,
        "data.name": manifest.data.name,
        "data_path": manifest.data_path,
        "suite": manifest.suite or "",
        "chosen.by": manifest.chosen.by,
    }
    for field, name in names.items():
        if visible(name) != name or any(break_ in name for break_ in "\t\r\n"):
            return f"{field} has characters that no name has: {one_line(name, 60)}"
    suite = PurePath(manifest.suite or "")
    if suite.is_absolute() or ".." in suite.parts or str(suite).startswith("~"):
        return f"the suite {one_line(str(suite), 60)} is not a file of the project"
    return ""


def refuse_another_base(manifest: AdapterManifest, fingerprint: Fingerprint) -> None:
    """Raise ModelError unless the model is the one that the adapter was trained on.

    Weights and template decide: with other weights the same numbers mean something else, with
    another template the model reads other prompts than it was trained on. Config and tokenizer are
    left out: a newer release spells them otherwise without changing what the model computes.
    """
    base = manifest.base
    if base.weights_hash != fingerprint.weights:
        raise ModelError(
            f"the adapter {manifest.name} was trained on other weights than this model's: "
            f"{base.name} with weights {base.weights_hash[:12]}, this model has "
            f"{fingerprint.weights[:12]}",
            hint=f"give --model {base.name} as it was then, or train it again on this one; {_AWAY}",
        )
    if base.template_hash != fingerprint.template:
        trained, here = (
            (each or "none")[:12] for each in (base.template_hash, fingerprint.template)
        )
        raise ModelError(
            f"the adapter {manifest.name} was trained with another chat template than this "
            f"model's: {trained}, this model has {here}",
            hint=f"bring the template back, or train it again with this one; {_AWAY}",
        )


def check_manifest(folder: Path, fingerprint: Fingerprint, adapter_hash: str) -> None:
    """Refuse an adapter that its `punie.json` says is not this one, or not for this base.

    `adapter_hash` is that of the files that are there. Without a `punie.json` nothing is refused.
    Raises ModelError.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return
    if manifest.adapter_hash != adapter_hash:
        raise ModelError(
            f"{folder}: weights or settings are not those that its punie.json describes "
            f"({manifest.adapter_hash[:12]}, found {adapter_hash[:12]})",
            hint="copy the whole folder again; files of two trainings are mixed",
        )
    refuse_another_base(manifest, fingerprint)
