"""A corrected view of a folder whose config mlx_lm would misread; the folder itself is not touched.

transformers 5 writes `rope_parameters: {rope_theta, rope_type, …}`. Many of mlx_lm's architectures
read only `rope_theta` and `rope_scaling` at the top level, and without them silently rotate with
10000: the model loads, and answers nonsense.
"""

import json
from pathlib import Path
from typing import Any, cast

from punie.models.cache import build_once, cache_root
from punie.models.check import read_json
from punie.records.base import digest


def lift_rope_theta(config: dict[str, Any]) -> dict[str, Any]:
    """The config with `rope_theta` and `rope_scaling` where mlx_lm reads them.

    What stands there already is kept. The same is done inside `text_config`. An architecture that
    reads `rope_parameters` itself is not disturbed: unknown keys are ignored.
    """
    lifted = dict(config)
    rope: Any = config.get("rope_parameters")
    if isinstance(rope, dict) and isinstance(
        cast("dict[str, Any]", rope).get("rope_theta"), float | int
    ):
        settings = dict(cast("dict[str, Any]", rope))
        lifted.setdefault("rope_theta", settings.pop("rope_theta"))
        if settings.get("rope_type", "default") != "default" and not config.get("rope_scaling"):
            lifted["rope_scaling"] = settings
    text: Any = config.get("text_config")
    if isinstance(text, dict):
        lifted["text_config"] = lift_rope_theta(cast("dict[str, Any]", text))
    return lifted


def corrected(folder: Path, *, cache: Path | None = None) -> Path:
    """`folder` itself if its config is read rightly, else a folder in the cache that is.

    That folder links to every file and holds only the config itself. Raises ModelError.
    """
    config = read_json(folder / "config.json")
    lifted = lift_rope_theta(config)
    if lifted == config:
        return folder
    real = folder.resolve()
    files = sorted(file for file in real.iterdir() if file.name != "config.json")

    def make(work: Path) -> Path:
        made = work / "model"
        made.mkdir()
        for file in files:
            (made / file.name).symlink_to(file)
        text = json.dumps(lifted, indent=2) + "\n"
        (made / "config.json").write_text(text, encoding="utf-8")
        return made

    identity = digest([str(real), [file.name for file in files], lifted])
    target = (cache or cache_root()) / "overlays" / f"{folder.name}-{identity[:12]}"
    return build_once(target, make, waiting=lambda: None)
