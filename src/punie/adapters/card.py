"""An adapter's card: a Hugging Face README.md that says what was trained, on what, and how it did.

The front matter is YAML by a YAML writer, the body markdown whose every foreign word is escaped:
names of models, data and suites come from outside.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from punie.records.adapter import AdapterManifest, AdapterResult
from punie.records.dataset import DatasetVersion
from punie.records.training import Method
from punie.reporting.escaping import code, escape, fence, table
from punie.reporting.numbers import compact
from punie.reporting.privacy import Privacy
from punie.reporting.training_markdown import results_table, trained_by, training_body
from punie.text import one_line

NAME = re.compile(r"[\w.-]+", re.ASCII)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
HUB_IDS = {"smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Where a built-in model has its page."""
BELONGS = (
    "The adapter belongs on the very weights and chat template named below; punie refuses any "
    "other. To mlx_lm.server send `default_model` as the model's name: any other name drops the "
    "adapter without a word."
)


def write_card(manifest: AdapterManifest, *, fused: bool = False, plain: bool = False) -> str:
    """The card of an adapter, or, with `fused`, of the model that it was fused into.

    `plain` is a fused model in Hugging Face's own form. Pure: one manifest, one text.
    """
    sections = [
        f"# {escape(manifest.name)}",
        _what_it_is(manifest, fused=fused),
        _results(manifest.results),
        _use(manifest, fused=fused, plain=plain),
        f"## Training\n\n{training_body(manifest)}",
        *_rights(manifest.data),
        _hashes(manifest),
    ]
    front = _front_matter(manifest, fused=fused, library="transformers" if plain else "mlx")
    return f"---\n{front}---\n\n" + "\n\n".join(sections) + "\n"


def shown_name(name: str) -> str:
    """A model's or data set's name as others may see it: of a path only the last part."""
    looks_like_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    return PurePath(name).name or name if looks_like_path else name


def hub_id(base: str) -> str | None:
    """The hub id of a base model, or None for one that has no page there."""
    known = HUB_IDS.get(base, base)
    return known if HUB_ID.fullmatch(known) and not known.endswith(".gguf") else None


def public(manifest: AdapterManifest, project: Path) -> AdapterManifest:
    """The manifest as others may see it: without folders, addresses or users of this machine."""
    base = manifest.base.model_copy(update={"name": shown_name(manifest.base.name)})
    data = manifest.data.model_copy(update={"name": shown_name(manifest.data.name)})
    path = shown_name(manifest.data_path) if Path(manifest.data_path).is_absolute() else None
    changes = {"base": base, "data": data} | ({"data_path": path} if path else {})
    return Privacy(root=project, home=Path.home()).manifest(manifest.model_copy(update=changes))


def _front_matter(manifest: AdapterManifest, *, fused: bool, library: str) -> str:
    import yaml  # noqa: PLC0415 - 15 ms, for cards alone

    front: dict[str, object] = {"library_name": library, "pipeline_tag": "text-generation"}
    if base := hub_id(manifest.base.name):
        front["base_model"] = base
        front["base_model_relation"] = "finetune" if fused else "adapter"
    front["tags"] = [*(["mlx"] if library == "mlx" else []), "punie", manifest.plan.method.value]
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
        f"punie on {escape(manifest.created_at[:10])} by {escape(trained_by(manifest))}."
    )


def _results(results: Sequence[AdapterResult]) -> str:
    measured = "Not measured yet: each `punie eval` with it adds a line here."
    return f"## Results\n\n{results_table(results) if results else measured}"


def _use(manifest: AdapterManifest, *, fused: bool, plain: bool) -> str:
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
        *([f"vllm serve {_word(model)}"] if plain else []),
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


def _rights(data: DatasetVersion) -> Iterator[str]:
    """What the data's maker says of it, as far as anything is on record."""
    licence = f"Licence of the data: {escape(data.licence)}." if data.licence else ""
    if said := " ".join(filter(None, (licence, escape(data.description)))):
        yield said


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
    where = ", ".join(filter(None, (made.platform, versions)))
    parts = ["## Where it comes from", table(["SHA-256 of", ""], rows)]
    if made.command:
        parts.append(fence(made.command, "sh"))
    if where:
        parts.append(escape(where))
    return "\n\n".join(parts)
