"""The training benchmark on the tiny model with the real worker, and how events become numbers."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from punie.datasets.reading import read_dataset
from punie.errors import InputError, ModelError, TrainingError
from punie.records.benchmark import CellEnd, GridCell, Shape
from punie.records.dataset import Split
from punie.records.training import (
    Ended,
    Ending,
    Failed,
    FailureKind,
    Loaded,
    Optimizer,
    Probed,
    Quantization,
    Started,
    Step,
    TrainEvent,
)
from punie.reporting.benchmark_wording import training_lines
from punie.reporting.training import plan_line
from punie.training import benchmark
from punie.training.benchmark import (
    Target,
    create_dummy_dataset,
    measure_shape,
    run_training_benchmark,
    training_job,
)
from punie.training.benchmark_recorder import Recorder
from punie.training.token_rows import write_random_rows

SHAPE = Shape(batch=2, seq=32, rank=4, layers=2)
TINY_SHAPE = Shape(batch=2, seq=32, rank=4, layers=1)
LOADED = Loaded(parameters=10, trainable=4, modules=2, layers=2, memory_bytes=5, seconds=0.5)
STARTED = Started(step=0, exact=True, machine={"device": "cpu"})


def probed(seconds: float) -> Probed:
    return Probed(
        rows=2, tokens=32, seconds=seconds, first_seconds=seconds + 3.0, peak_memory_bytes=700
    )


def step(number: int, seconds: float) -> Step:
    return Step(
        step=number, loss=1.0, learning_rate=1e-5, tokens=62, seconds=seconds, memory_bytes=900
    )


def ended(after: int) -> Ended:
    return Ended(step=after, ending=Ending.DONE, seconds=1.0, peak_memory_bytes=1000)


def noted(events: list[TrainEvent], *, too_slow_s: float | None = None) -> GridCell:
    """What a recorder makes of events, up to the one at which it is over."""
    recorder = Recorder("m", SHAPE, too_slow_s=too_slow_s)
    for event in events:
        if recorder.note(event):
            break
    return recorder.cell()


def test_the_journals_own_snippet(tiny_model: Path, tmp_path: Path) -> None:
    create_dummy_dataset(tmp_path / "benchmark", num_examples=5)
    result = asyncio.run(run_training_benchmark(model_path=str(tiny_model), num_iters=3))
    assert result.model_path == str(tiny_model)
    assert result.num_iters == len(result.iterations) == 3
    assert min(result.iterations) <= result.seconds_per_iter <= max(result.iterations)
    assert result.total_seconds > sum(result.iterations)
    assert result.peak_memory_gb is not None
    assert 0 < result.peak_memory_gb < 1
    assert len(result.warmup) == 1
    assert result.load_seconds is not None
    assert result.machine["device"] in ("cpu", "gpu")
    assert result.shape == Shape(batch=4, seq=256, rank=8, layers=2)


def test_the_dummy_dataset_is_one_that_training_reads(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "benchmark"
    create_dummy_dataset(folder, num_examples=10)
    dataset = read_dataset(folder, tmp_path)
    assert len(dataset.rows[Split.TRAIN]) == 10
    assert len(dataset.rows[Split.VALID]) == 2
    asked = [row.messages[0].content for rows in dataset.rows.values() for row in rows]
    assert len(set(asked)) == 12
    create_dummy_dataset(folder, num_examples=10)
    (folder / "train.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="is there already"):
        create_dummy_dataset(folder, num_examples=10)


@pytest.mark.parametrize("number", [0, -1])
def test_nothing_is_no_benchmark(tiny_model: Path, tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError):
        create_dummy_dataset(tmp_path, num_examples=number)
    with pytest.raises(InputError):
        asyncio.run(run_training_benchmark(str(tiny_model), number))


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ModelError):
        asyncio.run(run_training_benchmark("no-such-model", 1))


def test_a_shape_that_the_model_has_not(tiny_model: Path) -> None:
    target = Target.of(str(tiny_model))
    with pytest.raises(InputError, match="has 2 layers, not 3"):
        target.shape(layers=3)
    assert target.context_length is not None
    with pytest.raises(InputError, match="reads at most"):
        target.shape(seq=target.context_length + 1)


def free(size: int) -> Callable[[str, str], int]:
    """A device with so many bytes left."""
    return lambda _backend, _device: size


def test_a_worker_over_the_memory_limit_is_out_of_memory(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However far the estimate is above what is free, it is tried: the worker finds out.
    monkeypatch.setattr(benchmark, "HOPELESS", 1e9)
    monkeypatch.setattr(benchmark, "free_where", free(1_000_000))
    recorder = Recorder("m", SHAPE)
    cell = asyncio.run(measure_shape(Target.of(str(tiny_model)), recorder, iterations=1))
    assert cell.end is CellEnd.OUT_OF_MEMORY
    assert cell.measured is None
    assert "MB" in cell.why or "GB" in cell.why


def test_what_cannot_fit_is_not_even_tried(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "free_where", free(100_000))
    with pytest.raises(TrainingError, match="not tried: it takes about"):
        asyncio.run(run_training_benchmark(str(tiny_model), 1))


def test_a_budget_ends_it_once_there_are_enough(tiny_model: Path) -> None:
    recorder = Recorder("m", TINY_SHAPE, budget_s=1e-9)
    cell = asyncio.run(measure_shape(Target.of(str(tiny_model)), recorder, iterations=50_000))
    assert cell.end is CellEnd.MEASURED
    assert cell.measured is not None
    assert 1 <= cell.measured.num_iters < 50_000


def test_cancelled_it_keeps_what_it_has(tiny_model: Path) -> None:
    recorder = Recorder("m", TINY_SHAPE)

    async def cancel_after_some() -> None:
        measuring: asyncio.Task[GridCell]

        def watch(event: TrainEvent) -> None:
            if isinstance(event, Step) and event.step == 4:
                measuring.cancel()

        target = Target.of(str(tiny_model))
        measuring = asyncio.ensure_future(
            measure_shape(target, recorder, iterations=50_000, watch=watch)
        )
        with pytest.raises(asyncio.CancelledError):
            await measuring

    asyncio.run(cancel_after_some())
    cell = recorder.cell()
    assert cell.end is CellEnd.INTERRUPTED
    assert cell.measured is not None
    assert cell.measured.num_iters >= 3


def test_warm_up_and_compiling_are_apart() -> None:
    steps: list[TrainEvent] = [step(1, 9.0), step(2, 1.0), step(3, 3.0), step(4, 2.0)]
    cell = noted([LOADED, probed(1.0), STARTED, *steps, ended(4)])
    assert cell.end is CellEnd.MEASURED
    assert cell.measured is not None
    assert cell.measured.warmup == (9.0,)
    assert cell.measured.iterations == (1.0, 3.0, 2.0)
    assert cell.measured.seconds_per_iter == 2.0
    assert cell.measured.compile_seconds == pytest.approx(3.0)
    assert cell.measured.load_seconds == 0.5
    assert cell.measured.peak_memory_bytes == 1000
    assert cell.measured.tokens_per_second == 32.0


@pytest.mark.parametrize(
    ("events", "end", "at_least"),
    [
        ([LOADED, probed(75.0)], CellEnd.TOO_SLOW, 75.0),
        ([LOADED, probed(50.0), STARTED, step(1, 70.0), step(2, 61.0)], CellEnd.TOO_SLOW, None),
        ([LOADED], CellEnd.INTERRUPTED, None),
        (
            [LOADED, Failed(what=FailureKind.MEMORY, message="full")],
            CellEnd.OUT_OF_MEMORY,
            None,
        ),
        ([LOADED, Failed(what=FailureKind.INTERNAL, message="?")], CellEnd.FAILED, None),
    ],
)
def test_what_is_too_much_ends_a_cell(
    events: list[TrainEvent], end: CellEnd, at_least: float | None
) -> None:
    cell = noted(events, too_slow_s=60.0)
    assert cell.end is end
    assert cell.seconds_at_least == at_least


def test_a_model_that_cannot_be_trained_is_said_at_once() -> None:
    recorder = Recorder("m", SHAPE)
    assert recorder.note(Failed(what=FailureKind.MODEL, message="no such layer"))
    with pytest.raises(ModelError, match="no such layer"):
        recorder.raise_for_model()


def test_random_rows_are_as_long_as_was_asked(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "rows.safetensors"
    write_random_rows(path, rows=5, seq=33, vocabulary=100, seed=1)
    tensors = safetensors.load_file(path)
    assert tensors["train.tokens"].dtype == "int32"
    assert tensors["train.starts"].tolist() == [0, 33, 66, 99, 132, 165]
    assert tensors["train.mask"].tolist() == [1] * 165
    assert 0 <= tensors["train.tokens"].min() <= tensors["train.tokens"].max() < 100
    head = path.read_bytes()
    metadata = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])["__metadata__"]
    assert len(metadata["hash"]) == 64
    again = tmp_path / "again.safetensors"
    write_random_rows(again, rows=5, seq=33, vocabulary=100, seed=1)
    assert again.read_bytes() == head


def test_on_cuda_a_training_is_timed_as_it_would_be_trained(
    tiny_model: Path, tmp_path: Path
) -> None:
    def packing(asked: Quantization | None) -> tuple[Quantization, bool, Optimizer]:
        target = Target(name="t", path=tiny_model, vocabulary=500, quantization=asked, device="cpu")
        folder = tmp_path / str(asked)
        folder.mkdir()
        plan = training_job(target, SHAPE, 1, folder, backend="cuda").plan
        assert plan.gradient_checkpointing
        recorder = Recorder("m", SHAPE, plan=plan)
        for event in (LOADED, probed(1.0), STARTED, step(1, 9.0), step(2, 1.0), ended(2)):
            recorder.note(event)
        measured = recorder.cell().measured
        assert measured is not None
        # What was timed stands beside the time, and the plan's line on it too.
        told = dict(training_lines(measured)).get("Trained", "")
        assert ("NF4" in told) == (plan.quantization is Quantization.FOUR_BIT)
        assert ("base packed as 8-bit" in plan_line(plan)) == ("8-bit" in told)
        return plan.quantization, plan.double_quantization, plan.optimizer

    eight, paged = Quantization.EIGHT_BIT, Optimizer.PAGED_ADAMW_8BIT
    assert packing(None) == (Quantization.FOUR_BIT, True, paged)
    assert packing(eight) == (eight, False, paged)
    assert packing(Quantization.NONE) == (Quantization.NONE, False, paged)
