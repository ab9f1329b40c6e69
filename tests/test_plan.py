"""Plans: defaults for a model and its data, keys that would do nothing, what flags change."""

import inspect
from typing import Any

import mlx.optimizers
import pytest

from punie.errors import InputError
from punie.records.training import (
    Curve,
    Masking,
    Method,
    Optimizer,
    Order,
    Quantization,
    ResolvedPlan,
    Schedule,
    TrainPlan,
)
from punie.training.optimizer_options import OPTIONS, Kind
from punie.training.plan import with_overrides
from punie.training.resolve import resolve_plan

LAYERS, TRAIN, VALID = 30, 90, 20


def resolved(plan: TrainPlan, **sizes: Any) -> ResolvedPlan:
    """A plan for a model of 30 blocks, 90 rows to train on and 20 to validate on."""
    given: dict[str, Any] = {"model_layers": LAYERS, "train_rows": TRAIN, "valid_rows": VALID}
    return resolve_plan(plan, **(given | sizes))


def refusal(plan: TrainPlan, **sizes: Any) -> str:
    """Why such a plan is refused."""
    with pytest.raises(InputError) as caught:
        resolved(plan, **sizes)
    return caught.value.message


def test_a_bare_plan_trains_every_row_three_times() -> None:
    plan = resolved(TrainPlan())
    assert plan.iterations == 3 * 23  # 22 batches of 4, and one of 2
    assert (plan.layers, plan.learning_rate, plan.scale) == (16, 2e-4, 4.0)
    assert plan.validate_every == plan.checkpoint_every == 9
    assert plan.validation_rows is None
    assert plan.patience == 3


def test_a_small_model_is_trained_whole_and_full_training_is_slow() -> None:
    assert resolved(TrainPlan(), model_layers=2).layers == 2
    assert resolved(TrainPlan(layers="all")).layers == LAYERS
    assert resolved(TrainPlan(method=Method.FULL)).learning_rate == 1e-5


def test_part_of_an_epoch_is_at_least_one_iteration() -> None:
    assert resolved(TrainPlan(epochs=0.5)).iterations == 12
    assert resolved(TrainPlan(epochs=0.001)).iterations == 1
    assert resolved(TrainPlan(epochs=0.001)).validate_every == 1


def test_validations_fall_between_updates() -> None:
    plan = resolved(TrainPlan(accumulation=4), valid_rows=1)
    assert plan.validate_every == 8


@pytest.mark.parametrize(("valid_rows", "every"), [(0, 7), (16, 7), (30, 12), (90, 34)])
def test_validations_take_no_more_than_a_fifth_of_the_time(valid_rows: int, every: int) -> None:
    assert resolved(TrainPlan(), valid_rows=valid_rows).validate_every == every


def test_without_validation_rows_nothing_waits_for_them() -> None:
    plan = resolved(TrainPlan(), valid_rows=0)
    assert plan.patience is None


def test_what_is_not_asked_for_fits_itself_to_little_data_and_a_short_context() -> None:
    plan = resolved(TrainPlan(), train_rows=3, context=512)
    assert (plan.batch_size, plan.iterations, plan.max_length) == (3, 3, 512)


def test_a_curve_ends_with_the_run() -> None:
    plan = resolved(TrainPlan(schedule=Schedule(curve=Curve.COSINE, warmup=9), accumulation=2))
    assert plan.schedule.over == 35 - 9


OWN_RATE: dict[str, float | bool | tuple[float, ...]] = {"relative_step": True}
NO_EFFECT: dict[str, tuple[TrainPlan, dict[str, Any], str]] = {
    "more layers than there are": (
        TrainPlan(layers=31),
        {},
        "layers: 31 are asked for, the model has 30",
    ),
    "epochs and iterations": (
        TrainPlan(epochs=1, iterations=5),
        {},
        "iterations: stands beside epochs: give one of the two",
    ),
    "rank in full": (TrainPlan(method=Method.FULL, rank=8), {}, "rank: has no effect with method"),
    "alpha in full": (TrainPlan(method=Method.FULL, alpha=8), {}, "alpha: has no effect"),
    "dropout in full": (TrainPlan(method=Method.FULL, dropout=0.1), {}, "dropout: has no effect"),
    "keys in full": (TrainPlan(method=Method.FULL, keys=("a",)), {}, "keys: has no effect"),
    "no keys": (TrainPlan(keys=()), {}, "keys: names no module"),
    "end of a constant": (
        TrainPlan(schedule=Schedule(end=1e-6)),
        {},
        "schedule.end: has no effect with the curve constant, only with linear or cosine",
    ),
    "over of a step": (
        TrainPlan(schedule=Schedule(curve=Curve.STEP, decay=0.5, every=5, over=5)),
        {},
        "schedule.over: has no effect with the curve step",
    ),
    "decay of a cosine": (
        TrainPlan(schedule=Schedule(curve=Curve.COSINE, decay=0.5)),
        {},
        "schedule.decay: has no effect with the curve cosine, only with exponential or step",
    ),
    "every of an exponential": (
        TrainPlan(schedule=Schedule(curve=Curve.EXPONENTIAL, decay=0.5, every=5)),
        {},
        "schedule.every: has no effect with the curve exponential, only with step",
    ),
    "step without every": (
        TrainPlan(schedule=Schedule(curve=Curve.STEP, decay=0.5)),
        {},
        "schedule.every: is missing: the curve step needs it",
    ),
    "exponential without decay": (
        TrainPlan(schedule=Schedule(curve=Curve.EXPONENTIAL)),
        {},
        "schedule.decay: is missing",
    ),
    "step beyond the end": (
        TrainPlan(schedule=Schedule(curve=Curve.STEP, decay=0.5, every=69)),
        {},
        "schedule.every: 69 updates, the training has 69 to decay in",
    ),
    "warmup_from alone": (
        TrainPlan(schedule=Schedule(warmup_from=1e-6)),
        {},
        "schedule.warmup_from: has no effect without warmup",
    ),
    "warmup beyond the end": (
        TrainPlan(schedule=Schedule(warmup=69)),
        {},
        "schedule.warmup: 69 updates, the training has 69",
    ),
    "accumulation beyond the end": (
        TrainPlan(iterations=4, accumulation=5),
        {},
        "accumulation: 5 iterations make one update, the training has 4",
    ),
    "validate_every without rows": (
        TrainPlan(validate_every=5),
        {"valid_rows": 0},
        "validate_every: has no effect, there are no validation rows",
    ),
    "validation_rows without rows": (
        TrainPlan(validation_rows=5),
        {"valid_rows": 0},
        "validation_rows: has no effect",
    ),
    "patience without rows": (TrainPlan(patience=5), {"valid_rows": 0}, "patience: has no effect"),
    "max_length beyond the model": (
        TrainPlan(max_length=4096),
        {"context": 2048},
        "max_length: 4096 is more than the 2048 tokens of the model",
    ),
    "batch beyond the rows": (
        TrainPlan(batch_size=91),
        {},
        "batch_size: 91 is more than the 90 rows to train on",
    ),
    "unknown option": (
        TrainPlan(optimizer=Optimizer.ADAM, optimizer_options={"weight_decay": 0.1}),
        {},
        "optimizer_options.weight_decay: adam takes no such option",
    ),
    "misspelt option": (
        TrainPlan(optimizer=Optimizer.ADAMW, optimizer_options={"weight_decai": 0.1}),
        {},
        "did you mean weight_decay?",
    ),
    "option of another kind": (
        TrainPlan(optimizer_options={"betas": 0.9}),
        {},
        "optimizer_options.betas: should be a list of two numbers",
    ),
    "part of a step of muon": (
        TrainPlan(optimizer=Optimizer.MUON, optimizer_options={"ns_steps": 2.5}),
        {},
        "optimizer_options.ns_steps: should be a whole number",
    ),
    "nesterov without momentum": (
        TrainPlan(optimizer=Optimizer.SGD, optimizer_options={"nesterov": True}),
        {},
        "optimizer_options.nesterov: has no effect without momentum",
    ),
    "nesterov with dampening": (
        TrainPlan(
            optimizer=Optimizer.SGD,
            optimizer_options={"momentum": 0.9, "nesterov": True, "dampening": 0.1},
        ),
        {},
        "optimizer_options.nesterov: does not go with dampening",
    ),
    "packing on mlx": (
        TrainPlan(quantization=Quantization.EIGHT_BIT),
        {},
        "There the base itself is quantised: leave the key out and give a 4-bit model",
    ),
    "an optimizer that mlx does not have": (
        TrainPlan(optimizer=Optimizer.PAGED_ADAMW_8BIT),
        {},
        "optimizer: mlx has no paged_adamw_8bit",
    ),
    "scales of packing on mlx": (
        TrainPlan(double_quantization=True),
        {},
        "double_quantization: mlx packs no model while it trains",
    ),
    "scales of no packing": (
        TrainPlan(quantization=Quantization.NONE, double_quantization=True),
        {"backend": "cuda"},
        "double_quantization: has no effect without quantization: 4bit",
    ),
    "scales of another packing": (
        TrainPlan(quantization=Quantization.EIGHT_BIT, double_quantization=True),
        {"backend": "cuda"},
        "double_quantization: has no effect without quantization: 4bit",
    ),
    "packed weights that are trained": (
        TrainPlan(method=Method.FULL, quantization=Quantization.FOUR_BIT),
        {"backend": "cuda"},
        "quantization: does not go with method full",
    ),
    "scales of what cannot be packed": (
        TrainPlan(double_quantization=True),
        {"backend": "cuda", "experts": True},
        "double_quantization: has no effect without quantization: 4bit",
    ),
    "experts that are packed": (
        TrainPlan(quantization=Quantization.EIGHT_BIT),
        {"backend": "cuda", "experts": True},
        "quantization: the model is a mixture of experts, and bitsandbytes leaves experts unpacked",
    ),
    "magnitudes in torch": (
        TrainPlan(method=Method.DORA),
        {"backend": "cuda"},
        "method: dora is trained on mlx only",
    ),
    "adafactor in torch": (
        TrainPlan(optimizer=Optimizer.ADAFACTOR),
        {"backend": "cuda"},
        "optimizer: torch's Adafactor is another one",
    ),
    "muon in torch": (
        TrainPlan(optimizer=Optimizer.MUON),
        {"backend": "cuda"},
        "optimizer: torch's Muon scales a step by the rows of a matrix",
    ),
    "an uncorrected adam in torch": (
        TrainPlan(optimizer=Optimizer.ADAMW, optimizer_options={"bias_correction": False}),
        {"backend": "cuda"},
        "optimizer_options.bias_correction: torch's adamw always corrects",
    ),
    "an option that 8 bits do not take": (
        TrainPlan(optimizer=Optimizer.PAGED_ADAMW_8BIT, optimizer_options={"amsgrad": True}),
        {"backend": "cuda"},
        "optimizer_options.amsgrad: paged_adamw_8bit takes no such option",
    ),
    "learning rate of adafactor": (
        TrainPlan(optimizer=Optimizer.ADAFACTOR, optimizer_options=OWN_RATE, learning_rate=1e-3),
        {},
        "learning_rate: has no effect: with relative_step adafactor makes its own",
    ),
    "schedule of adafactor": (
        TrainPlan(
            optimizer=Optimizer.ADAFACTOR,
            optimizer_options=OWN_RATE,
            schedule=Schedule(warmup=3),
        ),
        {},
        "schedule: has no effect: with relative_step",
    ),
    "warm-up of adafactor that is off": (
        TrainPlan(
            optimizer=Optimizer.ADAFACTOR,
            optimizer_options={"relative_step": False, "warmup_init": True},
        ),
        {},
        "optimizer_options.warmup_init: has no effect without relative_step: true",
    ),
}


@pytest.mark.parametrize("name", NO_EFFECT)
def test_what_would_do_nothing_is_refused_with_its_reason(name: str) -> None:
    plan, sizes, words = NO_EFFECT[name]
    assert words in refusal(plan, **sizes)


def test_adafactor_uses_the_plans_learning_rate() -> None:
    plan = TrainPlan(optimizer=Optimizer.ADAFACTOR, learning_rate=1e-3)
    assert resolved(plan).learning_rate == 1e-3


def test_everything_wrong_is_said_at_once() -> None:
    said = refusal(TrainPlan(layers=31, batch_size=91, epochs=1, iterations=2))
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        "iterations",
        "layers",
        "batch_size",
    ]


@pytest.mark.parametrize("epochs", [1e308, 1e300, 10**400, 10**7])
def test_more_epochs_than_anybody_trains_are_refused(epochs: float) -> None:
    with pytest.raises(InputError, match="epochs: should be less than or equal to 1000000"):
        with_overrides(TrainPlan(), epochs=epochs)


def test_epochs_of_much_data_are_refused_where_they_are_too_many() -> None:
    with pytest.raises(InputError, match="iterations, more than 1,000,000,000"):
        resolve_plan(
            with_overrides(TrainPlan(), epochs=10**6),
            model_layers=4,
            train_rows=10**7,
            valid_rows=0,
        )


def test_no_rows_no_training() -> None:
    assert refusal(TrainPlan(), train_rows=0) == "there is no row to train on"


CHANGED: dict[str, object] = {
    "schema_version": 2,
    "method": Method.DORA,
    "rank": 16,
    "alpha": 16.0,
    "dropout": 0.1,
    "keys": ("self_attn.q_proj",),
    "optimizer": Optimizer.ADAMW,
    "optimizer_options": {"eps": 1e-6},
    "schedule": {"curve": "cosine"},
    "batch_size": 2,
    "accumulation": 2,
    "max_length": 256,
    "masking": Masking.LAST,
    "gradient_checkpointing": True,
    "seed": 1,
    "order": Order.FILE,
    "validation_rows": 5,
    "patience": 1,
    "layers": 4,
    "learning_rate": 1e-3,
    "epochs": 1,
    "iterations": 10,
    "validate_every": 2,
    "checkpoint_every": 2,
}


NOT_ON_MLX: dict[str, dict[str, object]] = {
    "quantization": {"quantization": "8bit"},
    "double_quantization": {"double_quantization": True},
    "optimizer": {"optimizer": "paged_adamw_8bit"},
}
"""Flags that set keys which another backend acts on, and mlx refuses."""


def test_the_table_has_every_key() -> None:
    assert CHANGED.keys() | NOT_ON_MLX.keys() == TrainPlan.model_fields.keys()


@pytest.mark.parametrize("key", NOT_ON_MLX)
def test_what_mlx_refuses_reaches_the_worker_of_another_backend(key: str) -> None:
    assert ": mlx " in refusal(with_overrides(TrainPlan(), **NOT_ON_MLX[key]))


QLORA: dict[str, object] = {
    "quantization": Quantization.FOUR_BIT,
    "double_quantization": True,
    "gradient_checkpointing": True,
    "optimizer": Optimizer.PAGED_ADAMW_8BIT,
}


def differing(one: ResolvedPlan, other: ResolvedPlan) -> dict[str, object]:
    return {name: value for name, value in other if value != getattr(one, name)}


def test_on_cuda_a_bare_plan_is_qlora() -> None:
    assert differing(resolved(TrainPlan()), resolved(TrainPlan(), backend="cuda")) == QLORA


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ({"quantization": "4bit"}, {}),
        ({"quantization": "8bit"}, {"quantization": "8bit", "double_quantization": False}),
        ({"quantization": "none"}, {"quantization": "none", "double_quantization": False}),
        ({"double_quantization": False}, {"double_quantization": False}),
        ({"gradient_checkpointing": False}, {"gradient_checkpointing": False}),
        ({"optimizer": "adam"}, {"optimizer": "adam"}),
    ],
)
def test_what_the_plan_says_itself_is_not_a_default_of_cuda(
    said: dict[str, object], changed: dict[str, object]
) -> None:
    bare = resolved(TrainPlan(), backend="cuda")
    assert differing(bare, resolved(with_overrides(TrainPlan(), **said), backend="cuda")) == changed


def test_what_cannot_be_packed_stays_as_it_is_on_cuda() -> None:
    for plan, experts in ((TrainPlan(method=Method.FULL), False), (TrainPlan(), True)):
        chosen = resolved(plan, backend="cuda", experts=experts)
        assert (chosen.quantization, chosen.double_quantization) == (Quantization.NONE, False)
        assert chosen.gradient_checkpointing
        assert chosen.optimizer is Optimizer.PAGED_ADAMW_8BIT


def test_an_option_is_of_the_optimizer_that_the_backend_chooses() -> None:
    plan = with_overrides(TrainPlan(), optimizer_options={"weight_decay": 0.1})
    assert resolved(plan, backend="cuda").optimizer_options == {"weight_decay": 0.1}
    assert "adam takes no such option" in refusal(plan)
    with pytest.raises(InputError, match="adam takes no such option"):
        with_overrides(plan, optimizer="adam")


def test_a_correction_that_torch_always_makes_is_no_option_there() -> None:
    said: dict[str, Any] = {"bias_correction": True, "eps": 1e-6}
    plan = TrainPlan(optimizer=Optimizer.ADAM, optimizer_options=said)
    assert resolved(plan).optimizer_options == said
    assert resolved(plan, backend="cuda").optimizer_options == {"eps": 1e-6}


@pytest.mark.parametrize("key", sorted(CHANGED.keys() - {"schema_version"}))
def test_each_key_changes_what_the_worker_runs(key: str) -> None:
    bare = resolved(TrainPlan())
    changed = resolved(with_overrides(TrainPlan(), **{key: CHANGED[key]}))
    differing = {name for name, value in changed if value != getattr(bare, name)}
    # What follows from how long it is.
    follow = {"iterations", "validate_every", "checkpoint_every"}
    assert differing
    assert differing <= {key, *follow}
    assert key in differing or key == "epochs"


def test_a_plan_of_a_later_punie_is_refused() -> None:
    with pytest.raises(InputError, match="this punie knows plans of version 1"):
        with_overrides(TrainPlan(), schema_version=2)


SCHEDULES: dict[str, dict[str, object]] = {
    "curve": {"curve": "linear"},
    "warmup": {"warmup": 3},
    "warmup_from": {"warmup": 3, "warmup_from": 1e-6},
    "end": {"curve": "linear", "end": 1e-6},
    "over": {"curve": "linear", "over": 20},
    "decay": {"curve": "exponential", "decay": 0.99},
    "every": {"curve": "step", "decay": 0.5, "every": 20},
}


def test_each_key_of_the_schedule_changes_it() -> None:
    assert SCHEDULES.keys() == Schedule.model_fields.keys()
    for key, flags in SCHEDULES.items():
        changed = resolved(with_overrides(TrainPlan(), **flags)).schedule
        assert getattr(changed, key) != Schedule.model_fields[key].default


def test_flags_take_the_place_of_what_the_plan_says() -> None:
    plan = TrainPlan(iterations=100, alpha=16, schedule=Schedule(curve=Curve.COSINE, warmup=5))
    changed = with_overrides(plan, epochs=2, scale=2.5, rank=4, warmup=None, end=1e-6, seed=None)
    assert (changed.iterations, changed.epochs) == (None, 2)
    assert (changed.alpha, changed.scale) == (10, 2.5)
    assert changed.schedule == Schedule(curve=Curve.COSINE, warmup=5, end=1e-6)
    assert "seed" not in changed.model_fields_set


def test_what_was_not_said_stays_open() -> None:
    assert with_overrides(TrainPlan(rank=4)).model_fields_set == {"rank"}


FLAGS: dict[str, tuple[dict[str, object], str]] = {
    "zero rank": ({"rank": 0}, "rank: should be greater than or equal to 1, not 0"),
    "infinite rate": ({"learning_rate": float("inf")}, "learning_rate: should be a finite number"),
    "both epochs and iterations": ({"epochs": 1, "iterations": 3}, "iterations: stands beside"),
    "both scale and alpha": ({"scale": 1.0, "alpha": 3.0}, "scale: stands beside alpha"),
    "unknown layers": ({"layers": "some"}, "layers: should be a number of blocks, at least 1, or"),
    "unknown flag": ({"ranke": 3}, "ranke: unknown key; did you mean rank?"),
    "bad warm-up": ({"warmup": -1}, "schedule.warmup: should be greater than or equal to 0"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_a_bad_flag_is_refused_by_name(name: str) -> None:
    flags, words = FLAGS[name]
    with pytest.raises(InputError) as caught:
        with_overrides(TrainPlan(), **flags)
    assert words in caught.value.message


CLASSES = {
    Optimizer.ADAM: "Adam",
    Optimizer.ADAMW: "AdamW",
    Optimizer.SGD: "SGD",
    Optimizer.ADAFACTOR: "Adafactor",
    Optimizer.MUON: "Muon",
}


@pytest.mark.parametrize("optimizer", CLASSES)
def test_the_options_are_those_of_mlx(optimizer: Optimizer) -> None:
    constructor = getattr(mlx.optimizers, CLASSES[optimizer])
    parameters = dict(inspect.signature(constructor).parameters)
    del parameters["learning_rate"]
    assert OPTIONS[optimizer].keys() == parameters.keys()
    for name, kind in OPTIONS[optimizer].items():
        default = parameters[name].default
        expected = {
            bool: Kind.SWITCH,
            int: Kind.WHOLE,
            float: Kind.NUMBER,
            list: Kind.PAIR,
            tuple: Kind.PAIR,
            type(None): Kind.NUMBER,
        }
        assert kind is expected[type(default)]
