"""What `torch_serve` serves: a Hugging Face folder, packed or not, with PEFT's adapter."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# transformers, peft and bitsandbytes are only partly typed.

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.backends.workers.torch_weights import require_the_models
from punie.records.training import Quantization


@dataclass(frozen=True, slots=True)
class Served:
    """What to load, how to pack it, and where to."""

    folder: Path
    """The model, or a folder of links to it with PEFT's adapter beside them."""
    quantization: str
    """`none`, `4bit` or `8bit`."""
    computed_in: str
    """A type of torch's; `auto` is that of the files."""
    device: str
    """As transformers' `device_map` has it: `cpu`, `cuda:0`, `sequential`."""


def load(served: Served) -> tuple[Any, Any]:
    """The model, ready to answer, and its tokenizer.

    Raises Failure where torch cannot use the GPU or the weights are not the model's, and what
    transformers raises.
    """
    import torch  # noqa: PLC0415 - the command line is read before it
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - as above

    from punie.backends.workers import torch_device, torch_packing  # noqa: PLC0415 - as above

    if served.device != "cpu":
        torch_device.use_gpu()

    tokenizer = AutoTokenizer.from_pretrained(served.folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise ValueError(f"{served.folder} has no chat template, so it cannot answer chats")
    computed_in = "auto" if served.computed_in == "auto" else getattr(torch, served.computed_in)
    unpacked = torch.float32 if computed_in == "auto" else computed_in
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        served.folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=computed_in,
        device_map=served.device,
        quantization_config=torch_packing.packing(Quantization(served.quantization), unpacked),
        output_loading_info=True,
    )
    model, found = loaded
    require_the_models(served.folder, found)
    torch_packing.keep_weights_as_they_are(model)
    end_where_the_turn_ends(model, tokenizer)
    return model.eval(), tokenizer


def end_where_the_turn_ends(model: Any, tokenizer: Any) -> None:
    """Leave of the model's own generation settings only the tokens that begin and end a text.

    `generate` fills in from them whatever a request leaves out, a repetition penalty too. The
    tokenizer's end of a turn ends an answer as well: some models' settings name another token.
    """
    from transformers import GenerationConfig  # noqa: PLC0415 - see above

    own = model.generation_config
    named = own.eos_token_id
    ends = {named} if isinstance(named, int) else set(named or ())
    if tokenizer.eos_token_id is not None:
        ends.add(tokenizer.eos_token_id)
    model.generation_config = GenerationConfig(
        eos_token_id=sorted(ends),
        pad_token_id=min(ends, default=0) if own.pad_token_id is None else own.pad_token_id,
        bos_token_id=own.bos_token_id,
    )


def adapted_layers(model: Any) -> list[Any]:
    """The layers that an adapter of PEFT's changes."""
    return [module for module in model.modules() if getattr(module, "lora_A", None)]


@contextmanager
def without_adapter(model: Any) -> Generator[None]:
    """Take the adapter off while the context is open; nobody else may use the model meanwhile."""
    model.disable_adapters()
    try:
        yield
    finally:
        model.enable_adapters()
