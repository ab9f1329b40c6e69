"""The adapters of a project: which there are, what each is called, and which names are free."""

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from punie.adapters.card import shown_name
from punie.errors import InputError, ModelError
from punie.models.adapter import WEIGHTS, WEIGHTS_AWAY
from punie.models.caches import cached_models
from punie.models.manifest import ADAPTERS, read_manifest
from punie.models.peft import is_peft, refuse_mixed
from punie.reading import MIB, open_regular, read_regular
from punie.records.adapter import AdapterManifest
from punie.text import one_line

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
LONGEST = 56
"""Characters of a chosen name, which leaves room for a number after it."""
WITHOUT_WEIGHTS = "its weights are not here, as git keeps none"
UNFINISHED = re.compile(r"\.(?P<name>.+)\.training")


class State(StrEnum):
    """What stands under a name."""

    ADAPTER = "adapter"
    FOREIGN = "foreign"
    """mlx_lm's files without a `punie.json`: made by another program."""
    AWAY = "weights not here"
    """An adapter of punie's as git keeps it: everything but the weights."""
    DAMAGED = "damaged"
    UNFINISHED = "unfinished"
    """A training that has not ended; with its `begun.json`, `punie train --resume NAME` goes on."""


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
    def resumable(self) -> bool:
        """Whether there is a training to go on with."""
        return self.state is State.UNFINISHED and self.settings is not None

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
    paths: list[Path] = []
    with contextlib.suppress(OSError):
        paths = sorted((project / ADAPTERS).iterdir())
    found = [entry for path in paths for entry in _entries(path)]
    return sorted(found, key=lambda each: (each.state is State.UNFINISHED, each.name))


def adapter_path(project: Path, reference: str | Path) -> Path:
    """The folder that a person means: a plain name is the project's adapter, where it has one.

    Anything else is a path, `./NAME` too. Nothing need be there.
    """
    written = str(reference)
    named = project / ADAPTERS / written
    if NAME.fullmatch(written) and named.is_dir():
        return named
    return Path(written).expanduser()


def find_adapter(project: Path, reference: str) -> Entry:
    """The adapter of this name in the project, or in the folder of this path.

    Raises InputError with the names that there are.
    """
    path = adapter_path(project, reference)
    with contextlib.suppress(OSError):
        if path.parent == project / ADAPTERS and path.is_dir():
            return _read(path)
        if path.is_dir() and (
            (path / WEIGHTS).exists() or (path / "punie.json").exists() or is_peft(path)
        ):
            return _read(path.absolute())
    names = [each.name for each in list_adapters(project) if each.state is not State.UNFINISHED]
    here = f"there are: {', '.join(names[:8])}" if names else "there are none yet: punie train"
    raise InputError(f"no adapter is called {reference[:80]}", hint=here)


def base_name(entry: Entry, project: Path, asked: str | None) -> str:
    """The base model's name: what was asked for, or what the adapter says, from the project.

    Raises InputError where neither names one; what a PEFT adapter's settings name is a hint alone.
    Raises ModelError where the adapter names files that are not here.
    """
    name = asked or entry.base
    if not name:
        theirs: Any = (entry.settings or {}).get("base_model_name_or_path")
        named = f"; its settings name {one_line(theirs, 80)}" if isinstance(theirs, str) else ""
        raise InputError(
            f"{entry.name} does not say which model it is for", hint=f"give --model{named}"
        )
    if not asked and not Path(name).expanduser().exists() and (project / name).is_dir():
        return os.path.relpath(project / name)
    if not asked:
        require_files(name, entry.name)
    return name


def require_files(base: str, adapter: str) -> None:
    """Raise ModelError where an adapter names its base by files that are not here.

    One that was trained on another machine names it as it was called there.
    """
    path = Path(base).expanduser()
    is_path = base.startswith((".", "/", "~")) or base.count("/") > 1 or path.suffix == ".gguf"
    if is_path and not path.exists() and base not in {each.name for each in cached_models()}:
        raise ModelError(
            f"{adapter} was trained on {base}, and there is no file or folder {base} here",
            hint="give the model that it was trained on: --model MODEL",
        )


def require_weights(entry: Entry) -> None:
    """Raise ModelError for an adapter that cannot be used as it lies there."""
    if is_peft(entry.path):
        refuse_mixed(entry.path)
    if entry.state in (State.DAMAGED, State.UNFINISHED, State.AWAY):
        hint = WEIGHTS_AWAY if entry.state is State.AWAY else "train it again"
        raise ModelError(f"{entry.name}: {entry.problem}", hint=hint)


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
    problem, manifest = "", None
    in_peft_form = is_peft(path)
    try:
        manifest = read_manifest(path)
        if in_peft_form:
            refuse_mixed(path)
    except ModelError as error:
        problem = error.message
    state = State.ADAPTER if manifest else State.FOREIGN
    if problem:
        state = State.DAMAGED
    elif not in_peft_form and not (path / WEIGHTS).exists():
        state = State.AWAY if manifest else State.DAMAGED
        problem = WITHOUT_WEIGHTS if manifest else f"there is no {WEIGHTS}"
    return Entry(
        name=path.name,
        path=path,
        state=state,
        size_bytes=_size(path.glob("*")),
        manifest=manifest,
        settings=_json(path / "adapter_config.json"),
        problem=problem,
    )


def _unfinished(name: str, path: Path) -> Entry:
    return Entry(
        name=name,
        path=path,
        state=State.UNFINISHED,
        size_bytes=_size(path.rglob("*")),
        settings=_json(path / "begun.json"),
        step=_last_step(path / "events.jsonl"),
    )


def _size(files: Iterable[Path]) -> int:
    """Bytes of the files; a training may replace one while they are counted."""
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            found = file.stat()
            total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def _json(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found: Any = json.loads(read_regular(path, 64 * MIB))
        return cast("dict[str, Any]", found) if isinstance(found, dict) else None
    return None


def _last_step(events: Path) -> int | None:
    """The last iteration on record, from the end of the file; None where there is none."""
    with contextlib.suppress(OSError):
        with open_regular(events) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 64 * 1024))
            lines = file.read(64 * 1024).splitlines()
        for line in reversed(lines):
            with contextlib.suppress(ValueError, RecursionError):
                event: Any = json.loads(line)
                step = cast("dict[str, Any]", event).get("step") if isinstance(event, dict) else 0
                if isinstance(step, int) and 0 < step < 2**63:
                    return step
    return None
