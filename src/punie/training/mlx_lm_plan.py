"""mlx_lm's own YAML (`mlx_lm.lora --config`), translated key by key into punie's plan.

Keys and defaults are those of mlx_lm 0.32 (`mlx_lm.lora.CONFIG_DEFAULTS`). Nothing of a file is
passed over in silence: what punie does otherwise is a note, what it cannot do is an error.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from punie.records.training import MOST, Curve, Masking, TrainPlan
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest
from punie.sources.yaml_source import DataPath
from punie.training.plan_form import Form

MLX_LM_WORDS = {
    "fine_tune_type": "method",
    "lora_parameters": "rank, scale, dropout and keys",
    "optimizer_config": "optimizer_options",
    "lr_schedule": "schedule",
    "iters": "iterations",
    "num_layers": "layers",
    "val_batches": "validation_rows",
    "steps_per_eval": "validate_every",
    "save_every": "checkpoint_every",
    "max_seq_length": "max_length",
    "grad_checkpoint": "gradient_checkpointing",
    "grad_accumulation_steps": "accumulation",
    "mask_prompt": "masking",
    "adapter_path": "name",
}
"""mlx_lm's keys that punie has another word for."""
_SHARED = ("seed", "batch_size", "learning_rate", "optimizer")
_RENAMED = {
    "fine_tune_type": "method",
    "iters": "iterations",
    "steps_per_eval": "validate_every",
    "save_every": "checkpoint_every",
    "max_seq_length": "max_length",
    "grad_checkpoint": "gradient_checkpointing",
    "grad_accumulation_steps": "accumulation",
}
_NOTED = {
    "config": "nothing is read from that file; mlx_lm notes here where it took its own from",
    "steps_per_report": "punie reports every iteration",
    "test": "punie eval measures an adapter",
    "test_batches": "punie eval measures an adapter",
    "report_to": "punie keeps trainings in its own store and journal and sends them nowhere",
    "wandb": "punie keeps trainings in its own store and journal and sends them nowhere",
    "project_name": "punie keeps trainings in its own store and journal and sends them nowhere",
}
_REFUSED = {
    "resume_adapter_file": "punie begins from no other weights: punie train --resume NAME goes on"
    " with a training of its own, exactly",
    "trust_remote_code": "punie never runs a model's own code",
    "clear_cache_threshold": "mlx_lm itself never passes it on: take it out",
    "hf_dataset": "name the dataset as data",
}
_OTHERS = ("train", "model", "data", *_NOTED, *_REFUSED)
KNOWN = (*_SHARED, *MLX_LM_WORDS, *_OTHERS)
_UNSET = (None, False, 0, "")
_DEFAULTS = {
    "iters": "3 epochs (mlx_lm: 1000 iterations)",
    "learning_rate": "learning rate 2e-4, or 1e-5 for full (mlx_lm: 1e-5)",
    "mask_prompt": "every assistant turn is trained (mlx_lm: the prompt too)",
    "val_batches": "all validation rows (mlx_lm: 25 batches)",
}
_CURVES: dict[str, tuple[Curve, tuple[str, ...]]] = {
    "linear_schedule": (Curve.LINEAR, ("end", "over")),
    "cosine_decay": (Curve.COSINE, ("over", "end")),
    "exponential_decay": (Curve.EXPONENTIAL, ("decay",)),
    "step_decay": (Curve.STEP, ("decay", "every")),
}
"""mlx's schedules by name, with what their arguments are after the first, the learning rate. All
are needed but cosine's end."""


def is_mlx_lm(data: Mapping[str, Any], own_keys: Iterable[str]) -> bool:
    """Whether a file is in mlx_lm's form: it has more keys of mlx_lm's alone than of punie's."""
    own, theirs = set(own_keys), set(KNOWN)
    return len(data.keys() & (theirs - own)) > len(data.keys() & (own - theirs))


def translate(data: Mapping[str, Any], own_keys: Iterable[str]) -> Form:
    """A file of mlx_lm's in punie's words."""
    form, own = Form(), set(own_keys)
    for key, value in data.items():
        if key in KNOWN:
            _one_key(form, data, key, value)
        elif key in own:
            what = "is punie's word, and the rest of this file is in mlx_lm's: use one form"
            form.errors.append(FormError((key,), what, key=True))
        else:
            what = f"unknown key{nearest(key, list(KNOWN))}"
            form.errors.append(FormError((key,), what, key=True))
    missing = [said for key, said in _DEFAULTS.items() if data.get(key) is None]
    if is_object(data.get("lr_schedule")):
        missing = [said for said in missing if said != _DEFAULTS["learning_rate"]]
    low_rank = data.get("fine_tune_type") != "full"
    if low_rank and not is_object(data.get("lora_parameters")):
        missing.append("rank 8 at scale 4 (mlx_lm: scale 20)")
    if data.get("optimizer") == "adafactor":
        form.notes.append("optimizer: adafactor uses the learning rate here; in mlx_lm it does not")
    if missing:
        form.notes.append(f"not in the file, so as punie does it: {'; '.join(missing)}")
    return form


def _one_key(form: Form, data: Mapping[str, Any], key: str, value: Any) -> None:
    if value is None:
        return
    if key in _SHARED:
        form.take((key,), (key,), value)
    elif key in _RENAMED:
        form.take((_RENAMED[key],), (key,), value)
    elif key in _NOTED:
        if value not in _UNSET:
            form.notes.append(f"{key}: {_NOTED[key]}")
    elif key in _REFUSED:
        if value not in _UNSET:
            form.errors.append(FormError((key,), _REFUSED[key], key=True))
    else:
        _TRANSLATED[key](form, data, value)


def _model(form: Form, _: Mapping[str, Any], value: Any) -> None:
    _text(form, "model", value)


def _data(form: Form, _: Mapping[str, Any], value: Any) -> None:
    _text(form, "data", value)


def _text(form: Form, key: str, value: Any) -> None:
    if isinstance(value, str) and value:
        form.beside[key] = value
    else:
        form.errors.append(FormError((key,), "should be a text"))


def _adapter_path(form: Form, _: Mapping[str, Any], value: Any) -> None:
    if not isinstance(value, str) or not value:
        form.errors.append(FormError(("adapter_path",), "should be a text"))
    elif (name := Path(value).name) and Path(value) != Path("adapters"):
        form.beside["name"] = name
        if Path(value).parent != Path("adapters"):
            form.notes.append(f"adapter_path: punie writes adapters/{name}")
    else:
        form.notes.append("adapter_path: punie writes adapters/NAME, a folder for each training")


def _train(form: Form, _: Mapping[str, Any], value: Any) -> None:
    if value is not True:
        what = "should be true: this plan asks for no training"
        form.errors.append(FormError(("train",), what))


def _num_layers(form: Form, _: Mapping[str, Any], value: Any) -> None:
    every = isinstance(value, int) and not isinstance(value, bool) and value <= 0
    form.take(("layers",), ("num_layers",), "all" if every else value)


def _mask_prompt(form: Form, _: Mapping[str, Any], value: Any) -> None:
    if isinstance(value, bool):
        masking = Masking.LAST if value else Masking.NONE
        form.take(("masking",), ("mask_prompt",), masking.value)
    else:
        form.errors.append(FormError(("mask_prompt",), "should be true or false"))


def _val_batches(form: Form, data: Mapping[str, Any], value: Any) -> None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or value == 0 or not -1 <= value <= MOST:
        what = f"should be a number of batches, 1 to {MOST:,}, or -1 for all of them"
        form.errors.append(FormError(("val_batches",), what))
    elif value == -1:
        form.take(("validation_rows",), ("val_batches",), None)
    else:
        batch = data.get("batch_size") or TrainPlan.model_fields["batch_size"].default
        rows = value * (batch if isinstance(batch, int) and batch <= MOST else 1)
        form.take(("validation_rows",), ("val_batches",), rows)


def _lora_parameters(form: Form, data: Mapping[str, Any], value: Any) -> None:
    here: DataPath = ("lora_parameters",)
    if not is_object(value):
        form.errors.append(FormError(here, "should be a mapping of keys to values"))
        return
    if data.get("fine_tune_type") == "full":
        what = "has no effect with fine_tune_type full, which trains the weights themselves"
        form.errors.append(FormError(here, what, key=True))
        return
    for key, each in value.items():
        path = (*here, key)
        if key in {"rank", "dropout", "keys"}:
            form.take((key,), path, each)
        elif key == "alpha":
            what = "mlx_lm knows no alpha: write scale, which is alpha / rank"
            form.errors.append(FormError(path, what, key=True))
        elif key != "scale":
            near = nearest(key, ["rank", "scale", "dropout", "keys"])
            form.errors.append(FormError(path, f"unknown key{near}", key=True))
    scale, rank = value.get("scale"), value.get("rank", TrainPlan.model_fields["rank"].default)
    if scale is None:
        what = "scale is missing, which mlx_lm needs"
        form.errors.append(FormError(here, what))
    else:
        form.take_scale((*here, "scale"), scale, rank)


def _optimizer_config(form: Form, data: Mapping[str, Any], value: Any) -> None:
    here: DataPath = ("optimizer_config",)
    if not is_object(value):
        form.errors.append(FormError(here, "should be a mapping of optimizers to options"))
        return
    used = data.get("optimizer") or TrainPlan.model_fields["optimizer"].default.value
    for name, options in value.items():
        if not options:
            continue
        if name == used:
            form.take(("optimizer_options",), (*here, name), options)
        else:
            what = f"has no effect, the optimizer is {used}"
            form.errors.append(FormError((*here, name), what, key=True))


def _lr_schedule(form: Form, data: Mapping[str, Any], value: Any) -> None:
    here: DataPath = ("lr_schedule",)
    if not is_object(value):
        form.errors.append(FormError(here, "should be a mapping of keys to values"))
        return
    known = ["name", "arguments", "warmup", "warmup_init"]
    for key in [key for key in value if key not in known]:
        form.errors.append(FormError((*here, key), f"unknown key{nearest(key, known)}", key=True))
    for key, ours in (("warmup", "warmup"), ("warmup_init", "warmup_from")):
        if value.get(key) is not None:
            form.take(("schedule", ours), (*here, key), value[key])
    name, arguments = value.get("name"), value.get("arguments")
    if not isinstance(name, str) or name not in _CURVES:
        what = f"should be one of {', '.join(_CURVES)}"
        form.errors.append(FormError((*here, "name"), what))
        return
    curve, meanings = _CURVES[name]
    most = 1 + len(meanings)
    least = most - (curve is Curve.COSINE)
    if not is_array(arguments) or not least <= len(arguments) <= most:
        what = f"should be a list: learning rate, {', '.join(meanings)}"
        form.errors.append(FormError((*here, "arguments"), what))
        return
    form.take(("schedule", "curve"), (*here, "name"), curve.value)
    given = data.get("learning_rate")
    if given is not None and given != arguments[0]:
        form.notes.append(
            f"learning_rate: mlx_lm takes the schedule's {arguments[0]}, and so does this plan"
        )
    form.take(("learning_rate",), (*here, "arguments", 0), arguments[0])
    for index, (meaning, argument) in enumerate(zip(meanings, arguments[1:], strict=False), 1):
        form.take(("schedule", meaning), (*here, "arguments", index), argument)


_TRANSLATED: dict[str, Callable[[Form, Mapping[str, Any], Any], None]] = {
    "model": _model,
    "data": _data,
    "adapter_path": _adapter_path,
    "train": _train,
    "num_layers": _num_layers,
    "mask_prompt": _mask_prompt,
    "val_batches": _val_batches,
    "lora_parameters": _lora_parameters,
    "optimizer_config": _optimizer_config,
    "lr_schedule": _lr_schedule,
}
