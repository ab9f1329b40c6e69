"""A training as a table for the terminal: what to expect of it, and what came of it."""

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from punie.analysis.served_by import PACKED
from punie.records.adapter import AdapterManifest, Chosen
from punie.records.datacheck import DataFinding, Severity
from punie.records.dataset import Split
from punie.records.preflight import Preflight
from punie.records.training import Ending, Masking, Method, ResolvedPlan
from punie.reporting.loss import sparkline
from punie.reporting.numbers import compact, count, counted, duration, rate, short_hash
from punie.sizes import byte_size
from punie.text import visible

SPARKS = 32
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold"}
_ENDINGS = {
    Ending.DONE: "all iterations",
    Ending.EARLY: "ended early: the validation loss had stopped falling",
    Ending.STOPPED: "stopped",
    Ending.PROBED: "not begun",
}
_MASKS = {
    Masking.ASSISTANT: "what the assistant says",
    Masking.LAST: "the last assistant turn",
    Masking.NONE: "every token",
}


def preflight_table(preflight: Preflight) -> RenderableType:
    """Everything that is known before the first iteration."""
    plan = preflight.plan
    rows = [
        ("model", visible(preflight.model)),
        ("data", f"{visible(preflight.dataset.name)}@{short_hash(preflight.dataset.hash)}"),
        *_lengths(preflight),
        ("plan", plan_line(plan)),
        *([("on", where)] if (where := where_line(preflight)) else []),
        ("trains", _trains(preflight)),
        ("memory", _memory(preflight)),
        ("time", _time(preflight)),
        *_gguf(preflight.gguf),
    ]
    parts: list[RenderableType] = [_grid(rows)]
    if preflight.example:
        parts += [Text(), Text("the first row, what is trained in ⟦ ⟧", style="bold")]
        parts.append(Text(visible(preflight.example)))
    if preflight.report.findings:
        parts += [Text(), findings_table(preflight.report.findings)]
    return Group(*parts)


def findings_table(findings: Iterable[DataFinding]) -> RenderableType:
    """What was found in the data, the worst first, a line each with its first place."""
    order = list(Severity)
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for each in sorted(findings, key=lambda finding: order.index(finding.severity)):
        said = Text.assemble((each.severity.value, _STYLES[each.severity]), ": ")
        what = f"{each.check}: {each.what}"
        if each.places:
            more = f" and {each.count - 1} more" if each.count > 1 else ""
            what += f" ({each.places[0]}{more})"
        table.add_row(said, Text(visible(what)))
    return table


def adapter_table(manifest: AdapterManifest) -> RenderableType:
    """What a training made, and how it went."""
    training, chosen = manifest.training, manifest.chosen
    train = [point.train for point in training.losses if point.train is not None]
    valid = [point.valid for point in training.losses if point.valid is not None]
    rows = [
        ("adapter", f"adapters/{manifest.name}  ({short_hash(manifest.adapter_hash)})"),
        ("base", f"{visible(manifest.base.name)}, {compact(manifest.base.parameters)} parameters"),
        ("data", f"{visible(manifest.data.name)}@{short_hash(manifest.data.hash)}"),
        ("plan", plan_line(manifest.plan)),
        ("loss", _curve(train)),
        *([("validation", _curve(valid))] if valid else []),
        ("kept", kept_line(chosen)),
        ("ended", _ended(manifest)),
        (
            "pace",
            (
                f"{duration(training.seconds_per_iteration)} an iteration, "
                f"{rate(training.tokens_per_second)} trained, {duration(training.seconds)} in all"
            ),
        ),
        ("memory", f"{byte_size(training.peak_memory_bytes)} at most{_each(training.machine)}"),
    ]
    return _grid(rows)


def stopped_table(name: str, step: int, iterations: int) -> RenderableType:
    """A training that was asked to stop."""
    return _grid([("stopped", f"{name} after iteration {step} of {iterations}; all is kept")])


def plan_line(plan: ResolvedPlan) -> str:
    """The plan's main points in one line."""
    low_rank = f"rank {plan.rank}, alpha {plan.alpha:g}, " if plan.method is not Method.FULL else ""
    layers = f"{counted(plan.layers, 'layer')}, "
    packed = PACKED.get(plan.quantization)
    return (
        f"{plan.method}, {low_rank}{layers}{count(plan.iterations)} iterations of "
        f"{counted(plan.batch_size, 'row')}, {plan.optimizer} at {plan.learning_rate:g}"
        f"{f', base packed as {packed}' if packed else ''}"
    )


def where_line(preflight: Preflight) -> str:
    """What computes, and in how many processes; empty for one of mlx, which is what is usual."""
    of_several = f", {preflight.processes} processes" if preflight.processes > 1 else ""
    if preflight.backend != "cuda":
        return of_several and f"{preflight.backend}{of_several}"
    return f"cuda, {'a GPU' if preflight.gpu else 'the CPU'}{of_several}"


def kept_line(chosen: Chosen) -> str:
    """Which checkpoint was kept, and why."""
    value = f" ({chosen.value:.4g})" if chosen.value is not None else ""
    count = len(chosen.candidates)
    among = f", one of {count} checkpoints" if count > 1 else ""
    return f"iteration {chosen.step}{among}, by {visible(chosen.by)}{value}"


def _ended(manifest: AdapterManifest) -> str:
    training = manifest.training
    parts = f", in {training.parts} parts" if training.parts > 1 else ""
    exact = "" if training.exact else ", which may differ from one without interruption"
    return f"{_ENDINGS[training.ending]} ({count(training.steps)}{parts}{exact})"


def _curve(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{values[0]:.3f} {sparkline(values, SPARKS)} {values[-1]:.3f}"


def _lengths(preflight: Preflight) -> Iterator[tuple[str, str]]:
    for split in Split:
        found = preflight.lengths.get(split)
        if found is not None:
            cut = f", {counted(found.cut, 'row')} cut" if found.cut else ""
            yield (
                str(split),
                (
                    f"{counted(found.rows, 'row')}, {found.median} tokens in the middle, "
                    f"{found.longest} at most{cut}"
                ),
            )


def _trains(preflight: Preflight) -> str:
    train = preflight.lengths[Split.TRAIN]
    trainable = f", {compact(preflight.trainable)} parameters" if preflight.trainable else ""
    share = train.trained / train.tokens if train.tokens else 0.0
    return f"{_MASKS[preflight.plan.masking]}: {share:.0%} of the tokens{trainable}"


def _memory(preflight: Preflight) -> str:
    found: list[str] = []
    if preflight.memory_measured_bytes is not None:
        found.append(f"{byte_size(preflight.memory_measured_bytes)} measured on the longest batch")
    if preflight.memory_estimate_bytes is not None:
        found.append(f"{byte_size(preflight.memory_estimate_bytes)} estimated")
    found.append(f"{byte_size(preflight.memory_free_bytes)} free")
    return ", ".join(found) + (" for each process" if preflight.processes > 1 else "")


def _each(machine: Mapping[str, str]) -> str:
    return " in the first process" if "processes" in machine else ""


def _time(preflight: Preflight) -> str:
    if preflight.seconds_estimate is None or preflight.seconds_per_iteration is None:
        return "not measured"
    return (
        f"about {duration(preflight.seconds_estimate)}, "
        f"{duration(preflight.seconds_per_iteration)} an iteration"
    )


def _gguf(why_not: str | None) -> Iterator[tuple[str, str]]:
    if why_not is not None:
        yield ("as GGUF", why_not or "possible: punie adapters export --to gguf")


def _grid(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table
