"""Every way in which a server is known to fail, in each state in which it can.

A case is one fault in one state: while the server is starting, while it is idle, or with requests
in flight. The server is the fake one with its fault flags, or a real one with the tiny model
(`mlx_lm.server`, and where the case says so `transformers serve` too), and is started by the same
code as in `punie eval`.
"""

import asyncio
import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from punie.backends import cuda
from punie.backends.cuda_env import cuda_env
from punie.backends.installed import missing
from punie.backends.mlx import BOUND_MODEL, server_argv, server_env
from punie.errors import ServerError
from punie.evaluation.ask import Patience
from punie.evaluation.clock import Clock
from punie.evaluation.run import run_evaluation
from punie.records.result import EvalFault, EvalResult, FaultKind, Outcome
from punie.records.run import EvalReport, ModelIdentity, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, Tool
from punie.records.trust import IncidentKind
from punie.serving.config import ServerConfig
from punie.serving.endpoint import Endpoint
from punie.serving.keeper import RestartPolicy
from punie.serving.owned import owned
from punie.serving.process import ServerProcess, ServerState
from real_servers import SERVERS, real

FAKE = Path(__file__).with_name("fake_server.py")
PUNIE = Path(sys.executable).with_name("punie")
IDENTITY = ModelIdentity(name="m", backend="mlx")
REAL = {"punie.backends.workers.serve", "punie.backends.workers.torch_serve"}
HURRY = RestartPolicy(first_pause_s=0.0)
Case = Callable[["Lab"], Awaitable[None]]
CASES: dict[tuple[str, str, str], Case] = {}


def case(fault: str, state: str, servers: Sequence[str] = ("mlx",)) -> Callable[[Case], Case]:
    """File a test under its fault and its state, for each of the real servers that it is for."""

    def file(test: Case) -> Case:
        for server in servers:
            assert (fault, state, server) not in CASES
            CASES[fault, state, server] = test
        return test

    return file


@dataclass(frozen=True)
class Lab:
    """What a case works with."""

    folder: Path
    tiny: Path
    server: str = "mlx"
    """The real server, where the case has one."""

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def fake(self, *flags: str, **config: Any) -> ServerProcess:
        """A fake server that is not started yet."""
        settings = {"model": self.folder, "log": self.log, "start_timeout_s": 20.0} | config
        argv = [sys.executable, str(FAKE), "--loaded", str(self.folder), *flags]
        return ServerProcess(argv, dict(os.environ), ServerConfig.model_validate(settings))

    @asynccontextmanager
    async def serving(self, process: ServerProcess) -> AsyncGenerator[Endpoint]:
        """The process started and kept, as a backend does it."""
        config = process.config
        endpoint = Endpoint(
            base_url="",
            model=BOUND_MODEL,
            identity=IDENTITY,
            timeout_s=config.total_s,
            first_token_s=config.first_token_s,
        )
        async with owned(process, endpoint, HURRY) as served:
            yield served

    @asynccontextmanager
    async def real(self, **config: Any) -> AsyncGenerator[Endpoint]:
        """The real server with the tiny model."""
        settings = {"model": self.tiny, "log": self.log} | config
        async with real(self.server).serve(ServerConfig.model_validate(settings)) as endpoint:
            yield endpoint

    async def evaluate(self, endpoint: Endpoint, prompts: int = 6, **options: Any) -> EvalReport:
        """Ask so many prompts, three at a time."""
        patience = Patience(first_pause_s=0.01, longest_pause_s=0.05)
        options = {"concurrency": 3, "patience": patience} | options
        return await run_evaluation(questions(prompts), endpoint, **options)


def questions(count: int) -> EvalSuite:
    prompts = tuple(
        EvalPrompt(id=f"p{n}", messages=(Message(role="user", content=f"Question {n}?"),))
        for n in range(count)
    )
    return EvalSuite(name="faults", prompts=prompts, sampling=Sampling(max_tokens=8))


def process_of(endpoint: Endpoint) -> ServerProcess:
    assert endpoint.keeper is not None
    return endpoint.keeper.process


def restarts(report: EvalReport) -> list[str]:
    return [each.what for each in report.run.incidents if each.kind is IncidentKind.RESTARTED]


def second_tries(report: EvalReport) -> list[EvalResult]:
    return [o for o in report.outcomes if isinstance(o, EvalResult) and o.failures]


def faults(report: EvalReport) -> list[EvalFault]:
    return [each for each in report.outcomes if isinstance(each, EvalFault)]


def runs(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def servers_under(folder: Path) -> list[int]:
    """The servers that were started to log into this folder."""
    found: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            is_server = str(FAKE) in line or REAL & set(line)
            if is_server and Path(process.cwd()) == folder and runs(process.pid):
                found.append(process.pid)
    return found


async def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something that is about to happen."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - other programs set no event of ours
            await asyncio.sleep(0.01)


# Another program holds the port.


@case("port taken", "starting", SERVERS)
async def port_taken(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = ServerConfig(model=lab.tiny, log=lab.log, port=port)
        argv, env = server_argv(config), server_env(lab.folder)
        if lab.server == "cuda":
            argv, env = cuda.server_argv(config), cuda_env("cpu")
        process = ServerProcess(argv, env, config)
        with pytest.raises(ServerError, match=r"(?s)could not open its port.*Address already"):
            async with lab.serving(process):
                pytest.fail("it must not become ready")
    assert not process.alive
    async with lab.real() as endpoint:  # by itself the system chooses a port that is free
        assert process_of(endpoint).port != port


# A punie that was killed with its guardian left its server running.


@case("stale server", "starting")
async def stale_server(lab: Lab) -> None:
    """The next punie ends it before it starts its own; one whose owner lives is left alone."""
    script = (
        "import subprocess, sys; from pathlib import Path; from punie.serving.registry import *\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; print(1, flush=True);"
        " time.sleep(600)'], stdout=subprocess.PIPE, start_new_session=True)\n"
        "child.stdout.readline()\n"
        "register(pid=child.pid, port=1, model='m', adapter=None, project=Path())\n"
        "print(child.pid, flush=True); sys.stdin.read(); import os; os._exit(0)\n"
    )
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    stale = int(await owner.stdout.readline())
    async with lab.serving(lab.fake()):
        assert runs(stale)
    owner.stdin.close()
    await owner.wait()
    async with lab.serving(lab.fake()):
        assert not runs(stale)


# The server ends.


@case("dies at load", "starting")
async def dies_at_load(lab: Lab) -> None:
    process = lab.fake("--exit-at-start", "3")
    with pytest.raises(ServerError, match=r"(?s)exit code 3.*told to exit at its start"):
        async with lab.serving(process):
            pytest.fail("it must not become ready")
    assert process.life == 1  # the same again would end the same
    assert process.state is ServerState.STOPPED


@case("dies", "starting")
async def dies_while_it_loads(lab: Lab) -> None:
    process = lab.fake("--load-s", "600")

    async def kill() -> None:
        await until(lambda: process.port)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGABRT)

    killing = asyncio.create_task(kill())
    with pytest.raises(ServerError, match="SIGABRT"):
        async with lab.serving(process):
            pytest.fail("it must not become ready")
    await killing


@case("dies", "idle")
async def dies_idle(lab: Lab) -> None:
    async with lab.real() as endpoint:
        process = process_of(endpoint)
        old_port, pid = process.port, process.pid
        assert pid is not None
        os.kill(pid, signal.SIGABRT)
        await until(lambda: process.state is ServerState.DIED)
        report = await lab.evaluate(endpoint)
        assert process.life == 2
        assert process.port != old_port
    assert report.summary.answered == 6
    (why,) = restarts(report)
    assert "SIGABRT" in why
    assert second_tries(report)


@case("dies", "in flight")
async def dies_mid_request(lab: Lab) -> None:
    process = lab.fake("--fault", "exit", "--after", "4", "--times", "1")
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=4)
    # Each start of the fake counts its chats anew, the probe's first.
    assert report.run.status is RunStatus.DONE
    assert report.summary.answered == 4
    assert "exit code 3" in restarts(report)[0]
    for outcome in second_tries(report):
        assert outcome.failures == (FaultKind.SERVER_DIED,)
        assert outcome.attempts == 2


@case("dies mid-stream", "in flight", SERVERS)
async def real_server_killed_in_flight(lab: Lab) -> None:
    async with lab.real() as endpoint:
        process = process_of(endpoint)
        seen: list[Outcome] = []

        async def kill_once(outcome: Outcome) -> None:
            seen.append(outcome)
            if len(seen) == 2:
                process.kill()

        heads: list[Run] = []

        async def keep(head: Run) -> None:
            heads.append(head)

        report = await lab.evaluate(endpoint, prompts=12, record=kill_once, record_head=keep)
    assert report.run.status is RunStatus.DONE
    assert [head.incidents for head in heads] == [report.run.incidents]
    assert len(seen) == 12
    assert all(isinstance(each, EvalResult) for each in seen)
    assert process.life == 2
    again = [each for each in seen if each.attempts > 1]
    assert 1 <= len(again) <= 3  # what was in flight, and nothing else
    assert "signal 9" in restarts(report)[0]


@case("dies each time", "in flight")
async def dies_each_time(lab: Lab) -> None:
    process = lab.fake("--fault", "exit", "--after", "1")
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=30)
    assert report.run.status is RunStatus.FAILED
    assert report.summary.answered == 0
    assert len(restarts(report)) == HURRY.in_a_row
    assert report.run.incidents[-1].kind is IncidentKind.GAVE_UP
    assert {each.kind for each in faults(report)} == {FaultKind.SERVER_DIED}
    assert "not started again" in faults(report)[-1].message
    assert len(faults(report)) < 30  # the others are owed


@case("dies now and then", "in flight")
async def dies_now_and_then(lab: Lab) -> None:
    """Enough answers in between forgive what was before: no number of deaths ends such a run."""
    process = lab.fake("--fault", "exit", "--after", "20")
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=100, concurrency=1)
    assert report.summary.answered == 100
    assert len(restarts(report)) == 5 > HURRY.in_a_row


@case("dies again while it is started again", "in flight")
async def dies_in_the_restart(lab: Lab) -> None:
    """A start that fails is one of the tries, not the end."""
    count = lab.folder / "starts"
    count.write_text("")
    argv = [sys.executable, str(FAKE), "--loaded", str(lab.folder), "--fault", "exit"]
    script = (
        f"import os, sys; f = open({str(count)!r}, 'a'); f.write('x'); f.close()\n"
        f"if os.path.getsize({str(count)!r}) == 2: sys.exit(4)\n"
        f"os.execv({argv[0]!r}, {[*argv, '--after', '3', '--times', '1']!r})"
    )
    process = lab.fake()
    process.argv = [sys.executable, "-c", script]
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=4, concurrency=2)
    assert report.summary.answered == 4
    assert [("exit code 3" in why, "exit code 4" in why) for why in restarts(report)][:2] == [
        (True, False),
        (False, True),
    ]


@case("cannot be started again", "in flight")
async def no_disk_for_the_restart(lab: Lab) -> None:
    process = lab.fake("--fault", "exit", "--after", "2")
    async with lab.serving(process) as endpoint:
        process.config = process.config.model_copy(update={"log": Path("/dev/null/log")})
        report = await lab.evaluate(endpoint, prompts=6)
    assert report.run.status is RunStatus.FAILED
    assert "could not be started" in report.run.incidents[-1].what


@case("a prompt that kills", "in flight")
async def one_prompt_kills(lab: Lab) -> None:
    """The prompt is a fault after its second try; the others are answered."""
    process = lab.fake("--fault", "exit", "--after", "1", "--times", "1")
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=1)
    (fault,) = faults(report)
    assert fault.attempts == 2
    assert fault.kind is FaultKind.SERVER_DIED
    assert report.run.status is RunStatus.DONE


# It lives, and answers nothing.


@case("zombie", "starting")
async def zombie_at_start(lab: Lab) -> None:
    process = lab.fake("--fault", "hang", start_timeout_s=1.5)
    with pytest.raises(ServerError, match="gave no token within 2 s"):
        async with lab.serving(process):
            pytest.fail("health alone must not be enough")
    assert process.life == 2  # tried a second time
    assert not process.alive


@case("zombie", "idle")
async def zombie_later(lab: Lab) -> None:
    process = lab.fake("--fault", "hang", "--after", "1", first_token_s=1.5)
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=2)
    assert "hung" in restarts(report)[0]
    assert {each.kind for each in faults(report)} == {FaultKind.SERVER_DIED}


@case("zombie", "in flight")
async def zombie_in_flight(lab: Lab) -> None:
    process = lab.fake("--fault", "hang", "--after", "4", "--times", "4", first_token_s=1.5)
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=6)
    assert report.summary.answered == 6
    assert process.life == 2
    assert all(each.failures == (FaultKind.SERVER_DIED,) for each in second_tries(report))


@case("hang", "starting")
async def stopped_while_it_loads(lab: Lab) -> None:
    process = lab.fake("--load-s", "0.5", start_timeout_s=3.0, stop_grace_s=0.2)

    async def freeze_the_first() -> int:
        await until(lambda: process.port)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        return process.pid

    freezing = asyncio.create_task(freeze_the_first())
    async with lab.serving(process) as endpoint:
        assert process.life == 2
        assert endpoint.keeper is not None
        (incident,) = endpoint.keeper.incidents
        assert "no token" in incident.what
    assert not runs(await freezing)


@case("hang", "idle")
async def frozen_idle(lab: Lab) -> None:
    process = lab.fake(first_token_s=1.5, stop_grace_s=0.2)
    async with lab.serving(process) as endpoint:
        assert process.pid is not None
        frozen = process.pid
        os.kill(frozen, signal.SIGSTOP)
        report = await lab.evaluate(endpoint, prompts=4)
        assert not runs(frozen)
    assert report.summary.answered == 4
    assert "hung" in restarts(report)[0]


@case("hang", "in flight")
async def frozen_in_flight(lab: Lab) -> None:
    async with lab.real(first_token_s=3.0, stop_grace_s=0.2) as endpoint:
        process = process_of(endpoint)
        frozen: list[int] = []

        async def freeze_once(_: Outcome) -> None:
            if not frozen and process.pid is not None:
                frozen.append(process.pid)
                os.kill(process.pid, signal.SIGSTOP)

        report = await lab.evaluate(endpoint, prompts=9, record=freeze_once)
        assert not runs(frozen[0])
    assert report.summary.answered == 9
    assert process.life == 2
    assert report.summary.retry_reasons == {"server died": report.summary.retried}


@case("hang", "in flight, with tools")
async def frozen_in_flight_with_tools(lab: Lab) -> None:
    """Such an answer is not streamed: only asking the server tells a hang from a long answer."""
    requests = lab.folder / "requests.jsonl"
    flags = ("--log", str(requests), "--first-token-s", "1")
    process = lab.fake(*flags, first_token_s=3.0, total_s=600.0, stop_grace_s=0.2)
    frozen: list[int] = []

    async def freeze_in_flight() -> None:
        await until(lambda: "Question" in requests.read_text())
        assert process.pid is not None
        frozen.append(process.pid)
        os.kill(process.pid, signal.SIGSTOP)

    tool = Tool(name="add")
    prompts = tuple(replace(prompt, tools=(tool,)) for prompt in questions(1).prompts)
    suite = questions(1).model_copy(update={"prompts": prompts})
    async with lab.serving(process) as endpoint:
        freezing = asyncio.create_task(freeze_in_flight())
        report = await run_evaluation(suite, endpoint)
        await freezing
    assert report.summary.answered == 1
    assert "hung" in restarts(report)[0]
    assert not runs(frozen[0])


@case("slow to read, and says so", "in flight")
async def keepalives_are_signs_of_life(lab: Lab) -> None:
    process = lab.fake("--first-token-s", "2.5", "--drip-s", "0.2", first_token_s=1.5)
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=3)
    assert report.summary.answered == 3
    assert process.life == 1
    assert not second_tries(report)


@case("slow, not hung", "in flight")
async def slow_is_left_alone(lab: Lab) -> None:
    """A request that takes too long is a timeout; the server, which answers a probe, goes on."""
    process = lab.fake("--fault", "hang", "--after", "1", "--times", "1", first_token_s=1.0)
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=1)
        assert process.life == 1
    assert not report.run.incidents
    assert second_tries(report)[0].failures == (FaultKind.TIMEOUT,)


# It takes long to load.


@case("slow load", "starting")
async def slow_load_is_awaited_and_can_be_left(lab: Lab) -> None:
    async with lab.serving(lab.fake("--load-s", "1")) as endpoint:
        assert process_of(endpoint).life == 1
    process = lab.fake("--load-s", "600")

    async def serve() -> None:
        async with lab.serving(process):
            pytest.fail("it must not become ready")

    serving = asyncio.create_task(serve())
    await until(lambda: process.port)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert process.state is ServerState.STOPPED
    assert process.pid is not None
    assert not runs(process.pid)


# Memory runs out, or grows.


@case("out of memory", "starting")
async def out_of_memory_at_start(lab: Lab) -> None:
    process = lab.fake("--fault", "kill")
    with pytest.raises(ServerError, match="memory ran out") as raised:
        async with lab.serving(process):
            pytest.fail("it must not become ready")
    assert process.life == 1
    assert "--concurrency" in raised.value.hint


@case("out of memory", "idle")
async def out_of_memory_idle(lab: Lab) -> None:
    process = lab.fake()
    async with lab.serving(process) as endpoint:
        process.kill()
        await until(lambda: process.state is ServerState.DIED)
        report = await lab.evaluate(endpoint)
    assert report.summary.answered == 6
    assert "memory ran out" in restarts(report)[0]


@case("out of memory", "in flight")
async def out_of_memory_in_flight(lab: Lab) -> None:
    process = lab.fake("--fault", "kill", "--after", "2")
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=20)
    assert len(restarts(report)) == 1  # forgiven once
    assert report.run.status is RunStatus.FAILED
    assert "twice" in report.run.incidents[-1].what


@case("growth", "idle")
async def grown_while_idle(lab: Lab) -> None:
    process = lab.fake("--grow-bytes", "200000000", memory_cap_bytes=150_000_000)
    async with lab.serving(process) as endpoint:
        # The probe alone made it grow: the watch has it started again, until it is given up.
        assert endpoint.keeper is not None
        await until(endpoint.keeper.death)
        report = await lab.evaluate(endpoint, prompts=2)
    assert report.run.status is RunStatus.FAILED
    assert "above its cap of 150 MB" in restarts(report)[0]
    assert len(restarts(report)) == HURRY.in_a_row


@case("growth", "in flight")
async def grown_in_flight(lab: Lab) -> None:
    grow = ("--grow-bytes", "20000000", "--first-token-s", "0.2")
    process = lab.fake(*grow, memory_cap_bytes=500_000_000)
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=60)
    assert report.run.status is RunStatus.DONE
    assert report.summary.answered == 60
    assert process.life >= 2
    assert not second_tries(report)  # between requests: nothing was lost
    assert any(
        (each.server_memory_bytes or 0) > 1e8
        for each in report.outcomes
        if isinstance(each, EvalResult)
    )
    assert (report.summary.peak_memory_bytes or 0) > 500_000_000


# It writes much.


@case("undrained pipes", "starting")
@case("undrained pipes", "idle")
@case("undrained pipes", "in flight")
async def chatty(lab: Lab) -> None:
    process = lab.fake("--chatter-bytes", "2000000")
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=4)
    assert report.summary.answered == 4
    assert lab.log.stat().st_size >= 4 * 2_000_000
    assert len(process.log_tail()) < 2**17


# It serves something else than was asked for.


@case("wrong model", "starting")
async def wrong_model(lab: Lab) -> None:
    process = lab.fake("--loaded", "/elsewhere")
    with pytest.raises(ServerError, match=r"loaded /elsewhere, not "):
        async with lab.serving(process):
            pytest.fail("it must not become ready")


@case("wrong adapter", "starting")
async def wrong_adapter(lab: Lab) -> None:
    process = lab.fake("--adapter", "/elsewhere", adapter=lab.folder / "mine")
    with pytest.raises(ServerError, match=r"loaded adapter /elsewhere, not .*mine"):
        async with lab.serving(process):
            pytest.fail("it must not become ready")


@case("wrong adapter", "in flight")
async def the_bound_name_is_sent_after_a_restart_too(lab: Lab) -> None:
    requests = lab.folder / "requests.jsonl"
    mine = str(lab.folder / "mine")
    flags = ("--adapter", mine, "--log", str(requests), "--fault", "exit", "--after", "3")
    process = lab.fake(*flags, "--times", "1", adapter=lab.folder / "mine")
    async with lab.serving(process) as endpoint:
        report = await lab.evaluate(endpoint, prompts=3)
    assert report.summary.answered == 3
    seen = [json.loads(line)["body"] for line in requests.read_text().splitlines()]
    assert len(seen) >= 5
    assert {body["model"] for body in seen} == {BOUND_MODEL}
    assert not any("adapters" in body for body in seen)


# The laptop sleeps.


@case("machine sleeps", "in flight")
async def sleeps_in_flight(lab: Lab) -> None:
    wall = [0.0]
    clock = Clock(wall=lambda: time.monotonic() + wall[0], monotonic=time.monotonic)

    async def nap_once(_: Outcome) -> None:
        wall[0] = 3600.0  # the others, in flight, find that an hour has passed

    process = lab.fake("--first-token-s", "0.05", "--slowest-s", "0.4")
    async with lab.serving(process) as endpoint:
        seen: list[Outcome] = []

        async def record(outcome: Outcome) -> None:
            seen.append(outcome)
            await nap_once(outcome)

        report = await lab.evaluate(endpoint, prompts=3, record=record, clock=clock)
    again = [each for each in seen if isinstance(each, EvalResult) and each.failures]
    assert again
    assert all(each.failures == (FaultKind.SLEPT,) for each in again)
    assert all(isinstance(each, EvalResult) and each.completion.latency_s < 60 for each in seen)
    (incident,) = report.run.incidents
    assert incident.kind is IncidentKind.SLEPT
    assert "3600 s" in incident.what


@case("machine sleeps", "idle")
async def sleeps_between_requests(lab: Lab) -> None:
    offset = [0.0]
    clock = Clock(wall=lambda: time.monotonic() + offset[0], monotonic=time.monotonic)

    async def nap(_: Outcome) -> None:
        offset[0] += 3600.0

    async with lab.serving(lab.fake()) as endpoint:
        report = await lab.evaluate(endpoint, prompts=3, concurrency=1, record=nap, clock=clock)
    assert report.summary.retried == 0
    assert not report.run.incidents


# A person or the system ends punie.


def write_suite(folder: Path, prompts: int) -> Path:
    """A suite in a project of its own."""
    suite = folder / "suite.jsonl"
    chats = [{"messages": [{"role": "user", "content": f"Say {n}."}]} for n in range(prompts)]
    suite.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    (folder / ".punie").mkdir(exist_ok=True)
    return suite


def start_punie(lab: Lab, terminal: int | None = None) -> subprocess.Popen[bytes]:
    """A real `punie eval` of the tiny model in the case's folder, as a leader of its own group."""
    suite = write_suite(lab.folder, 500)
    stream = subprocess.DEVNULL if terminal is None else terminal
    return subprocess.Popen(
        [PUNIE, "eval", str(suite), "--model", str(lab.tiny), "--backend", lab.server],
        cwd=lab.folder,
        env={**os.environ, "PUNIE_DEVICE": "cpu"},
        stdin=stream,
        stdout=stream,
        stderr=stream,
        start_new_session=True,
    )


async def until_state(lab: Lab, state: str) -> None:
    """Wait until the server of a real eval is in this state."""
    if state == "starting":
        await until(lambda: servers_under(lab.folder))
    else:
        database = lab.folder / ".punie" / "punie.db-wal"
        await until(lambda: servers_under(lab.folder) and database.exists(), 60)
        size = database.stat().st_size
        await until(lambda: database.stat().st_size > size, 60)


async def killed(lab: Lab, state: str) -> None:
    with start_punie(lab) as child:
        try:
            await until_state(lab, state)
        finally:
            child.kill()
    await until(lambda: not servers_under(lab.folder), 5.0)


@case("punie is killed", "starting", SERVERS)
async def killed_starting(lab: Lab) -> None:
    await killed(lab, "starting")


@case("punie is killed", "in flight", SERVERS)
async def killed_in_flight(lab: Lab) -> None:
    await killed(lab, "in flight")


async def interrupted(lab: Lab, state: str, times: int) -> None:
    leader, follower = pty.openpty()
    with start_punie(lab, terminal=follower) as child:
        os.close(follower)
        drain = asyncio.create_task(asyncio.to_thread(read_all, leader))
        try:
            await until_state(lab, state)
            for _ in range(times):
                child.send_signal(signal.SIGINT)
                await asyncio.sleep(0.05)
            code = await asyncio.to_thread(child.wait, 60)
        finally:
            child.kill()
        said = await drain
    # A second signal may come when Python itself is ending already, and then ends it.
    assert code in ((130,) if times == 1 else (130, -signal.SIGINT))
    assert "Traceback" not in said
    await until(lambda: not servers_under(lab.folder), 5.0)


def read_all(terminal: int) -> str:
    said = b""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 65536):
            said += part
    os.close(terminal)
    return said.decode("utf-8", "replace")


@case("Ctrl-C", "starting")
async def interrupt_starting(lab: Lab) -> None:
    await interrupted(lab, "starting", 1)


@case("Ctrl-C", "in flight", SERVERS)
async def interrupt_in_flight(lab: Lab) -> None:
    await interrupted(lab, "in flight", 1)


@case("Ctrl-C at once", "starting")
async def interrupt_soon(lab: Lab) -> None:
    """0, 50 and 500 ms after the start: before Python runs, while it imports, while it serves."""
    for delay_s in (0.0, 0.05, 0.5):
        with start_punie(lab) as child:
            await asyncio.sleep(delay_s)
            child.send_signal(signal.SIGINT)
            code = await asyncio.to_thread(child.wait, 60)
        # Before Python has a handler, the system ends the program.
        assert code in (130, -signal.SIGINT), delay_s
        await until(lambda: not servers_under(lab.folder), 5.0)


@case("Ctrl-C twice", "starting")
async def interrupt_twice_starting(lab: Lab) -> None:
    await interrupted(lab, "starting", 2)


@case("Ctrl-C twice", "in flight")
async def interrupt_twice_in_flight(lab: Lab) -> None:
    await interrupted(lab, "in flight", 2)


# Starting and stopping, in any order.


@case("stop", "starting")
async def stop_during_start(lab: Lab) -> None:
    process = lab.fake("--load-s", "600")

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    first, second = (asyncio.create_task(process.start(never)) for _ in range(2))
    await until(lambda: process.port)
    assert process.state is ServerState.STARTING
    await asyncio.gather(process.stop(), process.stop())
    assert process.state is ServerState.STOPPED
    for starting in (first, second):
        with pytest.raises(ServerError, match="was stopped"):
            await starting
    assert process.life == 1
    assert process.pid is not None
    assert not runs(process.pid)


@case("stop", "being started again")
async def stop_during_a_restart(lab: Lab) -> None:
    """Whoever stops the keeper has the last word, and a run that is stopped does not wait."""
    process = lab.fake("--fault", "exit", "--after", "2")
    patient = RestartPolicy(first_pause_s=600.0, longest_pause_s=600.0)
    endpoint = Endpoint(base_url="", model=BOUND_MODEL, identity=IDENTITY)
    stop = asyncio.Event()
    async with owned(process, endpoint, patient) as served:
        running = asyncio.create_task(lab.evaluate(served, prompts=9, stop=stop))
        keeper = served.keeper
        assert keeper is not None
        await until(lambda: keeper.incidents)
        stop.set()
        report = await running
        reviving = asyncio.create_task(keeper.revive(keeper.life))
        await until(lambda: len(keeper.incidents) == 2)
        await keeper.stop()
        reviving.cancel()
        await asyncio.gather(reviving, return_exceptions=True)
        assert process.state is ServerState.STOPPED
    assert report.run.status is RunStatus.INTERRUPTED
    assert report.summary.answered + report.summary.faults < 9


@case("guardian stopped", "idle")
async def guardian_does_not_work(lab: Lab) -> None:
    """Its end is awaited for a bounded time; then both are killed."""
    process = lab.fake(stop_grace_s=0.2)
    async with lab.serving(process):
        (guardian,) = [
            each
            for each in psutil.Process().children()
            if each.status() != psutil.STATUS_ZOMBIE  # one that has ended has no command line
            and any("guardian" in word for word in each.cmdline())
        ]
        guardian.suspend()
    assert process.pid is not None
    assert not runs(process.pid)
    assert not guardian.is_running()


@case("stop", "idle")
async def start_and_stop_again_and_again(lab: Lab) -> None:
    process = lab.fake()

    async def at_once(_: str) -> None:
        """Be satisfied."""

    await process.stop()  # nothing to do
    for life in (1, 2, 3):
        await asyncio.gather(process.start(at_once), process.start(at_once))
        await process.start(at_once)
        assert process.state is ServerState.READY
        assert process.life == life
        await asyncio.gather(process.stop(), process.stop())
        assert process.exit_code == 0


@case("stop", "in flight")
async def stop_in_flight(lab: Lab) -> None:
    process = lab.fake("--first-token-s", "600")

    async def at_once(_: str) -> None:
        """Be satisfied: a token would take ten minutes."""

    await process.start(at_once)
    assert process.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readline()
    await process.stop()
    await reader.read()
    writer.close()
    assert process.state is ServerState.STOPPED


# Several punies.


@case("two punies", "starting")
async def another_serves_already(lab: Lab) -> None:
    """The second says so: its times are not what they would be alone."""
    suite = write_suite(lab.folder, 3)
    argv = [PUNIE, "eval", str(suite), "--model", str(lab.tiny), "--max-tokens", "8", "--json"]
    async with lab.serving(lab.fake()):
        child = await asyncio.create_subprocess_exec(
            *argv, cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        said, _ = await child.communicate()
    head = json.loads(said)["data"]["run"]
    assert "neighbours" in {each["name"] for each in head["checks"]["findings"]}


@case("two punies", "in flight")
async def eight_at_once(lab: Lab) -> None:
    """Eight evals in one project, each with a server of its own: none disturbs another."""
    suite = write_suite(lab.folder, 5)
    argv = [PUNIE, "eval", str(suite), "--model", str(lab.tiny), "--max-tokens", "8", "--json"]
    children = [
        await asyncio.create_subprocess_exec(
            *argv, cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(8)
    ]
    said = [(await child.communicate())[0] for child in children]
    heads = [json.loads(each)["data"]["run"] for each in said]
    assert len({head["id"] for head in heads}) == 8
    assert [head["summary"]["answered"] for head in heads] == [5] * 8
    assert not servers_under(lab.folder)


@pytest.mark.parametrize(
    ("fault", "state", "server"), list(CASES), ids=["-".join(each) for each in CASES]
)
async def test_a_server_fault(
    fault: str, state: str, server: str, tmp_path: Path, tiny_model: Path
) -> None:
    if missing(server):
        pytest.skip(f"the {server} backend is not installed")
    lab = Lab(folder=tmp_path, tiny=tiny_model, server=server)
    await CASES[fault, state, server](lab)
