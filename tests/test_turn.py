"""Two punies that start at once: the second looks at free memory when the first has loaded."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from fake_server import FakeServer
from punie.cli.served import served
from punie.cli.wish import Wish
from punie.serving.registry import running, state_root
from punie.serving.turn import LOCK, turn_to_start
from punie.settings import load_settings
from punie.suites.catalog import find_suite

WAITING = "waiting for another punie to load its model"
HOLDER = """
import asyncio
from punie.serving.turn import turn_to_start

async def hold():
    async with turn_to_start():
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, with a state folder of its own, as the working folder."""
    monkeypatch.setenv("PUNIE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@asynccontextmanager
async def another_punie_loads() -> AsyncGenerator[Process]:
    """A process that has the turn, until it is killed."""
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, stdout=PIPE)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        yield holder
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()


def turn_is_free() -> bool:
    try:
        with FileLock(state_root() / LOCK, timeout=0):
            return True
    except Timeout:
        return False


def logs(project: Path) -> list[Path]:
    """The logs of the servers that were started for this project's runs."""
    return list(project.glob(".punie/runs/*/server.log"))


async def test_an_eval_waits_until_another_has_loaded_and_says_so(
    project: Path, tiny_model: Path
) -> None:
    argv = [sys.executable, "-m", "punie.cli.main", "eval", "quick", "--model", str(tiny_model)]
    async with another_punie_loads() as holder:
        child = await asyncio.create_subprocess_exec(
            *argv, "--max-tokens", "2", "--no-checks", stdout=PIPE, stderr=PIPE
        )
        assert child.stderr is not None
        said = (await child.stderr.readline()).decode()
        assert said.strip() == WAITING
        assert not running()
        assert not logs(project), "nothing is started yet"
        holder.kill()  # the system gives its turn back
        _, rest = await child.communicate()
    assert child.returncode == 0, rest.decode()
    assert rest.decode().startswith("starting a server with")


async def test_the_turn_ends_when_the_server_is_ready(project: Path, tiny_model: Path) -> None:
    wish = Wish(suite="quick", model=str(tiny_model), quiet=True)
    log = project / "server.log"
    suite = find_suite("quick", project)
    ready, seen = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with served(wish, load_settings(project, {}), log, suite):
            ready.set()
            await seen.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve())
        while not log.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        assert not ready.is_set()
        assert not turn_is_free()
        await ready.wait()
        assert turn_is_free()
        seen.set()


async def test_an_endpoint_of_somebody_else_waits_for_nobody(project: Path) -> None:
    suite = find_suite("quick", project)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(another_punie_loads())
        server = await stack.enter_async_context(FakeServer())
        wish = Wish(suite="quick", url=server.url, model="m", quiet=True)
        settings = load_settings(project, {})
        service = await stack.enter_async_context(served(wish, settings, project / "log", suite))
        assert service.memory is None


async def test_a_turn_that_is_waited_for_can_be_given_up() -> None:
    async def wait() -> None:
        async with turn_to_start():
            pytest.fail("another has the turn")

    async with another_punie_loads():
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert turn_is_free()


async def test_without_a_state_folder_nobody_waits(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "file").touch()
    monkeypatch.setenv("PUNIE_STATE", str(project / "file" / "state"))
    reached = False
    async with turn_to_start(), turn_to_start():
        reached = True
    assert reached
