"""Trains many jobs in one process's forks: a framework is imported once, and each worker is new.

    python tests/train_forks.py PROGRAM < requests > answers

PROGRAM is mlx_train or torch_train. A request is a JSON object a line: the job's file, and how it
is to go wrong: killed at the point `kill`, counted from 1, with no file above `file_limit` bytes,
with no more than `memory` bytes besides those that are taken already, or with environment
variables of its own. A point is each change of the disk and each iteration. The answer has the exit
code, null for a worker that was killed, and what it did: its points, and its events.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from punie.backends.blas import find_openblas
from punie.backends.workers import train_program
from punie.backends.workers.before_mlx import BLAS, before_mlx
from punie.backends.workers.train_engine import Engine
from punie.backends.workers.train_failure import EVENTS_FD, Emit
from punie.records.training import TRAIN_EVENT, Step, TrainEvent, TrainJob

ENGINES = {"mlx_train": "mlx_engine", "torch_train": "torch_engine"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Trained:
    """How a worker ended (None: killed), what it said, and each point at which it can be killed."""

    code: int | None
    events: list[TrainEvent]
    points: list[str]


class Forks:
    """The process whose forks train."""

    def __init__(self, child: "subprocess.Popen[str]", blas: dict[str, str]) -> None:
        self._child = child
        self.blas = blas
        """The variable that names OpenBLAS, where there is one."""

    def train(
        self,
        job: TrainJob,
        *,
        kill: int | None = None,
        file_limit: int | None = None,
        memory: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Trained:
        """Do the job in a fork of its own."""
        job.folder.mkdir(parents=True, exist_ok=True)
        file = job.folder / "job.json"
        file.write_text(job.model_dump_json())
        limits = {"kill": kill, "file_limit": file_limit, "memory": memory}
        request = {"job": str(file), "env": env or {}, **limits}
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(request) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        events: list[TrainEvent] = []
        points: list[str] = []
        for line in answer["said"]:
            if "kind" in line:
                events.append(TRAIN_EVENT.validate_python(line))
            else:
                points.append(line["point"])
        return Trained(answer["code"], events, points)


@contextmanager
def forks(program: str = "mlx_train") -> Generator[Forks]:
    """Start the process, without compilation, on one thread."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PUNIE_")}
    env |= {"MLX_DISABLE_COMPILE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    found = find_openblas()
    blas = {} if found is None else {BLAS: str(found)}
    with subprocess.Popen(
        [sys.executable, __file__, program],
        env=env | blas,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        yield Forks(child, blas)
        assert child.stdin is not None
        child.stdin.close()


def _serve() -> None:
    program, workers = sys.argv[1], "punie.backends.workers"
    if program == "mlx_train":
        before_mlx()
    worker = importlib.import_module(f"{workers}.{program}")
    for name in (ENGINES[program], "train_loop"):
        importlib.import_module(f"{workers}.{name}")  # before the forks
    answers = os.dup(1)
    os.dup2(2, 1)  # what mlx_lm prints is no answer
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        said, speaks = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(said)
            _train(request, speaks, worker.make_engine)
        os.close(speaks)
        with os.fdopen(said) as heard:
            lines = [json.loads(each) for each in heard]
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answer = {"code": None if code == -signal.SIGKILL else code, "said": lines}
        os.write(answers, (json.dumps(answer) + "\n").encode())


def _train(request: dict[str, Any], speaks: int, make_engine: Callable[[TrainJob], Engine]) -> None:
    os.environ.update({**request["env"], EVENTS_FD: str(speaks)})
    if request["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"],) * 2)
    if request["memory"]:
        taken = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (taken + request["memory"],) * 2)
    points = _Points(Path(request["job"]).parent, speaks, request["kill"])
    sys.addaudithook(points.audit)
    emit_to = train_program.emit_to

    def points_too(job: TrainJob | None) -> Emit:
        return points.after(emit_to(job))

    train_program.emit_to = points_too
    sys.argv = ["train", request["job"]]
    code = train_program.main(make_engine)
    os.close(speaks)
    os._exit(code)


class _Points:
    """Names each point at which a kill could hurt just before it, and kills at the chosen one."""

    def __init__(self, folder: Path, speaks: int, last: int | None) -> None:
        self._folder, self._speaks, self._last = str(folder), speaks, last
        self._taken = 0

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"os.mkdir", "os.rename", "os.remove"}:
            self._file(event, arguments[1 if event == "os.rename" else 0])
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            self._file("open", arguments[0])

    def after(self, say: Emit) -> Emit:
        """Say an event; that of an iteration is a point too."""

        def emit(event: TrainEvent) -> None:
            say(event)
            if isinstance(event, Step):
                self._take(f"iteration {event.step}")

        return emit

    def _file(self, what: str, path: object) -> None:
        name = str(path)
        if name.startswith(self._folder):
            self._take(f"{what} {name[len(self._folder) + 1 :]}")

    def _take(self, label: str) -> None:
        self._taken += 1
        os.write(self._speaks, (json.dumps({"point": label}) + "\n").encode())
        if self._taken == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _serve()
