"""PEFT's form of adapters: there and back without a changed bit, and refusals by their reasons."""

from pathlib import Path

import pytest

from made_adapter import make_adapter
from punie.models.peft import is_peft, to_mlx, to_peft

MLX_WEIGHTS, PEFT_WEIGHTS = "adapters.safetensors", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an adapter of rank 4 on the tiny model's query and up projections."""
    return make_adapter(tiny_model, tmp_path_factory.mktemp("trained") / "adapter")


def test_there_and_back_is_the_same_file(trained: Path, tiny_model: Path, tmp_path: Path):
    to_peft(trained, tiny_model, tmp_path / "peft")
    assert is_peft(tmp_path / "peft")
    to_mlx(tmp_path / "peft", tiny_model, tmp_path / "mlx")
    assert not is_peft(tmp_path / "mlx")
    there, back = trained / MLX_WEIGHTS, tmp_path / "mlx" / MLX_WEIGHTS
    assert back.read_bytes() == there.read_bytes()
    to_peft(tmp_path / "mlx", tiny_model, tmp_path / "again")
    for name in (PEFT_WEIGHTS, "adapter_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "peft" / name).read_bytes()
