"""Kills `punie eval` at every step that changes the disk, and at random moments; then resumes.

A process that has imported all of punie is forked for each command, so a command starts in
milliseconds. What was acknowledged is learnt without the database: the fork writes each result into
a pipe when `OutcomeWriter.write` has returned. The steps need no seam in punie: Python's audit
events and SQLite's traces name every file that is opened to be written, made, renamed or removed,
and every statement that changes the database, just before it happens.

Runs where nothing else forks or has threads: `tests/bench/bench_kills.py`.
"""

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from punie.cli.main import main
from punie.records.result import EvalResult, Outcome
from punie.store.runs import RunStore
from punie.store.writer import OutcomeWriter

FAKE = Path(__file__).with_name("fake_server.py")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
RUN_OR_ENTRY = r"\d{8}-\d{4,6}-[\w-]+"
TIMES = {"latency", "first_token", "tokens_per_second", "wall_s", "peak_memory_bytes", "cost"}
"""What of a summary is another in each run."""
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where an fsync costs nothing. What a kill loses is the same there; only a power cut differs."""
NO_RUN = 2
MOST_COMMANDS = 50
"""A run that is not done after so many is a bug, not bad luck."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code (None: killed), what it acknowledged, the steps it took.

    An acknowledged result is (prompt, repeat, when it was asked).
    """

    code: int | None
    acknowledged: list[tuple[str, int, str]]
    steps: list[str]


@dataclass(slots=True)
class Figures:
    """What was tried, and what went wrong. `lost` and `twice` count acknowledged results."""

    kills: int = 0
    runs: int = 0
    acknowledged: int = 0
    lost: int = 0
    twice: int = 0
    wrong: list[str] = field(default_factory=list[str])
    """Runs that did not end as an undisturbed one, and why."""
    labels: Counter[str] = field(default_factory=Counter[str])
    """The steps that were killed at."""


class Project:
    """A folder with a suite, and the commands that are run in it."""

    def __init__(self, root: Path, url: str, prompts: int, concurrency: int) -> None:
        self.root = root
        self.prompts = prompts
        rows = [
            f"  - {{id: p{n}, category: c{n % 3}, prompt: q{n}, expect: {{exact: q{n - n % 5}}}}}\n"
            for n in range(prompts)
        ]
        (root / "mini.yaml").write_text("name: mini\nprompts:\n" + "".join(rows))
        flags = f"--url {url} --model m --concurrency {concurrency}"
        flags += " --output out.jsonl --json --no-checks"
        self.fresh = ["eval", "mini.yaml", *flags.split(), "--journal", "Killed and resumed"]
        self.resume = ["eval", "--resume", "last", "--json", "--no-checks"]


def command(project: Project, words: Sequence[str], *, step: int = 0, after_s: float = 0) -> Ended:
    """Run punie in a fork; kill it just before its `step`-th step, or after so many seconds."""
    acks, acks_in = os.pipe()
    steps, steps_in = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(acks)
        os.close(steps)
        _run_forked(project.root, words, acks_in, _Steps(project.root, steps_in, step))
    os.close(acks_in)
    os.close(steps_in)
    if after_s:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(acks, encoding="utf-8") as file, os.fdopen(steps, encoding="utf-8") as labels:
        lines, taken = file.readlines(), labels.read().splitlines()
    status = os.waitpid(pid, 0)[1]
    acknowledged = [tuple(json.loads(line)) for line in lines if line.endswith("\n")]
    return Ended(os.WEXITSTATUS(status) if os.WIFEXITED(status) else None, acknowledged, taken)


def _run_forked(root: Path, words: Sequence[str], acks: int, steps: "_Steps") -> None:
    code = 99
    try:
        _silent(root / "said.txt")
        os.chdir(root)
        sys.argv = ["punie", *words]
        steps.watch()
        _acknowledge_into(acks, steps)
        main()
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:  # noqa: BLE001 - shown, and the fork must never go on as its parent
        traceback.print_exc()
    finally:
        os._exit(code)


def _silent(said: Path) -> None:
    """Keep what the fork says in a file beside the project's."""
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _acknowledge_into(pipe: int, steps: "_Steps") -> None:
    write = OutcomeWriter.write

    async def acknowledged(self: OutcomeWriter, outcome: Outcome) -> None:
        await write(self, outcome)
        if isinstance(outcome, EvalResult):
            line = json.dumps([outcome.prompt_id, outcome.repeat, outcome.started_at])
            os.write(pipe, line.encode() + b"\n")
        steps.take("acknowledged")

    OutcomeWriter.write = acknowledged


class _Steps:
    """Names each step of this process before it happens, and ends it at the chosen one."""

    def __init__(self, root: Path, pipe: int, last: int) -> None:
        self._root = str(root)
        self._pipe = pipe
        self._last = last
        self._taken = 0
        self._statement_before = ""

    def watch(self) -> None:
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect

        def traced(*arguments: Any, **named: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **named)
            connection.set_trace_callback(self._statement)
            return connection

        sqlite3.connect = traced
        sys.addaudithook(self._audit)

    def take(self, label: str) -> None:
        self._taken += 1
        os.write(self._pipe, label.encode() + b"\n")
        if self._taken == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}:
            self._file(event.removeprefix("os."), arguments[1 if event == "os.rename" else 0])
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            self._file("open", arguments[0])

    def _file(self, what: str, path: object) -> None:
        if not isinstance(path, str | os.PathLike):
            return
        full = os.path.join(os.getcwd(), os.fspath(path))  # noqa: PTH109, PTH118 - called often
        if full.startswith(self._root):
            name = full[len(self._root) :].lstrip("/")
            if name not in {"", "."}:
                self.take(f"{what} {re.sub(RUN_OR_ENTRY, 'ID', name)}")

    def _statement(self, sql: str) -> None:
        words = re.sub(r"^--.*$", "", sql, flags=re.MULTILINE).split()
        if words[0] == "SELECT" or (words[0] == "PRAGMA" and "=" not in words):
            return
        if words[0] == "COMMIT":
            self.take(f"COMMIT after {self._statement_before}")
            return
        self._statement_before = " ".join(words[: 3 if words[0] in {"INSERT", "CREATE"} else 2])
        self.take(self._statement_before)


Kill = Callable[[int], dict[str, Any]]
"""From a command's number, counted from 0, to when it is killed: `step`, `after_s`, or neither."""


def survive(project: Project, kill: Kill, expected: dict[str, Any], figures: Figures) -> None:
    """Start a run, kill it as told, resume it until it is done, and count what is wrong then."""
    acknowledged: list[tuple[str, int, str]] = []
    words = project.fresh
    for number in range(MOST_COMMANDS):
        ended = command(project, words, **kill(number))
        acknowledged += ended.acknowledged
        if ended.code is None:
            figures.kills += 1
            figures.labels[ended.steps[-1] if ended.steps else "start"] += 1
        elif ended.code == NO_RUN and words == project.resume:
            words = project.fresh
            continue
        elif ended.code == 0:
            break
        else:
            figures.wrong.append(f"exit code {ended.code}: {_said(project)}")
            return
        words = project.resume
    else:
        figures.wrong.append(f"not done after {MOST_COMMANDS} commands: {_said(project)}")
        return
    figures.runs += 1
    figures.acknowledged += len(acknowledged)
    figures.twice += len(acknowledged) - len({each[:2] for each in acknowledged})
    figures.lost += len(set(acknowledged) - set(_kept(project.root)))
    figures.wrong += _wrong(project, expected)


def _said(project: Project) -> str:
    return (project.root / "said.txt").read_text(errors="replace")[-500:]


def _kept(root: Path) -> list[tuple[str, int, str]]:
    with contextlib.closing(sqlite3.connect(root / ".punie" / "punie.db")) as db:
        return db.execute(
            "SELECT prompt_id, repeat, body ->> '$.started_at' FROM outcomes WHERE fault IS NULL"
        ).fetchall()


def _wrong(project: Project, expected: dict[str, Any]) -> list[str]:
    """What is not as an undisturbed run leaves it."""
    wrong: list[str] = []
    root = project.root
    with contextlib.closing(sqlite3.connect(root / ".punie" / "punie.db")) as db:
        if db.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            wrong.append("the database is damaged")
    kept = _kept(root)
    if len(kept) != project.prompts or len({each[:2] for each in kept}) != project.prompts:
        wrong.append(f"{len(kept)} answers for {project.prompts} prompts")
    with RunStore(root) as store:
        heads = store.heads()
    if [run.status for run in heads] != ["done"]:
        wrong.append(f"runs: {[run.status.value for run in heads]}")
    elif numbers_of(root) != expected:
        wrong.append("other numbers than those of an undisturbed run")
    lines = (root / "out.jsonl").read_text().splitlines()
    if len([json.loads(line) for line in lines]) != project.prompts:
        wrong.append(f"{len(lines)} lines of results")
    if len(list(root.glob(".punie/runs/*/report.html"))) != 1:
        wrong.append("not one report")
    entries = list(root.glob("journal/*/*/*/entry.md"))
    if len(entries) != 1 or list(root.glob("journal/.writing-*")):
        wrong.append(f"{len(entries)} journal entries")
    return wrong


def numbers_of(root: Path) -> dict[str, Any]:
    """The newest run's summary without what time decides."""
    with RunStore(root) as store:
        summary = store.report(store.find("last")).summary
    return summary.model_dump(mode="json", exclude=TIMES)


@contextlib.contextmanager
def fake_server() -> Generator[str]:
    """The URL of an instant server in a process of its own."""
    argv = [sys.executable, str(FAKE), "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()


class Bench:
    """Runs and their kills, in folders that go again."""

    def __init__(self, url: str, *, prompts: int, concurrency: int) -> None:
        self._url = url
        self._prompts = prompts
        self._concurrency = concurrency
        self.figures = Figures()
        with self._project() as project:
            before = command(project, project.fresh)
            if before.code != 0:
                raise RuntimeError(f"exit code {before.code}: {_said(project)}")
            self.steps = before.steps
            self._expected = numbers_of(project.root)
            _warm_up(project)
        with self._project() as project:
            began = time.monotonic()
            command(project, project.fresh)
            self.undisturbed_s = time.monotonic() - began

    @contextlib.contextmanager
    def _project(self) -> Generator[Project]:
        with tempfile.TemporaryDirectory(prefix="punie-kills-", dir=MEMORY) as folder:
            yield Project(Path(folder).resolve(), self._url, self._prompts, self._concurrency)

    def at_every_step(self, *, once: bool) -> None:
        """Kill a new run at each of its steps, and a resumed one at each of its.

        With `once`, a step that happens for each prompt is taken at its first time only.
        """
        for step in _chosen(self.steps, once=once):
            with self._project() as project:
                survive(project, lambda n, s=step: {"step": s} if n == 0 else {},
                        self._expected, self.figures)  # fmt: skip
        middle = _numbers(self.steps, "acknowledged")[self._prompts // 2]
        with self._project() as project:
            command(project, project.fresh, step=middle)
            resumed = command(project, project.resume).steps
        for step in _chosen(resumed, once=once):
            with self._project() as project:
                survive(project, lambda n, s=step: {"step": (middle, s, 0)[min(n, 2)]},
                        self._expected, self.figures)  # fmt: skip

    def at_random(self, kills: int, seed: int) -> None:
        """Kill at random moments until there were so many kills."""
        rng = random.Random(seed)
        enough = self.figures.kills + kills
        while self.figures.kills < enough and not self.figures.wrong:
            with self._project() as project:
                survive(project, lambda _: {"after_s": rng.uniform(0, 1.2) * self.undisturbed_s},
                        self._expected, self.figures)  # fmt: skip


def _warm_up(project: Project) -> None:
    """Import in this process whatever a command imports: forks then start at once."""
    out, err, argv, folder = os.dup(1), os.dup(2), sys.argv, Path.cwd()
    _silent(project.root / "said.txt")
    os.chdir(project.root)
    for words in (project.fresh, project.resume):
        sys.argv = ["punie", *words]
        with contextlib.suppress(SystemExit):
            main()
    sys.stdout.flush()
    os.chdir(folder)
    sys.argv = argv
    for kept, number in ((out, 1), (err, 2)):
        os.dup2(kept, number)
        os.close(kept)


def _numbers(steps: Sequence[str], label: str) -> list[int]:
    return [number for number, each in enumerate(steps, start=1) if each == label]


def _chosen(steps: Sequence[str], *, once: bool) -> list[int]:
    if not once:
        return list(range(1, len(steps) + 1))
    return sorted({label: number for number, label in reversed(list(enumerate(steps, 1)))}.values())
