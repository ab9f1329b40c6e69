"""Cohen's kappa: how far two raters agree beyond what chance would give."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from punie.analysis.bootstrap import SAMPLES, percentile_interval, resamples
from punie.analysis.statistics import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    scale: Sequence[Hashable] | None = None,
) -> float | None:
    """(p_o - p_e) / (1 - p_e): agreement p_o and that of chance p_e; 1 is full, 0 that of chance.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales". With `scale`, all labels in
    ascending order, a disagreement counts by the square of its distance: Cohen 1968, "Weighted
    kappa". None where both give one and the same label only: chance explains all. Raises
    ValueError without labels, or with one that is not on the scale.
    """
    places, weights = _coded(first, second, scale)
    return _kappas(places[None, :], weights).tolist()[0] if _varied(places, weights) else None


def kappa_interval(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    seed: int,
    scale: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    samples: int = SAMPLES,
) -> Interval | None:
    """Its interval, by the bootstrap over the rated pairs; None where kappa is.

    A resample in which both give one label only has no kappa. It counts as 0: such a sample shows
    no agreement beyond chance, and the lower bound, which gates, is not raised by leaving it out.
    """
    import numpy as np  # noqa: PLC0415 - commands that need no numbers start without it

    places, weights = _coded(first, second, scale)
    if not _varied(places, weights):
        return None
    drawn = resamples(len(places), seed=seed, samples=samples)
    draws = np.sort(np.concatenate([_kappas(places[each], weights) for each in drawn]))
    return percentile_interval(draws.tolist(), confidence)


def _coded(
    first: Sequence[Hashable], second: Sequence[Hashable], scale: Sequence[Hashable] | None
) -> tuple["Whole", "Whole"]:
    """The cell of each pair in a square table of labels, and what a disagreement in it weighs."""
    import numpy as np  # noqa: PLC0415 - as above

    pairs = list(zip(first, second, strict=True))
    labels = list(dict.fromkeys([*first, *second] if scale is None else scale))
    number = {label: at for at, label in enumerate(labels)}
    unknown = [label for pair in pairs for label in pair if label not in number]
    if not pairs or unknown:
        msg = f"{unknown[0]!r} is not on the scale" if unknown else "no labels to compare"
        raise ValueError(msg)
    places = np.array([number[a] * len(labels) + number[b] for a, b in pairs])
    apart = np.abs(np.subtract.outer(np.arange(len(labels)), np.arange(len(labels))))
    return places, (apart > 0).astype(np.int64) if scale is None else apart**2


def _kappas(places: "Whole", weights: "Whole") -> "NDArray[np.float64]":
    """One kappa for each row of cells: 1 - n · Σ w·o / Σ w·r·c, all sums in whole numbers."""
    import numpy as np  # noqa: PLC0415 - as above

    rows, n = places.shape
    size = len(weights)
    offset: Whole = np.arange(rows, dtype=np.int64)[:, None] * (size * size)
    counts = np.bincount((places + offset).ravel(), minlength=rows * size * size)
    table = counts.reshape(rows, size, size)
    seen = (table * weights).sum(axis=(1, 2))
    by_first, by_second = table.sum(axis=2), table.sum(axis=1)
    chance = (by_first[:, :, None] * by_second[:, None, :] * weights).sum(axis=(1, 2))
    return np.where(chance > 0, 1 - n * seen / np.maximum(chance, 1), 0.0)


def _varied(places: "Whole", weights: "Whole") -> bool:
    """Whether more than one label was given."""
    first, second = set((places // len(weights)).tolist()), set((places % len(weights)).tolist())
    return len(first | second) > 1
