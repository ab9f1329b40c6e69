"""What leaves the project: files and folders for other programs."""

import json
import sys
from pathlib import Path

import pytest

from made_adapter import make_adapter, pack
from punie.adapters.export import (
    export_fused,
    export_gguf,
    export_hub,
    exports_folder,
    lmstudio_place,
)
from punie.adapters.fuse import base_of
from punie.adapters.llama_cpp import conversion_argv, python_for, require_checkout
from punie.adapters.manifest import write_manifest
from punie.adapters.registry import Entry, find_adapter
from punie.backends.local import LocalModel, prepare
from punie.errors import InputError, ModelError
from punie.models.check import read_json
from punie.models.manifest import read_manifest
from punie.models.pull import convert_gguf
from punie.records.datacheck import DataFinding, Place, Severity
from punie.records.run import Provenance
from test_adapters_registry import of_punie

CONVERTER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_convert import write_gguf
model, out = Path(sys.argv[1]), Path(sys.argv[sys.argv.index("--outfile") + 1])
write_gguf(out, model)
"""


def entry_and_base(adapter: Path, model: Path) -> tuple[Entry, LocalModel]:
    entry = find_adapter(adapter.parent.parent, adapter.name)
    return entry, base_of(entry, adapter.parent.parent, str(model))


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    return of_punie(tiny_model, tmp_path / "adapters" / "mine")


def test_a_gguf_file_of_a_quantised_base_is_its_fused_weights(
    tiny_model: Path, tmp_path: Path
) -> None:
    packed = pack(tiny_model, tmp_path / "packed")
    made = make_adapter(packed, tmp_path / "adapters" / "mine")
    entry, base = entry_and_base(made, packed)
    written = export_gguf(entry, base, tmp_path / "out" / "mine.gguf")
    assert written.said.startswith("read back: 20 tensors")
    back = convert_gguf(written.path, cache=tmp_path / "cache")
    assert prepare(str(back)).identity.dtype == "float32"
    with pytest.raises(InputError, match="there already"):
        export_gguf(entry, base, tmp_path / "out" / "mine.gguf")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.gguf"]


def test_a_hub_folder_names_no_folder_of_this_machine(adapter: Path, tmp_path: Path) -> None:
    settings = read_json(adapter / "adapter_config.json")
    private = settings | {"data": "/home/somebody/data", "adapter_path": "/home/somebody/a"}
    (adapter / "adapter_config.json").write_text(json.dumps(private))
    manifest = read_manifest(adapter)
    assert manifest
    place = Place(file="/home/somebody/data/train.jsonl", line=3, what="my own words")
    told = {
        "provenance": Provenance(command=f"punie train /home/somebody/data --model {tmp_path}/x"),
        "findings": (
            DataFinding(check="x", severity=Severity.NOTE, what="a row", places=(place,)),
        ),
    }
    write_manifest(adapter, manifest.model_copy(update=told))
    written = export_hub(find_adapter(tmp_path, "mine"), tmp_path / "hub")
    assert sorted(path.name for path in written.path.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapters.safetensors",
        "punie.json",
    ]
    for name in ("README.md", "adapter_config.json", "punie.json"):
        text = (written.path / name).read_text()
        assert "somebody" not in text
        assert "my own words" not in text
        assert str(tmp_path.parent) not in text, name


def test_an_adapter_from_the_hub_folder_is_accepted(
    adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    written = export_hub(find_adapter(tmp_path, "mine"), tmp_path / "hub")
    manifest = read_manifest(written.path)
    assert manifest is not None
    identity = prepare(str(tiny_model), written.path).identity
    assert identity.adapter_hash == manifest.adapter_hash
    assert manifest.base.weights_hash == identity.weights_hash
    assert adapter.is_dir()


def test_a_stranger_s_adapter_has_no_card(tiny_model: Path, tmp_path: Path) -> None:
    make_adapter(tiny_model, tmp_path / "adapters" / "foreign")
    with pytest.raises(InputError, match=r"has no punie\.json"):
        export_hub(find_adapter(tmp_path, "foreign"), tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_a_fused_export_for_lm_studio(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    entry, base = entry_and_base(adapter, tiny_model)
    place = lmstudio_place(entry, "me", tmp_path / "models")
    assert place == tmp_path / "models" / "me" / "mine"
    written = export_fused(entry, base, place, dequantize=False)
    assert prepare(str(place)).identity.adapter is None
    assert "float32; of 76 tokens 76 are expected" in written.said
    card = (place / "README.md").read_text()
    assert "base_model_relation" not in card  # its base has no page on the hub
    assert str(tiny_model.parent) not in card + (place / "punie.json").read_text()


def test_where_lm_studio_keeps_models(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    entry = find_adapter(tmp_path, adapter.name)
    usual = tmp_path / "home" / ".lmstudio" / "models"
    assert lmstudio_place(entry, "me") == usual / "me" / "mine"
    with pytest.raises(InputError, match="no publisher's name"):
        lmstudio_place(entry, "../../etc")


def test_git_leaves_exports_alone(tmp_path: Path) -> None:
    assert exports_folder(tmp_path) == tmp_path / "exports"
    assert (tmp_path / "exports" / ".gitignore").read_text() == "*\n"
    (tmp_path / "exports" / ".gitignore").write_text("# mine\n")
    exports_folder(tmp_path)
    assert (tmp_path / "exports" / ".gitignore").read_text() == "# mine\n"


def test_the_command_line_of_llama_cpp(tmp_path: Path) -> None:
    script = tmp_path / "convert_hf_to_gguf.py"
    script.write_text("")
    assert require_checkout(tmp_path) == script
    assert conversion_argv(script, "py", Path("/m"), Path("/o.gguf")) == [
        "py",
        str(script),
        "/m",
        "--outfile",
        "/o.gguf",
        "--outtype",
        "auto",
    ]
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert python_for(script) == str(own)
    with pytest.raises(InputError, match=r"holds no convert_hf_to_gguf\.py"):
        require_checkout(tmp_path / "nothing")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose converter is a short program with the same interface."""
    folder = tmp_path / "llama.cpp"
    (folder / ".venv" / "bin").mkdir(parents=True)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    tests = str(Path(__file__).parent)
    (folder / "convert_hf_to_gguf.py").write_text(CONVERTER.format(tests=tests))
    return folder


def test_another_converter_may_write_it(
    adapter: Path, tiny_model: Path, tmp_path: Path, checkout: Path
) -> None:
    entry, base = entry_and_base(adapter, tiny_model)
    written = export_gguf(entry, base, tmp_path / "mine.gguf", llama_cpp=checkout)
    assert written.said.startswith("written by llama.cpp: llama, 20 tensors")
    (checkout / "convert_hf_to_gguf.py").write_text("import sys; sys.exit('not supported: x')")
    with pytest.raises(ModelError, match="ended with status 1: not supported: x"):
        export_gguf(entry, base, tmp_path / "other.gguf", llama_cpp=checkout)
    assert not (tmp_path / "other.gguf").exists()
