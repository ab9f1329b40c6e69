"""What to expect of a training: lengths, memory, time, from what was encoded and measured."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from punie.errors import DataCheckError, TrainingError
from punie.models.check import base_tensors, read_json, weight_files
from punie.models.cuda_memory import estimate_on_cuda
from punie.models.experts import has_experts
from punie.models.memory import activation_bytes, architecture
from punie.models.training_memory import estimate_training, room_on_disk
from punie.records.datacheck import DataFinding
from punie.records.dataset import Split
from punie.records.encoding import EncodedSplit, Encoding
from punie.records.preflight import Preflight, SplitLengths
from punie.records.training import Loaded, Method, Probed, Quantization, ResolvedPlan
from punie.sizes import byte_size

LEAKAGE = "leakage"
HOPELESS = 1.5
"""An estimate this far above what is free is not even tried: the probe itself would swap or be
killed. Below it the probe decides."""
SHARE = 0.9
"""Of the free memory that a training may take."""
SHOWN_ERRORS = 5


def split_lengths(split: EncodedSplit, max_length: int) -> SplitLengths:
    """The lengths of one split in a few numbers; it has at least one row."""
    lengths = sorted(split.lengths)
    return SplitLengths(
        rows=len(lengths),
        tokens=sum(lengths),
        trained=sum(split.trained),
        shortest=lengths[0],
        median=round(median(lengths)),
        p95=lengths[min(len(lengths) - 1, round(0.95 * len(lengths)))],
        longest=lengths[-1],
        most_trained=max(split.trained),
        cut=sum(length > max_length for length in lengths),
    )


def all_lengths(encoding: Encoding, max_length: int) -> dict[Split, SplitLengths]:
    """The lengths of every split that has rows."""
    return {
        name: split_lengths(split, max_length)
        for name, split in encoding.splits.items()
        if split.lengths
    }


def memory_estimate(
    folder: Path,
    plan: ResolvedPlan,
    *,
    longest: int,
    most_trained: int,
    backend: str = "mlx",
    gpu: bool = False,
) -> int | None:
    """Peak bytes of the training, or None where the model's config does not say enough.

    `gpu`: the backend computes on one that has a memory of its own.
    """
    shape = architecture(read_json(folder / "config.json"))
    if shape is None:
        return None
    tensors = base_tensors(folder)
    if backend == "cuda":
        return estimate_on_cuda(
            shape, plan, tensors, gpu=gpu, longest=longest, most_trained=most_trained
        ).total
    return estimate_training(
        shape,
        plan,
        weight_bytes=sum(file.stat().st_size for file in weight_files(folder)),
        value_bytes=activation_bytes(tensors),
        longest=longest,
        most_trained=most_trained,
    ).total


def packable(folder: Path, plan: ResolvedPlan, backend: str) -> ResolvedPlan | None:
    """The plan with its base in 4 bits, where that is a choice that it did not make."""
    if backend != "cuda" or plan.method is Method.FULL:
        return None
    if plan.quantization is not Quantization.NONE or has_experts(read_json(folder / "config.json")):
        return None
    packed = {"quantization": Quantization.FOUR_BIT, "double_quantization": True}
    return plan.model_copy(update=packed)


def refuse_what_cannot_fit(estimate: int | None, free: int, *, packed: int | None = None) -> None:
    """Raise TrainingError where not even the probe should be tried.

    `packed` is what the same training would take with its base in 4 bits.
    """
    if estimate is None or estimate <= HOPELESS * free:
        return
    hint = (
        "shorten the rows (max_length), lower batch_size or layers, set gradient_checkpointing, "
        "take a smaller model, or close programs"
    )
    if packed is not None and packed <= SHARE * free:
        hint = f"--quantization 4bit would fit, with about {byte_size(packed)}; or {hint}"
    raise TrainingError(
        f"the training would take about {byte_size(estimate)}, {byte_size(free)} are free",
        hint=hint,
    )


def refuse_without_room(folder: Path, plan: ResolvedPlan, work: Path) -> None:
    """Raise TrainingError where the disk has no room for the checkpoints of the whole training."""
    shape = architecture(read_json(folder / "config.json"))
    if shape is None:
        return
    needed = room_on_disk(shape, plan, value_bytes=activation_bytes(base_tensors(folder)))
    free = shutil.disk_usage(work).free
    if needed > free:
        raise TrainingError(
            f"the checkpoints of this training take about {byte_size(needed)}, the disk has "
            f"{byte_size(free)} left",
            hint="free some disk space, validate less often (validate_every), or train fewer "
            "layers",
        )


def refuse_defects(findings: Sequence[DataFinding], *, allow_leakage: bool) -> None:
    """Raise DataCheckError for errors in the data, but for leakage that was allowed."""
    stopping = [each for each in findings if not (allow_leakage and each.check == LEAKAGE)]
    if not stopping:
        return
    lines = [line for each in stopping for line in _lines(each)]
    only_leakage = all(each.check == LEAKAGE for each in stopping)
    hint = "; ".join(dict.fromkeys(each.hint for each in stopping if each.hint))
    if only_leakage:
        hint = f"{hint or 'take these rows out'}; or --allow-leakage, which stamps later results"
    raise DataCheckError("\n".join(lines), hint=hint or "mend these rows")


def _lines(finding: DataFinding) -> list[str]:
    shown = [f"  {place}" for place in finding.places[:SHOWN_ERRORS]]
    more = finding.count - len(shown)
    return [
        f"{finding.check}: {finding.what}",
        *shown,
        *([f"  and {more} more"] if more > 0 else []),
    ]


def measured(preflight: Preflight, loaded: Loaded | None, probed: Probed) -> Preflight:
    """The preflight with what the worker found on the longest batch.

    Time goes with tokens: a batch of the rows' mean length takes its share of the longest one's.
    """
    train = preflight.lengths[Split.TRAIN]
    share = min(1.0, train.tokens / train.rows / probed.tokens)
    each = probed.seconds * share
    plan = preflight.plan
    valid = preflight.lengths.get(Split.VALID)
    seconds = each * plan.iterations
    if valid is not None:
        rows = min(valid.rows, plan.validation_rows or valid.rows)
        # A validation has no backward pass: about a third of the work.
        batches = -(-rows // plan.batch_size)
        seconds += each / 3 * batches * (plan.iterations // plan.validate_every + 1)
    return preflight.model_copy(
        update={
            "memory_measured_bytes": probed.peak_memory_bytes,
            "trainable": loaded.trainable if loaded else None,
            "seconds_per_iteration": each,
            "seconds_estimate": seconds,
        }
    )


def shown_lengths(lengths: Mapping[Split, SplitLengths]) -> str:
    """One line on the rows: how many, and how long."""
    train = lengths[Split.TRAIN]
    valid = lengths.get(Split.VALID)
    rows = f"{train.rows:,} rows to train on" + (f", {valid.rows:,} to validate" if valid else "")
    return f"{rows}; {train.median} tokens in the middle, {train.longest} at most"
