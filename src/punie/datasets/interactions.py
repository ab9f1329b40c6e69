"""Files of collected interactions, a JSON object a line, as a stream."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from punie.analysis.interactions import InteractionTally, TooManyGroupsError
from punie.datasets.interaction_fields import DURATION, Fields, Place, normal, value_at
from punie.datasets.interaction_values import (
    WORDS,
    MeaninglessError,
    error_of,
    length_of,
    moment_of,
    name_of,
    seconds_of,
    success_of,
)
from punie.datasets.rows_file import Problems
from punie.errors import DataError, InputError, Problem
from punie.reading import open_regular
from punie.records.interactions import Interaction, InteractionFile, Interactions
from punie.scoring.json_text import is_object
from punie.sources.json_rows import JsonRow, json_rows

_ORDER = (
    *("success", DURATION, "role", "provider", "time", "error"),
    *("task", "task_length", "output", "output_length"),
)
HINT = "mend these lines, or say where each thing stands: --field success=ok"


def read_interactions(
    files: Sequence[tuple[Path, str]],
    *,
    mapping: Mapping[str, str] | None = None,
    statuses: Mapping[str, bool] | None = None,
    planned: Mapping[str, float] | None = None,
) -> tuple[Interactions, tuple[str, ...]]:
    """Read files of interactions to the end; also gives warnings, a sentence each.

    `files` are paths with the names that people know them by; `mapping` as in `Fields`; `statuses`
    are further words that mean success or failure; `planned` a share in [0, 1] for each role.
    A last line that was torn off is a warning. Raises DataError with everything that is wrong with
    the lines, InputError for a file that cannot be read or a mapped key that no line has.
    """
    reader, tally, problems = _Reader(mapping or {}, statuses or {}), InteractionTally(), Problems()
    sources: list[InteractionFile] = []
    for path, name in files:
        before = reader.lines
        try:
            for each in reader.read(path, name, problems):
                tally.add(each)
        except TooManyGroupsError as error:
            raise InputError(
                f"{name}: {error}", hint=f"say where it stands: --field {error.what}=KEY"
            ) from None
        read = reader.lines - before
        sources.append(InteractionFile(name=name, sha256=_sha256(path), interactions=read))
    if problems.found:
        raise DataError(problems.shown, hint=HINT, found=problems.found)
    if not reader.lines:
        names = ", ".join(name for _, name in files)
        raise InputError(f"{names}: no interactions", hint="one JSON object a line")
    reader.refuse_unfound()
    summary = tally.summary(planned)
    warnings = (*reader.warnings(), *_twice(sources))
    return summary.model_copy(update={"fields": reader.found(), "files": tuple(sources)}), warnings


class _AtError(Exception):
    """A value that cannot be what its key says, and where it stands."""

    def __init__(self, place: Place, what: str) -> None:
        super().__init__(what)
        self.place = place
        self.what = what


class _Reader:
    """Turns lines into interactions, and counts where it found what."""

    def __init__(self, mapping: Mapping[str, str], statuses: Mapping[str, bool]) -> None:
        self.lines = 0
        self._fields = Fields(mapping)
        self._statuses = {**WORDS, **{normal(word): told for word, told in statuses.items()}}
        self._found: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self._unitless: Counter[str] = Counter()
        self._torn: list[str] = []

    def read(self, path: Path, name: str, problems: Problems) -> Iterator[Interaction]:
        """The interactions of one file; what is wrong with its lines is added to `problems`."""
        held: Problem | None = None
        for row in json_rows(path, name):
            if held is not None:
                problems.add(held)
                held = None
            if not isinstance(row, JsonRow):
                held = row
                continue
            for problem in row.problems:
                problems.add(problem)
            if not is_object(row.data):
                problems.add(row.problem((), "should be an object: one interaction a line"))
            elif not row.problems:
                interaction = self._interaction(row, row.data, problems)
                if interaction is not None:
                    yield interaction
        if held is not None and _is_torn(path):
            self._torn.append(f"{held.file}:{held.line}: the last line is torn off and left out")
        elif held is not None:
            problems.add(held)

    def found(self) -> dict[str, dict[str, int]]:
        """For each thing the keys that told it, the most frequent first."""
        ranked = self._found.most_common()
        told = {
            thing: {".".join(path): n for (each, path), n in ranked if each == thing}
            for thing in _ORDER
        }
        return {thing: names for thing, names in told.items() if names}

    def refuse_unfound(self) -> None:
        """Raise InputError for a key that a person named and no line has."""
        found = self.found()
        for thing, place in self._fields.mapped.items():
            told = DURATION if thing.startswith(DURATION) else thing
            if place is not None and told not in found:
                raise InputError(
                    f"--field {thing}={place.name}: no line has it",
                    hint="a path's steps are joined by dots: --field role=agent.kind",
                )

    def warnings(self) -> Iterator[str]:
        """What a reader of the numbers must know."""
        yield from self._torn
        for name, lines in self._unitless.most_common(3):
            yield (
                f"{name} ({lines:,} lines) tells no unit and was not read: "
                f"--field duration_ms={name} or --field duration_s={name}"
            )

    def _interaction(
        self, row: JsonRow, data: Mapping[str, Any], problems: Problems
    ) -> Interaction | None:
        self.lines += 1
        places = self._fields.places(data)
        try:
            error = self._error(data, places["error"])
            succeeded = self._succeeded(data, places["success"])
            return Interaction(
                # A line that names an error and no status did not succeed.
                succeeded=False if succeeded is None and error else succeeded,
                duration_s=self._duration(data, places[DURATION]),
                role=self._name(data, "role", places["role"]),
                provider=self._name(data, "provider", places["provider"]),
                at=self._moment(data, places["time"]),
                task_characters=self._length(data, "task", places),
                output_characters=self._length(data, "output", places),
                error=error,
            )
        except _AtError as fault:
            problems.add(row.problem(fault.place.path, fault.what))
            return None

    def _tell(self, thing: str, place: Place) -> None:
        self._found[thing, place.path] += 1

    def _error(self, data: Mapping[str, Any], places: Sequence[Place]) -> str:
        for place, value in _values(data, places):
            if message := error_of(value):
                self._tell("error", place)
                return message
        return ""

    def _succeeded(self, data: Mapping[str, Any], places: Sequence[Place]) -> bool | None:
        """The first value that tells; a word that nobody knows is a fault where no other tells."""
        fault: _AtError | None = None
        for place, value in _values(data, places):
            if isinstance(value, dict | list):
                continue
            try:
                told = success_of(value, self._statuses)
            except MeaninglessError as error:
                fault = fault or _AtError(place, str(error))
                continue
            self._tell("success", place)
            return told
        if fault is not None:
            raise fault
        return None

    def _duration(self, data: Mapping[str, Any], places: Sequence[Place]) -> float | None:
        for place, value in _values(data, places):
            if isinstance(value, dict | list):
                continue
            if place.unit is None:
                self._unitless[place.name] += 1
                return None
            try:
                seconds = seconds_of(value, place.unit)
            except MeaninglessError as error:
                raise _AtError(place, str(error)) from None
            self._tell(DURATION, place)
            return seconds
        return None

    def _moment(self, data: Mapping[str, Any], places: Sequence[Place]) -> float | None:
        for place, value in _values(data, places):
            if isinstance(value, dict | list):
                continue
            try:
                moment = moment_of(value)
            except MeaninglessError as error:
                raise _AtError(place, str(error)) from None
            self._tell("time", place)
            return moment
        return None

    def _name(self, data: Mapping[str, Any], thing: str, places: Sequence[Place]) -> str | None:
        for place, value in _values(data, places):
            if name := name_of(value):
                self._tell(thing, place)
                return name
        return None

    def _length(
        self, data: Mapping[str, Any], thing: str, places: Mapping[str, Sequence[Place]]
    ) -> int | None:
        """Of the text, or where the line only tells its length, that."""
        for place, value in _values(data, places[thing]):
            if (length := length_of(value)) is not None:
                self._tell(thing, place)
                return length
        for place, value in _values(data, places[f"{thing}_length"]):
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12:
                self._tell(f"{thing}_length", place)
                return value
        return None


def _values(data: Mapping[str, Any], places: Sequence[Place]) -> Iterator[tuple[Place, Any]]:
    """What stands at the places, the likeliest first; null tells nothing."""
    for place in places:
        value = value_at(data, place.path)
        if value is not None:
            yield place, value


def _is_torn(path: Path) -> bool:
    """Whether a file ends in the middle of a line, as after a crash of whoever wrote it."""
    with open_regular(path) as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _twice(sources: Sequence[InteractionFile]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for each in sources:
        if each.sha256 in seen:
            yield f"{each.name} has the same content as {seen[each.sha256]}: it is counted twice"
        seen.setdefault(each.sha256, each.name)
