"""Where a number comes from: software, hardware, source control, the command. No names."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil

from punie.records.run import Provenance

PACKAGES = ("punie", "transformers", "httpx2")
MLX = ("mlx", "mlx-lm")
CUDA = ("torch", "bitsandbytes", "peft", "accelerate")


def provenance(argv: Sequence[str], project: Path, backend: str = "mlx") -> Provenance:
    """Describe this command on this machine, with paths under the home folder as `~`.

    Of the libraries that compute those of `backend` are named.
    """
    commit, dirty = _git(project)
    return Provenance(
        command=" ".join(["punie", *(_quoted(_homeless(word)) for word in argv)]),
        versions={"python": platform.python_version()} | _versions(backend),
        hardware=_hardware(),
        platform=f"{platform.system()} {platform.machine()}",
        git_commit=commit,
        git_dirty=dirty,
    )


def _homeless(word: str) -> str:
    home = str(Path.home())
    return word.replace(home, "~") if len(home) > 1 else word


def _quoted(word: str) -> str:
    return word if word and not set(word) & set(" \t\n'\"$`\\|&;<>*?()") else repr(word)


def _versions(backend: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in (*PACKAGES, *(CUDA if backend == "cuda" else MLX)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _hardware() -> str:
    memory = psutil.virtual_memory().total / 2**30
    cores = psutil.cpu_count(logical=True) or 1
    return f"{_processor()}, {cores} cores, {memory:.0f} GB"


def _processor() -> str:
    if sys.platform == "darwin":
        brand = _output(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], Path("/"))
        return brand or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(project: Path) -> tuple[str | None, bool | None]:
    """The commit and whether tracked files differ from it; (None, None) outside a repository."""
    if not any((folder / ".git").exists() for folder in (project, *project.parents)):
        return None, None
    commit = _output(["git", "rev-parse", "HEAD"], project)
    if not commit:
        return None, None
    status = _output(["git", "status", "--porcelain", "--untracked-files=no"], project)
    return commit, bool(status)


def _output(argv: list[str], folder: Path) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs
            argv,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
