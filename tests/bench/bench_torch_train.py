"""What a training with torch costs, measured against transformers' Trainer on the same batches.

python tests/bench/bench_torch_train.py [--fast] [--rounds N]

SmolLM2-135M in NF4 with a LoRA, on the CPU with one thread. punie's worker and a bare Trainer take
turns, each with few and with more iterations: what an iteration costs is the slope between the two,
in seconds of the processor, so neither the start nor other programs count. The smallest of the
rounds counts. `--fast` takes the tiny model, whose iterations cost mostly overhead, and has no
targets.

The last line of stdout is one JSON object.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# torch, transformers and peft are only partly typed.

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench_eval import BenchFailed, Row, show

from punie.models.catalog import BUILTINS
from punie.models.pull import pull_builtin
from punie.records.dataset import Split
from punie.records.training import Optimizer, Quantization, ResolvedPlan, TrainJob
from train_rows_file import random_rows, write_rows

FEW, MORE = 2, 8
MORE_OF_TINY = 80
PLAN = ResolvedPlan(
    layers=16,
    learning_rate=2e-4,
    iterations=MORE,
    batch_size=2,
    keys=("self_attn.q_proj", "self_attn.v_proj"),
    optimizer=Optimizer.ADAMW,
    quantization=Quantization.FOUR_BIT,
    double_quantization=True,
    validate_every=1000,
    checkpoint_every=1000,
)


def bare(job: TrainJob) -> None:
    """Train with peft and transformers as their guides say, on the batches of punie's loop."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        BitsAndBytesConfig,
        Trainer,
        TrainingArguments,
    )

    from punie.backends.workers.torch_packing import keep_weights_as_they_are
    from punie.backends.workers.train_rows import Epochs, make_batch, read_tokens

    plan = job.plan
    rows = read_tokens(job.rows).splits[Split.TRAIN]
    epochs = Epochs(rows.lengths, plan.batch_size, plan.order, plan.seed)
    batches = epochs.after(0)
    given: list[dict[str, Any]] = []
    for _ in range(plan.iterations):
        batch = make_batch(rows, next(batches), plan.max_length)
        tokens = torch.from_numpy(batch.tokens).long()
        labels = tokens.clone()
        labels[:, 0] = -100
        labels[:, 1:][~torch.from_numpy(batch.counts)] = -100
        # Trainer shifts by itself, and the model is then given the last token too.
        given.append({"input_ids": tokens, "labels": labels})
    torch.manual_seed(plan.seed)
    model: Any = AutoModelForCausalLM.from_pretrained(
        job.model,
        dtype="auto",
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        ),
        device_map={"": "cpu"},
    )
    keep_weights_as_they_are(model)
    blocks = len(model.model.layers)
    lora = LoraConfig(
        r=plan.rank,
        lora_alpha=int(plan.alpha),
        target_modules=["q_proj", "v_proj"],
        layers_to_transform=list(range(blocks - plan.layers, blocks)),
        layers_pattern="layers",
    )
    arguments = TrainingArguments(
        output_dir=str(job.folder),
        per_device_train_batch_size=1,
        max_steps=plan.iterations,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        max_grad_norm=0,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    dataset: Any = given
    Trainer(
        model=get_peft_model(model, lora),
        args=arguments,
        train_dataset=dataset,
        data_collator=lambda one: one[0],
    ).train()


def processor_seconds(job: TrainJob, folder: Path, iterations: int, *, ours: bool) -> float:
    """Run one program with so many iterations."""
    folder.mkdir()
    plan = job.plan.model_copy(update={"iterations": iterations})
    job = job.model_copy(update={"plan": plan, "folder": folder})
    file = folder / "job.json"
    file.write_text(job.model_dump_json())
    program = ["-m", "punie.backends.workers.torch_train"] if ours else [__file__, "--bare"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    argv = [sys.executable, *program, file]
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise BenchFailed(f"{program}: {ended.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(model: Path, folder: Path, rounds: int, *, targets: bool) -> list[Row]:
    """Both in turn on the same batches."""
    # All of one length: else the probe's largest batch would be larger with more iterations.
    rows = write_rows(folder / "rows", train=random_rows(60, shortest=128, longest=129))
    job = TrainJob(plan=PLAN, model=model, rows=rows, folder=folder, save=False)
    if not targets:
        job = job.model_copy(update={"plan": PLAN.model_copy(update={"layers": 2})})
    more = MORE if targets else MORE_OF_TINY
    took: dict[tuple[bool, int], list[float]] = {}
    for number in range(rounds):
        for iterations in (FEW, more):
            for ours in (True, False):
                out = folder / f"{number}-{iterations}-{ours}"
                seconds = processor_seconds(job, out, iterations, ours=ours)
                took.setdefault((ours, iterations), []).append(seconds)
    mine, theirs = (
        (min(took[ours, more]) - min(took[ours, FEW])) / (more - FEW) for ours in (True, False)
    )
    return [
        Row("torch_iteration_s", "processor seconds per iteration", mine, None, "s"),
        Row("trainer_iteration_s", "  transformers' Trainer", theirs, None, "s"),
        Row("torch_ratio", "  ratio", mine / theirs, 1.05 if targets else None, "x"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a training with torch costs.")
    parser.add_argument("--fast", action="store_true", help="the tiny model, without targets")
    parser.add_argument("--rounds", type=int, default=2, help="the smallest of so many counts")
    parser.add_argument("--bare", type=Path, metavar="JOB", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(TrainJob.model_validate_json(options.bare.read_bytes()))
        return
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
    sys.exit(show("torch_train", rows))


if __name__ == "__main__":
    main()
