"""One model and adapter computed twice: by mlx_lm, and by transformers with PEFT, in float32."""

# mlx, mlx_lm, torch, transformers and peft carry no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false, reportPrivateImportUsage=false

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from mlx_lm.generate import generate_step
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

Logits = NDArray[np.float32]


class Mlx:
    """`mlx_lm` with an adapter in its own form, or the base alone."""

    def __init__(self, model: Path, adapter: Path | None = None) -> None:
        loaded, _ = load_model(model)
        self.model: Any = load_adapters(loaded, str(adapter)) if adapter else loaded
        self.model.eval()

    def logits(self, tokens: Sequence[int]) -> Logits:
        """What it expects after every token: (tokens, vocabulary)."""
        return np.array(self.model(mx.array([list(tokens)])))[0]

    def greedy(self, tokens: Sequence[int], count: int) -> list[int]:
        """The next tokens, each the likeliest."""
        steps = generate_step(mx.array(list(tokens)), self.model, max_tokens=count)
        return [int(token) for token, _ in steps]


class Torch:
    """transformers with an adapter in PEFT's form."""

    def __init__(self, model: Path, adapter: Path) -> None:
        base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self.model: Any = PeftModel.from_pretrained(base, str(adapter)).eval()

    def logits(self, tokens: Sequence[int]) -> Logits:
        """What it expects after every token: (tokens, vocabulary)."""
        with torch.no_grad():
            return self.model(torch.tensor([list(tokens)])).logits[0].numpy()

    def greedy(self, prompts: Sequence[Sequence[int]], count: int) -> list[list[int]]:
        """The next tokens of prompts of one length, each the likeliest, not ended by any."""
        asked = torch.tensor([list(tokens) for tokens in prompts])
        self.model.generation_config.eos_token_id = None
        done = self.model.generate(
            input_ids=asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
        return done[:, asked.shape[1] :].tolist()


def save_by_peft(model: Path, folder: Path, **settings: Any) -> Path:
    """An adapter that PEFT itself made and saved, with weights as after a training."""
    torch.manual_seed(5)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    adapted = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
    adapted.save_pretrained(str(folder))
    return folder
