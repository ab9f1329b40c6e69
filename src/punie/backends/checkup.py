"""What a doctor can see of backends: mlx, how fast it computes here, CUDA, and the model's room."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from punie.backends.blas import find_openblas
from punie.backends.choose import BackendChoice
from punie.backends.installed import missing
from punie.backends.preflight import preflight
from punie.backends.room import free_where
from punie.errors import PunieError
from punie.models.catalog import BUILTINS
from punie.models.quantization import quantised
from punie.models.resolve import resolve
from punie.models.worker import worker_argv
from punie.records.checkup import Checkup, note, ok, problem
from punie.records.suite import EvalSuite
from punie.records.trust import Level
from punie.sizes import byte_size

CHILD_S = 30.0
INSTALL = "pip install 'punie[mlx]'"


def check_mlx(*, needed: bool) -> list[Checkup]:
    """Whether mlx computes, on what, and what OpenBLAS brings: measured now, in child programs.

    `needed`: nothing else is configured that could serve a model.
    """
    if importlib.util.find_spec("mlx_lm") is None:
        if missing("cuda") is None:
            return [ok("mlx", "mlx-lm is not installed; the cuda backend is")]
        line = problem if needed else note
        return [line("mlx", "mlx-lm is not installed: punie cannot serve models here", INSTALL)]
    blas = find_openblas()
    plain = _speed(None)
    if isinstance(plain, str):
        return [problem("mlx", f"does not compute: {plain}", f"{INSTALL} --force-reinstall")]
    linux = sys.platform.startswith("linux")
    speed = f"{plain['gflops']:.0f} GFLOP/s in float32"
    if plain["device"] == "gpu" and linux:
        found = f"mlx {plain['mlx']} computes on an NVIDIA GPU, {speed}: not tried with punie"
        return [note("mlx", found, 'backend = "cuda" is what punie is tested with there')]
    device = f"Metal, {speed}" if plain["device"] == "gpu" else "the CPU"
    lines = [ok("mlx", f"mlx {plain['mlx']} computes on {device}")]
    if linux:
        lines.append(_openblas(blas, float(plain["gflops"])))
    return lines


def _openblas(blas: Path | None, plain: float) -> Checkup:
    if blas is None:
        found = f"not found; mlx alone reaches {plain:.0f} GFLOP/s, with it many times that"
        return note("openblas", found, "apt install libopenblas0-pthread")
    fast = _speed(blas)
    if isinstance(fast, str):
        return problem("openblas", f"{blas} cannot be loaded: {fast}", "install it again")
    times = float(fast["gflops"]) / plain
    if times < 1.5:
        return note("openblas", f"{blas} brings little here: {times:.1f} times (measured now)")
    found = f"{fast['gflops']:.0f} instead of {plain:.0f} GFLOP/s, measured now: {times:.0f} times"
    return ok("openblas", found)


def _speed(blas: Path | None) -> dict[str, Any] | str:
    """What the worker measured, or why it could not."""
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR")}
    if blas is not None:
        env["PUNIE_BLAS"] = str(blas)
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            worker_argv("speed"),
            env=env,
            capture_output=True,
            text=True,
            timeout=CHILD_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:160]
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


def check_memory(
    model: str,
    suite: EvalSuite,
    *,
    concurrency: int,
    adapter: Path | None = None,
    how: BackendChoice,
) -> Checkup:
    """Free memory against what serving the project's suite from its model is estimated to take.

    Raises ModelError where a GPU is asked for and none is visible.
    """
    free = byte_size(free_where(how.backend or "mlx", how.device))
    if (path := Path(model).expanduser()).suffix == ".gguf" and path.is_file():
        # Resolving it would convert it, which takes minutes, and so would unpacking.
        return ok("memory", f"{free} free; {model} is estimated when it is first used")
    if model in BUILTINS and not _is_here(model):
        return note("memory", f"{free} free; {model} is not here yet", f"punie models pull {model}")
    try:
        folder = resolve(model, download=False).path
        if how.backend == "cuda" and quantised(folder):
            return note("memory", f"{free} free; {model} is estimated once it is unpacked")
        fit = preflight(folder, suite, concurrency=concurrency, adapter=adapter, how=how)
    except PunieError as error:
        return problem("memory", f"{free} free; {error.message}", error.hint)
    about = f"{model} on {suite.name}: {fit.finding.sentence}"
    if fit.finding.level is Level.OK:
        return ok("memory", about)
    return note("memory", about, "close other programs" if fit.cap_bytes else "")


def _is_here(model: str) -> bool:
    try:
        resolve(model, download=False)
    except PunieError:
        return False
    return True
