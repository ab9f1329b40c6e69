"""What served a model and how: backend, packing, type, device; in words, and whether alike.

The same weights answer a little otherwise on another backend, and clearly otherwise packed into
4 bits; how fast they answer says nothing of the model. So runs that were served differently are
never one row of numbers.
"""

from punie.records.run import ModelIdentity
from punie.records.training import Quantization

PACKED = {Quantization.FOUR_BIT: "NF4", Quantization.EIGHT_BIT: "8-bit"}


def served_by(model: ModelIdentity) -> str:
    """In words: `mlx`, or `cuda (transformers), NF4 computed in bfloat16, on the CPU`."""
    parts = [f"{model.backend} ({model.server})" if model.server else model.backend]
    packed = PACKED.get(model.quantization, "")
    computed = f"computed in {model.computed_in}" if model.computed_in else ""
    parts += [" ".join(filter(None, (packed, computed)))]
    if model.device:
        parts += [f"on {'the CPU' if model.device == 'cpu' else model.device}"]
    return ", ".join(filter(None, parts))


def served_alike(one: ModelIdentity, other: ModelIdentity) -> bool:
    """Whether nothing that is known of both says that they were served in different ways.

    What only one of them knows, such as the device of a run that has not begun, does not count. Of
    GPUs any is as good as another, not so the CPU.
    """
    if (one.backend, one.quantization) != (other.backend, other.quantization):
        return False
    pairs = (
        (one.server, other.server),
        (one.computed_in, other.computed_in),
        (_processor(one), _processor(other)),
    )
    return all(first == second or None in {first, second} for first, second in pairs)


def served_otherwise(one: ModelIdentity, other: ModelIdentity) -> bool:
    """Whether both are served by backends of punie's own, and differently."""
    remote = "endpoint" in {one.backend, other.backend}
    return not remote and not served_alike(one, other)


def _processor(model: ModelIdentity) -> str | None:
    return model.device if model.device in {"cpu", None} else "gpu"
