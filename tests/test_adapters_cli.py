"""`punie adapters` as a person meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from made_adapter import make_adapter
from punie.adapters.manifest import add_result, write_manifest
from punie.records.adapter import Chosen, LossPoint
from synthetic_adapter import a_manifest, a_result
from test_adapters_registry import of_punie


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Path:
    (tmp_path / "punie.toml").write_text("")
    add_result(of_punie(tiny_model, tmp_path / "adapters" / "mine"), a_result())
    make_adapter(tiny_model, tmp_path / "adapters" / "foreign")
    work = tmp_path / "adapters" / ".half.training"
    work.mkdir()
    (work / "begun.json").write_text("{}")
    return tmp_path


def punie(
    project: Path, *words: str, code: int = 0, columns: int = 80
) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "punie", "adapters", *words]
    env = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"}
    done = subprocess.run(
        argv, cwd=project, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def data(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)["data"]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_list_fits_its_window(project: Path, columns: int) -> None:
    done = punie(project, "list", columns=columns)
    assert all(len(line) <= columns for line in done.stdout.splitlines())
    for said in ("mine", "foreign", "half", "90.0 %"):
        assert said in done.stdout
    assert ("valid loss" in done.stdout) == (columns >= 72)
    assert "punie train --resume half" in done.stderr


def test_the_list_as_json(project: Path) -> None:
    foreign, mine, half = data(punie(project, "list", "--json"))
    assert (foreign["state"], mine["state"], half["state"]) == ("foreign", "adapter", "unfinished")
    assert mine["results"][0]["score"] == 0.9
    assert mine["steps"] == 80


def test_an_empty_project_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "punie.toml").write_text("")
    assert "punie train" in punie(tmp_path, "list").stderr
    assert data(punie(tmp_path, "list", "--json")) == []


def test_show_says_everything(project: Path) -> None:
    shown = punie(project, "show", "mine").stdout
    for said in (
        "base weights",
        "trained by  ",
        "lora, rank 8, scale 4",
        "after iteration 80",
        "90.0 % [78–96]",
    ):
        assert said in shown
    assert "made by another program" in punie(project, "show", "foreign").stdout
    full = data(punie(project, "show", "mine", "--json"))["manifest"]
    assert full["plan"]["rank"] == 8
    assert "there are: foreign, mine" in punie(project, "show", "other", code=2).stderr


def test_fuse_prints_the_folder(project: Path) -> None:
    done = punie(project, "fuse", "mine")
    folder = Path(done.stdout.strip())
    assert folder == project / "exports" / "mine-fused"
    assert (folder / "model.safetensors").exists()
    assert "76 tokens 76 are expected as by base and adapter" in done.stderr.replace("\n", " ")
    again = punie(project, "fuse", "mine", "--json", code=2)
    assert "is there already" in json.loads(again.stdout)["error"]["message"]


def test_fuse_writes_a_plain_folder(project: Path) -> None:
    words = ("fuse", "mine", "--format", "hf", "--json")
    found = data(punie(project, *words, "--dtype", "float32", "--output", "plain"))
    assert (found["folder"], found["dtype"]) == ("plain", "float32")
    assert found["agreement"] == {
        "positions": 76,
        "same_next_token": 76,
        "largest_difference": found["agreement"]["largest_difference"],
        "backend": "mlx",
    }
    card = (project / "plain" / "README.md").read_text()
    assert "library_name: transformers" in card
    assert "vllm serve ./plain" in card
    assert data(punie(project, *words))["dtype"] == "bfloat16"


def test_an_export_says_what_was_read_back(project: Path) -> None:
    done = data(punie(project, "export", "mine", "--to", "gguf", "--json"))
    assert Path(done["path"]).read_bytes()[:4] == b"GGUF"
    assert done["said"].startswith("read back: 20 tensors")
    assert data(punie(project, "export", "mine", "--to", "hub", "--json"))["to"] == "hub"


@pytest.mark.parametrize(
    "words",
    [
        ("export", "mine"),
        ("export", "mine", "--to", "gguf", "--fused"),
        ("export", "mine", "--to", "hub", "--llama-cpp", "."),
        ("export", "mine", "--to", "hub", "--dequantize"),
        ("export", "mine", "--to", "gguf", "--publisher", "me"),
        ("fuse",),
        ("fuse", "mine", "--format", "hf", "--dequantize"),
        ("fuse", "mine", "--dtype", "float16"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(project: Path, words: tuple[str, ...]) -> None:
    punie(project, *words, code=2)
    assert not (project / "exports").exists()


def test_delete_asks(project: Path) -> None:
    assert "--yes" in punie(project, "delete", "mine", code=2).stderr
    punie(project, "delete", "mine", "gone", "--yes", code=2)
    assert (project / "adapters" / "mine").is_dir()
    deleted = data(punie(project, "delete", "mine", "half", "--yes", "--json"))["deleted"]
    assert [Path(each).name for each in deleted] == ["mine", ".half.training"]
    assert [path.name for path in (project / "adapters").iterdir()] == ["foreign"]


def test_a_base_that_is_gone_is_named(project: Path) -> None:
    settings = project / "adapters" / "foreign" / "adapter_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"model": "./gone"}))
    done = punie(project, "fuse", "foreign", code=5)
    assert "foreign was trained on ./gone, and there is no file or folder ./gone" in done.stderr
    assert "--model MODEL" in done.stderr


def test_a_base_as_another_machine_called_it_is_asked_for(project: Path) -> None:
    manifest = project / "adapters" / "mine" / "punie.json"
    said = json.loads(manifest.read_text())
    said["base"]["name"] = "inputs/model/tiny"
    manifest.write_text(json.dumps(said))
    argv = [sys.executable, "-m", "punie", "eval", "quick", "--adapter", "mine"]
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "no file or folder inputs/model/tiny here" in done.stderr
    assert "--model MODEL" in done.stderr


def test_the_loss_beside_a_step_is_that_step_s(project: Path) -> None:
    manifest = a_manifest(
        name="mine",
        chosen=Chosen(step=1, by="held-out", value=0.5, suite_hash="9" * 64),
        training=a_manifest().training.model_copy(
            update={"losses": (LossPoint(step=1, valid=6.713), LossPoint(step=4, valid=6.5904))}
        ),
    )
    write_manifest(project / "adapters" / "mine", manifest)
    shown = punie(project, "list", columns=120).stdout
    assert "6.7130" in shown
    assert "6.5904" not in shown


def test_an_adapter_as_git_keeps_it_says_where_its_weights_are(project: Path) -> None:
    (project / "adapters" / "mine" / "adapters.safetensors").unlink()
    listed = punie(project, "list")
    assert "weights not here" in listed.stdout
    assert "mine: its weights are not here, as git keeps none; train it again" in listed.stderr
    shown = " ".join(punie(project, "show", "mine").stdout.split())
    assert "weights are not here" in shown
    assert "after iteration 80" in shown
    for words in (("fuse", "mine"), ("export", "mine", "--to", "hub")):
        done = punie(project, *words, code=5)
        assert "weights are not here" in done.stderr
        assert "copy adapters.safetensors" in done.stderr
    argv = [sys.executable, "-m", "punie", "eval", "--adapter", "mine", "baseline"]
    asked = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)
    assert asked.returncode == 5
    assert "weights are not here" in asked.stderr


def test_only_what_was_begun_is_said_to_go_on(project: Path) -> None:
    (project / "adapters" / ".left.training").mkdir()
    said = punie(project, "list").stderr
    assert "punie train --resume half" in said
    assert "--resume left" not in said
    assert "punie adapters delete .left.training" in said


def test_deleting_a_leftover_leaves_the_adapter(project: Path) -> None:
    home = project / "adapters"
    (home / ".mine.training").mkdir()
    refused = punie(project, "delete", "mine", "--yes", code=2)
    assert "punie adapters delete .mine.training" in refused.stderr
    assert (home / "mine" / "punie.json").exists()
    punie(project, "delete", ".mine.training", "--yes")
    assert (home / "mine" / "punie.json").exists()
    assert not (home / ".mine.training").exists()
    punie(project, "delete", "mine", "--yes")
    assert not (home / "mine").exists()
