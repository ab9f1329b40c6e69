"""The user's own checkout of llama.cpp, whose converter knows more architectures than punie."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from punie.errors import InputError, ModelError

CONVERTER = "convert_hf_to_gguf.py"
ENVIRONMENTS = (".venv/bin/python", "venv/bin/python")


def require_checkout(checkout: Path) -> Path:
    """The checkout's converter. Raises InputError where there is none."""
    script = checkout.expanduser().absolute() / CONVERTER
    if not script.is_file():
        raise InputError(
            f"{checkout} holds no {CONVERTER}",
            hint="give the folder of a llama.cpp checkout: git clone "
            "https://github.com/ggml-org/llama.cpp",
        )
    return script


def conversion_argv(script: Path, python: str, model: Path, file: Path) -> list[str]:
    """The command line that turns the folder `model` into `file`, in the model's own type."""
    return [python, str(script), str(model), "--outfile", str(file), "--outtype", "auto"]


def python_for(script: Path) -> str:
    """The Python that runs it: of an environment in the checkout, else `python3`, else ours.

    The converter needs torch and transformers, which belong to it and not to punie.
    """
    for inside in ENVIRONMENTS:
        if (script.parent / inside).is_file():
            return str(script.parent / inside)
    return shutil.which("python3") or sys.executable


def convert(script: Path, model: Path, file: Path) -> None:
    """Run the converter; raises ModelError with the end of what it said where it fails."""
    python = python_for(script)
    done = subprocess.run(  # noqa: S603 - the user's own checkout, named on the command line
        conversion_argv(script, python, model, file),
        cwd=model,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0 or not file.is_file():
        said = " ".join(done.stdout.split())[-500:]
        raise ModelError(
            f"llama.cpp's converter ended with status {done.returncode}: {said}",
            hint=f"it ran with {python}; it needs requirements.txt of the checkout installed there",
        )
