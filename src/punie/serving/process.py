"""`ServerProcess`: a server that punie owns, as a state machine with one writer."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from punie.errors import ServerError
from punie.serving.child import Child
from punie.serving.config import ServerConfig
from punie.serving.gpu_memory import gpu_memory
from punie.serving.memory import current_memory, peak_memory

if TYPE_CHECKING:
    from punie.serving.registry import Registration

TAIL_LINES = 50
LESS_MEMORY = (
    "it would need less memory with a lower --concurrency, shorter answers (--max-tokens), or a "
    "smaller or quantised model; closing other programs frees some"
)

Probe = Callable[[str], Awaitable[None]]
"""Asks the server at a base URL for one token; raises while it cannot answer."""


class NoTokenError(ServerError):
    """The server runs, but gave no token in time."""


class ServerState(StrEnum):
    """Where a server is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    DIED = "died"
    """It was ready, and ended without being told to."""


class ServerProcess:
    """Runs `argv` under the guardian and is ready once a real answer came back from it.

        STOPPED ──start──► STARTING ──one token──► READY ──its end──► DIED
           ▲                  │ fails, stop           │ stop            │ stop, start
           └───────────── STOPPING ◄──────────────────┴─────────────────┘

    Only who holds the turn, one lock, changes the state. `start` and `stop` may be called at any
    time, twice, and by several tasks: `stop` ends a start that is under way. What is half started
    when something fails is torn down. The port is the one that *our* child reports to have bound,
    so no other process is mistaken for it. An async context manager.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], config: ServerConfig) -> None:
        self.argv = list(argv)
        self._env = dict(env)
        self.config = config
        self.life = 0
        """How many children were started so far."""
        self.peak_memory_bytes: int | None = None
        self._child = Child()
        self._state = ServerState.STOPPED
        self._turn = asyncio.Lock()
        self._coming_up: asyncio.Task[None] | None = None
        self._stops = 0
        self._registration: Registration | None = None

    @property
    def state(self) -> ServerState:
        """Where it is now; a child that ended by itself is seen at once."""
        if self._state is ServerState.READY and not self._child.alive:
            return ServerState.DIED
        return self._state

    @property
    def pid(self) -> int | None:
        """The child's process id, None before the first start."""
        return self._child.pid

    @property
    def port(self) -> int | None:
        """The port that the child bound, once it listens."""
        return self._child.port

    @property
    def exit_code(self) -> int | None:
        """How the newest child ended, negative for a signal; None while it lives."""
        return self._child.exit_code

    @property
    def out_of_memory(self) -> bool:
        """Whether the newest child ended as programs do when memory runs out."""
        return self._child.out_of_memory

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT/v1`; a restart may change it.

        Until the child listens the port is 0, where nobody ever answers.
        """
        return f"http://{self.config.host}:{self.port or 0}/v1"

    @property
    def alive(self) -> bool:
        """Whether the newest child was started and has not ended."""
        return self._child.alive

    async def start(self, probe: Probe) -> None:
        """Start the child and wait until `probe` gets its token; nothing to do if it is ready.

        Raises ServerError with the end of the log if the child ends, if its model is not the one
        that was asked for, if no token came within `start_timeout_s`, or if it was stopped.
        """
        stops = self._stops
        async with self._turn:
            if stops != self._stops:
                raise ServerError("the server was stopped before it started")
            if self.state is ServerState.READY:
                return
            await self._take_down()
            self._coming_up = asyncio.create_task(self._bring_up(probe))
            try:
                await self._coming_up
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise ServerError("the server was stopped while it started") from None
            finally:
                self._coming_up = None

    async def stop(self) -> None:
        """End the child and its group: TERM, grace, KILL. Safe at any time, and twice."""
        self._stops += 1
        if self._coming_up is not None:
            self._coming_up.cancel()
        async with self._turn:
            await self._take_down()

    def kill(self) -> None:
        """KILL the child's group now; the guardian notices and ends by itself."""
        self._child.kill()

    def note_memory(self) -> int | None:
        """Read the child's peak memory so far, in bytes; over all lives, the largest.

        On a GPU it is the most that was seen: the driver keeps no peak.
        """
        if self.alive and self.pid is not None:
            now = gpu_memory(self.pid) if self.config.on_gpu else peak_memory(self.pid)
            if now is not None:
                self.peak_memory_bytes = max(now, self.peak_memory_bytes or 0)
        return self.peak_memory_bytes

    def current_memory(self) -> int | None:
        """The memory that the child holds now, in bytes; None where that is not known."""
        if not self.alive or self.pid is None:
            return None
        return gpu_memory(self.pid) if self.config.on_gpu else current_memory(self.pid)

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the child's output."""
        try:
            with self.config.log.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 64 * 1024))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def death(self) -> str | None:
        """Why the newest child ended, or None while it lives."""
        return self._child.death()

    async def ended(self) -> None:
        """Wait for the newest child's end."""
        await self._child.exited.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _bring_up(self, probe: Probe) -> None:
        config = self.config
        self._state = ServerState.STARTING
        self._child = child = Child()
        self.life += 1
        try:
            async with asyncio.timeout(config.start_timeout_s):
                await child.spawn(self.argv, self._env, log=config.log, grace_s=config.stop_grace_s)
                await self._unless_it_ends(child, self._become_ready(child, probe))
            self._state = ServerState.READY
        except TimeoutError:
            raise self._no_token() from None
        except OSError as problem:
            raise ServerError(
                f"the server could not be started: {problem}", hint="is there disk and memory left?"
            ) from problem
        finally:
            if self._state is not ServerState.READY:
                await self._take_down()

    def _no_token(self) -> NoTokenError:
        seconds = self.config.start_timeout_s
        error = self.failure(f"the server gave no token within {seconds:.0f} s")
        return NoTokenError(error.message, hint=error.hint)

    async def _take_down(self) -> None:
        if self._state is ServerState.STOPPED:
            return
        self.note_memory()
        self._state = ServerState.STOPPING
        try:
            await self._child.end()
        finally:
            self._state = ServerState.STOPPED
            if self._registration is not None:
                self._registration.remove()

    def _register(self, child: Child) -> None:
        """Write down where the server is, for a later punie that finds it without its owner."""
        from punie.serving.registry import register  # noqa: PLC0415 - needs psutil, 20 ms

        assert child.pid is not None
        assert child.port is not None
        self._registration = register(
            pid=child.pid,
            port=child.port,
            model=str(self.config.model),
            adapter=str(self.config.adapter) if self.config.adapter else None,
            project=Path.cwd(),
        )

    async def _become_ready(self, child: Child, probe: Probe) -> None:
        await child.listening.wait()
        self._register(child)
        await child.has_loaded.wait()
        self._check_loaded(child)
        await probe(self.base_url)

    def _check_loaded(self, child: Child) -> None:
        loaded = child.loaded or {}
        if "error" in loaded:
            why = f"the model could not be loaded: {loaded['error']}"
            raise self.failure(why, hint=loaded.get("hint"))
        if loaded.get("model") != str(self.config.model):
            raise self.failure(f"the server loaded {loaded.get('model')}, not {self.config.model}")
        wanted = str(self.config.adapter) if self.config.adapter else None
        if loaded.get("adapter") != wanted:
            raise self.failure(
                f"the server loaded adapter {loaded.get('adapter')}, not {wanted or 'none'}"
            )
        layers = loaded.get("adapted_layers")
        if wanted and not layers:
            raise self.failure(f"adapter {wanted} changed no layer of the model")
        if layers and not wanted:
            raise self.failure(f"the server put an adapter on {layers} layers, and none was named")

    async def _unless_it_ends(self, child: Child, work: Awaitable[None]) -> None:
        working = asyncio.ensure_future(work)
        ending = asyncio.create_task(child.exited.wait())
        try:
            await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return
            if child.loaded is not None:
                self._check_loaded(child)
            raise self.failure(child.death() or "the server ended")
        finally:
            for task in (working, ending):
                task.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    def failure(self, what: str, *, hint: str | None = None) -> ServerError:
        """An error that says what happened, with the end of the log and what would help."""
        tail = self.log_tail()
        said = f"\nThe last lines of its log ({self.config.log}):\n{tail}" if tail else ""
        hint = hint or "the whole log is in the file named above"
        if self.out_of_memory:
            hint = LESS_MEMORY
        return ServerError(f"{what}.{said}", hint=hint)
