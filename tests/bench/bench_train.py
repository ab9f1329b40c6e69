"""What a training costs, measured against mlx_lm's own loop on the same batches.

python tests/bench/bench_train.py [--fast] [--rounds N]

SmolLM2-135M, LoRA, float32. punie's worker and the bare loop (`bare_train.py`) take turns. Each
iteration's time is the smallest of the rounds, because other work on the machine only ever adds;
the first iterations, in which both compile, are left out. On Linux the bare loop also runs as it is
installed, without OpenBLAS. `--fast` takes the tiny model, whose iterations cost mostly overhead,
and has no targets.

The last line of stdout is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench_eval import BenchFailed, Row, show

from punie.backends.blas import find_openblas
from punie.backends.workers.before_mlx import BLAS
from punie.backends.workers.train_failure import EVENTS_FD
from punie.models.catalog import BUILTINS
from punie.models.pull import pull_builtin
from punie.records.training import (
    TRAIN_EVENT,
    Ended,
    ResolvedPlan,
    Saved,
    Step,
    TrainEvent,
    TrainJob,
)
from train_rows_file import random_rows, write_rows

BARE = Path(__file__).with_name("bare_train.py")
ITERATIONS, COMPILING = 20, 4
STOCK_ITERATIONS = 2
PLAN = ResolvedPlan(
    layers=16,
    learning_rate=2e-4,
    iterations=ITERATIONS,
    batch_size=4,
    max_length=256,
    validate_every=ITERATIONS,
    checkpoint_every=ITERATIONS // 2,  # ten iterations apart, as in a run of a hundred
)


@dataclass(frozen=True, slots=True)
class Trained:
    """What one program took: the seconds of its iterations, and its peak."""

    seconds: list[float]
    peak_bytes: int
    saving: float = 0.0
    """Share of the wall time that went into checkpoints."""


def environment(*, blas: bool) -> dict[str, str]:
    found = find_openblas() if blas else None
    env = {name: value for name, value in os.environ.items() if name != BLAS}
    return env | ({} if found is None else {BLAS: str(found)})


def ours(job: TrainJob, folder: Path) -> Trained:
    """Run punie's worker."""
    job = job.model_copy(update={"folder": folder})
    file = folder / "job.json"
    file.write_text(job.model_dump_json())
    heard, says = os.pipe()
    env = environment(blas=True) | {EVENTS_FD: str(says)}
    argv = [sys.executable, "-m", "punie.backends.workers.mlx_train", file]
    with subprocess.Popen(argv, env=env, pass_fds=[says]) as child:
        os.close(says)
        with os.fdopen(heard) as lines:
            events: list[TrainEvent] = [TRAIN_EVENT.validate_json(line) for line in lines]
        child.wait()
    if not isinstance(events[-1], Ended):
        raise BenchFailed(f"the worker: {events[-1]}")
    saving = sum(each.seconds for each in events if isinstance(each, Saved))
    return Trained(
        [each.seconds for each in events if isinstance(each, Step)],
        events[-1].peak_memory_bytes,
        saving / events[-1].seconds,
    )


def bare(job: TrainJob, folder: Path, *, blas: bool = True) -> Trained:
    """Run mlx_lm's own loop."""
    file = folder / "job.json"
    file.write_text(job.model_dump_json())
    argv = [sys.executable, BARE, file, folder]
    ended = subprocess.run(
        argv, env=environment(blas=blas), capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise BenchFailed(f"the bare loop: {ended.stderr[-2000:]}")
    took = json.loads((folder / "took.json").read_text())
    return Trained(took["seconds"], took["peak_memory_bytes"])


def smallest(rounds: Sequence[Trained]) -> list[float]:
    """The seconds of each iteration after the first, each the smallest of the rounds."""
    return [min(each) for each in zip(*(one.seconds for one in rounds), strict=True)][COMPILING:]


def measure(model: Path, folder: Path, rounds: int, *, targets: bool) -> list[Row]:
    """Both loops in turn on the same batches."""
    rows = random_rows(60, shortest=60, longest=200)
    file = write_rows(folder / "rows", train=rows, valid=random_rows(4, 1))
    job = TrainJob(plan=PLAN, model=model, rows=file, folder=folder)
    if not targets:
        job = job.model_copy(update={"plan": PLAN.model_copy(update={"layers": 2})})
    punies: list[Trained] = []
    mlx_lms: list[Trained] = []
    for number in range(rounds):
        for name, arm, runs in (("ours", ours, punies), ("bare", bare, mlx_lms)):
            out = folder / f"{name}{number}"
            out.mkdir()
            runs.append(arm(job, out))
    mine, theirs = smallest(punies), smallest(mlx_lms)
    saving = min(each.saving for each in punies)
    peak, bare_peak = (max(run.peak_bytes for run in runs) for runs in (punies, mlx_lms))

    def at_most(most: float) -> float | None:
        return most if targets else None

    found = [
        Row("iteration_s", "seconds per iteration, median", statistics.median(mine), None, "s"),
        Row("bare_iteration_s", "  mlx_lm's train()", statistics.median(theirs), None, "s"),
        Row("iteration_ratio", "  ratio", sum(mine) / sum(theirs), at_most(1.03), "x"),
        Row("saving_share", "checkpoints, of wall time", saving, at_most(0.02), ""),
        Row("peak_mb", "peak memory", peak / 1e6, None, "MB"),
        Row("peak_ratio", "  of mlx_lm's train()", peak / bare_peak, at_most(1.05), "x"),
    ]
    if targets and find_openblas() is not None:
        found += without_openblas(model, folder)
    return found


def without_openblas(model: Path, folder: Path) -> list[Row]:
    """mlx_lm as it is installed, for two iterations on short rows: it is slow."""
    rows = write_rows(folder / "short", train=random_rows(4, shortest=40, longest=64))
    plan = PLAN.model_copy(update={"iterations": STOCK_ITERATIONS, "batch_size": 2})
    job = TrainJob(plan=plan, model=model, rows=rows, folder=folder)
    fast, slow = folder / "fast", folder / "slow"
    fast.mkdir()
    slow.mkdir()
    mine, stock = min(ours(job, fast).seconds), min(bare(job, slow, blas=False).seconds)
    return [
        Row("stock_iteration_s", "without OpenBLAS, mlx_lm's train()", stock, None, "s"),
        Row("openblas_share", "  punie's share of that time", mine / stock, 1 / 8, "x"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a training costs.")
    parser.add_argument("--fast", action="store_true", help="the tiny model, without targets")
    parser.add_argument("--rounds", type=int, default=2, help="the smallest of so many counts")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="punie-bench-") as name:
            folder = Path(name)
            if options.fast:
                model = folder / "tiny"
                build = [sys.executable, "-m", "punie.backends.workers.tiny", model]
                subprocess.run(build, check=True)
            else:
                model = pull_builtin(BUILTINS["smollm2-135m"])
            rows = measure(model, folder, options.rounds, targets=not options.fast)
    except BenchFailed as failure:
        sys.exit(f"bench: {failure}")
    sys.exit(show("train", rows))


if __name__ == "__main__":
    main()
