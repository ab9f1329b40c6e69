"""Weights that are not those of the model that a folder's config describes."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("bitsandbytes")

from punie.backends.workers.torch_serve_model import Served, load
from punie.backends.workers.train_failure import Failure


@pytest.mark.parametrize(
    ("layers", "said"), [(3, r"no weights for model\.layers\.2\..* and 4 more"), (1, "left over")]
)
def test_a_config_with_other_blocks_than_the_weights_is_refused(
    tiny_model: Path, tmp_path: Path, layers: int, said: str
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": layers}))
    with pytest.raises(Failure, match=said):
        load(Served(folder, "none", "auto", "cpu"))
    load(Served(tiny_model, "none", "auto", "cpu"))
