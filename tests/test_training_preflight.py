"""What a training takes, before it takes it."""

import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from punie.backends.choose import training_backend
from punie.errors import DataCheckError, TrainingError
from punie.models.check import read_json
from punie.models.memory import Architecture, architecture
from punie.models.training_memory import estimate_training, room_on_disk, trained_values
from punie.records.datacheck import DataFinding, DataReport, Place, Severity
from punie.records.dataset import DatasetVersion, Split
from punie.records.encoding import EncodedSplit
from punie.records.preflight import Preflight, SplitLengths
from punie.records.training import Method, Phase, Probed, ResolvedPlan, TrainJob
from punie.reporting.training import preflight_table
from punie.training.preflight import (
    measured,
    memory_estimate,
    refuse_defects,
    refuse_what_cannot_fit,
    refuse_without_room,
    split_lengths,
)
from train_rows_file import write_rows

PLAN = ResolvedPlan(
    layers=2,
    learning_rate=1e-4,
    iterations=100,
    validate_every=10,
    checkpoint_every=10,
    batch_size=4,
    max_length=64,
)
LENGTHS = SplitLengths(
    rows=10,
    tokens=400,
    trained=100,
    shortest=8,
    median=40,
    p95=64,
    longest=64,
    most_trained=20,
    cut=0,
)


@pytest.fixture(scope="module")
def shape(tiny_model: Path) -> Architecture:
    found = architecture(read_json(tiny_model / "config.json"))
    assert found is not None
    return found


def test_what_lora_trains_is_counted_as_the_worker_counts_it(shape: Architecture) -> None:
    # Per block, at rank 8: q 64+64, k and v 64+32 each, o 64+64, gate, up and down 64+128 each.
    assert trained_values(shape, PLAN) == 2 * 8 * (128 + 2 * 96 + 128 + 3 * 192)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 8},
        {"layers": 3},
        {"rank": 64},
        {"max_length": 128},
        {"method": Method.FULL},
        {"accumulation": 2},
    ],
)
def test_what_takes_more_is_estimated_higher(
    shape: Architecture, change: dict[str, object]
) -> None:
    def total(plan: ResolvedPlan) -> int:
        return estimate_training(
            shape, plan, weight_bytes=1000, value_bytes=4, longest=500, most_trained=9
        ).total

    assert total(PLAN.model_copy(update=change)) > total(PLAN)


def test_gradient_checkpointing_takes_less(shape: Architecture) -> None:
    plan = PLAN.model_copy(update={"layers": 30, "max_length": 2048})
    less = plan.model_copy(update={"gradient_checkpointing": True})
    full, small = (
        estimate_training(
            shape, each, weight_bytes=0, value_bytes=4, longest=2048, most_trained=9
        ).activations
        for each in (plan, less)
    )
    assert small < full / 5


@pytest.mark.parametrize(
    ("length", "counted", "change"),
    [
        (48, 24, {}),
        (48, 24, {"method": Method.FULL}),
        (450, 450, {"batch_size": 8}),
        (450, 9, {"batch_size": 40, "layers": 1}),
        (450, 45, {"batch_size": 4, "gradient_checkpointing": True}),
    ],
    ids=["short", "full", "every logit", "few logits", "checkpointing"],
)
async def test_the_estimate_is_near_what_the_probe_measures(
    tiny_model: Path, tmp_path: Path, length: int, counted: int, change: dict[str, object]
) -> None:
    plan = PLAN.model_copy(update={"max_length": 512, **change})
    row = ([5] * length, [0] * (length - counted) + [1] * counted)
    rows = write_rows(tmp_path / "rows", train=[row] * plan.batch_size)
    folder = tmp_path / "work"
    job = TrainJob(plan=plan, model=tiny_model, rows=rows, folder=folder, phase=Phase.PROBE)
    events = [event async for event in training_backend("mlx").train(job)]
    (probed,) = [event for event in events if isinstance(event, Probed)]
    estimate = memory_estimate(tiny_model, plan, longest=length, most_trained=counted)
    assert estimate is not None
    assert 0.5 < estimate / probed.peak_memory_bytes < 2


def test_the_room_for_checkpoints_counts_each_of_them(shape: Architecture) -> None:
    rare = PLAN.model_copy(update={"validate_every": 100, "checkpoint_every": 100})
    one = trained_values(shape, PLAN) * 4
    often = room_on_disk(shape, PLAN, value_bytes=4)
    assert often - room_on_disk(shape, rare, value_bytes=4) == 9 * one


def test_a_disk_without_room_is_said_before_the_training(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_without_room(tiny_model, PLAN, tmp_path)
    usage = shutil.disk_usage(tmp_path)

    def nearly_full(_path: Path) -> object:
        return usage._replace(free=1000)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    with pytest.raises(TrainingError, match="the disk has 1 kB left"):
        refuse_without_room(tiny_model, PLAN, tmp_path)


def test_only_what_is_hopeless_is_refused_by_the_estimate() -> None:
    refuse_what_cannot_fit(None, 1)
    refuse_what_cannot_fit(140, 100)
    with pytest.raises(TrainingError, match="would take about 160 B, 100 B are free"):
        refuse_what_cannot_fit(160, 100)


def finding(check: str, places: int = 1) -> DataFinding:
    return DataFinding(
        check=check,
        severity=Severity.ERROR,
        what=f"{check} is wrong",
        places=tuple(Place(file="train.jsonl", line=i + 1) for i in range(places)),
        count=places,
        hint=f"mend {check}",
    )


def test_leakage_alone_can_be_allowed() -> None:
    refuse_defects([], allow_leakage=False)
    refuse_defects([finding("leakage")], allow_leakage=True)
    with pytest.raises(DataCheckError) as leaks:
        refuse_defects([finding("leakage")], allow_leakage=False)
    assert "--allow-leakage" in leaks.value.hint
    with pytest.raises(DataCheckError) as both:
        refuse_defects([finding("leakage"), finding("template", 9)], allow_leakage=True)
    assert "leakage" not in both.value.message
    assert "train.jsonl:5" in both.value.message
    assert "and 4 more" in both.value.message
    assert both.value.hint == "mend template"


def test_lengths_in_a_few_numbers() -> None:
    lengths = split_lengths(EncodedSplit(lengths=(9, 3, 30, 12), trained=(2, 1, 8, 4)), 10)
    assert lengths.model_dump() == {
        "rows": 4,
        "tokens": 54,
        "trained": 15,
        "shortest": 3,
        "median": 10,
        "p95": 30,
        "longest": 30,
        "most_trained": 8,
        "cut": 2,
    }


def a_preflight() -> Preflight:
    return Preflight(
        model="m",
        dataset=DatasetVersion(name="d", hash="h", splits={}),
        plan=PLAN,
        lengths={Split.TRAIN: LENGTHS, Split.VALID: LENGTHS},
        report=DataReport(dataset_hash="h"),
        memory_free_bytes=1,
    )


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({}, ""),
        ({"processes": 2}, "mlx, 2 processes"),
        ({"backend": "cuda"}, "cuda, the CPU"),
        ({"backend": "cuda", "gpu": True, "processes": 4}, "cuda, a GPU, 4 processes"),
    ],
)
def test_what_computes_is_said_where_it_is_not_the_usual(where: dict[str, Any], said: str) -> None:
    preflight = a_preflight().model_copy(update=where)
    console = Console(width=100, record=True, file=StringIO())
    console.print(preflight_table(preflight))
    shown = console.export_text()
    assert (f"on      {said}" in shown) if said else ("\non " not in shown)
    assert ("for each process" in shown) is ("processes" in where)


def test_time_goes_with_tokens() -> None:
    preflight = a_preflight()
    probed = Probed(rows=4, tokens=80, seconds=2.0, first_seconds=9.0, peak_memory_bytes=7)
    after = measured(preflight, None, probed)
    assert after.memory_measured_bytes == 7
    assert after.seconds_per_iteration == 1.0  # rows of 40 tokens, where 80 were tried
    # A hundred iterations, and eleven validations of three batches at a third of the work.
    assert after.seconds_estimate == pytest.approx(100 + 11 * 3 / 3)
