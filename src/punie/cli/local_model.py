"""A model on this machine, made ready to be served, with an adapter that fits it."""

from dataclasses import dataclass
from pathlib import Path

from punie.models.adapter import check_adapter
from punie.models.check import weight_files
from punie.models.describe import describe
from punie.models.fingerprint import adapter_hash
from punie.models.resolve import resolve
from punie.records.run import ModelIdentity


@dataclass(frozen=True, slots=True)
class LocalModel:
    """What the backend serves, and how the run's record will name it."""

    path: Path
    adapter: Path | None
    identity: ModelIdentity
    renders_tools: bool
    weight_bytes: int


def prepared(name: str, adapter: Path | None, *, demo: bool, quiet: bool) -> LocalModel:
    """Find (or fetch) the model, check it and the adapter, and read what is on record of them.

    Raises InputError or ModelError, before anything is started.
    """
    from punie.cli.pulling import pulling

    with pulling(silent=quiet) as progress:
        model = resolve(name, progress=progress)
    info = describe(model)
    if adapter is not None:
        adapter = adapter.expanduser().absolute()
        check_adapter(adapter, model.path)
    identity = ModelIdentity(
        name=name,
        backend="mlx",
        weights_hash=info.fingerprint.weights,
        template_hash=info.fingerprint.template,
        parameters=info.parameters,
        dtype=info.dtype,
        adapter=adapter.name if adapter else None,
        adapter_hash=adapter_hash(adapter) if adapter else None,
        builtin_demo=demo,
    )
    return LocalModel(
        path=model.path,
        adapter=adapter,
        identity=identity,
        renders_tools=info.abilities.tools,
        weight_bytes=sum(file.stat().st_size for file in weight_files(model.path)),
    )
