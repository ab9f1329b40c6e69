"""How bitsandbytes packs a base, to train over it and to serve it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# bitsandbytes and transformers are only partly typed.

import logging
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from punie.records.training import Quantization


def packing(
    quantization: Quantization,
    computed_in: torch.dtype,
    *,
    double: bool = True,
    stored_in: torch.dtype = torch.uint8,
) -> BitsAndBytesConfig | None:
    """What transformers is told; None: nothing is packed.

    4 bits are NF4, unpacked to `computed_in`; `double`: its scales are packed too. transformers
    itself would unpack to float32 whatever the model computes in.
    """
    if quantization is Quantization.NONE:
        return None
    if quantization is Quantization.EIGHT_BIT:
        # A line for each layer and token: gigabytes in the log of a long eval.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=computed_in,
        bnb_4bit_quant_storage=stored_in,
    )


def keep_weights_as_they_are(model: Any) -> None:
    """Have bitsandbytes leave 4-bit weights in their layout.

    On processors with AVX512-BF16 it repacks them at the first answer and multiplies in bfloat16
    from then on, whatever the compute type is.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
