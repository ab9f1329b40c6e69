"""The registry of running servers: what it may end, and what it must not."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from punie.serving.registry import Kind, register, running, sweep

SLEEP = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    f"c = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
    "print(c.pid, flush=True); time.sleep(600)"
)
OWNER = """
import os, subprocess, sys
from pathlib import Path
from punie.serving.registry import register
server = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1]],
    start_new_session=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
)
line = server.stdout.readline().strip() if "print" in sys.argv[1] else ""
register(pid=server.pid, port=8000, model="m", adapter=None, project=Path("/p"))
print(server.pid, line, flush=True)
os._exit(0)
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PUNIE_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "servers"


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that runs on its own, as a server does."""
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def stale(program: str = SLEEP) -> list[int]:
    """Start a server whose owner is gone at once: its pid, and that of its child if it has one."""
    owner = [sys.executable, "-c", OWNER, program]
    said = subprocess.run(owner, check=True, capture_output=True, text=True, timeout=30).stdout
    return [int(word) for word in said.split()]


def entry_file(state: Path) -> Path:
    (path,) = state.glob("*.json")
    return path


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_running_server_is_listed_until_it_is_removed(
    state: Path, server: subprocess.Popen[bytes]
) -> None:
    registration = register(
        pid=server.pid, port=8000, model="m", adapter="a", project=Path("/p"), kind=Kind.SERVE
    )
    assert registration is not None
    (entry,) = running()
    assert entry == registration.entry
    assert (entry.pid, entry.owner_pid, entry.port) == (server.pid, os.getpid(), 8000)
    assert sweep() == []
    assert alive(server.pid)
    registration.remove()
    registration.remove()
    assert running() == []
    assert not list(state.iterdir())


def test_only_the_user_can_read_it(state: Path, server: subprocess.Popen[bytes]) -> None:
    register(pid=server.pid, port=8000, model="m", adapter=None, project=Path("/p"))
    assert state.stat().st_mode & 0o777 == 0o700
    assert entry_file(state).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_was_there_keeps_its_mode_and_what_others_wrote_in_it(
    state: Path, server: subprocess.Popen[bytes]
) -> None:
    state.mkdir(parents=True)
    state.chmod(0o755)
    theirs = ["package.json", "12.json", "12-0123abc.json", "x-0123abcd.json", ".tmp.partial"]
    for name in theirs:
        (state / name).write_text("{}")
        os.utime(state / name, (0, 0))
    registration = register(pid=server.pid, port=8000, model="m", adapter=None, project=Path("/p"))
    assert registration is not None
    registration.remove()
    assert sweep() == []
    assert running() == []
    assert sorted(path.name for path in state.iterdir()) == sorted(theirs)
    assert state.stat().st_mode & 0o777 == 0o755


def test_a_server_that_is_gone_is_not_listed_and_its_file_goes(
    state: Path, server: subprocess.Popen[bytes]
) -> None:
    register(pid=server.pid, port=8000, model="m", adapter=None, project=Path("/p"))
    server.kill()
    assert running() == [] or alive(server.pid)
    server.wait()
    assert running() == []
    assert sweep() == []
    assert not list(state.glob("*.json"))


def test_no_entry_of_a_process_that_is_gone(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait()
    gone = register(pid=server.pid, port=8000, model="m", adapter=None, project=Path("/p"))
    assert gone is None


def test_a_folder_that_cannot_be_written_costs_the_entry_alone(
    state: Path, server: subprocess.Popen[bytes]
) -> None:
    state.parent.mkdir()
    state.write_text("a file stands where the folder should")
    registration = register(pid=server.pid, port=8000, model="m", adapter=None, project=Path("/p"))
    assert registration is not None
    assert registration.path is None
    registration.remove()
    assert running() == []
    assert sweep() == []


def test_a_stale_server_is_ended(state: Path) -> None:
    (pid,) = stale()
    assert [entry.pid for entry in running()] == [pid]
    assert [entry.pid for entry in sweep()] == [pid]
    assert not alive(pid)
    assert not list(state.iterdir())


def test_a_stale_server_that_ignores_term_is_killed_with_its_group() -> None:
    pid, child = stale(STUBBORN)
    assert alive(child)
    assert [entry.pid for entry in sweep(grace_s=0.3)] == [pid]
    assert not alive(pid)
    assert not alive(child)


@pytest.mark.parametrize(
    "changes",
    [
        {"started": 1.0},
        {"argv_sha256": "0" * 64},
        {"argv_sha256": "short"},
        {"port": 0},
        {"port": "8000"},
        {"pid": 0},
        {"pid": 1},
        {"pid": -1},
        {"pid": 2**70},
        {"owner_pid": -1},
        {"kind": "other"},
        {"schema_version": 2},
        {"extra": True},
    ],
)
def test_an_edited_file_kills_nothing(state: Path, changes: dict[str, object]) -> None:
    (pid,) = stale()
    try:
        edit(entry_file(state), **changes)
        assert running() == []
        assert sweep() == []
        assert alive(pid)
        assert not list(state.iterdir())
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_reused_pid_is_left_alone(state: Path, server: subprocess.Popen[bytes]) -> None:
    (pid,) = stale()
    os.kill(pid, signal.SIGKILL)
    edit(entry_file(state), pid=server.pid)
    assert running() == []
    assert sweep() == []
    assert alive(server.pid)
    # The same program with the same command line, but another start.
    (again,) = stale()
    edit(entry_file(state), pid=server.pid)
    assert sweep() == []
    assert alive(server.pid)
    os.kill(again, signal.SIGKILL)


def test_a_reused_owner_pid_does_not_protect_a_stale_server(state: Path) -> None:
    (pid,) = stale()
    edit(entry_file(state), owner_pid=os.getpid())
    assert [entry.pid for entry in sweep()] == [pid]
    assert not alive(pid)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b"{}", b"[" * 50_000, b'{"pid": NaN}', b"1" * 70_000],
)
def test_a_damaged_file_is_removed(state: Path, content: bytes) -> None:
    state.mkdir(parents=True)
    (state / "1-0123abcd.json").write_bytes(content)
    assert running() == []
    assert sweep() == []
    assert not list(state.iterdir())


def test_what_is_no_file_is_survived(state: Path, tmp_path: Path) -> None:
    state.mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_text("kept")
    (state / "1-0000000a.json").symlink_to(target)
    os.mkfifo(state / "2-0000000b.json")
    (state / "3-0000000c.json").mkdir()
    assert running() == []
    assert sweep() == []
    assert target.read_text() == "kept"
    assert [path.name for path in state.iterdir()] == ["3-0000000c.json"]


def test_the_leftover_of_a_killed_writer_goes(state: Path) -> None:
    state.mkdir(parents=True)
    for name, age in (("1-0000000a", 3600), ("2-0000000b", 0)):
        file = state / f".{name}.partial"
        file.write_text("{")
        then = file.stat().st_mtime - age
        os.utime(file, (then, then))
    assert sweep() == []
    assert [path.name for path in state.iterdir()] == [".2-0000000b.partial"]


def test_eight_processes_register_at_once(state: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from punie.serving.registry import register, running, sweep
sys.stdin.readline()
for _ in range(20):
    with register(pid=os.getpid(), port=8000, model="m", adapter=None, project=Path("/p")):
        assert os.getpid() in [entry.pid for entry in running()]
        assert sweep() == []
        assert os.getpid() in [entry.pid for entry in running()]
print("done")
"""
    argv = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(8)]
    said = [worker.communicate("go\n", timeout=60)[0] for worker in workers]
    assert said == ["done\n"] * 8
    assert running() == []
    assert not list(state.iterdir())
