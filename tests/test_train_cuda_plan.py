"""What `punie train --backend cuda` tells its worker: the packing, the folder, the memory."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from packed_model import quantised
from punie.cli.trained import TrainWish
from punie.cli.training_setup import ChosenTraining, choose
from punie.errors import InputError, TrainingError
from punie.models.check import read_json
from punie.records.training import Method, Optimizer, Quantization, ResolvedPlan
from punie.settings import load_settings
from punie.training.preflight import memory_estimate, packable, refuse_what_cannot_fit
from train_project import InProcess, make_project, rows, write

pytest.importorskip("bitsandbytes")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PUNIE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    write(folder / "train.jsonl", rows())
    write(folder / "valid.jsonl", rows(("cup",)))
    return folder


def chosen(data: Path, model: Path, **overrides: Any) -> ChosenTraining:
    wish = TrainWish(
        data=str(data), model=str(model), backend="cuda", overrides=overrides, quiet=True
    )
    return choose(wish, load_settings(data.parent))


@pytest.mark.parametrize(
    ("said", "quantization", "double"),
    [
        (None, Quantization.FOUR_BIT, True),
        ("4bit", Quantization.FOUR_BIT, True),
        ("8bit", Quantization.EIGHT_BIT, False),
        ("none", Quantization.NONE, False),
    ],
)
def test_each_packing_reaches_the_plan(
    data: Path, tiny_model: Path, said: str | None, quantization: Quantization, *, double: bool
) -> None:
    plan = chosen(data, tiny_model, **({"quantization": said} if said else {})).begun.plan
    assert (plan.quantization, plan.double_quantization) == (quantization, double)
    assert plan.gradient_checkpointing
    assert plan.optimizer is Optimizer.PAGED_ADAMW_8BIT


def test_the_flag_is_a_key_of_the_plan(
    data: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = make_project(data.parent / "project", tiny_model)
    punie = InProcess(project, monkeypatch, capsys)
    words = ("train", "--backend", "cuda", "--method", "full", "--quantization", "8bit")
    refused = punie(*words, code=2)
    assert "quantization: does not go with method full" in refused.stderr
    assert ": mlx packs no model" in punie("train", "--backend", "mlx", *words[-2:], code=2).stderr


def test_a_mixture_of_experts_is_trained_unpacked_or_refused(
    data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "experts"
    shutil.copytree(tiny_model, folder)
    config = read_json(folder / "config.json") | {"num_local_experts": 8}
    (folder / "config.json").write_text(json.dumps(config))
    assert chosen(data, folder).begun.plan.quantization is Quantization.NONE
    with pytest.raises(InputError, match="bitsandbytes leaves experts unpacked"):
        chosen(data, folder, quantization="4bit")


def test_a_base_that_mlx_packed_is_trained_unpacked_and_named_as_itself(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PUNIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    packed = quantised(tiny_model, tmp_path / "packed")
    capsys.readouterr()  # mlx_lm says what it did
    project = make_project(tmp_path / "project", packed)
    punie = InProcess(project, monkeypatch, capsys)
    words = ("--backend", "cuda", "--iterations", "2", "--name", "red")
    manifest = punie.json("train", *words)["data"]["manifest"]
    assert manifest["base"]["dtype"] == "4-bit, group 32"
    assert manifest["backend"] == "cuda"
    shown = punie.json("models", "show", str(packed))["data"]["fingerprint"]
    assert manifest["base"]["weights_hash"] == shown["weights"]


PLAN = ResolvedPlan(
    layers=2, learning_rate=1e-4, iterations=1, validate_every=1, checkpoint_every=1
)


def test_a_training_that_fits_in_four_bits_alone_is_refused_with_that(tiny_model: Path) -> None:
    packed = packable(tiny_model, PLAN, "cuda")
    assert packed is not None
    assert (packed.quantization, packed.double_quantization) == (Quantization.FOUR_BIT, True)
    with pytest.raises(TrainingError) as caught:
        refuse_what_cannot_fit(40 * 10**9, 24 * 10**9, packed=8 * 10**9)
    assert caught.value.hint.startswith(
        "--quantization 4bit would fit, with about 8 GB; or shorten"
    )
    with pytest.raises(TrainingError) as caught:
        refuse_what_cannot_fit(40 * 10**9, 24 * 10**9, packed=23 * 10**9)
    assert caught.value.hint.startswith("shorten")


@pytest.mark.parametrize("change", [{"quantization": "8bit"}, {"method": Method.FULL}])
def test_what_cannot_be_packed_further_is_not_told_so(
    tiny_model: Path, change: dict[str, object]
) -> None:
    assert packable(tiny_model, PLAN.model_copy(update=change), "cuda") is None
    assert packable(tiny_model, PLAN, "mlx") is None


def test_memory_is_that_of_the_device(tiny_model: Path) -> None:
    def estimate(backend: str, *, gpu: bool) -> int:
        found = memory_estimate(
            tiny_model, PLAN, longest=64, most_trained=9, backend=backend, gpu=gpu
        )
        assert found is not None
        return found

    assert estimate("mlx", gpu=False) < 10**8 < estimate("cuda", gpu=False)
    assert estimate("cuda", gpu=True) != estimate("cuda", gpu=False)
