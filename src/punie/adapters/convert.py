"""Converting an adapter between mlx_lm's form and PEFT's, read back before it is there."""

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from punie.adapters.card import hub_id, public, shown_name
from punie.adapters.fuse import new_folder
from punie.adapters.manifest import CARD, write_manifest
from punie.adapters.peft_card import write_peft_card
from punie.adapters.registry import Entry
from punie.errors import InputError, StoreError
from punie.models.adapter import SETTINGS, WEIGHTS
from punie.models.adapter_tensors import first_difference
from punie.models.check import read_json
from punie.models.fingerprint import adapter_hash, file_hash, fingerprint
from punie.models.manifest import check_manifest
from punie.models.peft import PEFT_WEIGHTS, is_peft, write_mlx, write_peft
from punie.models.safetensors import read_header
from punie.records.model import Model


class AdapterForm(StrEnum):
    """Whose files an adapter is kept in."""

    MLX = "mlx"
    PEFT = "peft"

    @property
    def weights(self) -> str:
        """The file of the matrices."""
        return PEFT_WEIGHTS if self is AdapterForm.PEFT else WEIGHTS

    @property
    def other(self) -> "AdapterForm":
        """The form that it is converted to by default."""
        return AdapterForm.MLX if self is AdapterForm.PEFT else AdapterForm.PEFT


@dataclass(frozen=True, slots=True)
class Converted:
    """An adapter that was written in another form, and read back."""

    path: Path
    form: AdapterForm
    adapter_hash: str
    """Of mlx_lm's form, as runs record it; the same in both."""
    tensors: int
    rank: int
    scale: float


def form_of(entry: Entry) -> AdapterForm:
    """The form that an adapter is in."""
    return AdapterForm.PEFT if is_peft(entry.path) else AdapterForm.MLX


def refuse_same_form(entry: Entry, wanted: AdapterForm) -> None:
    """Raise InputError where there is nothing to convert."""
    if form_of(entry) is wanted:
        raise InputError(
            f"{entry.name} is in {WHOSE[wanted]} form already",
            hint=f"--to {wanted.other}, or copy the folder",
        )


WHOSE = {AdapterForm.MLX: "mlx_lm's", AdapterForm.PEFT: "PEFT's"}


def convert_adapter(entry: Entry, base: Model, folder: Path, project: Path) -> Converted:
    """Write a sound adapter in its other form as the new folder `folder`, or nothing.

    Raises ModelError for an adapter that is not of this base or has no place in the other form,
    InputError where something stands in the way, StoreError where nothing can be written or what
    was written is not what is read.
    """
    form = form_of(entry).other
    with new_folder(folder) as work:
        back = Path(mkdtemp(dir=work.parent))
        if form is AdapterForm.PEFT:
            name = hub_id(base.name) or shown_name(base.name)
            write_peft(entry.path, base.path, work, base_name=name)
            write_mlx(work, base.path, back)
            in_mlx, in_peft, mlx_again = entry.path, work, back
        else:
            write_mlx(entry.path, base.path, work)
            write_peft(work, base.path, back)
            in_mlx, in_peft, mlx_again = work, back, work
        check_manifest(entry.path, fingerprint(base.path), adapter_hash(in_mlx))
        _require_the_same(entry.path / form.other.weights, back / form.other.weights)
        rank, scale = _rank_and_scale(in_mlx, in_peft)
        _describe(entry, base, work, mlx_again, project)
        return Converted(
            path=folder,
            form=form,
            adapter_hash=adapter_hash(mlx_again),
            tensors=len(read_header(work / form.weights)),
            rank=rank,
            scale=scale,
        )


def _require_the_same(one: Path, again: Path) -> None:
    """Raise StoreError unless two files hold the same tensors, bit for bit."""
    if different := first_difference(one, again):
        raise StoreError(
            f"{one}: read back from the other form, {different} is not the same",
            hint="nothing was kept; this is a fault of punie's, please report it",
        )


def _rank_and_scale(in_mlx: Path, in_peft: Path) -> tuple[int, float]:
    """What both settings say. Raises StoreError unless it is the same."""
    one: dict[str, Any] = read_json(in_mlx / SETTINGS)["lora_parameters"]
    other = read_json(in_peft / SETTINGS)
    rank, scale = one["rank"], one["scale"]
    same = rank == other["r"] and math.isclose(scale, other["lora_alpha"] / rank, rel_tol=1e-15)
    if not same or one["dropout"] != other["lora_dropout"]:
        raise StoreError(
            f"{in_mlx}: the settings of the other form say something else",
            hint="nothing was kept; this is a fault of punie's, please report it",
        )
    return rank, scale


def _describe(entry: Entry, base: Model, work: Path, mlx: Path, project: Path) -> None:
    """Give the folder its card, and punie's manifest where the adapter has one.

    Its hashes are those of mlx_lm's form, the folder `mlx`: every adapter is read in that form.
    """
    if entry.manifest is not None:
        hashes = {"adapter_hash": adapter_hash(mlx), "weights_hash": file_hash(mlx / WEIGHTS)}
        write_manifest(work, public(entry.manifest, project).model_copy(update=hashes))
    elif is_peft(work):
        card = write_peft_card(entry.name, shown_name(base.name), None)
        (work / CARD).write_text(card, encoding="utf-8")
