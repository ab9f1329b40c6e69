"""Where a collected interaction tells what: by the usual names of its keys, or as a person says.

Names are compared without case, `_`, `-` and spaces, so `agentType` is `agent_type`. Each thing is
looked for on the top level first, then in the usual containers (`metadata`, `metrics`, …).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from punie.errors import InputError
from punie.scoring.json_text import is_object
from punie.sources.faults import nearest

USUAL = {
    "success": (
        "success", "successful", "succeeded", "issuccess", "ok", "passed", "status", "outcome",
        "state",
    ),
    "role": ("role", "agentrole", "agent", "agenttype", "agentname"),
    "provider": ("provider", "providername", "vendor", "backend", "model", "modelname"),
    "time": ("timestamp", "createdat", "datetime", "startedat", "starttime", "ts", "date", "time"),
    "task": (
        "task", "prompt", "input", "question", "instruction", "query", "taskdescription",
        "messages",
    ),
    "output": ("output", "response", "answer", "completion", "result", "reply"),
    "task_length": ("tasklength", "taskchars", "promptlength", "inputlength"),
    "output_length": ("outputlength", "outputchars", "responselength", "answerlength"),
    "error": ("error", "errormessage", "errormsg", "exception", "failurereason", "errortype"),
}  # fmt: skip
"""For each thing the keys that usually hold it, the likeliest first."""
DURATIONS = (
    "duration", "latency", "elapsed", "elapsedtime", "responsetime", "executiontime", "runtime",
    "walltime", "totaltime", "processingtime", "inferencetime", "took", "time",
)  # fmt: skip
"""Keys that hold a duration when a unit follows: `duration_ms`, `latencySeconds`."""
UNITS = {
    "milliseconds": 1e-3, "millis": 1e-3, "msec": 1e-3, "ms": 1e-3,
    "microseconds": 1e-6, "us": 1e-6,
    "nanoseconds": 1e-9, "ns": 1e-9,
    "minutes": 60.0, "min": 60.0,
    "seconds": 1.0, "secs": 1.0, "sec": 1.0, "s": 1.0,
}  # fmt: skip
"""Seconds in each unit."""
CONTAINERS = (
    "metadata", "meta", "metrics", "stats", "performance", "timing", "result", "response",
    "context", "data",
)  # fmt: skip
DURATION = "duration"
MAPPED = (*USUAL, DURATION, "duration_ms", "duration_s")
"""What `--field` can name."""
SHAPES = 1000
"""Different sets of keys whose places are remembered."""

Path = tuple[str, ...]
_IGNORED = re.compile(r"[_\-\s]")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
"""Of `duration_ms`, `durationMs` and `duration MS`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A way to a value, and for a duration the seconds in its unit: None where nothing tells it."""

    path: Path
    unit: float | None = None

    @property
    def name(self) -> str:
        """The path as a person writes it."""
        return ".".join(self.path)


class Fields:
    """Finds the places of each thing by a line's keys.

    `mapping` is what a person says: a thing's name to a dotted path, or to nothing at all for what
    must not be looked for.
    """

    def __init__(self, mapping: Mapping[str, str] | None = None) -> None:
        self.mapped = {thing: _mapped(thing, path) for thing, path in (mapping or {}).items()}
        if len({thing for thing in self.mapped if thing.startswith(DURATION)}) > 1:
            raise InputError(
                "--field names the duration twice", hint="give one of duration_ms and duration_s"
            )
        self._mapped = {
            DURATION if thing.startswith(DURATION) else thing: place
            for thing, place in self.mapped.items()
        }
        self._known: dict[Path, dict[str, tuple[Place, ...]]] = {}

    def places(self, row: Mapping[str, Any]) -> dict[str, tuple[Place, ...]]:
        """For each thing, where a line with these keys may tell it, the likeliest first."""
        shape = tuple(row)
        for key, value in row.items():
            if is_object(value):
                shape = (*shape, "", key, *value)
        places = self._known.get(shape)
        if places is None:
            places = self._find(row)
            if len(self._known) < SHAPES:
                self._known[shape] = places
        return places

    def _find(self, row: Mapping[str, Any]) -> dict[str, tuple[Place, ...]]:
        levels: list[tuple[Path, Sequence[str]]] = [((), tuple(row))]
        named = {normal(key): key for key in reversed(tuple(row))}
        for name in CONTAINERS:
            key = named.get(name)
            if key is not None and is_object(row[key]):
                levels.append(((key,), tuple(row[key])))
        found = {thing: _usual(names, levels) for thing, names in USUAL.items()}
        found[DURATION] = _durations(levels)
        for thing, place in self._mapped.items():
            found[thing] = () if place is None else (place,)
        return found


def parse_fields(written: Sequence[str]) -> dict[str, str]:
    """Read `success=ok` and the like. Raises InputError for a thing that nobody looks for."""
    mapping: dict[str, str] = {}
    for each in written:
        thing, equals, path = each.partition("=")
        if not equals:
            raise InputError(f"--field {each}: has no =", hint="e.g. --field success=ok")
        if thing not in MAPPED:
            raise InputError(
                f"--field {each}: {thing or 'nothing'} is none of the fields"
                f"{nearest(thing, list(MAPPED))}",
                hint="e.g. --field success=ok, --field role=agent.kind, --field duration_ms=took",
            )
        mapping[thing] = path
    return mapping


def normal(key: str) -> str:
    """A key without case and separators."""
    return _IGNORED.sub("", key).lower()


def unit_of(key: str) -> float | None:
    """Seconds in the unit that a key's name ends in, if it has the name of a duration."""
    *name, _ = _WORDS.findall(key) or [""]
    return _last_unit(key) if "".join(name).lower() in DURATIONS else None


def value_at(row: Mapping[str, Any], path: Path) -> Any:
    """The value at a path, or None. A key that holds the dots itself goes first."""
    whole = path[0] if len(path) == 1 else ".".join(path)
    if whole in row or len(path) == 1:
        return row.get(whole)
    value: Any = row
    for key in path:
        if not is_object(value):
            return None
        value = value.get(key)
    return value


def _mapped(thing: str, path: str) -> Place | None:
    if not path:
        return None
    parts = tuple(path.split("."))
    if thing == "duration_ms":
        return Place(parts, 1e-3)
    if thing == "duration_s":
        return Place(parts, 1.0)
    if thing != DURATION:
        return Place(parts)
    unit = _last_unit(parts[-1])
    if unit is None:
        raise InputError(
            f"--field duration={path}: the name tells no unit",
            hint=f"--field duration_ms={path} or --field duration_s={path}",
        )
    return Place(parts, unit)


def _last_unit(key: str) -> float | None:
    words = _WORDS.findall(key)
    return UNITS.get(words[-1].lower()) if len(words) > 1 else None


def _usual(names: Sequence[str], levels: Sequence[tuple[Path, Sequence[str]]]) -> tuple[Place, ...]:
    found: list[Place] = []
    for before, keys in levels:
        known = {normal(key): key for key in reversed(keys)}
        found += [Place((*before, known[name])) for name in names if name in known]
    return tuple(found)


def _durations(levels: Sequence[tuple[Path, Sequence[str]]]) -> tuple[Place, ...]:
    """Those with a unit first; then those without, of which nothing but a warning can come."""
    sure: list[Place] = []
    unsure: list[Place] = []
    for before, keys in levels:
        ranked = sorted(keys, key=_rank)
        sure += [Place((*before, key), unit) for key in ranked if (unit := unit_of(key))]
        # `time` alone is a time of day.
        unsure += [Place((*before, key)) for key in ranked if normal(key) in DURATIONS[:-1]]
    return (*sure, *unsure)


def _rank(key: str) -> int:
    name = normal(key)
    return next((at for at, known in enumerate(DURATIONS) if name.startswith(known)), 99)
