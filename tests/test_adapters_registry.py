"""Finding, naming and deleting adapters, and refusing one on another base."""

import json
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from made_adapter import make_adapter
from punie.adapters.delete import deletable, delete
from punie.adapters.manifest import write_manifest
from punie.adapters.registry import State, find_adapter, list_adapters, next_name
from punie.backends.local import prepare
from punie.cli.adapter import adapter_folder
from punie.cli.eval import eval_command
from punie.errors import InputError, ModelError
from punie.models.fingerprint import adapter_hash, file_hash, fingerprint
from punie.models.manifest import refuse_another_base
from punie.serving.registry import register
from synthetic_adapter import a_manifest

HELP = ["-h", "--help"]
"""As under the group: click keeps a command's help option from its first context on."""


def of_punie(model: Path, folder: Path) -> Path:
    """An adapter with a manifest that belongs to it and to the model."""
    make_adapter(model, folder)
    known = fingerprint(model)
    plain = a_manifest(name=folder.name)
    base = plain.base.model_copy(
        update={
            "name": str(model),
            "weights_hash": known.weights,
            "model_hash": known.whole,
            "template_hash": known.template,
        }
    )
    changes = {
        "base": base,
        "adapter_hash": adapter_hash(folder),
        "weights_hash": file_hash(folder / "adapters.safetensors"),
    }
    write_manifest(folder, plain.model_copy(update=changes))
    return folder


def test_an_adapter_goes_on_the_base_it_was_trained_on(tiny_model: Path, tmp_path: Path) -> None:
    adapter = of_punie(tiny_model, tmp_path / "mine")
    identity = prepare(str(tiny_model), adapter).identity
    assert identity.adapter == "mine"
    assert identity.adapter_hash == adapter_hash(adapter)


def test_other_weights_of_the_same_shape_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = of_punie(tiny_model, tmp_path / "mine")
    sibling = tmp_path / "sibling"
    shutil.copytree(tiny_model, sibling)
    weights = sibling / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="trained on other weights than this model's") as caught:
        prepare(str(sibling), adapter)
    assert fingerprint(sibling).weights[:12] in caught.value.message
    assert str(tiny_model) in caught.value.hint
    # The way out that the hint names: the two files alone say nothing of a base.
    (adapter / "punie.json").unlink()
    assert prepare(str(sibling), adapter).identity.adapter == "mine"


def test_another_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = of_punie(tiny_model, tmp_path / "mine")
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    template = other / "chat_template.jinja"
    template.write_text(template.read_text() + "{# new #}")
    with pytest.raises(ModelError, match="trained with another chat template"):
        prepare(str(other), adapter)
    template.unlink()
    with pytest.raises(ModelError, match="this model has none"):
        prepare(str(other), adapter)


def test_another_config_is_not(tiny_model: Path) -> None:
    known = fingerprint(tiny_model)
    base = a_manifest().base.model_copy(
        update={"weights_hash": known.weights, "template_hash": known.template}
    )
    refuse_another_base(a_manifest(base=base), known)  # its model_hash is another


def test_files_of_two_trainings_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = of_punie(tiny_model, tmp_path / "mine")
    other = make_adapter(tiny_model, tmp_path / "other", seed=4)
    shutil.copy(other / "adapters.safetensors", adapter)
    with pytest.raises(ModelError, match="not those that its"):
        prepare(str(tiny_model), adapter)


def test_the_list_knows_what_each_folder_is(tiny_model: Path, tmp_path: Path) -> None:
    assert list_adapters(tmp_path) == []
    home = tmp_path / "adapters"
    of_punie(tiny_model, home / "mine")
    make_adapter(tiny_model, home / "foreign")
    (home / "empty").mkdir()
    (home / "torn").mkdir()
    (home / "torn" / "punie.json").write_text("{")
    work = home / ".next.training"
    work.mkdir()
    (work / "begun.json").write_text(json.dumps({"base": {"name": "tiny"}}))
    (work / "events.jsonl").write_text('{"kind":"step","step":7}\n{"kind":"step","st')
    (home / "README.md").write_text("not an adapter")
    entries = {entry.name: entry for entry in list_adapters(tmp_path)}
    assert {name: entry.state for name, entry in entries.items()} == {
        "mine": State.ADAPTER,
        "foreign": State.FOREIGN,
        "empty": State.DAMAGED,
        "torn": State.DAMAGED,
        "next": State.UNFINISHED,
    }
    assert list(entries)[-1] == "next"
    assert entries["next"].step == 7
    assert entries["next"].base == "tiny"
    assert entries["foreign"].base == str(tiny_model)
    assert entries["empty"].problem == "there is no adapters.safetensors"


@pytest.mark.parametrize("content", ["[]", "{", "3", '{"lora_parameters": [1], "model": {}}', "\0"])
def test_settings_of_any_shape_are_shown(tmp_path: Path, content: str) -> None:
    from punie.cli.adapter_table import facts, table_of

    folder = tmp_path / "adapters" / "odd"
    folder.mkdir(parents=True)
    (folder / "adapters.safetensors").touch()
    (folder / "adapter_config.json").write_text(content)
    (entry,) = list_adapters(tmp_path)
    assert dict(facts(entry))["method"].startswith("lora, rank ?")
    assert table_of([entry], 80).row_count == 1


def test_an_adapter_is_found_by_name_or_by_path(tiny_model: Path, tmp_path: Path) -> None:
    folder = of_punie(tiny_model, tmp_path / "adapters" / "mine")
    assert find_adapter(tmp_path, "mine").path == folder
    assert find_adapter(tmp_path / "elsewhere", str(folder)).manifest is not None
    for wrong in ("other", "../mine", "", str(tmp_path)):
        with pytest.raises(InputError, match="no adapter is called"):
            find_adapter(tmp_path, wrong)


@pytest.mark.parametrize(
    ("base", "data", "name"),
    [
        ("smollm2-135m", "weather", "smollm2-135m-weather"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "My Data!", "smollm2-135m-instruct-my-data"),
        ("/home/x/models/Tiny.gguf", "rows.jsonl", "tiny-rows"),
        ("模型", "数据", "adapter"),
        ("a" * 90, "b", "a" * 56),
    ],
)
def test_a_chosen_name_is_readable_and_free(
    tmp_path: Path, base: str, data: str, name: str
) -> None:
    assert next_name(tmp_path, base, data) == name
    (tmp_path / "adapters" / name).mkdir(parents=True)
    assert next_name(tmp_path, base, data) == f"{name}-2"
    (tmp_path / "adapters" / f".{name}-2.training").mkdir()
    assert next_name(tmp_path, base, data) == f"{name}-3"


def test_deleting_takes_what_is_named_and_no_more(tiny_model: Path, tmp_path: Path) -> None:
    home = tmp_path / "adapters"
    for name in ("one", "two"):
        make_adapter(tiny_model, home / name)
    (home / ".half.training").mkdir()
    for folder in deletable(tmp_path, ["one", "half", "one"]):
        delete(folder)
    assert [path.name for path in home.iterdir()] == ["two"]


def test_what_is_no_adapter_of_the_project_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "adapters").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "adapters" / "link").symlink_to(outside)
    for name in ("../outside", str(outside), ".", "..", "", "a/b", "gone", "link"):
        with pytest.raises(InputError):
            deletable(tmp_path, [name])
    assert outside.is_dir()


def test_what_is_in_use_is_not_deleted(tiny_model: Path, tmp_path: Path) -> None:
    folder = make_adapter(tiny_model, tmp_path / "adapters" / "mine")
    served = register(pid=os.getpid(), port=9999, model="m", adapter=str(folder), project=tmp_path)
    assert served is not None
    with served, pytest.raises(InputError, match="is being served"):
        deletable(tmp_path, ["mine"])
    assert deletable(tmp_path, ["mine"]) == [folder]
    work = tmp_path / "adapters" / ".half.training"
    work.mkdir()
    with FileLock(work / "lock"), pytest.raises(InputError, match="is being trained"):
        deletable(tmp_path, ["half"])
    assert deletable(tmp_path, ["half"]) == [work]


@pytest.mark.parametrize("content", ["[1]\n", "[" * 100_000, '{"step": "9"}\n', "null\n"])
def test_events_of_any_shape_leave_the_list_whole(tmp_path: Path, content: str) -> None:
    work = tmp_path / "adapters" / ".half.training"
    work.mkdir(parents=True)
    (work / "events.jsonl").write_text(content)
    (entry,) = list_adapters(tmp_path)
    assert (entry.name, entry.step, entry.resumable) == ("half", None, False)


def test_events_that_are_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    work = tmp_path / "adapters" / ".half.training"
    work.mkdir(parents=True)
    os.mkfifo(work / "events.jsonl")
    (entry,) = list_adapters(tmp_path)
    assert entry.step is None


def test_a_name_is_the_project_s_adapter_and_a_path_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, here = tmp_path / "project", tmp_path / "project" / "mine"
    named = project / "adapters" / "mine"
    for folder in (here, named):
        folder.mkdir(parents=True)
        (folder / "adapters.safetensors").touch()
    monkeypatch.chdir(project)
    assert find_adapter(project, "mine").path == adapter_folder("mine", project) == named
    assert find_adapter(project, "./mine").path == here
    asked = eval_command.make_context(
        "eval", ["--adapter", "./mine"], help_option_names=HELP
    ).params["adapter"]
    assert adapter_folder(asked, project) == here
    asked = eval_command.make_context("eval", ["--adapter", "mine"], help_option_names=HELP).params[
        "adapter"
    ]
    assert adapter_folder(asked, project) == named
    named.joinpath("adapters.safetensors").unlink()
    named.rmdir()
    assert find_adapter(project, "mine").path == here
    assert adapter_folder("mine", project).absolute() == here
