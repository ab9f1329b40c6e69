"""How adapters are shown: the table of `list`, the facts of `show`."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from punie.adapters.card import shown_name
from punie.adapters.registry import Entry, State
from punie.cli.output import safe
from punie.models.adapter import WEIGHTS_AWAY
from punie.records.adapter import AdapterManifest, AdapterResult
from punie.records.training import Method
from punie.reporting.loss import sparkline
from punie.reporting.numbers import (
    NOTHING,
    byte_size,
    compact,
    count,
    counted,
    duration,
    rate,
    short_hash,
)
from punie.reporting.training_markdown import ENDINGS, found_or_accepted, score_of, trained_by
from punie.text import one_line

if TYPE_CHECKING:
    from rich.table import Table

SPARKS = 40
"""Blocks of a loss curve."""
WORDS = {
    State.FOREIGN: "not made by punie",
    State.UNFINISHED: "training unfinished",
    State.AWAY: "weights not here",
    State.DAMAGED: "damaged",
}


def table_of(entries: Sequence[Entry], width: int) -> "Table":
    """One line an adapter; the narrower the window, the fewer columns beside the newest result."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("adapter", overflow="fold")
    shown = [column for column in COLUMNS if width >= column.from_width]
    for column in shown:
        justify = "right" if column.number else "left"
        table.add_column(column.title, justify=justify, overflow="fold", no_wrap=column.number)
    for entry in entries:
        cells = [entry.name, *(column.cell(entry) for column in shown)]
        table.add_row(*(safe(cell) for cell in cells))
    return table


def _base(entry: Entry) -> str:
    return shown_name(entry.base) if entry.base else NOTHING


def _kept_loss(entry: Entry) -> str:
    """The validation loss of the checkpoint that was kept, whatever it was kept for."""
    if entry.manifest is None:
        return NOTHING
    chosen = entry.manifest.chosen
    if chosen.by == "validation loss" and chosen.value is not None:
        return f"{chosen.value:.4f}"
    points = entry.manifest.training.losses
    known = [each.valid for each in points if each.step == chosen.step and each.valid is not None]
    return f"{known[-1]:.4f}" if known else NOTHING


def _newest(entry: Entry) -> str:
    if entry.manifest is None or entry.state is State.AWAY:
        return WORDS[entry.state]
    results = entry.manifest.results
    if not results:
        return "not measured"
    stamps = f" ({', '.join(results[-1].stamps)})" if results[-1].stamps else ""
    return f"{results[-1].suite} {score_of(results[-1])}{stamps}{_served(results[-1])}"


def _data(entry: Entry) -> str:
    return shown_name(entry.manifest.data.name) if entry.manifest else NOTHING


def _step(entry: Entry) -> str:
    return count(entry.manifest.chosen.step if entry.manifest else entry.step)


def _size(entry: Entry) -> str:
    return byte_size(entry.size_bytes)


def _made(entry: Entry) -> str:
    return entry.manifest.created_at[:10] if entry.manifest else NOTHING


class Column(NamedTuple):
    """A column of the list, and the width of a window from which on it is shown."""

    title: str
    from_width: int
    cell: Callable[[Entry], str]
    number: bool = False


COLUMNS = (
    Column("base", 72, _base),
    Column("data", 100, _data),
    Column("step", 72, _step, number=True),
    Column("valid loss", 72, _kept_loss, number=True),
    Column("newest result", 0, _newest),
    Column("size", 100, _size, number=True),
    Column("made", 100, _made, number=True),
)


def facts(entry: Entry) -> list[tuple[str, str]]:
    """Everything that `show` says of an adapter, as labels and values."""
    in_peft_form = "peft_type" in (entry.settings or {})
    head = [
        ("adapter", entry.name),
        ("folder", str(entry.path)),
        ("size", byte_size(entry.size_bytes)),
        *([("form", "PEFT's")] if in_peft_form else []),
        *([("state", entry.problem), ("to do", WEIGHTS_AWAY)] if entry.state is State.AWAY else []),
    ]
    if entry.manifest is None:
        return [*head, *_facts_of_a_stranger(entry)]
    manifest = entry.manifest
    return [
        *head,
        ("made", manifest.created_at),
        *_ingredients(manifest),
        *_facts_of_training(manifest),
        *((found_or_accepted(finding), finding.what) for finding in manifest.findings),
        *(("result", _result(each)) for each in manifest.results),
        ("adapter hash", short_hash(manifest.adapter_hash)),
    ]


def _facts_of_a_stranger(entry: Entry) -> Iterator[tuple[str, str]]:
    settings = entry.settings or {}
    parameters: Any = settings.get("lora_parameters")
    known = cast("dict[str, Any]", parameters) if isinstance(parameters, dict) else {}
    yield "state", entry.problem or "made by another program: no punie.json"
    theirs = settings.get("base_model_name_or_path")
    yield "base", entry.base or (one_line(theirs, 80) if isinstance(theirs, str) else NOTHING)
    method = settings.get("peft_type") or settings.get("fine_tune_type", "lora")
    rank = settings.get("r") or known.get("rank", "?")
    yield "method", one_line(f"{method}, rank {rank}")


def _ingredients(manifest: AdapterManifest) -> Iterator[tuple[str, str]]:
    base, data, plan = manifest.base, manifest.data, manifest.plan
    rows = ", ".join(f"{name.value} {count(each.rows)}" for name, each in data.splits.items())
    rank = f"rank {plan.rank}, scale {plan.scale:g}, " if plan.method is not Method.FULL else ""
    yield "base", f"{base.name}, {compact(base.parameters)} parameters, {base.dtype}"
    yield "base weights", short_hash(base.weights_hash)
    yield "base template", short_hash(base.template_hash)
    yield "data", f"{data.name} {short_hash(data.hash)}: {rows}"
    if manifest.suite:
        yield "suite", manifest.suite
    yield "method", f"{plan.method.value}, {rank}{counted(plan.layers, 'layer')}"
    yield "trained by", trained_by(manifest)
    yield "optimizer", f"{plan.optimizer.value}, {plan.learning_rate:g}, batch {plan.batch_size}"


def _facts_of_training(manifest: AdapterManifest) -> Iterator[tuple[str, str]]:
    done, chosen = manifest.training, manifest.chosen
    exact = "" if done.exact else ", not exact"
    parts = f" ({counted(done.parts, 'part')}{exact})" if done.parts > 1 else ""
    of = f"{count(done.steps)} of {count(manifest.plan.iterations)}"
    each = f"{duration(done.seconds_per_iteration)} an iteration"
    yield "iterations", f"{of}, {done.epochs:g} epochs{parts}"
    yield "ended", ENDINGS[done.ending]
    yield "time", f"{duration(done.seconds)}, {each}, {rate(done.tokens_per_second)}"
    yield "peak memory", byte_size(done.peak_memory_bytes)
    for name in ("train", "valid"):
        values = [getattr(point, name) for point in done.losses]
        known = [value for value in values if value is not None]
        if known:
            yield f"loss, {name}", f"{sparkline(known, SPARKS)} {known[-1]:.4f}"
    by = f"{chosen.by} {chosen.value:.4g}" if chosen.value is not None else chosen.by
    yield "kept", f"after iteration {count(chosen.step)}, by {by}"


def _result(result: AdapterResult) -> str:
    stamps = f" ({', '.join(result.stamps)})" if result.stamps else ""
    return f"{result.suite} {score_of(result)}{stamps}{_served(result)}, run {result.run}"


def _served(result: AdapterResult) -> str:
    return f" on {result.served_by}" if result.served_by != "mlx" else ""
