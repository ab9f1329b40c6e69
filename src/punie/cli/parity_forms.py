"""The forms of an adapter that `punie adapters parity` measures, and on which backend."""

import contextlib
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.live import waiting_for
from punie.errors import ModelError
from punie.sizes import counted

if TYPE_CHECKING:
    from punie.adapters.parity import Form
    from punie.adapters.registry import Entry
    from punie.backends.local import LocalModel

FOLDER = "parity"


@dataclass(frozen=True, slots=True)
class Asked:
    """A form that is going to be measured: what it is called, and where it is."""

    form: "Form"
    title: str
    model: str
    backend: str
    adapter: Path | None = None
    quantization: str = "none"


@contextmanager
def place_for(project: Path, entry: "Entry", *, keep: bool) -> Generator[Path]:
    """A folder in `.punie/parity` for the fused forms."""
    from punie.adapters.scratch import scratch
    from punie.store.database import make_state_folder

    folder = make_state_folder(project) / FOLDER
    if not keep:
        with scratch(folder, entry.name) as place:
            yield place
        return
    folder.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"{entry.name}-", dir=folder))
    try:
        yield place
    finally:
        click.echo(f"kept: {short(place)}", err=True)


def forms_of(
    place: Path, entry: "Entry", base: "LocalModel", *, only: str | None, quiet: bool
) -> tuple[list[Asked], list[str]]:
    """What is measured, the fused forms made in `place`; and why others cannot be made."""
    from punie.adapters.fuse import fuse_adapter, merge_adapter
    from punie.adapters.parity import Form
    from punie.backends.installed import PACKAGES, missing
    from punie.records.adapter import FusedManifest, Packing

    usual, name, adapter = str(base.how.backend), base.identity.name, entry.path
    others = [each for each in PACKAGES if each != usual and not only and missing(each) is None]
    backends = [usual, *others]
    forms = [
        Asked(Form.BASE, f"base ({base.identity.dtype})", name, usual),
        Asked(Form.SERVED, "adapter, served", name, usual, adapter),
        *(Asked(Form.ELSEWHERE, "adapter, served", name, each, adapter) for each in others),
    ]
    if "cuda" in backends:
        served = Asked(Form.LOADED_PACKED, "adapter, served in 4 bits", name, "cuda", adapter)
        forms.append(replace(served, quantization="4bit"))
    # A base that is quantised already is quantised again as it was.
    how = None if "-bit" in (base.identity.dtype or "") else Packing()
    makers: list[tuple[Form, str, str, Callable[[Path], FusedManifest]]] = [
        (Form.FUSED, "mlx", "fused", lambda at: fuse_adapter(entry, base, at, dequantize=True)),
        (Form.PACKED, "mlx", "quantised", lambda at: fuse_adapter(entry, base, at, quantize=how)),
    ]
    makers = makers if "mlx" in backends else []
    plain = "cuda" if "cuda" in backends else usual
    makers.append((Form.PLAIN, plain, "hf", lambda at: merge_adapter(entry, base, at)))
    unmade: list[str] = []
    with waiting_for(f"fusing {entry.name} in {counted(len(makers), 'form')}", quiet=quiet):
        for form, backend, word, make in makers:
            folder = place / f"{entry.name}-{word}"
            try:
                dtype = make(folder).dtype
            except ModelError as error:
                unmade.append(f"{form} is not measured: {error.message}")
                continue
            title = f"{'fused, Hugging Face' if form is Form.PLAIN else 'fused'} ({dtype})"
            forms.append(Asked(form, title, short(folder), backend))
    return forms, unmade


def further(model: str, base: "LocalModel") -> Asked:
    """A model that was asked for beside the adapter's forms, such as a GGUF file."""
    from punie.adapters.parity import Form

    return Asked(Form.OTHER, Path(model).name or model, model, str(base.how.backend))


def short(path: Path) -> str:
    """Relative to here where it lies below, so that a run's record names no home folder."""
    with contextlib.suppress(ValueError):
        return f"./{path.relative_to(Path.cwd())}"
    return str(path)
