"""Converting an adapter into a new folder, as tests want it."""

from pathlib import Path

from punie.models.peft import write_mlx, write_peft


def to_peft(adapter: Path, model: Path, out: Path, *, base_name: str = "") -> None:
    """The adapter in mlx_lm's form as a new folder in PEFT's."""
    out.mkdir()
    write_peft(adapter, model, out, base_name=base_name)


def to_mlx(peft: Path, model: Path, out: Path) -> None:
    """The adapter in PEFT's form as a new folder in mlx_lm's."""
    out.mkdir()
    write_mlx(peft, model, out)
