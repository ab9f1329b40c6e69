"""A made-up training and a made-up benchmark, whole, for tests that need one without a machine."""

from typing import Any

from punie.datasets.version import dataset_hash
from punie.records.adapter import AdapterManifest, Chosen, LossPoint
from punie.records.benchmark import (
    BenchmarkResult,
    CellEnd,
    Conditions,
    Decision,
    GridCell,
    Pace,
    Projection,
    Quartiles,
    ServingBenchmark,
    ServingCell,
    Shape,
    TrainingBenchmark,
)
from punie.records.run import ModelIdentity, Provenance, RunStatus
from punie.records.training_run import TrainingRun, TrainingStatus
from synthetic_adapter import a_manifest


def a_finished_manifest(**changes: Any) -> AdapterManifest:
    """A manifest that agrees with itself: hash of the data, epochs, kept checkpoint."""
    plain = a_manifest()
    losses = tuple(
        LossPoint(
            step=step,
            train=0.1 + 2 / step,
            valid=0.2 + 2 / step + step / 400 if step % 10 == 0 else None,
        )
        for step in range(1, 101)
    )
    found = {each.step: each.valid for each in losses if each.valid is not None}
    best = min(found, key=lambda step: (found[step], step))
    data = plain.data.model_copy(update={"hash": dataset_hash(plain.data.splits)})
    whole = {
        "data": data,
        "chosen": Chosen(step=best, by="validation loss", value=found[best], candidates=found),
        "training": plain.training.model_copy(update={"losses": losses, "epochs": 3.333}),
    }
    return plain.model_copy(update=whole | changes)


def a_training(training_id: str = "20261121-085000-abcd", **changes: Any) -> TrainingRun:
    """A training that ended well; `changes` replace fields of the top."""
    manifest = a_manifest()
    plain = TrainingRun(
        id=training_id,
        created_at="2026-11-21T08:50:00+00:00",
        name=manifest.name,
        status=TrainingStatus.DONE,
        base=manifest.base,
        data=manifest.data,
        plan=manifest.plan,
        training=manifest.training,
        chosen=manifest.chosen,
        provenance=manifest.provenance,
    )
    return plain.model_copy(update=changes)


def a_shape(batch: int = 4, seq: int = 256) -> Shape:
    """A shape of rank 8 and 16 layers."""
    return Shape(batch=batch, seq=seq, rank=8, layers=16)


def a_measurement(shape: Shape, seconds: float) -> TrainingBenchmark:
    """Five iterations around `seconds`."""
    return TrainingBenchmark(
        model_path="smollm2-135m",
        shape=shape,
        num_iters=5,
        seconds_per_iter=seconds,
        iterations=(seconds, seconds * 0.9, seconds * 1.1, seconds * 0.95, seconds * 1.05),
        warmup=(2 * seconds,),
        compile_seconds=0.4,
        load_seconds=1.2,
        total_seconds=9 * seconds,
        peak_memory_bytes=1_900_000_000,
        trainable=900_000,
        machine={"device": "cpu", "blas": "/usr/lib/libopenblas.so.0", "threads": "2"},
    )


def a_benchmark(benchmark_id: str = "20261121-100000-wxyz", **changes: Any) -> BenchmarkResult:
    """A benchmark of training, with a grid, and of serving; `changes` replace fields of the top."""
    measured = a_measurement(a_shape(), 3.0)
    rate = Quartiles(least=9.0, low=9.5, median=10.0, high=10.5, most=11.0, n=4)
    plain = BenchmarkResult(
        id=benchmark_id,
        created_at="2026-11-21T10:00:00+00:00",
        model=ModelIdentity(name="smollm2-135m", backend="mlx", dtype="float32"),
        conditions=Conditions(free_memory_bytes=6_000_000_000, cores=2),
        provenance=Provenance(command="punie benchmark --grid", hardware="M3, 8 cores"),
        status=RunStatus.DONE,
        training=measured,
        grid=(
            GridCell(shape=a_shape(), end=CellEnd.MEASURED, measured=measured),
            GridCell(
                shape=a_shape(seq=128),
                end=CellEnd.MEASURED,
                measured=a_measurement(a_shape(seq=128), 1.6),
            ),
            GridCell(shape=a_shape(seq=2048), end=CellEnd.TOO_SLOW, seconds_at_least=61.0),
        ),
        serving=ServingBenchmark(
            start_seconds=1.4,
            cells=(
                ServingCell(
                    prompt_tokens=128,
                    concurrency=1,
                    end=CellEnd.MEASURED,
                    requests=4,
                    tokens_in=512,
                    tokens_out=128,
                    prompt_rate=rate,
                    generation_rate=rate,
                    throughput=rate,
                    first_token_s=Quartiles(
                        least=0.3, low=0.3, median=0.4, high=0.5, most=0.6, n=4
                    ),
                ),
            ),
            peak_memory_bytes=900_000_000,
        ),
        decision=Decision(
            pace=Pace.GO_ON, seconds_per_iter=3.0, sentence="3.00 s an iteration: go on."
        ),
        projection=Projection(
            data="data/weather",
            rows=120,
            tokens=24_000,
            longest=240,
            epochs=3,
            batch=4,
            iterations=90,
            seconds=270.0,
            assumption="an iteration takes as long as the measured one",
        ),
    )
    return plain.model_copy(update=changes)
