"""The servers of punie that run on this machine, as one small file each.

A server normally ends with the punie that owns it. Should owner and guardian both be killed, the
file is what finds the server again, and what proves that it is that server: pid, start of the
process and hash of its command line must all be those that were written down. A file proves nothing
else, so one that was damaged, edited or left behind is removed, and nothing is killed for it.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

import platformdirs
import psutil
from pydantic import Field, ValidationError

from punie.records.base import Record

STATE = "PUNIE_STATE"
"""The variable that moves the folder, for tests."""
GRACE_S = 3.0
MAX_FILE_BYTES = 64 * 1024
NAME = re.compile(r"[0-9]{1,10}-[0-9a-f]{8}")
"""What an entry's file is called. No other is looked at: `PUNIE_STATE` may be any folder."""
FORGOTTEN_S = 60.0
"""A temporary file of this age was left by a writer that was killed."""

Pid = Annotated[int, Field(ge=2)]
"""Neither 0 (one's own group), nor 1 (init), nor negative (a group, or everything)."""


class Kind(StrEnum):
    """What runs there: an `mlx_lm.server` that punie owns, or the address of `punie serve`."""

    SERVER = "server"
    SERVE = "serve"


class Entry(Record):
    """One running server and who owns it.

    A start is in seconds since the machine's own (on macOS since 1970): the wall clock may be set
    while a process runs, and its start would seem to move.
    """

    schema_version: Literal[1] = 1
    kind: Kind
    owner_pid: Pid
    owner_started: float
    pid: Pid
    started: float
    argv_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    port: Annotated[int, Field(ge=1, le=65535)]
    model: str
    adapter: str | None = None
    project: str
    since: str
    """UTC, ISO 8601."""

    @property
    def since_here(self) -> str:
        """`since` to the minute, in this machine's time: `2026-11-21 09:30`."""
        try:
            moment = datetime.fromisoformat(self.since)
        except ValueError:
            return self.since
        return f"{moment.astimezone():%Y-%m-%d %H:%M}"

    @property
    def runs(self) -> bool:
        """Whether the server is alive and is that very process."""
        return _find(self.pid, self.started, self.argv_sha256) is not None

    @property
    def owned(self) -> bool:
        """Whether the punie that started it is alive."""
        return _find(self.owner_pid, self.owner_started) is not None


@dataclass(slots=True)
class Registration:
    """An entry on disk until `remove`, or until the end of the `with` block.

    `path` is None where the state folder cannot be written: a server is worth running all the same.
    """

    entry: Entry
    path: Path | None

    def remove(self) -> None:
        """Take the entry off; safe to call twice."""
        if self.path is not None:
            _unlink(self.path)
            self.path = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register(
    *, pid: int, port: int, model: str, adapter: str | None, project: Path, kind: Kind = Kind.SERVER
) -> Registration | None:
    """Write down that process `pid` serves, owned by this process.

    To be called once the server listens: until then its command line may still change. None if
    there is no such process any more.
    """
    me = psutil.Process()
    try:
        server = psutil.Process(pid)
        entry = Entry(
            kind=kind,
            owner_pid=me.pid,
            owner_started=_started(me),
            pid=pid,
            started=_started(server),
            argv_sha256=_argv_hash(server),
            port=port,
            model=model,
            adapter=adapter,
            project=str(project),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    except psutil.Error:
        return None
    path = None
    with contextlib.suppress(OSError):
        path = _write(_folder(create=True), entry)
    return Registration(entry, path)


def running() -> list[Entry]:
    """The servers that really run, the oldest first; other entries are passed over."""
    entries = [entry for _, entry in _entries() if entry is not None and entry.runs]
    return sorted(entries, key=lambda entry: (entry.since, entry.pid))


def sweep(grace_s: float = GRACE_S) -> list[Entry]:
    """End the servers whose owner is gone, remove the files that tell nothing true any more.

    Gives the entries whose server was ended. Blocks for up to `grace_s` for each of them.
    """
    ended: list[Entry] = []
    for path, entry in _entries():
        if entry is not None and entry.owned and entry.runs:
            continue
        if entry is not None and not entry.owned and _end(entry, grace_s):
            ended.append(entry)
        _unlink(path)
    _remove_forgotten()
    return ended


def end(entry: Entry, grace_s: float = 15.0) -> bool:
    """Ask the process of a `punie serve` to end, and a second time if it takes too long.

    It ends its own server. True once it is gone; False if it still runs, and nothing more is done.
    """
    for _ in range(2):
        process = _find(entry.pid, entry.started, entry.argv_sha256)
        if process is None:
            return True
        _signal(process, kill=False)
        _still_there([process], grace_s)
    return not entry.runs


def _end(entry: Entry, grace_s: float) -> bool:
    """TERM the server's process group, wait, KILL what is left; False if it is not that server."""
    server = _find(entry.pid, entry.started, entry.argv_sha256)
    if server is None:
        return False
    members = _group(server)
    for member in members:
        _signal(member, kill=False)
    stubborn = _still_there(members, grace_s)
    if entry.runs:
        stubborn = [*stubborn, *_group(server)]
    for member in stubborn:
        _signal(member, kill=True)
    _still_there(stubborn, grace_s)
    return True


def _still_there(processes: list[psutil.Process], wait_s: float) -> list[psutil.Process]:
    """Wait for the ends of all, and give those that still run; one nobody reaped has ended."""
    deadline = time.monotonic() + wait_s
    while True:
        processes = [process for process in processes if _runs(process)]
        if not processes or time.monotonic() > deadline:
            return processes
        time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _group(server: psutil.Process) -> list[psutil.Process]:
    """The server, and its process group if it leads one."""
    members = [server]
    with contextlib.suppress(OSError):
        if os.getpgid(server.pid) != server.pid:
            return members
        for other in psutil.process_iter():
            with contextlib.suppress(OSError):
                if other.pid != server.pid and os.getpgid(other.pid) == server.pid:
                    members.append(other)
    return members


def _signal(process: psutil.Process, *, kill: bool) -> None:
    # psutil looks at the start of the process once more before it signals.
    with contextlib.suppress(psutil.Error):
        if kill:
            process.kill()
        else:
            process.terminate()


def _find(pid: int, started: float, argv_sha256: str | None = None) -> psutil.Process | None:
    """Process `pid` if it is alive, started then, and (if given) has that command line."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or _started(process) != started:
            return None
        if argv_sha256 is not None and _argv_hash(process) != argv_sha256:
            return None
    except (psutil.Error, OverflowError):
        return None
    return process


def _started(process: psutil.Process) -> float:
    created = process.create_time()
    # Linux counts from the boot and adds the clock's idea of when that was; macOS stores a date.
    return round(created - psutil.boot_time(), 2) if sys.platform == "linux" else created


def _argv_hash(process: psutil.Process) -> str:
    argv = "\0".join(process.cmdline())
    return hashlib.sha256(argv.encode("utf-8", "surrogateescape")).hexdigest()


def state_root() -> Path:
    """`PUNIE_STATE`, or the platform's folder for this user's state. It may not exist yet."""
    chosen = os.environ.get(STATE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_state_path("punie")


def _folder(*, create: bool = False) -> Path:
    """The folder of the entries, made for us alone. Raises OSError if it is not there or not ours.

    One that was there keeps its mode: an entry cannot be read by others wherever it lies.
    """
    folder = state_root() / "servers"
    if create:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def _write(folder: Path, entry: Entry) -> Path:
    """Write the entry so that a reader sees all of it or nothing."""
    name = f"{entry.pid}-{secrets.token_hex(4)}"  # see NAME
    partial = folder / f".{name}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(entry.model_dump(mode="json"), file)
            file.flush()
            os.fsync(file.fileno())
        return partial.rename(folder / f"{name}.json")
    except BaseException:
        _unlink(partial)
        raise


def _entries() -> Iterator[tuple[Path, Entry | None]]:
    """Every file with the name of an entry, with None for one that is no entry."""
    with contextlib.suppress(OSError):
        for path in sorted(_folder().glob("*.json")):
            if NAME.fullmatch(path.stem):
                with contextlib.suppress(FileNotFoundError):
                    yield path, _read(path)


def _read(path: Path) -> Entry | None:
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid():
            return None
        # Strictly: a pid that is text, or 12.0, was not written by us.
        return Entry.model_validate_json(os.read(descriptor, MAX_FILE_BYTES), strict=True)
    except FileNotFoundError:
        raise
    except (OSError, ValidationError):
        return None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _remove_forgotten() -> None:
    with contextlib.suppress(OSError):
        for path in _folder().glob(".*.partial"):
            ours = NAME.fullmatch(path.stem.removeprefix("."))
            if ours and time.time() - path.lstat().st_mtime > FORGOTTEN_S:
                _unlink(path)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
