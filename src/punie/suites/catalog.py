"""The suites that can be named: the project's own in `data/suites/`, and the built-in ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from punie.errors import InputError
from punie.records.suite import EvalSuite
from punie.sources.faults import nearest
from punie.suites.load import SUFFIXES, load_suite, suite_of

BUILTIN = "builtin"
FOLDER = Path("data") / "suites"


@dataclass(frozen=True, slots=True)
class Listed:
    """One suite of the catalog: the name to call it by, its file, and what loading it gave."""

    name: str
    source: str
    """`builtin`, or the file's path."""
    suite: EvalSuite | None
    error: InputError | None = None


def find_suite(name_or_path: str | Path, project_root: Path | None = None) -> EvalSuite:
    """Load a suite by path, by its file's stem, or by the name that it gives itself.

    A project's suite hides the built-in one of the same name. Raises `InputError` where there is
    none, naming the nearest; `SuiteError` where its file has problems.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in name or name.endswith(SUFFIXES):
        return load_suite(Path(name))
    project = _project_files(project_root)
    if name in project:
        return _load_inside(project[name], project_root)
    if name in _builtin_files():
        return builtin_suite(name)
    listed = list_suites(project_root)
    for each in listed:
        if each.suite is not None and name in {each.name, each.suite.name}:
            return each.suite
    raise InputError(
        f"there is no suite {name!r}{nearest(name, [each.name for each in listed])}",
        hint="punie suites list names all; a file is given by its path, as in ./my-suite.yaml",
    )


def list_suites(project_root: Path | None = None) -> list[Listed]:
    """List the project's suites, then the built-in ones that it does not hide."""
    project = _project_files(project_root)
    listed = [_listed(name, path, project_root) for name, path in project.items()]
    listed += [
        Listed(name=name, source=BUILTIN, suite=builtin_suite(name))
        for name in builtin_names()
        if name not in project
    ]
    return listed


def builtin_names() -> list[str]:
    """Name the suites that come with punie."""
    return sorted(_builtin_files())


def builtin_suite(name: str) -> EvalSuite:
    """Load a suite that comes with punie."""
    text = _builtin_files()[name].read_text(encoding="utf-8")
    suite = suite_of(text, f"{BUILTIN}/{name}.yaml", folder=None)
    return suite.model_copy(update={"source": BUILTIN})


def _builtin_files() -> dict[str, Traversable]:
    folder = files("punie.suites") / "builtin"
    return {
        each.name.removesuffix(".yaml"): each
        for each in folder.iterdir()
        if each.name.endswith(".yaml")
    }


def _project_files(project_root: Path | None) -> dict[str, Path]:
    """Find the project's suite files by stem. A JSONL beside a YAML of its stem is its rows."""
    if project_root is None:
        return {}
    found: dict[str, Path] = {}
    for path in _in_order(project_root / FOLDER):
        found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def _in_order(folder: Path) -> Iterator[Path]:
    for suffix in SUFFIXES:  # YAML before JSONL
        yield from sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())


def _load_inside(path: Path, project_root: Path | None) -> EvalSuite:
    """Load a suite that goes by its name: its file must not be a link out of the project."""
    if project_root is not None and not path.resolve().is_relative_to(project_root.resolve()):
        raise InputError(
            f"{path}: is a link to a file outside of the project",
            hint="give that file's own path, or copy it here",
        )
    return load_suite(path)


def _listed(name: str, path: Path, project_root: Path | None) -> Listed:
    try:
        return Listed(name=name, source=str(path), suite=_load_inside(path, project_root))
    except InputError as error:
        return Listed(name=name, source=str(path), suite=None, error=error)
