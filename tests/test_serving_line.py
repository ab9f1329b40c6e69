"""What `punie serve` shows while it runs: the status line, and what befell its server."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from punie.cli import serving_line
from punie.cli.serving_line import status, status_line
from punie.records.trust import Incident, IncidentKind
from punie.serving.config import ServerConfig
from punie.serving.endpoint import Endpoint
from punie.serving.keeper import Keeper
from punie.serving.process import ServerProcess
from punie.serving.proxy import Proxy
from punie.serving.tally import Tally
from test_process import TINY, at_once
from test_serve import PUNIE, Served, free_port

QUIET = "0 requests · 0 tokens in, 0 out · up 3 min 20 s"
DIED = Incident(
    at="2026-11-21T08:15:30.250+00:00", kind=IncidentKind.RESTARTED, what="the server was killed"
)
GIVEN_UP = Incident(
    at="2026-11-21T08:16:01.000+00:00", kind=IncidentKind.GAVE_UP, what="that was 4 times in a row"
)


@asynccontextmanager
async def idle(folder: Path, *, kept: bool = True) -> AsyncGenerator[tuple[Proxy, Keeper]]:
    """A proxy, up for 200 s, whose server was never started."""
    config = ServerConfig(model=folder, log=folder / "log")
    keeper = Keeper(ServerProcess([], {}, config), at_once)
    endpoint = Endpoint(
        base_url="http://127.0.0.1:1/v1",
        model="m",
        identity=TINY,
        keeper=keeper if kept else None,
    )
    async with Proxy(endpoint, name="tiny", port=1, max_tokens=9) as proxy:
        proxy.tally = Tally(began=time.monotonic() - 200)
        yield proxy, keeper


def nothing(_tally: Tally, _keeper: Keeper) -> None:
    """Nobody has asked yet."""


def asked(tally: Tally, _keeper: Keeper) -> None:
    tally.requests, tally.in_flight = 1200, 3


def answered(tally: Tally, _keeper: Keeper) -> None:
    tally.requests = 1
    with tally.asking() as count:
        for _ in range(20):
            count.note({"choices": [{}]})
        count.note({"usage": {"prompt_tokens": 12_345, "completion_tokens": 21}})


def went_wrong(tally: Tally, _keeper: Keeper) -> None:
    tally.requests, tally.failed, tally.refused, tally.left = 9, 2, 3, 4


def holds_memory(_tally: Tally, keeper: Keeper) -> None:
    keeper.memory_bytes = 1_240_000_000


def restarts(tally: Tally, keeper: Keeper) -> None:
    tally.requests = 2
    keeper.waiting = "restarting the server: it was killed"


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        (nothing, re.escape(QUIET)),
        (asked, "1,200 requests · 3 in flight · 0 tokens in, 0 out · up 3 min 20 s"),
        (answered, r"1 request · [1-9]\d* tokens/s · 12.3k tokens in, 21 out · up 3 min 20 s"),
        (went_wrong, "9 requests · 5 failed · 0 tokens in, 0 out · up 3 min 20 s"),
        (holds_memory, "0 requests · 0 tokens in, 0 out · 1.24 GB · up 3 min 20 s"),
        (restarts, "restarting the server: it was killed · 2 requests · 0 .* · up 3 min 20 s"),
    ],
)
async def test_the_line_says_the_most_telling_first(
    tmp_path: Path, happened: Callable[[Tally, Keeper], None], said: str
) -> None:
    async with idle(tmp_path) as (proxy, keeper):
        happened(proxy.tally, keeper)
        assert re.fullmatch(said, status(proxy))


async def test_a_server_of_somebody_else_has_a_line_too(tmp_path: Path) -> None:
    async with idle(tmp_path, kept=False) as (proxy, _):
        assert status(proxy) == QUIET


async def test_news_come_once_each_and_at_the_end_the_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving_line, "SHOWN_EVERY_S", 0.01)
    monkeypatch.setattr(serving_line, "LINE_EVERY_S", 0.0)
    said = ""

    async def until(what: str) -> None:
        nonlocal said
        async with asyncio.timeout(10):
            while what not in said:
                await asyncio.sleep(0.01)
                said += capsys.readouterr().err

    async with idle(tmp_path) as (proxy, keeper), status_line(proxy, 1, quiet=False):
        keeper.incidents.append(DIED)
        await until("killed\n")
        proxy.tally.requests = 1
        await until("1 request ·")
        keeper.incidents.append(GIVEN_UP)
        await until("in a row\n")
    said += capsys.readouterr().err
    assert [line for line in said.splitlines() if "request" not in line] == [
        "08:15:30 UTC  server restarted: the server was killed",
        "08:16:01 UTC  server given up: that was 4 times in a row",
    ]
    # Nothing is said again while nobody asks.
    assert [line for line in said.splitlines() if "request" in line] == [
        "1 request · 0 tokens in, 0 out · up 3 min 20 s",
        "served 1 request · 0 tokens in, 0 out · up 3 min 20 s",
    ]


async def test_nothing_is_said_beside_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with idle(tmp_path) as (proxy, keeper), status_line(proxy, 1, quiet=True):
        keeper.incidents.append(DIED)
    assert capsys.readouterr().err == ""


class Terminal:
    """What a program writes to a terminal, without the codes that move the cursor."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._said = b""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    @property
    def said(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._said.decode("utf-8", "replace"))

    def until(self, what: str) -> None:
        deadline = time.monotonic() + 60
        while not re.search(what, self.said):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def close(self) -> None:
        self._reading.join(20)
        os.close(self._leader)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(self._leader, 65536):
                self._said += part


@pytest.mark.parametrize("columns", [40, 100])
def test_a_terminal_shows_the_line_and_a_restart(tiny_model: Path, columns: int) -> None:
    port = free_port()
    leader, follower = pty.openpty()
    command = [*PUNIE, "serve", str(tiny_model), "--port", str(port)]
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color"}
    with subprocess.Popen(
        command,
        env=environment,
        stdin=follower,
        stdout=subprocess.DEVNULL,
        stderr=follower,
        text=True,
    ) as process:
        os.close(follower)
        terminal = Terminal(leader)
        try:
            who = f"model :{port}" if columns >= 80 else f":{port}"
            terminal.until(rf"[\r\n]{who} 0 requests · ")
            one = Served(process, port, {})
            assert one.chat().status_code == 200
            terminal.until(f"{who} 1 request · ")
            os.kill(one.upstream.pid, signal.SIGKILL)
            terminal.until(r"\d\d:\d\d:\d\d UTC  server restarted:\s")
            while one.chat().status_code != 200:
                assert process.poll() is None
            terminal.until(rf"server restarted:(?s:.*){who} \d+ requests · ")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
            terminal.close()
    lines = re.split(r"[\r\n]+", terminal.said)
    # What was said once may be folded by the terminal; the line that is kept up may not.
    assert max(len(line) for line in lines if line.startswith(who)) <= columns
    assert terminal.said.count("server restarted:") == 1
    assert re.search(r"[\r\n]served \d+ requests · ", terminal.said)
    assert "Traceback" not in terminal.said
