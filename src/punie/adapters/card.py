"""An adapter's card: a Hugging Face README.md that says what was trained, on what, and how it did.

The front matter is YAML by a YAML writer, the body markdown whose every foreign word is escaped:
names of models, data and suites come from outside.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from punie.records.adapter import AdapterManifest, AdapterResult, LossPoint
from punie.records.dataset import DatasetVersion
from punie.records.summary import Estimate
from punie.records.training import Ending, Method, ResolvedPlan
from punie.reporting.escaping import code, escape, fence, table
from punie.reporting.markdown import sparkline
from punie.reporting.numbers import (
    NOTHING,
    byte_size,
    compact,
    count,
    counted,
    duration,
    percent_interval,
    rate,
    short_hash,
)
from punie.reporting.training_markdown import found_or_accepted
from punie.text import one_line

NAME = re.compile(r"[\w.-]+", re.ASCII)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
CURVE_ROWS = 12
"""Rows of the loss table; the sparkline beside it has every point."""
HUB_IDS = {"smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Where a built-in model has its page."""
BELONGS = (
    "The adapter belongs on the very weights and chat template named below; punie refuses any "
    "other. To mlx_lm.server send `default_model` as the model's name: any other name drops the "
    "adapter without a word."
)
ENDINGS = {
    Ending.DONE: "all iterations were made",
    Ending.EARLY: "it stopped early: the validation loss had stopped falling",
    Ending.STOPPED: "it was stopped by hand",
    Ending.PROBED: "it was probed only",
}


def write_card(manifest: AdapterManifest, *, fused: bool = False) -> str:
    """The card of an adapter, or, with `fused`, of the model that it was fused into.

    Pure: one manifest, one text.
    """
    sections = [
        f"# {escape(manifest.name)}",
        _what_it_is(manifest, fused=fused),
        _results(manifest.results),
        _use(manifest, fused=fused),
        _data(manifest),
        _plan(manifest.plan),
        _training(manifest),
        _hashes(manifest),
    ]
    return f"---\n{_front_matter(manifest, fused=fused)}---\n\n" + "\n\n".join(sections) + "\n"


def shown_name(name: str) -> str:
    """A model's or data set's name as others may see it: of a path only the last part."""
    looks_like_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    return PurePath(name).name or name if looks_like_path else name


def hub_id(base: str) -> str | None:
    """The hub id of a base model, or None for one that has no page there."""
    known = HUB_IDS.get(base, base)
    return known if HUB_ID.fullmatch(known) and not known.endswith(".gguf") else None


def _front_matter(manifest: AdapterManifest, *, fused: bool) -> str:
    import yaml  # noqa: PLC0415 - 15 ms, for cards alone

    front: dict[str, object] = {"library_name": "mlx", "pipeline_tag": "text-generation"}
    if base := hub_id(manifest.base.name):
        front["base_model"] = base
        front["base_model_relation"] = "finetune" if fused else "adapter"
    front["tags"] = ["mlx", "punie", manifest.plan.method.value]
    origin = manifest.data.origin.partition("@")[0]
    if HUB_ID.fullmatch(origin):
        front["datasets"] = [origin]
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True)


def _what_it_is(manifest: AdapterManifest, *, fused: bool) -> str:
    base, plan = manifest.base, manifest.plan
    kind = {
        Method.LORA: "A LoRA adapter",
        Method.DORA: "A DoRA adapter",
        Method.FULL: "Fully fine-tuned weights",
    }[plan.method]
    kind = f"{kind}, fused into its base," if fused else kind
    name = hub_id(base.name) or shown_name(base.name)
    return (
        f"{kind} for {code(name)} ({compact(base.parameters)} parameters, {escape(base.dtype)}), "
        f"trained on {code(shown_name(manifest.data.name))} with "
        f"[punie](https://pypi.org/project/punie/) on {escape(manifest.created_at[:10])}."
    )


def _results(results: Sequence[AdapterResult]) -> str:
    head = "## Results"
    if not results:
        return f"{head}\n\nNot measured yet: each `punie eval` with it adds a line here."
    rows = [
        [
            code(each.suite),
            escape(short_hash(each.suite_hash)),
            score_of(each),
            count(each.prompts),
            count(each.faults),
            escape(", ".join(each.stamps)) or NOTHING,
            code(each.run),
        ]
        for each in results
    ]
    heads = ["suite", "hash", "score, 95 % interval", "prompts", "faults", "stamps", "run"]
    return f"{head}\n\n{table(heads, rows, right=(3, 4))}"


def score_of(result: AdapterResult) -> str:
    """A result's score with its interval: `62.5 % [45–77]`."""
    if result.score is None or result.low is None or result.high is None:
        return NOTHING
    n = result.prompts
    return percent_interval(Estimate(value=result.score, low=result.low, high=result.high, n=n))


def _use(manifest: AdapterManifest, *, fused: bool) -> str:
    base, name = manifest.base.name, manifest.name
    base = shown_name(base) if base.startswith(("/", "~", "..")) else base
    at_hub = base if HUB_ID.fullmatch(base) else "BASE_FOLDER"
    held_out = manifest.suite or ""
    held_out = shown_name(held_out) if held_out.startswith(("/", "~")) else held_out
    suite = f" {_word(held_out)}" if held_out else ""
    model, adapter = (
        (f"./{name}", "") if fused else (base, f" --adapter {_word(f'adapters/{name}')}")
    )
    theirs, with_adapter = (model, "") if fused else (at_hub, f" --adapter-path {_word(name)}")
    lines = [
        f"punie eval{suite} --model {_word(model)}{adapter}",
        f"punie serve {_word(model)}{adapter}",
        f"mlx_lm.generate --model {_word(theirs)}{with_adapter} --prompt '…'",
        f"mlx_lm.server --model {_word(theirs)}{with_adapter}",
    ]
    folder = f" `punie models show {base}` names BASE_FOLDER." if at_hub != base else ""
    note = "" if fused else f"\n\n{BELONGS}{folder if NAME.fullmatch(base) else ''}"
    return f"## Use\n\n{fence(chr(10).join(lines), 'sh')}{note}"


def _word(text: str) -> str:
    """A word for a shell, whoever wrote it."""
    import shlex  # noqa: PLC0415 - for cards alone

    return shlex.quote(one_line(text))


def _data(manifest: AdapterManifest) -> str:
    data = manifest.data
    rows = [
        [escape(split.value), count(version.rows), code(version.hash[:12])]
        for split, version in data.splits.items()
    ]
    parts = [f"## Data\n\n{_data_line(data)}", table(["split", "rows", "hash"], rows, right=(1,))]
    parts += [
        f"- {found_or_accepted(finding).capitalize()}: {escape(finding.what)}"
        for finding in manifest.findings
    ]
    return "\n\n".join(parts)


def _data_line(data: DatasetVersion) -> str:
    origin = f", from {escape(data.origin)}" if data.origin else ""
    licence = f", licence {escape(data.licence)}" if data.licence else ""
    about = f" {escape(data.description)}" if data.description else ""
    return f"{code(shown_name(data.name))}, version {code(data.hash[:12])}{origin}{licence}.{about}"


def _plan(plan: ResolvedPlan) -> str:
    adapted = (
        []
        if plan.method is Method.FULL
        else [
            ("rank", count(plan.rank)),
            ("alpha (scale)", f"{plan.alpha:g} ({plan.scale:g})"),
            ("dropout", f"{plan.dropout:g}"),
            ("modules", escape(", ".join(plan.keys)) if plan.keys else "every linear one"),
        ]
    )
    rows = [
        ("method", plan.method.value),
        *adapted,
        ("layers", f"the last {count(plan.layers)}"),
        ("optimizer", plan.optimizer.value),
        ("learning rate", f"{plan.learning_rate:g}, {plan.schedule.curve.value}"),
        ("warm-up", f"{counted(plan.schedule.warmup, 'update')}"),
        ("batch", _batch(plan)),
        ("iterations", count(plan.iterations)),
        ("longest row", f"{count(plan.max_length)} tokens"),
        ("loss over", _MASKING[plan.masking.value]),
        ("order", plan.order.value),
        ("seed", str(plan.seed)),
    ]
    return f"## Plan\n\n{table(['', 'value'], [[name, value] for name, value in rows])}"


def _batch(plan: ResolvedPlan) -> str:
    several = f", {count(plan.accumulation)} to an update" if plan.accumulation > 1 else ""
    return f"{counted(plan.batch_size, 'row')}{several}"


_MASKING = {
    "assistant": "every assistant turn",
    "last": "the last assistant turn",
    "none": "every token",
}


def _training(manifest: AdapterManifest) -> str:
    done, chosen = manifest.training, manifest.chosen
    exact = f", {'exactly' if done.exact else 'not exactly'} as it would have gone in one"
    parts = f" in {counted(done.parts, 'part')}{exact}" if done.parts > 1 else ""
    value = f" ({chosen.value:.4g})" if chosen.value is not None else ""
    made = (
        f"{counted(done.steps, 'iteration')} ({done.epochs:g} epochs, {count(done.tokens)} tokens "
        f"in the loss) in {duration(done.seconds)}{parts}: {ENDINGS[done.ending]}. "
        f"{duration(done.seconds_per_iteration)} an iteration (median), "
        f"{rate(done.tokens_per_second)}, peak memory {byte_size(done.peak_memory_bytes)}, "
        f"{compact(done.trainable)} parameters trained."
    )
    by = escape(chosen.by)
    kept = f"Kept is the checkpoint after iteration {count(chosen.step)}, by {by}{value}."
    curve = list(_curve(done.losses))
    return "## Training\n\n" + "\n\n".join([made, kept, *curve])


def _curve(losses: Sequence[LossPoint]) -> Iterator[str]:
    """The losses as a line of blocks, and a table of a few points."""
    for name, values in (
        ("training", [each.train for each in losses if each.train is not None]),
        ("validation", [each.valid for each in losses if each.valid is not None]),
    ):
        if len(values) > 1:
            ends = f"{_loss(values[0])} → {_loss(values[-1])}, lowest {_loss(min(values))}"
            yield f"Loss, {name}: `{loss_sparkline(values)}` {ends}"
    points = [each for each in losses if each.valid is not None] or list(losses)
    shown = points[:: -(-len(points) // CURVE_ROWS) or 1]
    if points:
        shown += points[-1:] if shown[-1] is not points[-1] else []
        rows = [[count(each.step), _loss(each.train), _loss(each.valid)] for each in shown]
        yield table(["iteration", "training loss", "validation loss"], rows, right=(0, 1, 2))


def loss_sparkline(values: Sequence[float], width: int = 40) -> str:
    """A loss curve as at most `width` blocks, from its lowest to its highest value."""
    step = -(-len(values) // width) or 1
    windows = [values[start : start + step] for start in range(0, len(values), step)]
    means = [sum(window) / len(window) for window in windows]
    low, high = min(means, default=0.0), max(means, default=0.0)
    return sparkline([(each - low) / (high - low) if high > low else 0.0 for each in means])


def _loss(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"


def _hashes(manifest: AdapterManifest) -> str:
    base = manifest.base
    rows = [
        ["base weights", code(base.weights_hash)],
        ["base template", code(base.template_hash or "")],
        ["adapter weights", code(manifest.weights_hash)],
        ["adapter", code(manifest.adapter_hash)],
        ["data", code(manifest.data.hash)],
    ]
    made = manifest.provenance
    versions = ", ".join(f"{name} {version}" for name, version in sorted(made.versions.items()))
    where = ", ".join(filter(None, (made.hardware, made.platform, versions)))
    parts = ["## Where it comes from", table(["SHA-256 of", ""], rows)]
    if made.command:
        parts.append(fence(made.command, "sh"))
    if where:
        parts.append(escape(where))
    return "\n\n".join(parts)
