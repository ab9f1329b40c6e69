"""`--backend` and `--quantization`: what serves or trains a model of this machine."""

from typing import TYPE_CHECKING

import click

from punie.settings import Settings

if TYPE_CHECKING:
    from punie.backends.choose import BackendChoice

BACKEND = click.option(
    "--backend",
    type=click.Choice(["auto", "mlx", "cuda"]),
    help="mlx, or cuda: NVIDIA GPUs, or slowly the CPU.",
)
QUANTIZATION = click.option(
    "--quantization",
    type=click.Choice(["none", "8bit", "4bit"]),
    help="With cuda: pack the weights while they load.",
)


def backend_choice(
    values: Settings, *, backend: str | None, quantization: str | None
) -> "BackendChoice":
    """What the flags say, and where they say nothing the project's settings.

    A configured `endpoint` serves no model of this machine: then it is as with `auto`.
    """
    from punie.backends.choose import BackendChoice
    from punie.records.training import Quantization

    configured = None if values.backend == "endpoint" else values.backend
    return BackendChoice(
        backend=backend or configured,
        quantization=Quantization(quantization or "none"),
        device=values.device,
        vllm=values.vllm,
    )
