"""How many seconds an iteration of training takes on this machine, by the worker that trains."""

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from punie.backends.base import TrainingBackend
from punie.backends.choose import training_backend
from punie.backends.room import computes_on_gpu, free_where
from punie.errors import InputError, TrainingError
from punie.models.check import read_json
from punie.models.describe import describe
from punie.models.experts import has_experts
from punie.models.hf_folder import hf_folder
from punie.models.resolve import resolve
from punie.records.benchmark import CellEnd, GridCell, Shape, TrainingBenchmark
from punie.records.dataset import Split
from punie.records.training import (
    Masking,
    Quantization,
    ResolvedPlan,
    TrainEvent,
    TrainJob,
    TrainPlan,
)
from punie.sizes import byte_size
from punie.training.benchmark_recorder import WARMUP, Recorder
from punie.training.defaults import with_backend_defaults
from punie.training.preflight import HOPELESS, memory_estimate
from punie.training.token_rows import write_random_rows

BATCH, SEQ, RANK, LAYERS = 4, 256, 8, 16
"""What is measured where nobody says otherwise; batch, rank and layers as a training has them."""
ITERATIONS = 10
MOST_ROWS = 64
MEMORY_SHARE = 0.95
"""Of the free memory, which the worker may take."""
USUAL_VOCABULARY = 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The model to train for a while. `layers` is None where its config does not tell."""

    name: str
    path: Path
    vocabulary: int
    layers: int | None = None
    context_length: int | None = None
    quantization: Quantization | None = None
    """The packing that was asked for; None: that of a training on the backend."""
    device: Literal["auto", "gpu", "cpu"] = "auto"
    """What cuda computes on."""

    @classmethod
    def of(cls, name: str) -> "Target":
        """Find (or fetch) the model called `name`. Raises InputError or ModelError."""
        info = describe(resolve(name))
        return cls(
            name=name,
            path=info.model.path,
            vocabulary=info.vocabulary or USUAL_VOCABULARY,
            layers=info.layers,
            context_length=info.context_length,
        )

    def shape(
        self,
        *,
        batch: int | None = None,
        seq: int | None = None,
        rank: int | None = None,
        layers: int | None = None,
    ) -> Shape:
        """The shape to measure: what is None is as usual, and as the model allows.

        Raises InputError for more layers or longer rows than the model has.
        """
        if layers and self.layers and layers > self.layers:
            raise InputError(
                f"{self.name} has {self.layers} layers, not {layers}",
                hint=f"--layers {self.layers} trains all of them",
            )
        if seq and self.context_length and seq > self.context_length:
            raise InputError(
                f"{self.name} reads at most {self.context_length} tokens, not {seq}",
                hint=f"--seq {self.context_length} is the longest",
            )
        return Shape(
            batch=batch or BATCH,
            seq=seq or min(SEQ, self.context_length or SEQ),
            rank=rank or RANK,
            layers=layers or min(LAYERS, self.layers or LAYERS),
        )


async def run_training_benchmark(
    model_path: str,
    num_iters: int = ITERATIONS,
    *,
    shape: Shape | None = None,
    backend: TrainingBackend | None = None,
) -> TrainingBenchmark:
    """Train the model `model_path` for `num_iters` iterations on random rows, and time each.

    `model_path` is any name that punie knows: built-in, folder, GGUF file, hub id. Nothing is
    written. Raises InputError or ModelError for the model, TrainingError where memory runs out.
    """
    if num_iters < 1:
        raise InputError(f"{num_iters} iterations cannot be timed", hint="give 1 or more")
    target = Target.of(model_path)
    recorder = Recorder(target.name, shape or target.shape())
    cell = await measure_shape(target, recorder, iterations=num_iters, backend=backend)
    if cell.measured is None or cell.end is not CellEnd.MEASURED:
        raise TrainingError(
            f"{cell.shape} could not be measured: {cell.why}",
            hint="shorter rows, fewer layers, a smaller batch or a smaller model take less memory",
        )
    return cell.measured


async def measure_shape(
    target: Target,
    recorder: Recorder,
    *,
    iterations: int,
    backend: TrainingBackend | None = None,
    watch: Callable[[TrainEvent], None] = lambda _: None,
) -> GridCell:
    """Measure the recorder's shape; what the worker could not do is in the cell.

    When this is cancelled, the recorder has what there was up to then. Raises ModelError where the
    model cannot be trained at all.
    """
    backend = backend or training_backend(None)
    if backend.name == "cuda":
        target = replace(target, path=await asyncio.to_thread(hf_folder, target.path))
    with tempfile.TemporaryDirectory(prefix="punie-") as folder:
        job = training_job(target, recorder.shape, iterations, Path(folder), backend=backend.name)
        recorder.plan = job.plan
        if too_large := _too_large(target, job, backend.name):
            recorder.refuse(too_large)
            return recorder.cell()
        async with aclosing(backend.train(job)) as events:
            async for event in events:
                watch(event)
                if recorder.note(event):
                    break
    recorder.raise_for_model()
    return recorder.cell()


def training_job(
    target: Target, shape: Shape, iterations: int, folder: Path, *, backend: str
) -> TrainJob:
    """The worker's job, and its rows in `folder`: random ids, the same for the same shape.

    What the shape leaves open is as in a training on that backend.
    """
    total = WARMUP + iterations
    rows = folder / "rows.safetensors"
    number = shape.batch * min(total, max(1, MOST_ROWS // shape.batch))
    write_random_rows(rows, rows=number, seq=shape.seq, vocabulary=target.vocabulary)
    work = folder / "work"
    work.mkdir()
    asked = TrainPlan(quantization=target.quantization) if target.quantization else TrainPlan()
    experts = has_experts(read_json(target.path / "config.json"))
    usual = with_backend_defaults(asked, backend, experts=experts)
    plan = ResolvedPlan(
        quantization=usual.quantization,
        double_quantization=usual.double_quantization,
        gradient_checkpointing=usual.gradient_checkpointing,
        optimizer=usual.optimizer,
        rank=shape.rank,
        alpha=4.0 * shape.rank,
        layers=shape.layers,
        batch_size=shape.batch,
        max_length=max(8, shape.seq),
        masking=Masking.NONE,
        learning_rate=1e-5,
        iterations=total,
        validate_every=total,
        checkpoint_every=total,
        patience=None,
    )
    limit = int(MEMORY_SHARE * free_where(backend, target.device))
    return TrainJob(
        plan=plan,
        model=target.path,
        rows=rows,
        folder=work,
        memory_limit_bytes=limit,
        save=False,
    )


def _too_large(target: Target, job: TrainJob, backend: str) -> str:
    """Why the shape must not even be tried: by estimate it takes far more than is free."""
    length = job.plan.max_length
    estimate = memory_estimate(
        target.path,
        job.plan,
        longest=length,
        most_trained=length,
        backend=backend,
        gpu=computes_on_gpu(backend, target.device),
    )
    free = free_where(backend, target.device)
    if estimate is None or estimate <= HOPELESS * free:
        return ""
    needed = f"about {byte_size(estimate)} by estimate"
    return f"not tried: it takes {needed}, and {byte_size(free)} are free"


def create_dummy_dataset(path: Path, num_examples: int = 5) -> None:
    """Write a folder of chats that a training takes: `train.jsonl` and a smaller `valid.jsonl`.

    The chats are about sums, all different, the same each time. Raises InputError where a file of
    that name is there with other content.
    """
    if num_examples < 1:
        raise InputError(f"a dataset of {num_examples} examples is none", hint="give 1 or more")
    folder = Path(path)
    held_out = max(1, num_examples // 5)
    parts = {
        Split.TRAIN: range(num_examples),
        Split.VALID: range(num_examples, num_examples + held_out),
    }
    written = {
        folder / f"{split.value}.jsonl": "".join(_chat(number) for number in numbers)
        for split, numbers in parts.items()
    }
    for file, text in written.items():
        if file.exists() and file.read_text(encoding="utf-8", errors="replace") != text:
            raise InputError(f"{file} is there already", hint="give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in written.items():
        file.write_text(text, encoding="utf-8")


def _chat(number: int) -> str:
    """One example; 97 and 89 are coprime, so no two of 8,633 share their summands."""
    first, second = 3 + number % 97, 5 + number % 89
    turns = [
        {"role": "user", "content": f"What is {first} plus {second}?"},
        {"role": "assistant", "content": f"{first} plus {second} is {first + second}."},
    ]
    return json.dumps({"messages": turns}) + "\n"
