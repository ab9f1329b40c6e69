"""Rows as tokens: a child renders them with the model's own template, within limits."""

import asyncio
import importlib.util
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from punie.backends.mlx import server_env
from punie.errors import ModelError, PunieError, StoreError
from punie.models.cache import cache_root
from punie.models.worker import worker_argv
from punie.records.dataset import ROW, Split
from punie.records.encoding import EncodeJob, Encoding, RowProblem, RowProblemKind
from punie.scoring.written_calls import lost_calls
from punie.serving.child import Child
from punie.serving.memory import current_memory

STALL_S = 120.0
"""Without a word of progress the child is ended. It speaks several times a second, but loading the
libraries may take a while on a busy machine."""
WATCH_S = 0.5
GRACE_S = 2.0
MEMORY_BYTES = 3 << 30
"""What the child may hold, beside sixteen times the size of the rows' files. The child limits
itself where the system lets it; this is for where it does not."""
TAIL_CHARACTERS = 300

Progress = Callable[[int], None]
"""Is told how many rows are done."""


async def encode(job: EncodeJob, *, on_progress: Progress | None = None) -> Encoding:
    """Turn rows into tokens; the file of tokens and `encoding.json` beside it appear whole.

    It needs transformers alone; with mlx_lm, tool calls are read back as its server reads them.
    Raises ModelError for a model without a usable tokenizer or template, or with a template that
    takes too much time or memory, and StoreError where the files cannot be written. Nothing is left
    running, however it ends.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ModelError(
            "rows are encoded with transformers, which is not installed",
            hint="pip install transformers",
        )
    told = _Told(on_progress)
    with tempfile.TemporaryDirectory(prefix="punie-encode-") as scratch:
        log = Path(scratch) / "log"
        async with _running(job, Path(scratch), log, told) as child:
            await _until_it_ends(child, job, told)
        if told.failed is not None:
            raise _failure(told.failed)
        if not told.finished:
            raise _death(child, job, log)
    return await asyncio.to_thread(_completed, job, told.unread)


def encoding_file(job: EncodeJob) -> Path:
    """Where what was found is written: beside the tokens."""
    return job.output.with_name("encoding.json")


@dataclass
class _Told:
    """What the child has said so far."""

    on_progress: Progress | None
    heard: float = field(default_factory=time.monotonic)
    failed: dict[str, Any] | None = None
    finished: bool = False
    unread: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __call__(self, event: dict[str, Any]) -> None:
        self.heard = time.monotonic()
        match event:
            case {"event": "progress", "done": int(done)}:
                if self.on_progress is not None:
                    self.on_progress(done)
            case {"event": "unread"}:
                self.unread.append(event)
            case {"event": "failed"}:
                self.failed = event
            case {"event": "encoded"}:
                self.finished = True
            case _:
                pass


@asynccontextmanager
async def _running(job: EncodeJob, scratch: Path, log: Path, told: _Told) -> AsyncGenerator[Child]:
    """The child at work; after the block nothing of it is left."""
    order = scratch / "job.json"
    order.write_text(job.model_dump_json(), encoding="utf-8")
    hub_cache = cache_root() / "no-hub"
    hub_cache.mkdir(parents=True, exist_ok=True)
    env = server_env(hub_cache) | {"TOKENIZERS_PARALLELISM": "true"}
    argv = worker_argv("encode", str(order))
    child = Child(told)
    try:
        await child.spawn(argv, env, log=log, grace_s=GRACE_S)
        yield child
    finally:
        await child.end()


async def _until_it_ends(child: Child, job: EncodeJob, told: _Told) -> None:
    """Wait for the child's end, and end it where it stalls or takes too much memory."""
    size = sum(path.stat().st_size for path in job.rows.values())
    most = MEMORY_BYTES + 16 * size
    while not child.exited.is_set():
        try:
            await asyncio.wait_for(child.exited.wait(), WATCH_S)
        except TimeoutError:
            held = current_memory(child.pid) if child.pid is not None else None
            if time.monotonic() - told.heard > STALL_S:
                raise _hostile(job, f"takes more than {STALL_S:g} s for a few rows") from None
            if held is not None and held > most:
                raise _hostile(job, f"takes more than {most >> 30} GiB of memory") from None


def _hostile(job: EncodeJob, what: str) -> ModelError:
    return ModelError(
        f"{job.model}: its chat template or tokenizer {what}",
        hint="it would stop a server too: get another copy of the model, or mend the template",
    )


def _failure(event: dict[str, Any]) -> PunieError:
    """What the child gave up for."""
    message = str(event.get("message"))
    match event.get("what"):
        case "disk":
            return StoreError(message, hint="free some disk space, and check that it is writable")
        case "memory":
            return StoreError(message, hint="split the data, or close other programs")
        case "template":
            hint = "it would stop a server too: get another copy of the model, or mend the template"
            return ModelError(message, hint=hint)
        case _:
            hint = "`punie models show` says what the model has; chats need an instruct model"
            return ModelError(message, hint=hint)


def _death(child: Child, job: EncodeJob, log: Path) -> ModelError:
    """The child ended without a word: a crash, or the system's limit on memory."""
    said = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    code = child.exit_code
    how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
    last = f": {said[-1][:TAIL_CHARACTERS]}" if said else ""
    return ModelError(
        f"{job.model}: encoding the rows ended {how}{last}",
        hint="if memory ran out, close other programs or split the data",
    )


def _completed(job: EncodeJob, unread: list[dict[str, Any]]) -> Encoding:
    """The child's findings, and the calls that punie's own reader is to read back."""
    path = encoding_file(job)
    try:
        encoding = Encoding.model_validate_json(path.read_bytes())
        problems = [problem for split in job.rows for problem in _lost(job, split, unread)]
        if problems:
            encoding = encoding.model_copy(update={"problems": (*encoding.problems, *problems)})
            temporary = path.with_suffix(".part")
            temporary.write_text(encoding.model_dump_json(), encoding="utf-8")
            temporary.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror or error}", hint="free some disk space"
        ) from error
    except ValidationError as error:
        raise StoreError(f"{path}: was not written whole", hint="try it again") from error
    return encoding


def _lost(job: EncodeJob, split: Split, unread: list[dict[str, Any]]) -> list[RowProblem]:
    """Calls that mlx_lm has no parser for: then `punie eval` reads the answer's text itself."""
    asked = {
        row: list(events)
        for row, events in groupby(
            (event for event in unread if event["split"] == split), key=lambda each: each["row"]
        )
    }
    if not asked:
        return []
    problems: list[RowProblem] = []
    with job.rows[split].open("rb") as file:
        for number, line in enumerate(file):
            for event in asked.get(number, ()):
                row = ROW.validate_json(line)
                turn = int(event["turn"])
                lost = lost_calls(str(event["text"]), row.messages[turn].tool_calls, row.tools)
                if lost:
                    problems.append(
                        RowProblem(
                            kind=RowProblemKind.LOST_CALL,
                            split=split,
                            row=number,
                            detail=f"turn {turn + 1}: {lost}",
                        )
                    )
    return problems
