"""The adapters of a project: which there are, what each is called, and which names are free."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from punie.adapters.card import shown_name
from punie.errors import InputError, ModelError
from punie.models.manifest import read_manifest
from punie.reading import MIB, read_regular
from punie.records.adapter import AdapterManifest

ADAPTERS = "adapters"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
LONGEST = 56
"""Characters of a chosen name, which leaves room for a number after it."""
WEIGHTS = "adapters.safetensors"
UNFINISHED = re.compile(r"\.(?P<name>.+)\.training")


class State(StrEnum):
    """What stands under a name."""

    ADAPTER = "adapter"
    FOREIGN = "foreign"
    """mlx_lm's files without a `punie.json`: made by another program."""
    DAMAGED = "damaged"
    UNFINISHED = "unfinished"
    """A training that has not ended; `punie train --resume NAME` goes on with it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One folder under `adapters/`, or one that a person named by its path."""

    name: str
    path: Path
    state: State
    size_bytes: int
    manifest: AdapterManifest | None = None
    settings: dict[str, Any] | None = None
    """`adapter_config.json`; of an unfinished training what it was begun with."""
    problem: str = ""
    step: int | None = None
    """Iterations that an unfinished training has made."""

    @property
    def base(self) -> str:
        """The base model as the person wrote it, as far as it is on record."""
        if self.manifest is not None:
            return self.manifest.base.name
        begun: Any = (self.settings or {}).get("base")
        if isinstance(begun, dict):
            return str(cast("dict[str, Any]", begun).get("name") or "")
        return str((self.settings or {}).get("model") or "")


def list_adapters(project: Path) -> list[Entry]:
    """Everything in the project's `adapters/`, the finished ones first, each part by name."""
    folder = project / ADAPTERS
    with contextlib.suppress(OSError):
        found = [entry for path in sorted(folder.iterdir()) for entry in _entries(path)]
        return sorted(found, key=lambda each: (each.state is State.UNFINISHED, each.name))
    return []


def find_adapter(project: Path, reference: str) -> Entry:
    """The adapter of this name in the project, or in the folder of this path.

    Raises InputError with the names that there are.
    """
    if NAME.fullmatch(reference):
        place = project / ADAPTERS / reference
        if place.is_dir():
            return _read(place)
    path = Path(reference).expanduser()
    with contextlib.suppress(OSError):
        if path.is_dir() and ((path / WEIGHTS).exists() or (path / "punie.json").exists()):
            return _read(path.absolute())
    names = [each.name for each in list_adapters(project) if each.state is not State.UNFINISHED]
    here = f"there are: {', '.join(names[:8])}" if names else "there are none yet: punie train"
    raise InputError(f"no adapter is called {reference[:80]}", hint=here)


def next_name(project: Path, base: str, data: str) -> str:
    """A free, readable name such as `smollm2-135m-weather`, then with -2, -3 and so on.

    Free means: neither an adapter nor an unfinished training has it.
    """
    words = [_slug(shown_name(each).rpartition("/")[2]) for each in (base, data)]
    stem = "-".join(filter(None, words))[:LONGEST].strip("-.") or "adapter"
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        folder = project / ADAPTERS
        if not _taken(folder / name) and not _taken(folder / f".{name}.training"):
            return name
        number += 1


def _taken(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _slug(name: str) -> str:
    plain = re.sub(r"\.(jsonl?|gguf|ya?ml|csv)$", "", name.lower())
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")


def _entries(path: Path) -> Iterator[Entry]:
    if not path.is_dir():
        return
    if unfinished := UNFINISHED.fullmatch(path.name):
        yield _unfinished(unfinished["name"], path)
    elif not path.name.startswith("."):
        yield _read(path)


def _read(path: Path) -> Entry:
    size = sum(file.stat().st_size for file in path.glob("*") if file.is_file())
    problem, manifest = "", None
    try:
        manifest = read_manifest(path)
    except ModelError as error:
        problem = error.message
    if not problem and not (path / WEIGHTS).exists():
        problem = f"there is no {WEIGHTS}"
    state = State.ADAPTER if manifest else State.FOREIGN
    return Entry(
        name=path.name,
        path=path,
        state=State.DAMAGED if problem else state,
        size_bytes=size,
        manifest=manifest,
        settings=_json(path / "adapter_config.json"),
        problem=problem,
    )


def _unfinished(name: str, path: Path) -> Entry:
    return Entry(
        name=name,
        path=path,
        state=State.UNFINISHED,
        size_bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        settings=_json(path / "begun.json"),
        step=_last_step(path / "events.jsonl"),
    )


def _json(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found: Any = json.loads(read_regular(path, 64 * MIB))
        return cast("dict[str, Any]", found) if isinstance(found, dict) else None
    return None


def _last_step(events: Path) -> int | None:
    """The last iteration on record, from the end of the file; None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        with events.open("rb") as file:
            file.seek(max(0, events.stat().st_size - 64 * 1024))
            lines = file.read().splitlines()
        for line in reversed(lines):
            with contextlib.suppress(ValueError):
                event: Any = json.loads(line)
                step: Any = cast("dict[str, Any]", event).get("step") if event else None
                if isinstance(step, int) and step > 0:
                    return step
    return None
