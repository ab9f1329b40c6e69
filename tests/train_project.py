"""A project with a small dataset and the tiny model, in which `punie train` is run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from punie.cli.main import main
from punie.models.manifest import read_manifest
from punie.records.adapter import AdapterManifest

COLOURS = ("red", "green", "blue", "black", "white", "brown", "pink", "grey")
THINGS = ("door", "chair", "table", "lamp", "shelf")
WAIT_S = 120
Row = Mapping[str, Any]


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def rows(things: tuple[str, ...] = THINGS) -> list[Row]:
    """Rows of one question and one answer, no two with the same."""
    return [
        {
            "messages": [
                turn("user", f"{thing}: which colour has number {i}?"),
                turn("assistant", f"{colour} {thing}"),
            ]
        }
        for thing in things
        for i, colour in enumerate(COLOURS)
    ]


def write(path: Path, content: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")


class Ended(NamedTuple):
    """A command that ran to its end."""

    code: int | str | None
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Project:
    """A project with the dataset `colours`, and a model as its base."""

    folder: Path
    env: dict[str, str]

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "punie", *words],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def punie(self, *words: str, code: int = 0, wait_s: float = WAIT_S) -> Ended:
        """Run a command as a process."""
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.returncode == code, f"{out}\n{err}"
        assert "Traceback" not in err
        return Ended(process.returncode, out, err)

    def json(self, *words: str, code: int = 0) -> Any:
        return self.punie(*words, "--json", code=code).json

    def adapter(self, name: str) -> Path:
        return self.folder / "adapters" / name

    def manifest(self, name: str) -> AdapterManifest:
        manifest = read_manifest(self.adapter(name))
        assert manifest is not None
        return manifest

    def weights(self, name: str) -> bytes:
        return (self.adapter(name) / "adapters.safetensors").read_bytes()

    def work(self, name: str) -> Path:
        return self.folder / "adapters" / f".{name}.training"

    @property
    def made(self) -> list[str]:
        """The adapters and unfinished trainings; a lock that nobody holds is neither."""
        there = (self.folder / "adapters").glob("*")
        return sorted(path.name for path in there if path.suffix != ".lock")


def make_project(root: Path, model: Path) -> Project:
    """A project of its own: nothing of the person's settings reaches it."""
    folder = root / "project"
    write(folder / "data" / "colours" / "train.jsonl", rows()[:32])
    write(folder / "data" / "colours" / "valid.jsonl", rows()[32:])
    (folder / "punie.toml").write_text(f'model = "{model}"\n', encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PUNIE_")}
    env |= {
        "HOME": str(root),
        "XDG_CONFIG_HOME": str(root),
        "PUNIE_STATE": os.environ["PUNIE_STATE"],
        "PUNIE_CACHE": str(root / "cache"),
        "MLX_DISABLE_COMPILE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    return Project(folder, env)


@dataclass(frozen=True)
class InProcess:
    """Commands of a project in this process: their workers and servers are real ones."""

    project: Project
    patch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[str]

    def __post_init__(self) -> None:
        for name in os.environ:
            if name.startswith("PUNIE_"):
                self.patch.delenv(name)
        for name, value in self.project.env.items():
            self.patch.setenv(name, value)
        self.patch.chdir(self.project.folder)

    def __call__(self, *words: str, code: int = 0) -> Ended:
        """Run a command, as the program does."""
        self.patch.setattr(sys, "argv", ["punie", *words])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = self.captured.readouterr()
        ended = Ended(exited.value.code, out, err)
        assert ended.code == code, f"{out}\n{err}"
        assert "a mistake of its own" not in err
        return ended

    def json(self, *words: str, code: int = 0) -> Any:
        return self(*words, "--json", code=code).json


def wait_for_checkpoint(work: Path, process: "subprocess.Popen[str]", part: int = 1) -> None:
    """Until the first checkpoint of a part; what is ended then has something to go on from."""
    deadline = time.monotonic() + WAIT_S
    events = work / "events.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        parts = events.read_bytes().split(b'"started"') if events.exists() else []
        if len(parts) > part and b'"saved"' in parts[part]:
            return
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint: {process.communicate(timeout=WAIT_S)}")
