"""A gate by its name: those that come with punie, or a file."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from punie.errors import InputError
from punie.gates.read import gates_of, read_gates, sealed
from punie.records.gate import Gates
from punie.sources.faults import nearest

SUFFIXES = (".yaml", ".yml")
SOURCE = "built in"


def find_gates(name_or_path: str | Path) -> Gates:
    """Read a gate file by its path, or a built-in example by its name.

    What has a slash or ends in `.yaml` or `.yml` is a path. Raises InputError where there is none,
    naming the examples, and for everything that is wrong with a file.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in name or name.endswith(SUFFIXES):
        return read_gates(Path(name))
    examples = _examples()
    if name in examples:
        text = examples[name].read_text(encoding="utf-8")
        return sealed(gates_of(text, f"{name}.yaml", name=name), SOURCE)
    raise InputError(
        f"there is no built-in gate {name!r}{nearest(name, [*examples])}",
        hint=f"built in: {', '.join(examples)}; a file is given by its path, as in ./gates.yaml",
    )


def _examples() -> dict[str, Traversable]:
    folder = files("punie.gates") / "examples"
    found = [each for each in folder.iterdir() if each.name.endswith(SUFFIXES[0])]
    return {each.name.removesuffix(SUFFIXES[0]): each for each in sorted(found, key=str)}
