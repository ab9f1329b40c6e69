"""A suite file to an `EvalSuite`: everything resolved and hashed, or every problem at once."""

import stat
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from punie.errors import InputError, Problem, SuiteError
from punie.records.suite import EvalSuite, Tool, suite_hash
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest
from punie.sources.yaml_source import DataPath, NotReadableError, YamlSource, read_text
from punie.suites.chats import chat_suite, read_rows
from punie.suites.file_form import HeaderForm, SuiteForm, WrappedTool
from punie.suites.form_errors import form_errors
from punie.suites.prompt_check import tool_errors
from punie.suites.prompts import MAX_PROBLEMS, Inside, PromptReader

SUFFIXES = (".yaml", ".yml", ".jsonl")
HINT = "mend the file, then punie suites check looks at it again"


def load_suite(path: Path) -> EvalSuite:
    """Load a suite from a YAML file, or a plain JSONL of chats.

    Raises `SuiteError` with all problems of the file, `InputError` where there is no such file.
    """
    file = str(path)
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{file}: a suite's name ends in {', '.join(SUFFIXES)}",
            hint="punie suites list names the suites that are there",
        )
    _require_file(path, file)
    if path.suffix == ".jsonl":
        reader = PromptReader()
        read_rows(path, file, reader, chats=True)
        if not reader.prompts and not reader.found:
            reader.keep(Problem(file, 0, 0, "", "the file has no rows"))
        _raise_problems(reader.problems, reader.found)
        return chat_suite(path, file, reader)
    try:
        text = read_text(path, file)
    except NotReadableError as error:
        raise SuiteError([error.problem], hint=HINT) from None
    return suite_of(text, file, folder=path.parent)


def _require_file(path: Path, file: str) -> None:
    """Raise InputError unless `path` is a regular file, or leads to one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(
            f"{file}: no such file", hint="punie suites list names the suites"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file}: {reason}", hint="check the path") from None
    if not stat.S_ISREG(mode):
        what = "is no file, but a folder, a pipe or a device"
        raise InputError(f"{file}: {what}", hint="give the suite's own file")


def suite_of(text: str, file: str, *, folder: Path | None) -> EvalSuite:
    """Build a suite from YAML text. `folder` is where its JSONL may lie; None allows none.

    Raises `SuiteError` with all problems.
    """
    try:
        source = YamlSource(file, text)
    except NotReadableError as error:
        raise SuiteError([error.problem], hint=HINT) from None
    problems = list(source.problems)
    if not is_object(source.data):
        what = "should be a mapping with name and prompts"
        raise SuiteError([*problems, source.problem((), what)], hint=HINT)
    header, sound = _header(source, problems)
    library = _library(header, source, problems)
    reader = PromptReader(library=library, defaults=header.defaults, whole_library=sound)
    _read_prompts(source, reader, folder)
    _raise_problems([*problems, *reader.problems], len(problems) + reader.found)
    prompts = tuple(reader.prompts)
    sampling = header.defaults.sampling()
    return EvalSuite(
        name=header.name,
        version=header.version,
        description=header.description,
        source=file,
        sampling=sampling,
        prompts=prompts,
        hash=suite_hash(header.name, sampling, prompts),
    )


def _header(source: YamlSource, problems: list[Problem]) -> tuple[HeaderForm, bool]:
    """Read all but the prompts; in error, what is left, and whether the library is whole."""
    data: dict[str, Any] = {k: v for k, v in source.data.items() if k != "prompts"}
    try:
        return HeaderForm.model_validate(data), True
    except ValidationError as error:
        wrong = list(form_errors(error, SuiteForm, data))
    problems.extend(source.problem(each.path, each.what, key=each.key) for each in wrong)
    for each in wrong:
        if each.path[:1] == ("defaults",) and len(each.path) > 1:
            data["defaults"] = {k: v for k, v in data["defaults"].items() if k != each.path[1]}
        elif each.path:
            data.pop(str(each.path[0]), None)
    whole = not any(each.path[:1] == ("tools",) for each in wrong)
    try:
        return HeaderForm.model_validate({**data, "name": "unnamed"}), whole
    except ValidationError:
        return HeaderForm(name="unnamed"), False


def _library(header: HeaderForm, source: YamlSource, problems: list[Problem]) -> list[Tool]:
    """Unwrap the library's definitions and check them, and the names that the defaults use."""
    library: dict[str, Tool] = {}
    for i, definition in enumerate(header.tools):
        wrapped = isinstance(definition, WrappedTool)
        tool = definition.tool() if wrapped else definition
        here: DataPath = ("tools", i, "function") if wrapped else ("tools", i)
        errors = list(tool_errors(tool))
        if tool.name in library:
            errors.append(FormError(("name",), f"{tool.name!r} is another tool's name too"))
        problems.extend(source.problem((*here, *e.path), e.what, key=e.key) for e in errors)
        library[tool.name] = tool
    if "tools" in source.data and not header.tools:
        return []  # the definitions are in error: every name would seem unknown
    for i, name in enumerate(header.defaults.tools):
        if name not in library:
            what = f"the library has no tool {name!r}{nearest(name, list(library))}"
            problems.append(source.problem(("defaults", "tools", i), what))
    return list(library.values())


def _read_prompts(source: YamlSource, reader: PromptReader, folder: Path | None) -> None:
    prompts = source.data.get("prompts")
    here: DataPath = ("prompts",)
    if isinstance(prompts, str):
        what, path = _rows_file(prompts, folder)
        if path is None:
            reader.note(source, here, what)
            return
        shown = str(Path(source.file).parent / prompts)
        read_rows(path, shown, reader, chats=False)
        if not reader.prompts and not reader.found:
            reader.note(source, here, f"{shown} has no rows")
    elif is_array(prompts) and prompts:
        for i, data in enumerate(prompts):
            reader.read(data, Inside(source, (*here, i)))
    else:
        what = "should be a list of prompts, or the name of a JSONL file"
        what = f"is missing: {what}" if "prompts" not in source.data else what
        what = "is empty: a suite needs at least one prompt" if prompts == [] else what
        reader.note(source, here, what)


def _rows_file(name: str, folder: Path | None) -> tuple[str, Path | None]:
    """Find the JSONL that a suite names; it may not lie outside the suite's folder."""
    if folder is None or not name.endswith(".jsonl"):
        return "should be a list of prompts, or name a JSONL file in the suite's folder", None
    if "\0" in name:
        return "is no file name", None
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            return f"{name} lies outside the suite's folder", None
        return f"there is no file {name} in the suite's folder", path if path.is_file() else None
    except OSError as error:
        return f"{name}: {error.strerror or error}", None


def _raise_problems(problems: list[Problem], found: int) -> None:
    """Raise SuiteError where there are problems; `found` counts those that were not kept too."""
    if not problems:
        return
    ordered = sorted(set(problems), key=lambda p: (p.file, p.line, p.column, p.path, p.what))
    if found <= MAX_PROBLEMS:
        raise SuiteError(ordered, hint=HINT)
    shown = ordered[:MAX_PROBLEMS]
    raise SuiteError(
        shown, hint=f"these are the first {len(shown)} of {found:,} problems; {HINT}", found=found
    )
