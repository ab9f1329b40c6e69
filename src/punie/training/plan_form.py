"""A plan file on its way to a plan: its values in punie's words, and where each of them stands."""

from dataclasses import dataclass, field
from typing import Any

from punie.records.training import MOST
from punie.sources.faults import FormError
from punie.sources.yaml_source import DataPath


@dataclass(frozen=True, slots=True)
class Form:
    """The values for a TrainPlan, what is named beside it, and what is wrong already."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    beside: dict[str, str] = field(default_factory=dict[str, str])
    """Of `model`, `data` and `name`, those that the file has."""
    places: dict[DataPath, DataPath] = field(default_factory=dict[DataPath, DataPath])
    """Where a value of the plan comes from in the file, where that is another key."""
    errors: list[FormError] = field(default_factory=list[FormError])
    """Their paths are those of the file."""
    notes: list[str] = field(default_factory=list[str])

    def take(self, target: DataPath, origin: DataPath, value: Any) -> None:
        """Set a value of the plan, two keys deep at most, that stands at `origin` in the file."""
        place = self.values
        for step in target[:-1]:
            place = place.setdefault(str(step), {})
        place[str(target[-1])] = value
        self.places[target] = origin

    def take_scale(self, origin: DataPath, scale: object, rank: object) -> None:
        """Set `alpha` from mlx_lm's scale, which is alpha / rank.

        A rank that cannot be one is refused where the plan is validated.
        """
        if isinstance(scale, bool) or not isinstance(scale, int | float):
            self.errors.append(FormError(origin, "should be a number above 0"))
        elif not -MOST <= scale <= MOST:
            self.errors.append(FormError(origin, f"should be at most {MOST:,}"))
        elif isinstance(rank, int) and 0 < rank <= MOST:
            self.take(("alpha",), origin, scale * rank)

    def origin(self, path: DataPath) -> DataPath:
        """Where in the file the value at `path` of the plan comes from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return (*self.places[path[:length]], *path[length:])
        return path
