"""What `prepare` refuses, and puts on record, before anything is fetched or started."""

import json
import shutil
from pathlib import Path

import pytest

from fake_vllm import environment
from punie.backends.choose import BackendChoice
from punie.backends.local import prepare, serve
from punie.errors import ModelError
from punie.records.training import Quantization

pytest.importorskip("bitsandbytes")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUNIE_CACHE", str(tmp_path / "cache"))


def on_cuda(vllm: Path | None = None, packed: Quantization = Quantization.NONE) -> BackendChoice:
    interpreter = str(vllm) if vllm else None
    return BackendChoice(backend="cuda", device="cpu", vllm=interpreter, quantization=packed)


@pytest.mark.parametrize("packed", [Quantization.FOUR_BIT, Quantization.EIGHT_BIT])
def test_a_mixture_of_experts_is_not_called_packed(
    tiny_model: Path, tmp_path: Path, packed: Quantization
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "mixture")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_experts": 8}))
    assert prepare(str(folder), how=on_cuda()).path == folder
    with pytest.raises(ModelError, match="leaves experts unpacked"):
        prepare(str(folder), how=on_cuda(packed=packed))


@pytest.mark.parametrize("vllm", [False, True])
async def test_a_model_without_a_chat_template_is_refused_before_a_server_is_started(
    tiny_model: Path, tmp_path: Path, vllm: bool
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    python = environment(tmp_path / "env") if vllm else None
    model = prepare(str(folder), how=on_cuda(python))  # it can be trained, and fused
    with pytest.raises(ModelError, match="no chat template") as refused:
        async with serve(model, tmp_path / "log"):
            pass
    assert "chat_template.jinja" in refused.value.hint
    assert not (tmp_path / "log").exists()


def test_the_record_knows_vllm_before_it_serves(tiny_model: Path, tmp_path: Path) -> None:
    plain = prepare(str(tiny_model), how=on_cuda()).identity
    assert (plain.server, plain.device, plain.computed_in) == ("transformers", "cpu", None)
    served = prepare(str(tiny_model), how=on_cuda(environment(tmp_path / "env"))).identity
    told = (served.server, served.server_version, served.device, served.computed_in)
    assert told == ("vllm", "0.32.0", "cpu", None)


def test_a_wrong_interpreter_or_packing_is_refused_before_the_model_is_looked_for(
    tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="vllm: there is no"):
        prepare("nobody/has-this-model", how=on_cuda(tmp_path / "none"))
    packed = on_cuda(environment(tmp_path / "env"), Quantization.EIGHT_BIT)
    with pytest.raises(ModelError, match="not into 8"):
        prepare(str(tiny_model), how=packed)
