"""`Child`: one program under the guardian, from its start to its end; never started twice."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

GUARDIAN = Path(__file__).with_name("guardian.py")
MAX_EVENT = 2**20
SLACK_S = 2.0
"""The guardian needs no more than this beyond the grace."""
GENERATION_FAILED = 70
"""The exit code of a server that can no longer generate: EX_SOFTWARE of sysexits.h."""
CANNOT_LISTEN = 71
"""The exit code of a server that could not open its socket: EX_OSERR of sysexits.h."""
OUT_OF_MEMORY = 72
"""The exit code of a server whose GPU had too little memory for an answer."""
DEATHS = {
    OUT_OF_MEMORY: "the server's GPU ran out of memory",
    GENERATION_FAILED: "the server's generation thread failed",
    CANNOT_LISTEN: "the server could not open its port, which another program holds",
    -signal.SIGKILL: "the server was killed (signal 9), probably because memory ran out",
}
EVENTS_FD = "PUNIE_EVENTS_FD"
"""The child reports on the descriptor that this variable names, one JSON object a line:
`{"event": "listening", "port": N}` once its socket is bound, and
`{"event": "loaded", "model": PATH, "adapter": PATH or null, "adapted_layers": N}`."""


class Child:
    """What a program under the guardian has reported so far, and the two ways to end it.

    `on_event` is given every event that the life of a server does not explain.
    """

    def __init__(self, on_event: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.pid: int | None = None
        self.port: int | None = None
        self.loaded: dict[str, Any] | None = None
        self.exit_code: int | None = None
        self.exited = asyncio.Event()
        self.listening = asyncio.Event()
        self.has_loaded = asyncio.Event()
        self.guardian: asyncio.subprocess.Process | None = None
        self._on_event = on_event
        self._grace_s = 0.0
        self._started = asyncio.Event()
        self._exit_reason = ""
        self._reader: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self.pid is not None and not self.exited.is_set()

    @property
    def out_of_memory(self) -> bool:
        """Whether it ended because memory ran out: by signal 9 of the system's, or by itself."""
        return self.exit_code in {-signal.SIGKILL, OUT_OF_MEMORY}

    async def spawn(
        self, argv: Sequence[str], env: Mapping[str, str], *, log: Path, grace_s: float
    ) -> None:
        """Start `argv`, its output going to the file `log`; returns once it runs, or has failed."""
        self._grace_s = grace_s
        log.parent.mkdir(parents=True, exist_ok=True)
        events, events_for_child = os.pipe()
        try:
            with log.open("ab") as output:
                self.guardian = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", str(GUARDIAN)),
                    *(str(grace_s), str(events_for_child)),
                    *argv,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=(events_for_child,),
                    env={**env, EVENTS_FD: str(events_for_child)},
                )
        except BaseException:
            os.close(events)
            raise
        finally:
            os.close(events_for_child)
        self._reader = asyncio.create_task(self._read_events(events))
        await self._started.wait()

    async def end(self) -> None:
        """End the program and its group: TERM, grace, KILL. Cancelled while it waits: KILL now."""
        guardian = self.guardian
        if guardian is None:
            return
        if guardian.stdin is not None:
            guardian.stdin.close()
        waiting = asyncio.ensure_future(guardian.wait())
        try:
            await asyncio.wait({waiting}, timeout=self._grace_s + SLACK_S)
        finally:
            # Asked twice, or the guardian does not do its work: no more grace.
            if not waiting.done():
                self.kill()
                guardian.kill()
                await waiting
            await self._end_reading()

    async def _end_reading(self) -> None:
        """Read to the end of the events; a process that left the group may hold their pipe open."""
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=SLACK_S)
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def kill(self) -> None:
        """KILL the program's group now; the guardian notices and ends by itself."""
        if self.alive and self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def death(self) -> str | None:
        """Why it ended, or None while it lives."""
        if not self.exited.is_set():
            return None
        if self._exit_reason:
            return self._exit_reason
        code = self.exit_code
        if code is None:
            return "the server ended, and its guardian with it"
        if code < 0 and not self.out_of_memory:
            return f"the server ended by signal {-code} ({signal.Signals(-code).name})"
        return DEATHS.get(code, f"the server ended with exit code {code}")

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
            self._started.set()
            self.exited.set()

    def _note(self, event: dict[str, Any]) -> None:
        match event:
            case {"event": "started", "pid": int(pid)}:
                self.pid = pid
                self._started.set()
            case {"event": "listening", "port": int(port)}:
                self.port = port
                self.listening.set()
            case {"event": "loaded"}:
                self.loaded = event
                self.has_loaded.set()
            case {"event": "exited", "code": int(code)}:
                self.exit_code = code
                self._exit_reason = str(event.get("reason", ""))
                self.exited.set()
            case _:
                if self._on_event is not None:
                    self._on_event(event)
