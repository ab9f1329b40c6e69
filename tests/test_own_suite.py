"""The suite that was held out of an adapter's data: before a run and after it, the same one."""

from pathlib import Path

import pytest

from made_adapter import make_adapter
from punie.adapters.manifest import write_manifest
from punie.cli.against_plan import Aim, planned
from punie.cli.guards import own_suite
from punie.cli.wish import Wish
from punie.settings import load_settings
from synthetic_training import a_finished_manifest

SUITE = "name: {name}\nprompts:\n  - {{id: p, prompt: q, expect: {{exact: q}}}}\n"
GATE = "targets:\n  - {suite: own, minimum_gain_points: 5}\n"


@pytest.mark.parametrize("place", ["adapters/one", "elsewhere/one"])
def test_what_is_planned_is_what_is_compared(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    root = tmp_path / "project"
    (root / "data" / "suites").mkdir(parents=True)
    (root / "mini.yaml").write_text(SUITE.format(name="mini"))
    (root / "data" / "suites" / "held-out.yaml").write_text(SUITE.format(name="held-out"))
    (root / "gates.yaml").write_text(GATE)
    (root / place).parent.mkdir(parents=True)
    folder = make_adapter(tiny_model, root / place)
    monkeypatch.chdir(root)
    settings = load_settings(root)
    wish = Wish(suite="mini.yaml", model=str(tiny_model), adapter=folder, quiet=True)
    aim = Aim(against="base", gate="gates.yaml")
    model = planned(wish, settings, aim).current.model
    manifest = a_finished_manifest()
    hashes = {"weights_hash": model.weights_hash, "template_hash": model.template_hash}
    changed = {
        "base": manifest.base.model_copy(update=hashes),
        "adapter_hash": model.adapter_hash,
        "suite": "data/suites/held-out.yaml",
    }
    write_manifest(folder, manifest.model_copy(update=changed))
    plan = planned(wish, settings, aim)
    name, path = own_suite(plan.current.model, root)
    assert name == (path.stem if path else None) == ("held-out" if "adapters" in place else None)
    assert {arm.suite.name for _, arm in plan.guards} == ({name} if name else set())
