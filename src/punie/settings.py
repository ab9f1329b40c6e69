"""All settings, in one place: flags > `PUNIE_*` > `punie.toml` or `[tool.punie]` > the user's file.

Flags belong to the commands. Everything else is read here, and each value knows where it came from.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Field, ValidationError, model_validator

from punie.errors import InputError, Problem
from punie.reading import MIB, read_regular
from punie.records.base import Record

MAX_BYTES = 4 * MIB
ENV_PREFIX = "PUNIE_"
NOT_SETTINGS = frozenset({"PUNIE_CACHE", "PUNIE_DEBUG", "PUNIE_STATE"})
"""Variables with our prefix that something else reads."""
PATH_SUFFIXES = frozenset({".yaml", ".yml", ".jsonl", ".json", ".gguf", ".safetensors"})
PATHS = ("suite", "data", "plan", "adapter", "model", "vllm")
"""Settings that may be paths."""
ALWAYS_PATHS = ("adapter", "plan", "vllm")
ROOT_MARKS = ("punie.toml", ".punie", ".git")


class SamplingSettings(Record):
    """Overrides of a suite's own sampling; unset ones leave it alone."""

    temperature: Annotated[float | None, Field(ge=0, le=2, description="0 is greedy")] = None
    max_tokens: Annotated[
        int | None, Field(ge=1, description="longest answer, in tokens; overrides each prompt's")
    ] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, description="nucleus sampling")] = None
    top_k: Annotated[int | None, Field(ge=1, description="sample among the k likeliest")] = None
    min_p: Annotated[float | None, Field(ge=0, le=1, description="drop tokens below p·max")] = None
    seed: Annotated[int | None, Field(ge=0, description="used when temperature is above 0")] = None


class JournalSettings(Record):
    """When an eval writes an entry, and whether prompts and answers go into it."""

    entries: Annotated[
        Literal["asked", "always", "never"],
        Field(description="write an entry with --journal only, after every eval, or never"),
    ] = "asked"
    text: Annotated[bool, Field(description="let prompts and answers enter the journal")] = False

    @model_validator(mode="before")
    @classmethod
    def _a_word_means_entries(cls, value: Any) -> Any:
        return {"entries": value} if isinstance(value, str) else value


class EndpointSettings(Record):
    """A server that somebody else runs, under a name."""

    url: Annotated[str, Field(description="base URL, ending in /v1")]
    model: Annotated[str | None, Field(description="the model's name there")] = None
    key_env: Annotated[str | None, Field(description="variable that holds the API key")] = None
    price_input: Annotated[float, Field(ge=0, description="per million tokens read")] = 0.0
    price_output: Annotated[float, Field(ge=0, description="per million tokens written")] = 0.0
    requests_per_minute: Annotated[
        float | None, Field(ge=0.1, le=1e6, description="sent evenly")
    ] = None
    timeout_s: Annotated[float, Field(gt=0, le=86_400, description="for one whole answer")] = 600.0

    @property
    def prices(self) -> tuple[float, float] | None:
        """(input, output) per million tokens, or None where neither is declared."""
        declared = bool(self.price_input or self.price_output)
        return (self.price_input, self.price_output) if declared else None


class Settings(Record):
    """What `punie config` shows."""

    model: Annotated[
        str | None, Field(description="built-in name, hub id, MLX folder or GGUF file")
    ] = None
    adapter: Annotated[str | None, Field(description="folder of an adapter for that model")] = None
    suite: Annotated[str | None, Field(description="suite name or file that bare eval runs")] = None
    data: Annotated[
        str | None, Field(description="dataset that bare train trains on: name, folder or file")
    ] = None
    plan: Annotated[str | None, Field(description="YAML file that says how train trains")] = None
    backend: Annotated[
        Literal["auto", "mlx", "cuda", "endpoint"],
        Field(description="what serves and trains the model"),
    ] = "auto"
    device: Annotated[
        Literal["auto", "gpu", "cpu"],
        Field(description="what cuda computes on; auto: a GPU where one is visible"),
    ] = "auto"
    vllm: Annotated[
        str | None,
        Field(description="Python of an environment with vLLM, to serve with instead"),
    ] = None
    concurrency: Annotated[
        int | None, Field(ge=1, le=256, description="prompts in flight; unset: 8")
    ] = None
    tools: Annotated[
        Literal["auto", "native", "prompt"],
        Field(description="tools by the chat template, or written into the system turn"),
    ] = "auto"
    checks: Annotated[
        bool, Field(description="let the instrument check itself before each eval")
    ] = True
    sampling: SamplingSettings = SamplingSettings()
    journal: JournalSettings = JournalSettings()
    endpoints: dict[str, EndpointSettings] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a project. `origins` maps a dotted name to `env NAME` or a file."""

    project: Path
    values: Settings
    origins: dict[str, str]

    @property
    def configured(self) -> bool:
        """Whether anybody chose a model or a suite here."""
        return self.values.model is not None or self.values.suite is not None


def load_settings(start: Path, env: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings that hold in folder `start`.

    A file's relative paths are relative to the file; they come out relative to `start`, the folder
    that a command runs in, as those of variables and flags are.
    Raises InputError with every problem: `file:line: name: what`, and the nearest right name.
    """
    project = find_project(start)
    sources = [(_label(path, project), path, raw) for path, raw in _files(project)]
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for label, path, raw in sources:
        _check(raw, path, label)
        _refuse_a_program(raw, path, project)
        _merge(merged, _with_paths_from(raw, path.parent, start.resolve()), origins, label)
    from_env = _from_environment(os.environ if env is None else env)
    for name, variable, value in from_env:
        nested: Any = value
        for part in reversed(name):
            nested = {part: nested}
        _check(nested, None, variable)
        _merge(merged, nested, origins, f"env {variable}")
    return Loaded(project=project, values=Settings.model_validate(merged), origins=origins)


def find_project(start: Path) -> Path:
    """The nearest ancestor of `start` that is a project's root, or `start` itself."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if any((folder / mark).exists() for mark in ROOT_MARKS) or (
            _tool_table(folder) is not None
        ):
            return folder
    return start


def setting_names(
    model: type[BaseModel] = Settings, prefix: str = ""
) -> Iterator[tuple[str, str, Any]]:
    """Every setting as (dotted name, description, default), tables flattened."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from setting_names(inner, f"{prefix}{name}.")
        elif name == "endpoints":
            yield from setting_names(EndpointSettings, "endpoints.NAME.")
        else:
            default = None if field.is_required() else field.default
            yield f"{prefix}{name}", field.description or "", default


def _files(project: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files that exist, the weakest first, each with its table for punie."""
    from platformdirs import user_config_path  # noqa: PLC0415 - only commands read settings

    user = user_config_path("punie") / "config.toml"
    if user.is_file():
        yield user, _read(user)
    if (table := _tool_table(project)) is not None:
        yield project / "pyproject.toml", table
    own = project / "punie.toml"
    if own.is_file():
        yield own, _read(own)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+), column (\d+)", str(error))
        at = f":{place[1]}:{place[2]}" if place else ", at its end"
        what = re.sub(r" \(at .*\)$", "", str(error))
        raise InputError(f"{path}{at}: {what}", hint="it is TOML: name = value") from error
    except RecursionError:
        raise InputError(
            f"{path}: is nested too deeply", hint="punie config shows every setting"
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: is not UTF-8", hint="save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", hint="check the file") from error


def _text(path: Path) -> str:
    return read_regular(path, MAX_BYTES).decode("utf-8-sig")


def _with_paths_from(raw: dict[str, Any], folder: Path, start: Path) -> dict[str, Any]:
    """The table of a file in `folder`, its relative paths as they are called from `start`."""
    paths: dict[str, str] = {}
    for name in PATHS:
        value = raw.get(name)
        if isinstance(value, str) and _is_relative_path(name, value, folder):
            paths[name] = os.path.relpath(folder / value, start)
    return raw if folder == start else {**raw, **paths}


def _is_relative_path(name: str, value: str, folder: Path) -> bool:
    """Whether a setting names a file or folder: suites, datasets and models go by names as well."""
    if not value or value.startswith(("/", "~")):
        return False
    if name in ALWAYS_PATHS or value.startswith(".") or Path(value).suffix in PATH_SUFFIXES:
        return True
    # A hub id looks like a path, so a model or dataset must be there.
    return "/" in value and (name == "suite" or (folder / value).exists())


def _tool_table(folder: Path) -> dict[str, Any] | None:
    path = folder / "pyproject.toml"
    if not path.is_file():
        return None
    try:
        table: Any = tomllib.loads(_text(path))["tool"]["punie"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None  # somebody else's file; what is wrong in it is theirs
    return cast("dict[str, Any]", table) if isinstance(table, dict) else None


def _from_environment(env: Mapping[str, str]) -> list[tuple[tuple[str, ...], str, str]]:
    """(path, variable, value) of each `PUNIE_*` variable; two underscores step into a table."""
    found: list[tuple[tuple[str, ...], str, str]] = []
    for variable in sorted(env):
        if variable.startswith(ENV_PREFIX) and variable not in NOT_SETTINGS and env[variable]:
            path = tuple(variable.removeprefix(ENV_PREFIX).lower().split("__"))
            found.append((path, variable, env[variable]))
    return found


def _check(raw: dict[str, Any], path: Path | None, label: str) -> None:
    """Raise InputError with all that is wrong in one source, before it is mixed with others."""
    try:
        Settings.model_validate(raw)
    except ValidationError as error:
        problems = [
            _problem(tuple(str(part) for part in each["loc"]), each["type"], each["msg"], path)
            for each in error.errors(include_url=False)
        ]
        text = "\n".join(str(problem) if path else f"{label}: {problem}" for problem in problems)
        raise InputError(text, hint="punie config shows every setting") from error


def _refuse_a_program(raw: Mapping[str, Any], path: Path, project: Path) -> None:
    """Raise InputError where a project's file names a program.

    `vllm` is run: who looks into somebody's repository must not thereby run what came with it, and
    no look at the path alone can tell that, with links and with projects within a repository.
    """
    if raw.get("vllm") and path.parent == project:
        raise InputError(
            f"{path}: vllm: a project's file may not name a program, because it would be run",
            hint="set PUNIE_VLLM, or vllm in your own config; punie config shows where that is",
        )


def _problem(loc: tuple[str, ...], kind: str, message: str, path: Path | None) -> Problem:
    name = ".".join(loc)
    what = message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(loc[-1], _siblings(loc), n=1, cutoff=0.5)
        what = "no such setting" + (f"; did you mean {near[0]}?" if near else "")
    line, column = _place(path, loc) if path else (0, 0)
    return Problem(str(path) if path else name, line, column, name if path else "", what)


def _siblings(loc: tuple[str, ...]) -> list[str]:
    if loc[0] == "endpoints" and len(loc) > 2:
        return list(EndpointSettings.model_fields)
    if len(loc) > 1 and loc[0] in Settings.model_fields:
        table = Settings.model_fields[loc[0]].annotation
        return list(table.model_fields) if isinstance(table, type(Settings)) else []
    return list(Settings.model_fields)


def _place(path: Path, loc: tuple[str, ...]) -> tuple[int, int]:
    """Line and column of a key in a TOML file, found by its text; (0, 0) if it is not found."""
    table = ""
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            table = re.sub(r'^tool\.punie\.?|["\' ]', "", header[1])
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            full = ".".join(part for part in (table, re.sub(r"[\"']", "", key[1])) if part)
            dotted = ".".join(loc)
            if full == dotted or dotted.startswith(f"{full}."):
                return number, len(line) - len(line.lstrip()) + 1
    return 0, 0


def _merge(into: dict[str, Any], new: dict[str, Any], origins: dict[str, str], label: str) -> None:
    for name, value in _flat(new):
        table = into
        for part in name[:-1]:
            table = table.setdefault(part, {})
        table[name[-1]] = value
        origins[".".join(name)] = label


def _flat(
    raw: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in raw.items():
        if prefix == () and name == "journal" and isinstance(value, str):
            yield ("journal", "entries"), value
        elif isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), (*prefix, name))
        else:
            yield (*prefix, name), value


def _label(path: Path, project: Path) -> str:
    return path.name if path.is_relative_to(project) else str(path)
