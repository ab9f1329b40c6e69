"""Compare a merged folder with base and adapter: `python -m … workers.agreement_torch JOB`.

The adapter acts beside its layers, as it does when it is served, so that what was added to the
weights is held against what was not.
"""

# torch and transformers are only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportUnknownLambdaType=false

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from punie.backends.workers.agreement import answer, compared, probe_tokens
from punie.backends.workers.weights_read import WeightsFile
from punie.models.adapter import WEIGHTS
from punie.models.check import read_json


def main(job: dict[str, Any]) -> dict[str, Any]:
    """One after the other, so that one model at a time is in memory."""
    source = Path(job["model"])
    model = _loaded(source)
    tokens = probe_tokens(source, int(model.config.get_text_config().vocab_size))
    _put_on(model, Path(job["adapter"]))
    before = _probabilities(model, tokens)
    del model
    return compared(before, _probabilities(_loaded(Path(job["merged"])), tokens))


def _loaded(folder: Path) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", local_files_only=True, use_safetensors=True
    )
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _put_on(model: Any, adapter: Path) -> None:
    """Give each changed layer what the adapter adds to its output."""
    file, settings = WeightsFile(adapter / WEIGHTS), read_json(adapter / "adapter_config.json")

    def tensor(name: str) -> Any:
        return torch.from_numpy(file.floats(name)).to(model.device)

    if settings.get("fine_tune_type") == "full":
        model.load_state_dict({name: tensor(name) for name in file.tensors}, strict=False)
        return
    scale = float(settings["lora_parameters"]["scale"])
    for name in file.tensors:
        module = name.removesuffix(".lora_a")
        if module == name:
            continue
        layer, a, b = model.get_submodule(module), tensor(name), tensor(f"{module}.lora_b")
        if not isinstance(layer, torch.nn.Embedding):
            _add(layer, lambda x, a=a, b=b: scale * (x @ a) @ b)
            continue
        _add(layer, lambda ids, a=a, b=b: scale * a[ids] @ b)
        head = model.get_output_embeddings()
        if head is not None and head.weight is layer.weight:
            _add(head, lambda x, a=a, b=b: scale * (x @ b.T) @ a.T)


def _add(layer: Any, change: Any) -> None:
    def hook(_layer: Any, given: tuple[Any, ...], out: Any) -> Any:
        x = given[0]
        return out + change(x.float() if x.is_floating_point() else x).to(out.dtype)

    layer.register_forward_hook(hook)


def _probabilities(model: Any, tokens: list[int]) -> NDArray[np.float32]:
    with torch.no_grad():
        found = model(torch.tensor([tokens], device=model.device), use_cache=False).logits[0]
        return torch.softmax(found.float(), dim=-1).cpu().numpy()


if __name__ == "__main__":
    answer(main)
