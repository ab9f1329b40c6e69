"""What a doctor can see of the programs that punie is made of, against its own metadata."""

import platform
import sys
from importlib import metadata

from packaging.requirements import Requirement

from punie.records.checkup import Checkup, ok, problem

SHOWN = ("mlx", "mlx-lm", "transformers", "tokenizers", "httpx2", "pydantic", "huggingface-hub")
"""Packages whose versions are worth seeing; those that do not fit are always shown."""


def check_environment() -> list[Checkup]:
    """Python, the platform, punie, and its packages, each against the range that punie declares."""
    lines = [
        _python(),
        ok("platform", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ok("punie", metadata.version("punie")),
    ]
    wrong = list(filter(None, map(_misfit, _requirements())))
    seen = [f"{name} {version}" for name in SHOWN if (version := _version(name))]
    return [*lines, ok("packages", ", ".join(seen)), *wrong]


def _python() -> Checkup:
    wanted = str(metadata.metadata("punie")["Requires-Python"])
    found = f"{platform.python_version()}, {sys.executable}"
    if Requirement(f"python{wanted}").specifier.contains(platform.python_version(), True):
        return ok("python", found)
    return problem(
        "python", f"{found}; punie needs {wanted}", "make an environment with a newer one"
    )


def _requirements() -> list[Requirement]:
    """What punie asks for on this platform; of its extras only what is installed already."""
    asked: list[Requirement] = []
    for text in metadata.requires("punie") or []:
        requirement = Requirement(text)
        plain = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        in_extra = (
            not plain
            and requirement.marker is not None
            and (requirement.marker.evaluate({"extra": "mlx"}))
        )
        if plain or (in_extra and _version(requirement.name)):
            asked.append(requirement)
    return asked


def _misfit(requirement: Requirement) -> Checkup | None:
    found = _version(requirement.name)
    wanted = f"{requirement.name}{requirement.specifier}"
    if found is None:
        return problem(requirement.name, "is not installed", f"pip install '{wanted}'")
    if requirement.specifier.contains(found, True):
        return None
    return problem(
        requirement.name, f"{found}; punie needs {requirement.specifier}", f"pip install '{wanted}'"
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
