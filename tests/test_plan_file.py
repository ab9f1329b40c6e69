"""Plan files: punie's own form, mlx_lm's, and the place of everything that is wrong."""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlx_lm.lora
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from punie.errors import InputError
from punie.records.training import Curve, Masking, Method, Optimizer, Schedule, TrainPlan
from punie.training.mlx_lm_plan import KNOWN
from punie.training.plan import PlanFile, read_plan
from punie.training.resolve import resolve_plan

DEFAULTS: dict[str, Any] = vars(mlx_lm.lora)["CONFIG_DEFAULTS"]
OWN = """\
method: dora
rank: 16
scale: 2
keys: [self_attn.q_proj, self_attn.v_proj]
optimizer: adamw
optimizer_options: {betas: [0.9, 0.98], weight_decay: 1e-2, bias_correction: true}
learning_rate: 1e-4
schedule:
  curve: cosine
  warmup: 10
  end: 1e-6
layers: all
epochs: 2
patience: null
model: SmolLM2-135M
data: data/tools
name: tools-r16
"""


def read(tmp_path: Path, text: str) -> PlanFile:
    """Read this text as a plan file."""
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    return read_plan(file)


def refusal(tmp_path: Path, text: str) -> str:
    """Why this text is refused, without the folder in front."""
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert caught.value.hint.startswith("mend the plan; its keys: method, rank, alpha")
    return caught.value.message.replace(f"{tmp_path}/", "")


def test_a_plan_in_punies_own_words(tmp_path: Path) -> None:
    found = read(tmp_path, OWN)
    assert (found.model, found.data, found.name) == ("SmolLM2-135M", "data/tools", "tools-r16")
    assert found.notes == ()
    assert found.plan == TrainPlan(
        method=Method.DORA,
        rank=16,
        alpha=32,
        keys=("self_attn.q_proj", "self_attn.v_proj"),
        optimizer=Optimizer.ADAMW,
        optimizer_options={"betas": (0.9, 0.98), "weight_decay": 0.01, "bias_correction": True},
        learning_rate=1e-4,
        schedule=Schedule(curve=Curve.COSINE, warmup=10, end=1e-6),
        layers="all",
        epochs=2,
        patience=None,
    )
    assert found.plan.scale == 2


FAULTS: dict[str, tuple[str, str]] = {
    "unknown key": ("rank: 8\nrannk: 8\n", "plan.yaml:2:1 rannk: unknown key; did you mean rank?"),
    "mlx_lm's word": (
        "rank: 8\nmethod: lora\niters: 8\n",
        "plan.yaml:3:1 iters: is mlx_lm's word for iterations",
    ),
    "of the schedule": (
        "schedule:\n  warm: 3\n",
        "plan.yaml:2:3 schedule.warm: unknown key; did you mean warmup?",
    ),
    "no number": ("seed: one\n", "plan.yaml:1:7 seed: should be a valid integer, not 'one'"),
    "a text for a number": (
        'rank: "8"\n',
        "plan.yaml:1:7 rank: should be a valid integer, not '8'",
    ),
    "a switch for a number": ("rank: true\n", "plan.yaml:1:7 rank: should be a valid integer"),
    "no choice": ("method: lore\n", "plan.yaml:1:9 method: should be 'lora', 'dora' or 'full'"),
    "range": ("dropout: 1\n", "plan.yaml:1:10 dropout: should be less than 1, not 1"),
    "layers": ("layers: most\n", "plan.yaml:1:9 layers: should be a number of blocks"),
    "scale and alpha": ("alpha: 8\nscale: 2\n", "plan.yaml:2:1 scale: stands beside alpha"),
    "negative scale": ("scale: -2\n", "plan.yaml:1:8 scale: should be greater than 0"),
    "scale in full": ("method: full\nscale: 2\n", "plan.yaml:2:1 scale: has no effect with method"),
    "no effect": (
        "schedule:\n  end: 1e-6\n",
        "plan.yaml:2:3 schedule.end: has no effect with the curve constant",
    ),
    "option": (
        "optimizer_options:\n  momentum: 0.1\n",
        "plan.yaml:2:3 optimizer_options.momentum: adam takes no such option",
    ),
    "twice": ("rank: 8\nrank: 9\n", "plan.yaml:2:1 rank: this key stands here a second time"),
    "no mapping": ("- rank\n", "plan.yaml:1:1: should be a mapping of keys"),
    "no YAML": ("rank: [8\n", "plan.yaml:2:1: "),
    "empty": ("", "plan.yaml:1:1: the file is empty"),
    "beside": ("model: 3\n", "plan.yaml:1:8 model: should be a text"),
    "version": ("schema_version: 2\n", "plan.yaml:1:17 schema_version: this punie knows plans"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_place(tmp_path: Path, name: str) -> None:
    text, words = FAULTS[name]
    assert refusal(tmp_path, text).startswith(words)


def test_all_faults_are_said_in_order(tmp_path: Path) -> None:
    said = refusal(tmp_path, "rannk: 1\nseed: x\nschedule: {warmup: -1, corve: linear}\n")
    places = [line.split()[0] for line in said.splitlines()]
    assert places == ["plan.yaml:1:1", "plan.yaml:2:7", "plan.yaml:3:20", "plan.yaml:3:24"]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_plan(tmp_path / "none.yaml")


MLX_LM = """\
model: "mlx-community/Qwen3-0.6B"
train: true
fine_tune_type: lora
optimizer: adamw
optimizer_config:
  adam: {}
  adamw:
    betas: [0.9, 0.98]
    weight_decay: 0.05
data: data/tools
seed: 7
num_layers: -1
batch_size: 2
iters: 600
val_batches: 25
learning_rate: 1e-5
steps_per_report: 10
steps_per_eval: 100
resume_adapter_file: null
adapter_path: adapters/tools
save_every: 50
test: false
test_batches: 100
max_seq_length: 1024
grad_checkpoint: true
grad_accumulation_steps: 2
mask_prompt: true
report_to: wandb
trust_remote_code: false
lora_parameters:
  keys: [self_attn.q_proj]
  rank: 8
  scale: 20.0
  dropout: 0.05
lr_schedule:
  name: cosine_decay
  warmup: 100
  warmup_init: 1e-7
  arguments: [2e-5, 200, 1e-6]
"""


def test_mlx_lms_own_yaml_is_translated_key_by_key(tmp_path: Path) -> None:
    found = read(tmp_path, MLX_LM)
    assert (found.model, found.data) == ("mlx-community/Qwen3-0.6B", "data/tools")
    assert found.name == "tools"
    assert found.plan == TrainPlan(
        method=Method.LORA,
        rank=8,
        alpha=160,
        dropout=0.05,
        keys=("self_attn.q_proj",),
        optimizer=Optimizer.ADAMW,
        optimizer_options={"betas": (0.9, 0.98), "weight_decay": 0.05},
        learning_rate=2e-5,
        schedule=Schedule(curve=Curve.COSINE, warmup=100, warmup_from=1e-7, over=200, end=1e-6),
        batch_size=2,
        accumulation=2,
        max_length=1024,
        masking=Masking.LAST,
        gradient_checkpointing=True,
        seed=7,
        layers="all",
        iterations=600,
        validation_rows=50,
        validate_every=100,
        checkpoint_every=50,
    )
    assert found.plan.scale == 20
    assert [note.partition(":")[0] for note in found.notes] == [
        "steps_per_report",
        "test_batches",
        "report_to",
        "learning_rate",
    ]
    resolved = resolve_plan(found.plan, model_layers=28, train_rows=800, valid_rows=100)
    assert resolved.layers == 28


def test_every_key_of_mlx_lm_is_known() -> None:
    flags = {action.dest for action in mlx_lm.lora.build_parser()._actions} - {"help"}
    assert flags | DEFAULTS.keys() <= set(KNOWN)


def test_what_an_mlx_lm_file_leaves_out_is_said(tmp_path: Path) -> None:
    (note,) = read(tmp_path, "num_layers: 4\n").notes
    for words in ("3 epochs", "2e-4", "the prompt too", "all validation rows", "scale 4"):
        assert words in note
    theirs = [DEFAULTS["iters"], DEFAULTS["val_batches"], DEFAULTS["lora_parameters"]["scale"]]
    assert [f"{theirs[0]} iter" in note, f"{theirs[1]} batches" in note] == [True, True]
    assert f"mlx_lm: scale {theirs[2]:g}" in note
    assert DEFAULTS["learning_rate"] == 1e-5
    assert DEFAULTS["mask_prompt"] is False


def test_what_mlx_lm_leaves_beside_an_adapter_is_a_plan(tmp_path: Path) -> None:
    kept = {**DEFAULTS, "config": "lora.yaml", "train": True, "iters": 50}
    found = read(tmp_path, json.dumps(kept))
    assert found.plan.scale == 20
    assert found.plan.masking is Masking.NONE
    assert found.plan.iterations == 50
    noted = {note.partition(":")[0] for note in found.notes}
    assert noted == {"config", "steps_per_report", "test_batches", "adapter_path"}


@given(st.text(max_size=60))
def test_no_text_is_a_mistake_of_ours(text: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        with suppress(InputError):
            read_plan(file)


HUGE = (10**400 - 1, 10**3999 - 1, 10**10, 1e300)
NUMBERS: tuple[dict[str, Any], ...] = (
    *({key: "N"} for key in ("rank", "alpha", "scale", "batch_size", "accumulation", "max_length")),
    *({key: "N"} for key in ("validation_rows", "patience", "validate_every", "checkpoint_every")),
    *({key: "N"} for key in ("epochs", "iterations", "layers", "seed")),
    {"schedule": {"warmup": "N"}},
    {"schedule": {"warmup": 2, "warmup_from": "N"}},
    {"schedule": {"curve": "linear", "over": "N"}},
    {"schedule": {"curve": "linear", "end": "N"}},
    {"schedule": {"curve": "exponential", "decay": "N"}},
    {"schedule": {"curve": "step", "decay": 0.5, "every": "N"}},
    {"optimizer": "adamw", "optimizer_options": {"weight_decay": "N"}},
    {"optimizer": "adamw", "optimizer_options": {"betas": [0.9, "N"]}},
    {"rank": "N", "scale": 2.5},
    {"rank": 1024, "scale": "N"},
    *({key: "N"} for key in ("iters", "num_layers", "val_batches", "steps_per_eval", "save_every")),
    *({key: "N"} for key in ("max_seq_length", "grad_accumulation_steps")),
    {"num_layers": 4, "lora_parameters": {"rank": "N", "scale": 2.5}},
    {"num_layers": 4, "lora_parameters": {"rank": 8, "scale": "N"}},
    {"iters": 4, "val_batches": 2, "batch_size": "N"},
    {"iters": 4, "lr_schedule": {"name": "cosine_decay", "arguments": [1e-4, "N"]}},
)


@pytest.mark.parametrize("number", HUGE, ids=["400", "3999", "10**10", "1e300"])
@pytest.mark.parametrize("values", NUMBERS, ids=json.dumps)
def test_no_number_is_beyond_any_use(tmp_path: Path, values: dict[str, Any], number: float) -> None:
    text = json.dumps(values).replace('"N"', json.dumps(number))
    said = refusal(tmp_path, text)
    assert said.startswith("plan.yaml:1:")
    assert len(said) < 400


SOME_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "arguments", "rank", "adam"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = sorted({*KNOWN, *TrainPlan.model_fields, "scale", "name", "unknown"})


@example({"lr_schedule": {"name": []}})
@given(st.dictionaries(st.sampled_from(KEYS), SOME_VALUE, max_size=5))
def test_no_value_is_a_mistake_of_ours(values: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(json.dumps(values), encoding="utf-8")
        with suppress(InputError):
            plan = read_plan(file).plan
            resolve_plan(plan, model_layers=4, train_rows=10, valid_rows=2)


def test_adafactor_is_not_quite_mlx_lms(tmp_path: Path) -> None:
    notes = read(tmp_path, "iters: 5\noptimizer: adafactor\nlearning_rate: 1e-3\n").notes
    assert any(note.startswith("optimizer: adafactor uses") for note in notes)


CURVES: dict[str, Schedule] = {
    "{name: linear_schedule, arguments: [1e-3, 1e-5, 50]}": Schedule(
        curve=Curve.LINEAR, end=1e-5, over=50
    ),
    "{name: cosine_decay, arguments: [1e-3, 50]}": Schedule(curve=Curve.COSINE, over=50),
    "{name: exponential_decay, arguments: [1e-3, 0.9]}": Schedule(
        curve=Curve.EXPONENTIAL, decay=0.9
    ),
    "{name: step_decay, arguments: [1e-3, 0.5, 10]}": Schedule(
        curve=Curve.STEP, decay=0.5, every=10
    ),
}


@pytest.mark.parametrize("text", CURVES)
def test_each_of_mlx_lms_schedules(tmp_path: Path, text: str) -> None:
    plan = read(tmp_path, f"lr_schedule: {text}\n").plan
    assert plan.schedule == CURVES[text]
    assert plan.learning_rate == 1e-3


MLX_FAULTS: dict[str, tuple[str, str]] = {
    "unknown key": (
        "iters: 5\nnum_layer: 4\n",
        "plan.yaml:2:1 num_layer: unknown key; did you mean",
    ),
    "punie's word": (
        "iters: 5\nlora_parameters: {scale: 1}\nrank: 4\n",
        "plan.yaml:3:1 rank: is punie's",
    ),
    "resume": (
        "iters: 5\nresume_adapter_file: a.safetensors\n",
        "plan.yaml:2:1 resume_adapter_file: punie begins from no other weights",
    ),
    "code": ("iters: 5\ntrust_remote_code: true\n", "plan.yaml:2:1 trust_remote_code: punie never"),
    "cache": (
        "iters: 5\nclear_cache_threshold: 3\n",
        "plan.yaml:2:1 clear_cache_threshold: mlx_lm",
    ),
    "no training": ("iters: 5\ntrain: false\n", "plan.yaml:2:8 train: should be true"),
    "alpha": (
        "lora_parameters: {rank: 8, alpha: 16, scale: 2}\n",
        "plan.yaml:1:28 lora_parameters.alpha: mlx_lm knows no alpha",
    ),
    "no scale": (
        "lora_parameters: {rank: 8}\n",
        "plan.yaml:1:18 lora_parameters: scale is missing",
    ),
    "rank": (
        "lora_parameters: {rank: 0, scale: 2}\n",
        "plan.yaml:1:25 lora_parameters.rank: should be greater than or equal to 1",
    ),
    "low rank in full": (
        "fine_tune_type: full\nlora_parameters: {rank: 8, scale: 2}\n",
        "plan.yaml:2:1 lora_parameters: has no effect with fine_tune_type full",
    ),
    "another optimizer's": (
        "optimizer: adam\noptimizer_config:\n  adamw: {weight_decay: 0.1}\n",
        "plan.yaml:3:3 optimizer_config.adamw: has no effect, the optimizer is adam",
    ),
    "an option": (
        "optimizer: adam\noptimizer_config:\n  adam: {weight_decay: 0.1}\n",
        "plan.yaml:3:10 optimizer_config.adam.weight_decay: adam takes no such option",
    ),
    "a schedule": (
        "lr_schedule: {name: cosine, arguments: [1]}\n",
        "plan.yaml:1:21 lr_schedule.name: should be one of linear_schedule",
    ),
    "arguments": (
        "lr_schedule: {name: cosine_decay, arguments: []}\n",
        "plan.yaml:1:46 lr_schedule.arguments: should be a list: learning rate, over, end",
    ),
    "an argument": (
        "lr_schedule: {name: cosine_decay, arguments: [1e-5, x]}\n",
        "plan.yaml:1:53 lr_schedule.arguments[1]: should be a valid integer",
    ),
    "no steps in a step": (
        "lr_schedule: {name: step_decay, arguments: [1e-5, 0.5]}\n",
        "plan.yaml:1:44 lr_schedule.arguments: should be a list: learning rate, decay, every",
    ),
    "warm-up from nowhere": (
        "lr_schedule: {name: cosine_decay, arguments: [1e-5, 9], warmup_init: 1e-7}\n",
        "plan.yaml:1:57 lr_schedule.warmup_init: has no effect without warmup",
    ),
    "validation": ("val_batches: 0\n", "plan.yaml:1:14 val_batches: should be a number of batches"),
    "mask": ("mask_prompt: 1\n", "plan.yaml:1:14 mask_prompt: should be true or false"),
}


@pytest.mark.parametrize("name", MLX_FAULTS)
def test_a_fault_of_an_mlx_lm_file_is_told_in_its_own_words(tmp_path: Path, name: str) -> None:
    text, words = MLX_FAULTS[name]
    assert refusal(tmp_path, text).startswith(words)


def test_few_rows_to_validate_on(tmp_path: Path) -> None:
    plan = read(tmp_path, "iters: 5\nval_batches: -1\n").plan
    assert plan.validation_rows is None
    plan = read(tmp_path, "iters: 5\nval_batches: 3\n").plan
    assert plan.validation_rows == 12


def test_a_folder_elsewhere_is_named(tmp_path: Path) -> None:
    found = read(tmp_path, "iters: 5\nadapter_path: /tmp/out/mine\n")
    assert found.name == "mine"
    assert "adapter_path: punie writes adapters/mine" in found.notes
    assert read(tmp_path, "iters: 5\nadapter_path: adapters\n").name is None
