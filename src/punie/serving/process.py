"""`ServerProcess`: a child that serves a model, owned from its first moment to its last."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from punie.errors import ServerError
from punie.serving.config import ServerConfig
from punie.serving.memory import peak_memory

GUARDIAN = Path(__file__).with_name("guardian.py")
TAIL_LINES = 50
MAX_EVENT = 2**20
GENERATION_FAILED = 70
"""The exit code of a server that can no longer generate: EX_SOFTWARE of sysexits.h."""
EVENTS_FD = "PUNIE_EVENTS_FD"
"""The child reports on the descriptor that this variable names, one JSON object a line:
`{"event": "listening", "port": N}` once its socket is bound, and
`{"event": "loaded", "model": PATH, "adapter": PATH or null, "adapted_layers": N}`."""

Probe = Callable[[str], Awaitable[None]]
"""Asks the server at a base URL for one token; raises while it cannot answer."""


class ServerProcess:
    """Runs `argv` under the guardian and is ready once a real answer came back from it.

    An async context manager. What is half started when something fails is torn down. The port is
    the one that *our* child reports to have bound, so no other process is mistaken for it.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], config: ServerConfig) -> None:
        self._argv = list(argv)
        self._env = dict(env)
        self.config = config
        self.pid: int | None = None
        self.port: int | None = None
        self.loaded: dict[str, Any] | None = None
        self.exit_code: int | None = None
        self.peak_memory_bytes: int | None = None
        self._exit_reason = ""
        self._guardian: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._exited = asyncio.Event()
        self._listening = asyncio.Event()
        self._loading = asyncio.Event()

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT/v1`, known once the child listens."""
        return f"http://{self.config.host}:{self.port}/v1"

    @property
    def alive(self) -> bool:
        """Whether the child was started and has not ended."""
        return self.pid is not None and not self._exited.is_set()

    async def start(self, probe: Probe) -> None:
        """Start the child and wait until `probe` gets its token.

        Raises ServerError with the end of the log if the child ends, if its model is not the one
        that was asked for, or if no token came within `start_timeout_s`.
        """
        try:
            await self._spawn()
            async with asyncio.timeout(self.config.start_timeout_s):
                await self._unless_it_ends(self._become_ready(probe))
        except TimeoutError:
            seconds = self.config.start_timeout_s
            await self.stop()
            raise self._failure(f"the server gave no token within {seconds:.0f} s") from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the child and its group: TERM, grace, KILL. Safe to call at any time, and twice."""
        guardian = self._guardian
        if guardian is None:
            return
        self.note_memory()
        if guardian.stdin is not None:
            guardian.stdin.close()
        waiting = asyncio.ensure_future(guardian.wait())
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            # Asked twice: no more grace.
            self.kill()
            await waiting
            raise
        finally:
            if self._reader is not None and waiting.done():
                await self._reader

    def kill(self) -> None:
        """KILL the child's group now; the guardian notices and ends by itself."""
        if self.alive and self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def note_memory(self) -> int | None:
        """Read the child's peak memory so far, in bytes; the last known one once it has ended."""
        if self.alive and self.pid is not None:
            now = peak_memory(self.pid)
            if now is not None:
                self.peak_memory_bytes = max(now, self.peak_memory_bytes or 0)
        return self.peak_memory_bytes

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
        """Why the child ended, or None while it lives."""
        if not self._exited.is_set():
            return None
        if self._exit_reason:
            return self._exit_reason
        code = self.exit_code
        if code == GENERATION_FAILED:
            return "the server's generation thread failed"
        if code == -signal.SIGKILL:
            return "the server was killed (signal 9), probably because memory ran out"
        if code is not None and code < 0:
            return f"the server ended by signal {-code} ({signal.Signals(-code).name})"
        return f"the server ended with exit code {code}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _spawn(self) -> None:
        self.config.log.parent.mkdir(parents=True, exist_ok=True)
        events, events_for_child = os.pipe()
        try:
            with self.config.log.open("ab") as log:
                self._guardian = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", str(GUARDIAN)),
                    *(str(self.config.stop_grace_s), str(events_for_child)),
                    *self._argv,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(events_for_child,),
                    env={**self._env, EVENTS_FD: str(events_for_child)},
                )
        except BaseException:
            os.close(events)
            raise
        finally:
            os.close(events_for_child)
        self._reader = asyncio.create_task(self._read_events(events))

    async def _read_events(self, events: int) -> None:
        stream = asyncio.StreamReader(limit=MAX_EVENT)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(events, "rb", buffering=0)
        )
        try:
            while line := await stream.readline():
                with contextlib.suppress(json.JSONDecodeError):
                    self._note(json.loads(line))
        finally:
            transport.close()
            self._exited.set()

    def _note(self, event: dict[str, Any]) -> None:
        match event:
            case {"event": "started", "pid": int(pid)}:
                self.pid = pid
            case {"event": "listening", "port": int(port)}:
                self.port = port
                self._listening.set()
            case {"event": "loaded"}:
                self.loaded = event
                self._loading.set()
            case {"event": "exited", "code": int(code)}:
                self.exit_code = code
                self._exit_reason = str(event.get("reason", ""))
                self._exited.set()
            case _:
                pass

    async def _become_ready(self, probe: Probe) -> None:
        await self._listening.wait()
        await self._loading.wait()
        self._check_loaded()
        await probe(self.base_url)

    def _check_loaded(self) -> None:
        loaded = self.loaded or {}
        if "error" in loaded:
            raise self._failure(f"the model could not be loaded: {loaded['error']}")
        wanted = str(self.config.adapter) if self.config.adapter else None
        if loaded.get("adapter") != wanted:
            raise self._failure(
                f"the server loaded adapter {loaded.get('adapter')}, not {wanted or 'none'}"
            )
        if wanted and not loaded.get("adapted_layers"):
            raise self._failure(f"adapter {wanted} changed no layer of the model")

    async def _unless_it_ends(self, work: Awaitable[None]) -> None:
        working = asyncio.ensure_future(work)
        ending = asyncio.create_task(self._exited.wait())
        try:
            await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return
            if self.loaded is not None:
                self._check_loaded()
            raise self._failure(self.death() or "the server ended")
        finally:
            for task in (working, ending):
                task.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    def _failure(self, what: str) -> ServerError:
        tail = self.log_tail()
        said = f"\nThe last lines of its log ({self.config.log}):\n{tail}" if tail else ""
        return ServerError(f"{what}.{said}", hint="the whole log is in the file named above")
