"""vLLM in an environment of its own: its command line, what is refused, and a child's whole life.

The child is a fake at the seam (`fake_vllm.py`); what was run with a real vLLM stands in
specs/cuda.md.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fake_vllm import bare_environment, environment
from made_lora import made_lora
from punie.backends.choose import BackendChoice
from punie.backends.local import serve_model
from punie.backends.vllm import (
    BASE,
    MODEL,
    Lora,
    VllmBackend,
    chosen_device,
    lora_of,
    refuse_packing,
    server_argv,
)
from punie.backends.vllm_python import VllmPython, check_vllm, vllm_python
from punie.errors import ModelError, ServerError
from punie.judging.ask import forces_schema
from punie.records.checkup import State
from punie.records.result import Completion
from punie.records.run import ModelIdentity
from punie.records.suite import Message, Sampling, Tool
from punie.records.training import Quantization
from punie.serving.client import ChatClient
from punie.serving.config import ServerConfig
from punie.serving.endpoint import Endpoint
from punie.serving.request import ChatRequest

GPU_BUILD = VllmPython(Path("/v/bin/python"), "0.32.0", cpu=False)
CPU_BUILD = VllmPython(Path("/v/bin/python"), "0.32.0", cpu=True)
IDENTITY = ModelIdentity(name="tiny", backend="cuda", dtype="float32")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("vllm") / "env")


def config(tmp_path: Path, model: Path, adapter: Path | None = None) -> ServerConfig:
    return ServerConfig(model=model, adapter=adapter, log=tmp_path / "server.log")


def after(argv: list[str], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def test_the_command_line_of_a_model_alone(tmp_path: Path) -> None:
    asked = config(tmp_path, Path("/m"))
    argv = server_argv(CPU_BUILD, asked, dtype="float32", context_length=2048)
    assert argv[:2] == ["/v/bin/python", "-I"]
    assert argv[2].endswith("workers/vllm_serve.py")
    ours, theirs = argv[: argv.index("--")], argv[argv.index("--") :]
    assert after(ours, "--host") == "127.0.0.1"
    assert after(ours, "--load") == "/m"
    assert "--adapter" not in ours
    assert after(theirs, "--served-model-name") == MODEL
    assert after(theirs, "--dtype") == "float32"
    assert after(theirs, "--max-model-len") == "2048"
    assert after(theirs, "--generation-config") == "vllm"
    assert "--enforce-eager" in theirs
    assert not {"--enable-lora", "--quantization", "--tool-call-parser"} & {*theirs}


def test_the_command_line_of_an_adapter_packed_on_a_gpu(tmp_path: Path) -> None:
    asked = config(tmp_path, Path("/m"), Path("/a"))
    argv = server_argv(
        GPU_BUILD,
        asked,
        lora=Lora(Path("/peft"), rank=20, layers=7),
        dtype="bfloat16",
        quantization=Quantization.FOUR_BIT,
        parser="hermes",
    )
    ours, theirs = argv[: argv.index("--")], argv[argv.index("--") :]
    assert [
        after(ours, flag) for flag in ("--load", "--adapter", "--load-adapter", "--layers")
    ] == [
        "/m",
        "/a",
        "/peft",
        "7",
    ]
    assert after(theirs, "--served-model-name") == BASE
    assert after(theirs, "--lora-modules") == f"{MODEL}=/peft"
    assert after(theirs, "--max-lora-rank") == "32"
    assert after(theirs, "--quantization") == "bitsandbytes"
    assert after(theirs, "--tool-call-parser") == "hermes"
    assert "--enable-auto-tool-choice" in theirs
    assert "--enforce-eager" not in theirs


def test_an_adapter_of_full_fine_tuning_is_a_model_of_its_own(tmp_path: Path) -> None:
    argv = server_argv(CPU_BUILD, config(tmp_path, Path("/m"), Path("/a")), load=Path("/o"))
    assert after(argv[argv.index("--") :], "--model") == "/o"
    assert after(argv, "--load") == "/o"
    assert "--load-adapter" not in argv
    assert "--enable-lora" not in argv
    assert lora_of(tmp_path) is None


def test_a_rank_that_vllm_does_not_take_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 513}')
    with pytest.raises(ModelError, match="rank 513, and vLLM takes 512 at most"):
        lora_of(tmp_path)


def test_a_device_or_a_packing_that_the_build_does_not_do_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("punie.backends.vllm.gpus", tuple)
    assert chosen_device(CPU_BUILD, "auto") == chosen_device(CPU_BUILD, "cpu") == "cpu"
    with pytest.raises(ModelError, match="a GPU was asked for"):
        chosen_device(CPU_BUILD, "gpu")
    with pytest.raises(ModelError, match="the CPU was asked for"):
        chosen_device(GPU_BUILD, "cpu")
    with pytest.raises(ModelError, match="none is visible"):
        chosen_device(GPU_BUILD, "auto")
    refuse_packing(GPU_BUILD, Quantization.FOUR_BIT)
    refuse_packing(CPU_BUILD, Quantization.NONE)
    with pytest.raises(ModelError, match="not into 8"):
        refuse_packing(GPU_BUILD, Quantization.EIGHT_BIT)
    with pytest.raises(ModelError, match="packs no weights"):
        refuse_packing(CPU_BUILD, Quantization.FOUR_BIT)


def test_an_interpreter_is_asked_for_its_vllm(python: Path, tmp_path: Path) -> None:
    found = vllm_python(str(python))
    assert found == VllmPython(python, "0.32.0", cpu=True)
    line = check_vllm(str(python))
    assert line.state is State.OK
    assert "vLLM 0.32.0, built for the CPU" in line.found
    gpu = environment(tmp_path / "gpu", package="vllm")
    assert not vllm_python(str(gpu)).cpu
    local = environment(tmp_path / "local", package="vllm", version="0.33.0+cpu")
    assert vllm_python(str(local)) == VllmPython(local, "0.33.0+cpu", cpu=True)


def test_what_is_no_python_with_vllm_is_refused_with_what_to_do(tmp_path: Path) -> None:
    bare = bare_environment(tmp_path / "bare")
    plain = tmp_path / "plain"
    plain.write_text("")
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho sorry >&2\nexit 3\n")
    text = tmp_path / "text"
    text.write_text("no program\n")
    for each in (script, text):
        each.chmod(0o755)
    old = environment(tmp_path / "old", version="0.5.3")
    for interpreter, said, hint in (
        (tmp_path / "nowhere", "there is no", "PUNIE_VLLM"),
        (tmp_path, "is a folder", "bin/python"),
        (plain, "not executable", "PUNIE_VLLM"),
        (script, "no Python of today: sorry", "PUNIE_VLLM"),
        (text, "cannot be run", "PUNIE_VLLM"),
        (bare, "has no vLLM", "PUNIE_VLLM="),
        (old, "has vLLM 0.5.3, and punie needs 0.11", "--upgrade"),
    ):
        with pytest.raises(ModelError, match=said) as refused:
            vllm_python(str(interpreter))
        assert hint in str(refused.value.hint)
        line = check_vllm(str(interpreter))
        assert line.state is State.PROBLEM
        assert said in line.found


async def ask(
    endpoint: Endpoint, text: str = "Hi", *, model: str | None = None, tools: bool = False
) -> Completion:
    tool = Tool(name="weather", description="The weather of a city.")
    request = ChatRequest(
        messages=(Message(role="user", content=text),),
        sampling=Sampling(temperature=0.5, seed=3),
        tools=(tool,) if tools else (),
    )
    async with ChatClient(replace(endpoint, model=model or endpoint.model)) as client:
        return await client.ask(request)


async def test_adapter_and_base_answer_from_one_server_which_ends_with_the_block(
    python: Path, tiny_model: Path, tmp_path: Path
) -> None:
    adapter = made_lora(tmp_path / "a")
    backend = VllmBackend(IDENTITY, str(python), tools=True, parser="json_tools")
    asked = config(tmp_path, tiny_model, adapter).model_copy(update={"memory_cap_bytes": 1})
    async with backend.serve(asked) as endpoint:
        assert endpoint.keeper is not None
        assert endpoint.keeper.process.config.memory_cap_bytes is None
        child = psutil.Process(endpoint.keeper.process.pid)
        assert (await ask(endpoint)).text == f"{MODEL} says Hi 3"
        assert endpoint.base_model == BASE
        assert (await ask(endpoint, model=BASE)).text == f"{BASE} says Hi 3"
        assert endpoint.abilities.parser == "hermes"
        assert (await ask(endpoint, tools=True)).logprob is not None
        async with ChatClient(endpoint) as client:
            assert await forces_schema(client)
        identity = endpoint.identity
        environment_of_child = child.environ()
    assert not child.is_running()
    told = (identity.server, identity.server_version, identity.device, identity.computed_in)
    assert told == ("vllm", "0.32.0", "cpu", None)
    assert environment_of_child["VLLM_NO_USAGE_STATS"] == "1"
    assert environment_of_child["HF_HUB_OFFLINE"] == "1"
    assert "PYTHONPATH" not in environment_of_child


async def test_the_setting_has_vllm_serve_for_cuda(python: Path, tiny_model: Path) -> None:
    pytest.importorskip("bitsandbytes")
    how = BackendChoice(backend="cuda", vllm=str(python))
    async with serve_model(str(tiny_model), how=how) as endpoint:
        assert endpoint.server == "vLLM"
        assert endpoint.identity.backend == "cuda"
        assert (await ask(endpoint)).text == f"{MODEL} says Hi 3"


async def test_a_model_without_a_parser_takes_no_native_tools(
    python: Path, tiny_model: Path, tmp_path: Path
) -> None:
    backend = VllmBackend(IDENTITY, str(python), tools=True, parser="muse_spark")
    async with backend.serve(config(tmp_path, tiny_model)) as endpoint:
        assert not endpoint.abilities.tools
        assert endpoint.base_model is None
        assert (await ask(endpoint)).text == f"{MODEL} says Hi 3"


async def test_an_architecture_that_vllm_refuses_is_told(
    python: Path, tiny_model: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(tiny_model, odd)
    settings = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps({**settings, "architectures": ["OddForCausalLM"]}))
    backend = VllmBackend(IDENTITY, str(python), tools=False)
    with pytest.raises(ServerError, match=r"OddForCausalLM.*not supported") as refused:
        async with backend.serve(config(tmp_path, odd)):
            pytest.fail("it was served")
    assert "could not be loaded: ValueError" in refused.value.message
    assert "Traceback" in refused.value.message


async def test_an_engine_that_failed_is_no_clean_end(
    python: Path, tiny_model: Path, tmp_path: Path
) -> None:
    backend = VllmBackend(IDENTITY, str(python), tools=False)
    async with backend.serve(config(tmp_path, tiny_model)) as endpoint:
        assert endpoint.keeper is not None
        process = endpoint.keeper.process
        await ask(endpoint, "die")
        await process.ended()
        assert process.exit_code == 70
        assert process.death() == "the server's generation thread failed"


async def test_a_port_that_another_program_holds_is_told(
    python: Path, tiny_model: Path, tmp_path: Path
) -> None:
    backend = VllmBackend(IDENTITY, str(python), tools=False)
    async with backend.serve(config(tmp_path, tiny_model)) as first:
        assert first.keeper is not None
        taken = config(tmp_path, tiny_model).model_copy(update={"port": first.keeper.process.port})
        with pytest.raises(ServerError, match="which another program holds"):
            async with backend.serve(taken):
                pytest.fail("it was served")
