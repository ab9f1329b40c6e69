"""What cannot hold together in a gate file, or asks for nothing.

The data are looked at as they were written, so that these problems show beside all others.
"""

from collections.abc import Iterator
from typing import Any

from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError
from punie.sources.yaml_source import DataPath

_LISTS = ("targets", "guards")
_BOUNDS = ("margin_points", "minimum_gain_points", "floor_percent")
_SLICES = ("category", "role", "tag")
_ASKS = (*_LISTS, "must_pass", "latency", "judge", "memory_gb", "criteria", "weights")


def contradictions(data: dict[str, Any]) -> list[FormError]:
    """Everything that contradicts itself, cannot be met, or asks for nothing."""
    found = list(_of_suites(data))
    if not any(data.get(key) not in (None, [], {}) for key in _ASKS):
        found.append(FormError((), f"asks for nothing: give one of {', '.join(_ASKS)}"))
    for key in ("latency", "judge"):
        bounds = data.get(key)
        if is_object(bounds) and all(value is None for value in bounds.values()):
            found.append(FormError((key,), "asks for nothing"))
    found += _of_judge(data.get("judge"))
    criteria = data.get("criteria")
    if is_object(criteria) and {"role_floor_percent", "role_margin_points"} <= criteria.keys():
        what = "stands beside role_floor_percent, with which it has no effect: give one of the two"
        found.append(FormError(("criteria", "role_margin_points"), what, key=True))
    weights = data.get("weights")
    if is_object(weights) and weights and all(value == 0 for value in weights.values()):
        found.append(FormError(("weights",), "should have a weight above 0"))
    return found


def _of_judge(bounds: Any) -> Iterator[FormError]:
    for key, what in (("win_rate_percent", "win rate"), ("score_percent", "score")):
        bound = bounds.get(key) if is_object(bounds) else None
        if bound == 100:
            never = f"cannot be met: the lower bound of a {what} is below 100 % for any number"
            yield FormError(("judge", key), f"{never} of prompts")
        if bound == 0:
            yield FormError(("judge", key), f"allows every {what}: leave it out")


def _of_suites(data: dict[str, Any]) -> Iterator[FormError]:
    seen: dict[str, str] = {}
    for kind in _LISTS:
        entries = data.get(kind)
        for at, entry in enumerate(entries if is_array(entries) else ()):
            if not is_object(entry):
                continue
            yield from _of_suite(entry, (kind, at))
            name = entry.get("suite")
            if not isinstance(name, str):
                continue
            if not name.strip():
                yield FormError((kind, at, "suite"), "should name a suite, or be own or others")
            elif name in seen:
                yield FormError((kind, at, "suite"), _twice(name, seen[name], kind))
            seen.setdefault(name, kind)


def _twice(name: str, before: str, now: str) -> str:
    if before == now:
        return f"{name} stands in {now} a second time: put its bounds into one entry"
    return f"{name} is a target and a guard: it is asked to gain, or not to lose, not both"


def _of_suite(entry: dict[str, Any], path: DataPath) -> Iterator[FormError]:
    slices = entry.get("slices")
    yield from _of_bounds(entry, path, asks=bool(slices))
    seen: set[tuple[str, str]] = set()
    for at, each in enumerate(slices if is_array(slices) else ()):
        if not is_object(each):
            continue
        here = (*path, "slices", at)
        yield from _of_bounds(each, here, asks=False)
        named = [(kind, str(each[kind])) for kind in _SLICES if each.get(kind) is not None]
        if len(named) != 1:
            what = " and ".join(kind for kind, _ in named) if named else "nothing"
            yield FormError(here, f"names {what}: name one category, one role or one tag")
        elif named[0] in seen:
            yield FormError(here, f"{named[0][0]} {named[0][1]} stands here a second time")
        seen.update(named)


def _of_bounds(entry: dict[str, Any], path: DataPath, *, asks: bool) -> Iterator[FormError]:
    margin, gain, floor = (entry.get(each) for each in _BOUNDS)
    bare = not (entry.keys() - {"suite", "slices", *_SLICES, *_BOUNDS})
    if margin is None and gain is None and floor is None and not asks and bare:
        yield FormError(path, f"asks for nothing: give one of {', '.join(_BOUNDS)}")
    if margin is not None and gain is not None:
        what = "stands beside minimum_gain_points: what must gain may not lose; give one of the two"
        yield FormError((*path, "margin_points"), what, key=True)
    if gain == 100:
        what = "cannot be met: nothing gains more than 100 points"
        yield FormError((*path, "minimum_gain_points"), what)
    if margin == 100:
        yield FormError((*path, "margin_points"), "allows every loss: leave it out")
    if floor == 100:
        what = "cannot be met: the lower bound of a score is below 100 % for any number of prompts"
        yield FormError((*path, "floor_percent"), what)
    if floor == 0:
        yield FormError((*path, "floor_percent"), "allows every score: leave it out")
