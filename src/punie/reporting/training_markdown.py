"""A training's results as GitHub-flavoured markdown, for the journal: pure.

`TRAINING_FORMAT` grows whenever the same training would be written or drawn another way.
"""

from collections.abc import Iterator, Sequence

from punie.analysis.served_by import PACKED
from punie.records.adapter import AdapterManifest, AdapterResult, Chosen, LossPoint
from punie.records.datacheck import DataFinding, Severity
from punie.records.summary import Estimate
from punie.records.training import Ending, Masking, Method, ResolvedPlan
from punie.reporting import numbers
from punie.reporting.escaping import code, escape, table
from punie.reporting.loss import sparkline

TRAINING_FORMAT = 1
CURVE_ROWS = 12
"""Lines of the table of losses; the chart has all points."""
CURVE_BLOCKS = 40

ENDINGS = {
    Ending.DONE: "all iterations were done",
    Ending.EARLY: "it stopped early, because the validation loss had stopped falling",
    Ending.STOPPED: "it was stopped",
    Ending.PROBED: "it was only probed",
}
_MASKS = {
    Masking.ASSISTANT: "every assistant turn",
    Masking.LAST: "the last assistant turn",
    Masking.NONE: "every token",
}


def training_markdown(manifest: AdapterManifest) -> str:
    """What came of a training, and what was measured of it since."""
    parts = [training_body(manifest)]
    if manifest.results:
        parts += ["### Measured since", results_table(manifest.results)]
    return "\n\n".join(parts)


def training_body(manifest: AdapterManifest) -> str:
    """What came of a training: kept checkpoint, pace, losses, plan, data."""
    parts = [
        _headline(manifest),
        *_warnings(manifest),
        table(["Measure", "Value"], _measures(manifest), right=(1,)),
        *_losses(manifest),
        "### Plan",
        table(["Key", "Value"], _plan(manifest.plan)),
        "### Data",
        _data(manifest),
    ]
    return "\n\n".join(parts)


def trained_by(manifest: AdapterManifest) -> str:
    """The backend, and how it packed the base meanwhile: `cuda, base packed as NF4`."""
    packed = PACKED.get(manifest.plan.quantization)
    if packed is None:
        return manifest.backend
    double = ", double quantisation" if manifest.plan.double_quantization else ""
    return f"{manifest.backend}, base packed as {packed}{double}"


def kept_words(chosen: Chosen) -> str:
    """Which checkpoint was kept and by what: `iteration 80, by validation loss 0.123`."""
    value = f" {loss(chosen.value)}" if chosen.value is not None and not chosen.suite_hash else ""
    if chosen.suite_hash:
        value = f" at {numbers.percent(chosen.value)}"
    return f"iteration {numbers.count(chosen.step)}, by {escape(chosen.by)}{value}"


def found_or_accepted(finding: DataFinding) -> str:
    """Say of an error in the data that it was accepted; the rest stopped nobody."""
    return "accepted" if finding.severity is Severity.ERROR else "found"


def loss(value: float | None) -> str:
    """Write a loss with three digits: `0.718`, `1.23`, `12.3`."""
    return numbers.NOTHING if value is None else f"{value:#.3g}"


def result_words(result: AdapterResult) -> str:
    """A run's score with its interval and its stamps: `95.0 % [88–98] (leaked)`.

    What served it is named where that was not mlx.
    """
    stamps = f" ({escape(', '.join(result.stamps))})" if result.stamps else ""
    served = f" on {escape(result.served_by)}" if result.served_by != "mlx" else ""
    return f"{score_of(result)}{stamps}{served}"


def score_of(result: AdapterResult) -> str:
    """A result's score with its interval: `62.5 % [45–77]`."""
    return numbers.percent_interval(_estimate(result))


def results_table(results: Sequence[AdapterResult]) -> str:
    """What runs measured of an adapter, a line each."""
    rows = [
        [
            f"{code(each.suite)} @{code(numbers.short_hash(each.suite_hash))}",
            result_words(each),
            numbers.count(each.prompts),
            numbers.count(each.faults),
            code(each.run),
        ]
        for each in results
    ]
    heads = ["Suite", "Score, 95 % interval", "Prompts", "Faults", "Run"]
    return table(heads, rows, right=(1, 2, 3))


def _estimate(result: AdapterResult) -> Estimate | None:
    if result.score is None or result.low is None or result.high is None:
        return None
    return Estimate(value=result.score, low=result.low, high=result.high, n=result.prompts)


def _headline(manifest: AdapterManifest) -> str:
    chosen, training = manifest.chosen, manifest.training
    of = f" of {len(chosen.candidates)} checkpoints" if len(chosen.candidates) > 1 else ""
    steps = numbers.counted(training.steps, "iteration")
    return (
        f"**Kept: {kept_words(chosen)}**{of}. {steps} of {numbers.count(manifest.plan.iterations)}"
        f" ({training.epochs:g} epochs): {ENDINGS[training.ending]}."
    )


def _warnings(manifest: AdapterManifest) -> Iterator[str]:
    training = manifest.training
    lines = [
        f"- {found_or_accepted(each).capitalize()}: {escape(each.what)}"
        for each in manifest.findings
    ]
    for suite, prompts in sorted(manifest.leaked_suites.items()):
        said = numbers.counted(prompts, "prompt")
        lines.append(
            f"- The data holds {said} of the suite @{code(numbers.short_hash(suite))}: what it"
            " measures of this adapter is stamped."
        )
    if manifest.chosen.suite_hash:
        lines.append(
            "- The checkpoint was chosen by a suite: what that suite measures is selected on test."
        )
    if training.parts > 1:
        exact = "as it would have in one" if training.exact else "perhaps otherwise than in one"
        lines.append(f"- Trained in {training.parts} parts; it ended {exact}.")
    if lines:
        yield "\n".join(lines)


def _measures(manifest: AdapterManifest) -> list[list[str]]:
    training = manifest.training
    return [
        ["Iteration, median", numbers.duration(training.seconds_per_iteration)],
        ["Trained", numbers.rate(training.tokens_per_second)],
        ["Tokens in the loss", numbers.count(training.tokens)],
        ["Time in all", numbers.duration(training.seconds)],
        ["Peak memory", numbers.byte_size(training.peak_memory_bytes)],
        ["Trained parameters", numbers.count(training.trainable)],
        ["Parameters of the base", numbers.count(manifest.base.parameters)],
        ["Weights of the base", escape(manifest.base.dtype)],
        *([["Trained by", escape(trained_by(manifest))]] if manifest.backend != "mlx" else []),
        ["Hardware", escape(manifest.provenance.hardware) or numbers.NOTHING],
        *([escape(name), escape(value)] for name, value in sorted(training.machine.items())),
    ]


def _losses(manifest: AdapterManifest) -> Iterator[str]:
    points = manifest.training.losses
    lines = [
        f"{name} {loss(values[0])} `{sparkline(values, CURVE_BLOCKS)}` {loss(values[-1])}"
        for name, values in (
            ("Training loss", [each.train for each in points if each.train is not None]),
            ("Validation loss", [each.valid for each in points if each.valid is not None]),
        )
        if len(values) > 1
    ]
    if not points:
        return
    yield "### Loss"
    yield "\n\n".join(lines)
    rows = [
        [
            f"**{numbers.count(each.step)}** kept"
            if each.step == manifest.chosen.step
            else numbers.count(each.step),
            loss(each.train),
            loss(each.valid),
        ]
        for each in _shown(points, manifest.chosen.step)
    ]
    yield table(["Iteration", "Training loss", "Validation loss"], rows, right=(0, 1, 2))


def _shown(points: Sequence[LossPoint], kept: int) -> list[LossPoint]:
    """A few points over the whole curve, where there are any those with a validation loss."""
    known = [each for each in points if each.valid is not None] or list(points)
    stride = -(-len(known) // CURVE_ROWS)
    last = known[-1].step
    return [
        each for index, each in enumerate(known) if index % stride == 0 or each.step in {kept, last}
    ]


def _plan(plan: ResolvedPlan) -> list[list[str]]:
    schedule = plan.schedule
    low_rank = [
        ["rank, alpha", f"{plan.rank}, {plan.alpha:g} (scale {plan.scale:g})"],
        ["dropout", f"{plan.dropout:g}"],
        ["modules", ", ".join(map(code, plan.keys)) if plan.keys else "every linear one"],
    ]
    options = ", ".join(f"{escape(k)} {v}" for k, v in sorted(plan.optimizer_options.items()))
    warmup = f", after {numbers.counted(schedule.warmup, 'update')}" if schedule.warmup else ""
    several = f", {plan.accumulation} to an update" if plan.accumulation > 1 else ""
    return [
        ["method", plan.method.value],
        *([] if plan.method is Method.FULL else low_rank),
        ["layers", f"the last {plan.layers}"],
        ["optimizer", f"{plan.optimizer.value}{f' ({options})' if options else ''}"],
        ["learning rate", f"{plan.learning_rate:g}, {schedule.curve.value}{warmup}"],
        ["batch", f"{numbers.counted(plan.batch_size, 'row')}{several}"],
        ["longest row", f"{numbers.count(plan.max_length)} tokens"],
        ["loss over", _MASKS[plan.masking]],
        ["order, seed", f"{plan.order.value}, {plan.seed}"],
        ["patience", "none" if plan.patience is None else f"{plan.patience} validations"],
    ]


def _data(manifest: AdapterManifest) -> str:
    data = manifest.data
    lines = [
        f"{code(data.name)} @{code(numbers.short_hash(data.hash))}, in {code(manifest.data_path)}"
    ]
    if data.origin:
        lines.append(f"Origin: {escape(data.origin)}")
    rows = [
        [split.value, numbers.count(version.rows), code(numbers.short_hash(version.hash))]
        for split, version in sorted(data.splits.items())
    ]
    return "\n\n".join([*lines, table(["Split", "Rows", "Hash"], rows, right=(1,))])
