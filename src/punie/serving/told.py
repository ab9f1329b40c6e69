"""What a program or a file of the system says, or nothing: never an error."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 5.0


def told(argv: Sequence[str]) -> str:
    """What a program of the system prints; empty where it is not there or does not answer."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def line_of(file: Path) -> str:
    """The text of one of the kernel's small files; empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def number_of(file: Path) -> int | None:
    """The whole number in one of the kernel's small files; None where there is none."""
    try:
        return int(line_of(file))
    except ValueError:
        return None


def inside(folder: Path, pattern: str) -> list[Path]:
    """What lies in one of the kernel's folders, sorted; nothing where it cannot be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
