"""The real `transformers serve` as punie starts it: what a request asks for is what it gets."""

# transformers is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from made_lora import made_lora
from punie.backends.cuda import CudaBackend, server_argv
from punie.backends.cuda_env import cuda_env, uses_gpu
from punie.backends.gpu import gpus
from punie.errors import ModelError, ServerError
from punie.evaluation.checks import self_check
from punie.evaluation.run import new_run, run_evaluation
from punie.models.adapter_overlay import overlay
from punie.records.result import Completion, EvalResult, FaultKind
from punie.records.run import ModelIdentity, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, Tool
from punie.records.training import Quantization
from punie.records.trust import Level
from punie.serving.client import ChatClient, RequestFailed
from punie.serving.config import ServerConfig
from punie.serving.endpoint import Endpoint
from punie.serving.process import ServerProcess
from punie.serving.request import ChatRequest

pytest.importorskip("bitsandbytes")

TINY = ModelIdentity(name="tiny", backend="cuda", server="transformers")
OWN_SETTINGS = {
    "do_sample": True,
    "temperature": 0.01,
    "top_k": 1,
    "min_p": 0.9,
    "repetition_penalty": 9.0,
    "no_repeat_ngram_size": 1,
}
"""What some models bring along as their `generation_config.json`."""
module = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def tiny(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with sampling settings of its own, under a name that asks for trouble."""
    folder = tmp_path_factory.mktemp("served") / "tiny@main:x.gguf"
    shutil.copytree(tiny_model, folder)
    (folder / "generation_config.json").write_text(json.dumps(OWN_SETTINGS))
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endpoint(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Endpoint]:
    """The tiny model with an adapter, in float32 on the CPU."""
    folder = tmp_path_factory.mktemp("cuda")
    config = ServerConfig(model=tiny, adapter=made_lora(folder / "mine"), log=folder / "server.log")
    backend = CudaBackend(TINY, tools=True, parser="json_tools", device="cpu")
    async with backend.serve(config) as served:
        yield served


def question(text: str = "Hi", tools: tuple[Tool, ...] = (), **sampling: Any) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="user", content=text),),
        sampling=Sampling.model_validate({"max_tokens": 12, **sampling}),
        tools=tools,
    )


async def ask(endpoint: Endpoint, *requests: ChatRequest) -> list[Completion]:
    """Ask all at once."""
    async with ChatClient(endpoint) as client:
        return list(await asyncio.gather(*map(client.ask, requests)))


async def raw(endpoint: Endpoint, path: str = "/chat/completions", **body: Any) -> httpx2.Response:
    asked = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2} | body
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.post(endpoint.url + path, json=asked)


@module
async def test_greedy_answers_are_the_same_alone_together_and_streamed(endpoint: Endpoint) -> None:
    texts = [f"Question {n}?" for n in range(6)]
    alone = [(await ask(endpoint, question(text)))[0] for text in texts]
    together = await ask(endpoint, *map(question, texts))
    whole = replace(endpoint, abilities=replace(endpoint.abilities, streaming=False))
    unstreamed = await ask(whole, *map(question, texts))
    assert [each.text for each in together] == [each.text for each in alone]
    assert [each.text for each in unstreamed] == [each.text for each in alone]
    assert len({each.text for each in alone}) > 1
    (first, *_) = alone
    assert (first.completion_tokens, first.finish_reason) == (12, "length")
    assert first.prompt_tokens == unstreamed[0].prompt_tokens
    assert first.first_token_s is not None


def computed(folder: Path, texts: list[str], seed: int | None = None) -> list[str]:
    """Answers of 12 tokens from the bare model's logits: the likeliest, or drawn with the seed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    answers: list[str] = []
    for text in texts:
        chat = [{"role": "user", "content": text}]
        ids: Any = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        start = ids.shape[1]
        if seed is not None:
            torch.manual_seed(seed)
        for _ in range(12):
            with torch.no_grad():
                last = model(ids).logits[:, -1]
            drawn = last.argmax(-1, keepdim=True)
            if seed is not None:
                drawn = torch.multinomial(torch.softmax(last, -1), 1)
            ids = torch.cat([ids, drawn], -1)
            if drawn.item() == tokenizer.eos_token_id:
                break
        answers += tokenizer.batch_decode(ids[:, start:], skip_special_tokens=True)
    return answers


@module
async def test_nothing_of_the_models_own_settings_is_put_into_an_answer(
    endpoint: Endpoint, tiny: Path
) -> None:
    """Neither in the batch nor out of it, where `generate` would fill them in."""
    assert endpoint.base_model is not None
    texts = [f"Question {n}?" for n in range(4)]
    batch = await ask(endpoint, *map(question, texts))
    alone = await ask(endpoint, *[question(text, stop=("never so",)) for text in texts])
    assert [each.text for each in alone] == [each.text for each in batch]
    bare = replace(endpoint, model=endpoint.base_model)
    base = await ask(bare, *map(question, texts))
    drawn = await ask(bare, *[question(text, temperature=1.0, seed=3) for text in texts])
    assert [each.text for each in base] == computed(tiny, texts)
    assert [each.text for each in drawn] == computed(tiny, texts, seed=3)


@module
async def test_a_temperature_samples_and_a_seed_repeats_in_company(endpoint: Endpoint) -> None:
    seeded = [question(temperature=1.0, seed=n % 3) for n in range(6)]
    drawn = [each.text for each in await ask(endpoint, *seeded)]
    assert drawn[:3] == drawn[3:]
    assert len(set(drawn)) == 3
    free = await ask(endpoint, *[question(temperature=1.0, max_tokens=24)] * 3)
    assert len({each.text for each in free}) == 3


@module
async def test_top_k_and_top_p_reach_the_draw(endpoint: Endpoint) -> None:
    (greedy,) = await ask(endpoint, question())
    narrow = await ask(
        endpoint,
        question(temperature=2.0, top_k=1),
        question(temperature=2.0, top_p=1e-6),
        question(temperature=2.0, min_p=1.0),
    )
    assert [each.text for each in narrow] == [greedy.text] * 3


@module
async def test_an_answer_ends_before_its_stop(endpoint: Endpoint) -> None:
    (greedy,) = await ask(endpoint, question())
    found = re.search("[A-Za-z]{3}", greedy.text[1:])
    assert found is not None
    stop = found[0]
    expected = greedy.text[: greedy.text.index(stop)]
    whole = replace(endpoint, abilities=replace(endpoint.abilities, streaming=False))
    for served in (endpoint, whole):
        (stopped,) = await ask(served, question(stop=("never", stop)))
        assert (stopped.text, stopped.finish_reason) == (expected, "stop")
        assert (stopped.completion_tokens or 0) < (greedy.completion_tokens or 0)


@module
async def test_the_base_answers_beside_its_adapter(endpoint: Endpoint) -> None:
    assert endpoint.base_model is not None
    bare = replace(endpoint, model=endpoint.base_model)
    async with ChatClient(endpoint) as adapted, ChatClient(bare) as base:
        asked = [(base if n % 2 else adapted).ask(question(max_tokens=24)) for n in range(8)]
        answers = [each.text for each in await asyncio.gather(*asked)]
    assert len(set(answers[::2])) == len(set(answers[1::2])) == 1
    assert answers[0] != answers[1]
    prompt = EvalPrompt(id="p", messages=(Message(role="user", content="Hi"),))
    suite = EvalSuite(name="one", prompts=(prompt,), sampling=Sampling(max_tokens=8))
    run = await self_check(suite, endpoint, new_run(suite, endpoint, concurrency=1))
    assert run.checks is not None
    levels = {each.name: each.level for each in run.checks.findings}
    assert levels["adapter"] is Level.OK


@module
@pytest.mark.parametrize(
    ("field", "value"),
    [("n", 2), ("logprobs", True), ("response_format", {"type": "json_object"}),
     ("tool_choice", "required"), ("presence_penalty", 1.0), ("stop", [""]), ("messages", []),
     ("messages", [3]), ("messages", [{"role": "user", "content": 5}]),
     ("tools", "x"), ("tools", [1]), ("repetition_penalty", 0), ("temperature", 1e-300),
     ("chat_template_kwargs", 5), ("chat_template_kwargs", {"tokenize": False}),
     ("generation_config", "{}"), ("seed", "x"), ("temperature", "warm"), ("max_tokens", 0)],
)  # fmt: skip
async def test_what_is_not_kept_is_refused(endpoint: Endpoint, field: str, value: object) -> None:
    response = await raw(endpoint, "/chat/completions", **{field: value})
    assert response.status_code == 400
    assert field in response.json()["error"]["message"]


@module
async def test_a_prompt_of_nothing_is_refused_and_the_server_goes_on(endpoint: Endpoint) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        for prompt in ("", " ", 5, ["Hi"], None):
            body = {"prompt": prompt, "max_tokens": 2}
            response = await client.post(endpoint.url + "/completions", json=body)
            assert response.status_code == 400
            assert "prompt" in response.json()["error"]["message"]
        half = b'{"messages": [{"role": "user", "content": "\\ud800"}]}'
        response = await client.post(
            endpoint.url + "/chat/completions",
            content=half,
            headers={"Content-Type": "application/json"},
        )
        assert response.status_code == 400
    biased = await raw(endpoint, logit_bias={str(token): -100 for token in range(516)})
    assert biased.status_code == 200
    (after,) = await ask(endpoint, question())
    assert after.completion_tokens == 12


@module
async def test_no_other_model_and_no_other_address(endpoint: Endpoint) -> None:
    assert (await raw(endpoint, model="SmolLM2")).status_code == 404
    for path in ("/../load_model", "/../reset", "/responses", "/systemone"):
        assert (await raw(endpoint, path)).status_code == 404
    async with httpx2.AsyncClient(trust_env=False) as client:
        listed = await client.get(endpoint.url + "/models", headers={"Origin": "http://evil"})
    assert [each["id"] for each in listed.json()["data"]] == [endpoint.model]
    assert "access-control-allow-origin" not in listed.headers


@module
async def test_a_prompt_beyond_the_context_is_refused_and_an_answer_ends_with_it(
    endpoint: Endpoint,
) -> None:
    with pytest.raises(RequestFailed, match="context of 2048") as refused:
        await ask(endpoint, question("word " * 3000))
    assert refused.value.kind is FaultKind.TOO_LONG
    (ended,) = await ask(endpoint, question("Hi " * 500, max_tokens=2000))
    assert ended.finish_reason == "length"
    assert (ended.prompt_tokens or 0) + (ended.completion_tokens or 0) == 2048


@module
async def test_a_client_that_leaves_ends_its_answer(endpoint: Endpoint) -> None:
    """Were it written to its end, the slow lane would be held for all of its tokens."""
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        body |= {"max_tokens": 1900, "temperature": 1.0, "stream_options": {"include_usage": True}}
        async with client.stream("POST", endpoint.url + "/chat/completions", json=body) as parts:
            async for line in parts.aiter_lines():
                if line:
                    break
    (after,) = await ask(endpoint, question(temperature=1.0, seed=1))
    assert after.completion_tokens == 12


@module
async def test_an_eval_with_tools_has_all_its_numbers(endpoint: Endpoint) -> None:
    tool = Tool(name="add", parameters={"type": "object", "properties": {"a": {"type": "number"}}})
    prompts = tuple(
        EvalPrompt(
            id=f"p{n}",
            messages=(
                Message(role="system", content="Be brief."),
                Message(role="user", content=f"Question {n}?"),
            ),
            tools=(tool,) if n % 2 else (),
        )
        for n in range(8)
    )
    suite = EvalSuite(name="mixed", prompts=prompts, sampling=Sampling(max_tokens=8))
    report = await run_evaluation(suite, endpoint, concurrency=4)
    assert report.run.status is RunStatus.DONE
    assert report.summary.answered == 8
    sizes = {o.prompt_id: o.completion.prompt_tokens or 0
             for o in report.outcomes if isinstance(o, EvalResult)}  # fmt: skip
    bare, shown = ([sizes[f"p{n}"] for n in range(first, 8, 2)] for first in (0, 1))
    assert min(shown) > max(bare)  # the template shows the tools to the model
    assert report.summary.peak_memory_bytes is not None


@pytest.mark.parametrize("quantization", [Quantization.FOUR_BIT, Quantization.EIGHT_BIT])
async def test_packed_weights_answer_otherwise_and_take_an_adapter(
    quantization: Quantization, tiny_model: Path, tmp_path: Path
) -> None:
    backend = CudaBackend(TINY, tools=True, quantization=quantization, device="cpu")
    config = ServerConfig(
        model=tiny_model, adapter=made_lora(tmp_path / "mine"), log=tmp_path / "server.log"
    )
    async with backend.serve(config) as served:
        assert served.base_model is not None
        asked = [question(max_tokens=24), question("Why?", max_tokens=24)]
        adapted = [each.text for each in await ask(served, *asked)]
        base = [each.text for each in await ask(replace(served, model=served.base_model), *asked)]
        assert adapted != base
        alone = [(await ask(served, each))[0].text for each in asked]
    assert alone == adapted
    assert "Traceback" not in config.log.read_text()


async def test_a_batch_that_fails_ends_the_process_with_its_reason(
    tiny_model: Path, tmp_path: Path
) -> None:
    """The tokenizer has a token that the model has no row for, as after a careless edit."""
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    tokens = json.loads((model / "tokenizer.json").read_text())
    added = dict(tokens["added_tokens"][0], id=516, content="<|beyond|>")
    tokens["added_tokens"].append(added)
    (model / "tokenizer.json").write_text(json.dumps(tokens))
    config = ServerConfig(model=model, log=tmp_path / "server.log")
    async with ServerProcess(server_argv(config), cuda_env("cpu"), config) as process:

        async def greeted(base_url: str) -> None:
            await ask(Endpoint(base_url=base_url, model="default_model", identity=TINY), question())

        await process.start(greeted)
        here = Endpoint(base_url=process.base_url, model="default_model", identity=TINY)
        with pytest.raises(RequestFailed):
            await ask(here, question("<|beyond|>"))
        await process.ended()
        assert process.death() == "the server's generation thread failed"
        assert "index out of range" in process.log_tail()


async def test_a_torch_that_can_use_no_gpu_says_so(tiny_model: Path, tmp_path: Path) -> None:
    config = ServerConfig(model=tiny_model, log=tmp_path / "server.log")
    process = ServerProcess(server_argv(config, on_gpu=True), cuda_env("cpu"), config)

    async def unasked(_: str) -> None:
        raise AssertionError("it listens to nobody")

    with pytest.raises(ServerError, match=r"torch.*(knows|can use) no GPU") as failed:
        await process.start(unasked)
    assert "Traceback" not in failed.value.message
    assert "PUNIE_DEVICE=cpu" in failed.value.hint


def test_calls_are_read_in_the_form_that_the_template_asks_for(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    from punie.backends.workers.torch_serve_parts import json_calls

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_model)
    text = 'Adding.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>'
    parsed: dict[str, Any] = tokenizer.parse_response(
        text, json_calls(tokenizer), prefix="<|im_start|>assistant\n"
    )
    assert parsed["content"] == "Adding."
    assert parsed["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 1}}


def test_the_command_line_says_what_is_computed_where() -> None:
    config = ServerConfig(model=Path("/m"), log=Path("/l"), decode_concurrency=5)
    on_cpu = " ".join(server_argv(config))
    assert on_cpu.endswith(
        "torch_serve --model /m --host 127.0.0.1 --port 0 --quantization none --computed-in auto "
        "--device cpu --batch 5 --batch-tokens 8192"
    )
    packed = server_argv(
        config.model_copy(update={"adapter": Path("/a")}),
        load=Path("/o"),
        quantization=Quantization.FOUR_BIT,
        on_gpu=True,
        parser="json_tools",
    )
    joined = " ".join(packed)
    assert "--adapter /a --load /o" in joined
    assert "--quantization 4bit --computed-in bfloat16 --device cuda:0" in joined
    assert "--tool-parser json_tools" in joined
    assert "--device sequential" in " ".join(server_argv(config, on_gpu=True, several=True))


def test_a_child_sees_cuda_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    monkeypatch.setenv("HF_TOKEN", "canary-token")
    for name in ("CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "PYTORCH_ALLOC_CONF", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "kept")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    env = cuda_env("cpu")
    assert not [value for value in env.values() if "canary" in value]
    assert [name for name, value in env.items() if value == "kept"] == sorted(
        ("CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "PYTORCH_ALLOC_CONF", "OMP_NUM_THREADS"),
        key=list(env).index,
    )
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert env["HF_HUB_OFFLINE"] == "1"
    assert Path(env["HF_HUB_CACHE"]).is_dir()


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gpus.cache_clear()
    try:
        with pytest.raises(ModelError, match="a GPU was asked for") as refused:
            uses_gpu("gpu")
        assert "PUNIE_DEVICE=cpu" in (refused.value.hint or "")
        assert not uses_gpu("auto")
        smi = tmp_path / "nvidia-smi"
        smi.write_text("#!/bin/sh\necho '0, GPU-1, NVIDIA A10, 580.1, 23028, 22000, 8.6'\n")
        smi.chmod(0o755)
        gpus.cache_clear()
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        assert uses_gpu("auto")
        assert uses_gpu("gpu")
        assert not uses_gpu("cpu")
        assert "CUDA_VISIBLE_DEVICES" not in cuda_env("auto")
    finally:
        gpus.cache_clear()


def test_an_overlay_is_links_and_an_adapter_and_made_once(tiny: Path, tmp_path: Path) -> None:
    adapter = made_lora(tmp_path / "mine")
    made = overlay(adapter, tiny, cache=tmp_path / "cache")
    assert overlay(adapter, tiny, cache=tmp_path / "cache") == made
    linked = {file.name for file in made.iterdir() if file.is_symlink()}
    assert linked == {file.name for file in tiny.iterdir()}
    own = {file.name for file in made.iterdir() if not file.is_symlink()}
    assert own == {"adapter_config.json", "adapter_model.safetensors"}
    other = made_lora(tmp_path / "other", scale=1.0)
    assert overlay(other, tiny, cache=tmp_path / "cache") != made
    with pytest.raises(ModelError):
        overlay(tmp_path / "none", tiny, cache=tmp_path / "cache")


def test_full_fine_tuning_replaces_tensors_of_the_base(tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    adapter = tmp_path / "full"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"fine_tune_type": "full", "num_layers": 1}')
    name = "model.layers.1.self_attn.q_proj.weight"
    replaced = torch.full((64, 64), 0.5)
    save_file({name: replaced}, adapter / "adapters.safetensors")
    made = overlay(adapter, tiny_model, cache=tmp_path / "cache")
    base, loaded = (
        AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (tiny_model, made)
    )
    assert torch.equal(loaded[name], replaced)
    assert all(torch.equal(loaded[each], base[each]) for each in base if each != name)
