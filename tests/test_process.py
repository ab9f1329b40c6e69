"""The server that punie owns: real children, really ended."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from made_lora import made_lora
from punie.backends.local import serve_model
from punie.backends.mlx import MlxBackend, server_argv, server_env
from punie.cli.served import served
from punie.cli.wish import Wish
from punie.errors import InputError, ServerError
from punie.evaluation.run import run_evaluation
from punie.records.result import EvalFault
from punie.records.run import ModelIdentity, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, Tool
from punie.serving.client import ChatClient
from punie.serving.config import ServerConfig
from punie.serving.process import ServerProcess
from punie.serving.request import ChatRequest
from punie.settings import Loaded, Settings
from real_servers import either, real

TINY = ModelIdentity(name="tiny", backend="mlx")
REPORT = "import os, json; f = int(os.environ['PUNIE_EVENTS_FD'])\n"
LISTEN = REPORT + 'os.write(f, b\'{"event": "listening", "port": 1}\\n\')\n'
LOADED = (
    "loaded = {'event': 'loaded', 'model': os.environ.get('MODEL', '.'), 'adapter': None}\n"
    "os.write(f, (json.dumps(loaded) + '\\n').encode())\n"
)
SLEEP = "import time; time.sleep(600)\n"


def child(tmp_path: Path, source: str, **config: object) -> ServerProcess:
    settings = ServerConfig.model_validate(
        {"model": tmp_path, "log": tmp_path / "server.log", **config}
    )
    env = {**os.environ, "MODEL": str(tmp_path)}
    return ServerProcess([sys.executable, "-c", source], env, settings)


async def at_once(_base_url: str) -> None:
    """A probe that is satisfied."""


@either
async def test_a_real_server_answers_and_leaves_nothing_behind(
    server: str, tiny_model: Path, tmp_path: Path
) -> None:
    config = ServerConfig(model=tiny_model, log=tmp_path / "server.log")
    worker = {"mlx": "serve", "cuda": "torch_serve"}[server]
    async with real(server).serve(config) as endpoint:
        async with ChatClient(endpoint) as client:
            streamed = await client.ask(question())
            with_tools = await client.ask(question(tools=(Tool(name="add"),)))
        assert (endpoint.peak_memory() or 0) > 20e6
        (listener,) = [
            c
            for c in psutil.Process().children(recursive=True)
            if c.status() != psutil.STATUS_ZOMBIE  # one that has ended has no command line
            and c.cmdline()[1:4] == ["-P", "-m", f"punie.backends.workers.{worker}"]
        ]
    assert streamed.completion_tokens == 8
    assert streamed.first_token_s is not None
    assert 0 < streamed.first_token_s <= streamed.latency_s
    assert with_tools.first_token_s is None
    assert (with_tools.prompt_tokens or 0) > (streamed.prompt_tokens or 0)
    assert not psutil.pid_exists(listener.pid)


def question(tools: tuple[Tool, ...] = ()) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="user", content="Hi"),),
        sampling=Sampling(max_tokens=8),
        tools=tools,
    )


@either
async def test_a_damaged_model_ends_with_the_reason(
    server: str, tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    os.truncate(tmp_path / "model" / "model.safetensors", 3000)
    config = ServerConfig(model=tmp_path / "model", log=tmp_path / "server.log")
    with pytest.raises(ServerError, match=r"could not be loaded.*([Ss]afetensor|array)"):
        async with real(server).serve(config):
            pytest.fail("it must not become ready")
    assert "Traceback" in (tmp_path / "server.log").read_text()


async def test_an_adapter_is_loaded_and_changes_the_answer(
    tiny_model: Path, tmp_path: Path
) -> None:
    answers: list[str] = []
    for adapter in (None, made_lora(tmp_path / "mine")):
        async with serve_model(str(tiny_model), adapter=adapter) as endpoint:
            assert endpoint.identity.adapter == (adapter.name if adapter else None)
            async with ChatClient(endpoint) as client:
                answers.append((await client.ask(question())).text)
    assert answers[0] != answers[1]


async def test_a_generation_thread_that_fails_ends_the_run_with_its_reason(
    tiny_model: Path, tmp_path: Path
) -> None:
    config = ServerConfig(model=tiny_model, log=tmp_path / "server.log")
    deadly = Sampling(temperature=1.0, top_k=100_000, max_tokens=4)
    prompts = tuple(
        EvalPrompt(id=f"p{n}", messages=(Message(role="user", content="Hi"),)) for n in range(9)
    )
    suite = EvalSuite(name="deadly", prompts=prompts, sampling=deadly)
    async with MlxBackend(TINY, tools=True).serve(config) as endpoint:
        report = await run_evaluation(suite, endpoint, concurrency=2)
    assert report.run.status is RunStatus.FAILED
    assert report.summary.answered == 0
    assert set(report.summary.fault_kinds) == {"server died"}
    (fault, *_) = report.outcomes
    assert isinstance(fault, EvalFault)
    assert "generation thread failed" in fault.message
    assert "Traceback" in (tmp_path / "server.log").read_text()
    async with MlxBackend(TINY, tools=True, vocabulary=516).serve(config) as endpoint:
        with pytest.raises(InputError, match="516 tokens"):
            await run_evaluation(suite, endpoint)


async def test_the_log_s_end_is_in_the_error(tmp_path: Path) -> None:
    process = child(tmp_path, "print('first'); print('what went wrong'); raise SystemExit(3)")
    with pytest.raises(ServerError, match=r"(?s)exit code 3.*what went wrong"):
        await process.start(at_once)


async def test_a_killed_child_is_probably_out_of_memory(tmp_path: Path) -> None:
    process = child(tmp_path, LISTEN + "import signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(ServerError, match="memory ran out"):
        await process.start(at_once)


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    config = ServerConfig(model=tmp_path, log=tmp_path / "server.log")
    process = ServerProcess(["/no/such/program"], {}, config)
    with pytest.raises(ServerError, match="/no/such/program"):
        await process.start(at_once)


async def test_no_token_in_time_ends_the_child(tmp_path: Path) -> None:
    process = child(tmp_path, LISTEN + LOADED + SLEEP, start_timeout_s=0.5)

    async def never(_base_url: str) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ServerError, match="no token within"):
        await process.start(never)
    assert process.pid is not None
    assert not psutil.pid_exists(process.pid)


async def test_another_adapter_than_asked_is_not_ready(tmp_path: Path) -> None:
    process = child(tmp_path, LISTEN + LOADED + SLEEP, adapter=tmp_path / "mine")
    with pytest.raises(ServerError, match=r"loaded adapter None, not .*mine"):
        await process.start(at_once)


async def test_an_adapter_that_changes_no_layer_is_not_ready(tmp_path: Path) -> None:
    told = {"model": str(tmp_path), "adapter": str(tmp_path), "adapted_layers": 0}
    loaded = json.dumps({"event": "loaded", **told})
    source = LISTEN + f"os.write(f, b'{loaded}\\n')\n" + SLEEP
    process = child(tmp_path, source, adapter=tmp_path)
    with pytest.raises(ServerError, match="changed no layer"):
        await process.start(at_once)


async def test_an_adapter_that_nobody_asked_for_is_not_ready(tmp_path: Path) -> None:
    told = {"model": str(tmp_path), "adapter": None, "adapted_layers": 4}
    loaded = json.dumps({"event": "loaded", **told})
    process = child(tmp_path, LISTEN + f"os.write(f, b'{loaded}\\n')\n" + SLEEP)
    with pytest.raises(ServerError, match="adapter on 4 layers, and none was named"):
        await process.start(at_once)


async def test_a_child_that_ignores_term_is_killed_with_its_group(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(c.pid, flush=True)\n"
    )
    process = child(tmp_path, stubborn + LISTEN + LOADED + SLEEP, stop_grace_s=0.3)
    await process.start(at_once)
    grandchild = int((tmp_path / "server.log").read_text().split()[0])
    await process.stop()
    await process.stop()
    assert process.exit_code == -signal.SIGKILL
    assert process.pid is not None
    assert not alive(process.pid)
    assert not alive(grandchild)


async def test_a_chatty_child_does_not_stall(tmp_path: Path) -> None:
    chatty = "import sys; sys.stderr.write('x' * 3_000_000)\n"
    process = child(tmp_path, chatty + LISTEN + LOADED + SLEEP)
    await process.start(at_once)
    await process.stop()
    assert (tmp_path / "server.log").stat().st_size >= 3_000_000


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("victim", ["punie", "guardian"])
def test_nothing_outlives_a_sigkill(tmp_path: Path, victim: str) -> None:
    source = f"""
import asyncio, os, sys
from pathlib import Path
from punie.serving.config import ServerConfig
from punie.serving.process import ServerProcess
CHILD = {LISTEN + LOADED + SLEEP!r}
async def main():
    config = ServerConfig(model=Path("."), log=Path("server.log"), stop_grace_s=0.5)
    async def probe(url): pass
    server = ServerProcess([sys.executable, "-c", CHILD], dict(os.environ), config)
    await server.start(probe)
    print(server.pid, server._child.guardian.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", source], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        server, guardian = (int(word) for word in parent.stdout.readline().split())
        assert alive(server)
        if victim == "guardian" and not sys.platform.startswith("linux"):
            parent.kill()
            pytest.skip("only Linux tells a child that its parent died")
        os.kill(parent.pid if victim == "punie" else guardian, signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(server).wait(timeout=10)
        assert not alive(server)
        parent.kill()


def test_the_command_line_is_narrow() -> None:
    config = ServerConfig(model=Path("/m"), adapter=Path("/a"), log=Path("/l"))
    argv = server_argv(config)
    joined = " ".join(argv)
    assert "--adapter-path /a" in joined
    assert "--port 0" in joined
    assert "--host 127.0.0.1" in joined
    assert "--allowed-origins http://127.0.0.1,http://localhost" in joined
    assert "--trust-remote-code" not in joined


def test_a_child_sees_no_key_and_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    monkeypatch.setenv("HF_TOKEN", "canary-token")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    env = server_env(tmp_path)
    assert not [value for value in env.values() if "canary" in value]
    assert env["HF_HUB_OFFLINE"] == "1"
    assert env["OMP_NUM_THREADS"] == "2"


def test_a_bigger_model_may_load_longer() -> None:
    config = ServerConfig(model=Path("/m"), log=Path("/l"))
    assert config.scaled_to(15_000_000_000).start_timeout_s > config.start_timeout_s + 100


async def test_an_eval_s_server_has_its_cap_of_memory(tiny_model: Path, tmp_path: Path) -> None:
    settings = Loaded(project=tmp_path, values=Settings(), origins={})
    prompt = EvalPrompt(id="p", messages=(Message(role="user", content="Hi"),))
    suite = EvalSuite(name="one", prompts=(prompt,))
    wish = Wish(model=str(tiny_model), concurrency=40, quiet=True)
    async with served(wish, settings, tmp_path / "server.log", suite) as service:
        assert service.memory is not None
        assert service.endpoint.keeper is not None
        config = service.endpoint.keeper.process.config
        assert config.memory_cap_bytes == service.memory.cap_bytes is not None
        assert config.decode_concurrency == 40
