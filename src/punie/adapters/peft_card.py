"""The card of an adapter in PEFT's form: what it is, how it is used, how it was trained."""

from punie.adapters.card import HUB_ID, hub_id, shown_name
from punie.records.adapter import AdapterManifest
from punie.reporting.escaping import code, escape, fence
from punie.reporting.training_markdown import results_table, training_body
from punie.text import one_line


def write_peft_card(name: str, base: str, manifest: AdapterManifest | None) -> str:
    """The card of the adapter `name` for the model `base`; `manifest` where punie trained it.

    Pure; `manifest` as others may see it.
    """
    named = hub_id(base) or shown_name(base)
    what = (
        f"A LoRA adapter for {code(named)} in PEFT's form, converted by punie from mlx_lm's: the "
        "same matrices, transposed, bit for bit."
    )
    use = f"{fence(_python(named), 'python')}\n\n{fence(_shell(base), 'sh')}"
    sections = [
        f"# {escape(name)}",
        what,
        *([BELONGS] if manifest else []),
        f"## Use\n\nIn its folder:\n\n{use}",
    ]
    if manifest is not None:
        if manifest.results:
            sections.append(f"## Results\n\n{results_table(manifest.results)}")
        sections.append(f"## Training\n\n{training_body(manifest)}")
    return f"---\n{_front_matter(base)}---\n\n" + "\n\n".join(sections) + "\n"


BELONGS = (
    "`punie.json` says what it was made from, and which weights and chat template it belongs on; "
    "punie refuses any other. The hash in it is that of the adapter in mlx_lm's form."
)


def _front_matter(base: str) -> str:
    import yaml  # noqa: PLC0415 - 15 ms, for cards alone

    front: dict[str, object] = {"library_name": "peft", "pipeline_tag": "text-generation"}
    if page := hub_id(base):
        front |= {"base_model": page, "base_model_relation": "adapter"}
    front["tags"] = ["lora", "peft", "punie"]
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True)


def _python(base: str) -> str:
    at = base if HUB_ID.fullmatch(base) else "BASE_FOLDER"
    return (
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM\n\n"
        f'base = AutoModelForCausalLM.from_pretrained("{at}")\n'
        'model = PeftModel.from_pretrained(base, ".")'
    )


def _shell(base: str) -> str:
    import shlex  # noqa: PLC0415 - for cards alone

    return f"punie eval --model {shlex.quote(one_line(base))} --adapter ."
