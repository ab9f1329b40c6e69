"""`punie adapters convert`, and PEFT folders where adapters are taken."""

import json
import shutil
from pathlib import Path

import pytest

from both_forms import to_mlx, to_peft
from in_process import Command, command_in
from made_adapter import make_adapter
from punie.adapters.registry import State, find_adapter, list_adapters
from punie.backends.local import prepare
from punie.errors import ModelError
from punie.models.adapter_tensors import first_difference
from punie.models.fingerprint import adapter_hash
from punie.models.manifest import read_manifest
from test_adapters_registry import of_punie

MLX_WEIGHTS, PEFT_WEIGHTS = "adapters.safetensors", "adapter_model.safetensors"


@pytest.fixture
def project(tiny_model: Path, tmp_path: Path) -> Path:
    """A project with an adapter of punie's own; a folder beside it in PEFT's form is foreign."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "punie.toml").write_text("")
    of_punie(tiny_model, folder / "adapters" / "mine")
    to_peft(folder / "adapters" / "mine", tiny_model, folder / "theirs", base_name="org/a-base")
    return folder


@pytest.fixture
def convert(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """`punie adapters …` in the project, with a cache of its own."""
    monkeypatch.setenv("PUNIE_CACHE", str(project.parent / "cache"))
    return command_in(project, monkeypatch, capsys, "adapters")


def test_there_and_back_through_the_command(project: Path, tiny_model: Path, convert: Command):
    done = convert("convert", "mine", "--model", str(tiny_model))
    assert done.code == 0, done.err
    written = project / "exports" / "mine-peft"
    assert done.out.strip() == str(written)
    assert "read back: 8 tensors are the same bit for bit, rank 4 and scale 2 too" in done.err
    assert sorted(path.name for path in written.iterdir()) == [
        "README.md", "adapter_config.json", PEFT_WEIGHTS, "punie.json",
    ]  # fmt: skip
    card = (written / "README.md").read_text()
    assert "PEFT's form" in card
    assert "library_name: peft" in card
    again = convert("convert", "./exports/mine-peft", "--model", str(tiny_model), "--json")
    assert again.code == 0, again.out
    back = project / "exports" / "mine-mlx"
    assert again.data["path"] == str(back)
    assert again.data["tensors"] == 8
    assert (back / MLX_WEIGHTS).read_bytes() == (
        project / "adapters" / "mine" / MLX_WEIGHTS
    ).read_bytes()
    told = read_manifest(back)
    assert told is not None
    assert told.adapter_hash == adapter_hash(back) == again.data["adapter_hash"]
    trained = find_adapter(project, "mine").manifest
    assert trained is not None
    assert told.data == trained.data
    both = [prepare(str(tiny_model), each).identity.adapter_hash for each in (written, back)]
    assert both == [told.adapter_hash] * 2


def test_the_new_folder_may_have_any_name(project: Path, tiny_model: Path, convert: Command):
    asked = ("convert", "mine", "--model", str(tiny_model), "--output", "back")
    assert convert(*asked).code == 0
    assert (project / "back" / PEFT_WEIGHTS).exists()


def test_nothing_is_overwritten_and_nothing_half_done_stays(
    project: Path, tiny_model: Path, convert: Command
):
    asked = ("convert", "mine", "--model", str(tiny_model), "--output", "out")
    assert convert(*asked).code == 0
    before = (project / "out" / PEFT_WEIGHTS).stat().st_mtime_ns
    done = convert(*asked)
    assert done.code == 2
    assert "is there already" in done.err
    assert (project / "out" / PEFT_WEIGHTS).stat().st_mtime_ns == before
    make_adapter(tiny_model, project / "adapters" / "dora", kind="dora")
    done = convert("convert", "dora", "--model", str(tiny_model), "--output", "dora-out")
    assert done.code == 5
    assert "is a DoRA adapter" in done.err
    assert not list(project.glob("*dora-out*"))
    assert not list(project.glob(".dora-out*"))


def test_the_form_that_it_is_in_is_no_other_form(project: Path, convert: Command):
    done = convert("convert", "mine", "--to", "mlx")
    assert done.code == 2
    assert "is in mlx_lm's form already" in done.err
    assert "--to peft" in done.err
    assert convert("convert", "./theirs", "--to", "peft").code == 2
    assert not (project / "exports").exists()


def test_a_foreign_adapter_becomes_the_project_s(project: Path, tiny_model: Path, convert: Command):
    done = convert("convert", "./theirs", "--output", "adapters/theirs")
    assert done.code == 2
    assert "give --model; its settings name org/a-base" in done.err
    done = convert("convert", "./theirs", "--model", str(tiny_model), "--output", "adapters/theirs")
    assert done.code == 0, done.err
    listed = {each.name: each for each in list_adapters(project)}
    assert listed["theirs"].state is State.FOREIGN
    assert not listed["theirs"].problem
    ours = project / "adapters" / "mine" / MLX_WEIGHTS
    assert first_difference(project / "adapters" / "theirs" / MLX_WEIGHTS, ours) == ""


def test_a_peft_folder_is_listed_and_shown_as_what_it_is(project: Path, convert: Command):
    shutil.copytree(project / "theirs", project / "adapters" / "theirs")
    shutil.copytree(project / "theirs", project / "adapters" / "mixed")
    shutil.copy(project / "adapters" / "mine" / MLX_WEIGHTS, project / "adapters" / "mixed")
    states = {each.name: each.state for each in list_adapters(project)}
    assert states == {"mine": State.ADAPTER, "mixed": State.DAMAGED, "theirs": State.FOREIGN}
    shown = convert("show", "theirs")
    assert "PEFT's" in shown.out
    assert "LORA, rank 4" in shown.out
    assert "org/a-base" in shown.out
    assert "two forms of an adapter" in convert("list").err


def test_whichever_form_it_is_the_same_adapter(project: Path, tiny_model: Path):
    to_mlx(project / "theirs", tiny_model, project / "ours")
    ours, theirs = (prepare(str(tiny_model), project / name) for name in ("ours", "theirs"))
    assert ours.identity.adapter_hash == theirs.identity.adapter_hash
    assert theirs.identity.adapter == "theirs"
    assert theirs.adapter is not None
    assert theirs.adapter.name == "theirs"
    assert (theirs.adapter / MLX_WEIGHTS).read_bytes() == (
        project / "ours" / MLX_WEIGHTS
    ).read_bytes()
    made = (theirs.adapter / MLX_WEIGHTS).stat().st_ino
    told: list[str] = []
    again = prepare(
        str(tiny_model), project / "theirs", progress=lambda what, _done, _of: told.append(what)
    )
    assert again.adapter == theirs.adapter
    assert (theirs.adapter / MLX_WEIGHTS).stat().st_ino == made
    assert told == ["peft"]
    settings = json.loads((project / "theirs" / "adapter_config.json").read_text())
    settings["lora_alpha"] *= 2
    (project / "theirs" / "adapter_config.json").write_text(json.dumps(settings))
    changed = prepare(str(tiny_model), project / "theirs").identity.adapter_hash
    assert changed != ours.identity.adapter_hash


def test_changed_settings_are_not_what_the_manifest_tells(
    project: Path, tiny_model: Path, convert: Command
):
    assert convert("convert", "mine", "--model", str(tiny_model), "--output", "out").code == 0
    settings = json.loads((project / "out" / "adapter_config.json").read_text())
    settings["lora_alpha"] *= 2
    (project / "out" / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"not those that its punie\.json describes"):
        prepare(str(tiny_model), project / "out")


def test_a_peft_folder_is_fused(project: Path, tiny_model: Path, convert: Command):
    asked = ("fuse", "./theirs", "--model", str(tiny_model), "--output", "fused", "--json")
    done = convert(*asked)
    assert done.code == 0, done.out
    assert done.data["adapter"] == "theirs"
    known = prepare(str(tiny_model), project / "theirs").identity
    assert done.data["adapter_hash"] == known.adapter_hash
    assert done.data["weights_hash"] != known.weights_hash


def test_an_upload_keeps_the_form(project: Path, tiny_model: Path, convert: Command):
    assert convert("convert", "mine", "--model", str(tiny_model), "--output", "out").code == 0
    done = convert("export", "./out", "--to", "hub", "--output", "up")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (project / "up").iterdir()) == [
        "README.md", "adapter_config.json", PEFT_WEIGHTS, "punie.json",
    ]  # fmt: skip
    assert "PEFT's form" in (project / "up" / "README.md").read_text()
    assert prepare(str(tiny_model), project / "up").identity.adapter_hash is not None
